// Rows of attention: what the maps show for a token, from the numbers of the network (depth heads n n), indexed
// [query, key]. Nothing is copied, except for rows that are means.

export class AttentionRows {
  constructor({ depth, heads, grid, prefix_tokens, summary }) {
    const patches = grid[0] * grid[1]
    const prefix = prefix_tokens.length
    Object.assign(this, { depth, heads, patches, prefix, tokens: prefix + patches })
    // The tokens whose mean the classification head reads, as in vit.explain.Record.summary_rows.
    this.summary = summary === "class token" ? [0, 1] : summary === "mean of the patches" ? [prefix, this.tokens] : [0, this.tokens]
    this.means = new Float32Array(depth * heads * this.tokens)
    this.fused = new Float32Array(depth * this.tokens ** 2)
    this.sums = new Float32Array(depth * this.tokens)
    this.rolled = Array.from({ length: depth }, () => new Float32Array(this.tokens))
    this.vectors = [new Float64Array(this.tokens), new Float64Array(this.tokens)]
  }

  set(attention) {
    this.attention = attention
    this.hasMeans = this.hasFused = false
    this.rolledOf = -1
  }

  // The place of a token among all: 0 is the summary token, k the k-th patch; after the patches come the tokens before them.
  placeOf = token => (token <= this.patches ? this.prefix + token - 1 : token - this.patches - 1)

  // The attention of one token in one head: rows and columns of tiles are layers and heads, from 1.
  ofHead = (layer, head, token) => {
    const { tokens } = this
    const index = (layer - 1) * this.heads + head - 1
    if (token === 0 && this.summary[1] - this.summary[0] > 1) {
      if (!this.hasMeans) this.computeMeans()
      return this.split(this.means, index * tokens)
    }
    return this.split(this.attention, (index * tokens + (token ? this.placeOf(token) : this.summary[0])) * tokens)
  }

  split(numbers, start) {
    const middle = start + this.prefix
    return { prefix: numbers.subarray(start, middle), patches: numbers.subarray(middle, start + this.tokens) }
  }

  computeMeans() {
    const { tokens, attention, means, summary } = this
    const [first, end] = summary
    means.fill(0)
    for (let index = 0; index < this.depth * this.heads; index++) {
      for (let query = first; query < end; query++) {
        const row = (index * tokens + query) * tokens
        for (let key = 0; key < tokens; key++) means[index * tokens + key] += attention[row + key]
      }
    }
    for (let place = 0; place < means.length; place++) means[place] /= end - first
    this.hasMeans = true
  }

  // Rollout (Abnar and Zuidema 2020) up to a layer: a token's row of the product over layers of A + I, where A is the
  // mean over the heads, with rows that sum to 1. Row by row, since the whole product is not needed.
  ofRollout = (layer, _, token) => {
    if (this.rolledOf !== token) {
      if (!this.hasFused) this.fuse()
      for (let last = 1; last <= this.depth; last++) this.roll(last, token)
      this.rolledOf = token
    }
    return this.split(this.rolled[layer - 1], 0)
  }

  fuse() {
    const { tokens, heads, attention, fused, sums } = this
    const size = tokens * tokens
    for (let layer = 0; layer < this.depth; layer++) {
      for (let place = 0; place < size; place++) {
        let sum = 0
        for (let head = 0; head < heads; head++) sum += attention[(layer * heads + head) * size + place]
        fused[layer * size + place] = sum / heads
      }
      for (let query = 0; query < tokens; query++) {
        let sum = 1 // of the identity
        for (let key = 0; key < tokens; key++) sum += fused[layer * size + query * tokens + key]
        sums[layer * tokens + query] = sum
      }
    }
    this.hasFused = true
  }

  roll(last, token) {
    const { tokens, fused, sums } = this
    let [row, next] = this.vectors
    row.fill(0)
    if (token) row[this.placeOf(token)] = 1
    else row.fill(1 / (this.summary[1] - this.summary[0]), ...this.summary)
    for (let layer = last - 1; layer >= 0; layer--) {
      next.fill(0)
      for (let query = 0; query < tokens; query++) {
        const share = row[query] / sums[layer * tokens + query]
        if (share === 0) continue
        next[query] += share
        const start = (layer * tokens + query) * tokens
        for (let key = 0; key < tokens; key++) next[key] += share * fused[start + key]
      }
      ;[row, next] = [next, row]
    }
    this.rolled[last - 1].set(row)
  }
}
