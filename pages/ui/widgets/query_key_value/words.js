// The numbers of one token's attention, and what is said of them. Python puts this in front of `index.js`.

const ROWS = 10 // keys that have a row each: those with the most attention; the others are summed
const ROWS_MAX = 14 // up to this many tokens, every one has a row

const minus = text => text.replace("-", "\u2212")
const number = value => minus(value === 0 ? "0" : Math.abs(value) >= 1e-2 && Math.abs(value) < 1e4 ? String(+value.toPrecision(3)) : value.toExponential(1))
const percent = share => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`
const tiny = value => (value === 0 ? "0" : minus(value.toExponential(0)))

// Compute all numbers that are shown for one token's attention, in double precision.
function compute({ query, keys, values, attention, output }, d) {
  const m = attention.length
  const dots = Float64Array.from({ length: m }, (_, key) => query.reduce((sum, one, at) => sum + one * keys[key * d + at], 0))
  const scores = dots.map(dot => dot / Math.sqrt(d))
  const top = scores.reduce((most, score) => Math.max(most, score), -Infinity)
  const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0)
  const weights = scores.map(score => Math.exp(score - top) / total)
  const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b)
  const own = m <= ROWS_MAX ? m : ROWS
  const groups = order.slice(0, own).map(key => [key])
  if (own < m) groups.push(order.slice(own))
  const rows = groups.map(tokens => ({
    tokens,
    rest: tokens.length > 1,
    weight: tokens.reduce((sum, key) => sum + weights[key], 0),
    blend: Float64Array.from({ length: d }, (_, at) => tokens.reduce((sum, key) => sum + weights[key] * values[key * d + at], 0)),
  }))
  const sums = [] // of the values, after each row
  for (const { blend } of rows) sums.push(blend.map((one, at) => one + (sums.at(-1)?.[at] ?? 0)))
  const furthest = (one, other) => one.reduce((most, value, at) => Math.max(most, Math.abs(value - other[at])), 0)
  const errors = { attention: furthest(weights, attention), output: furthest(sums.at(-1), output) }
  return { dots, scores, weights, rows, sums, errors, total: total * Math.exp(top) }
}

// What the steps and the numbers mean. The widget extends this class.
class QueryKeyValueWords extends Widget {
  // Names of tokens

  nameOf(token) {
    const patch = token - this.data.before.length
    if (patch < 0) return `the ${this.data.before[token]}`
    return `the patch in row ${Math.floor(patch / this.data.columns) + 1}, column ${(patch % this.data.columns) + 1}`
  }

  shortName(token) {
    const patch = token - this.data.before.length
    const own = token === this.data.token ? " (itself)" : ""
    if (patch < 0) return this.data.before[token] + own
    return `r${Math.floor(patch / this.data.columns) + 1} c${(patch % this.data.columns) + 1}${own}`
  }

  // The least and the largest score of some tokens.
  range(tokens) {
    const scores = tokens.map(token => this.found.scores[token])
    return [Math.min(...scores), Math.max(...scores)]
  }

  sentence(name, row) {
    const { data, found } = this
    const d = data.width
    if (name === "query") return `The query: ${d} numbers, computed from the token of ${this.nameOf(data.token)}.`
    if (name === "softmax") return `Softmax: e to the power of each score, divided by the sum over all ${found.weights.length} keys. The shares add up to 100%.`
    const { tokens, rest, weight } = found.rows[row]
    const [low, high] = this.range(tokens)
    if (name === "key") {
      return rest
        ? `The other ${tokens.length} keys are compared in the same way. Their scores lie between ${number(low)} and ${number(high)}.`
        : `The key of ${this.nameOf(tokens[0])}: multiply it by the query number by number, add up, divide by √${d}. The score is ${number(high)}.`
    }
    const end = row === found.rows.length - 1 ? ` The output is complete: the ${d} numbers that this head passes on.` : ""
    return (rest ? `Add the values of the other ${tokens.length} tokens, each times its attention; together they have ${percent(weight)}.` : `Add ${percent(weight)} of the value of ${this.nameOf(tokens[0])} to the output.`) + end
  }

  // The meaning of the number in a line and a column of the table; `at` counts the numbers of a vector.
  meaning([line, column], at) {
    const { data, found, vectors } = this
    const d = data.width
    if (line === 0) {
      return [
        "Each row is a token that can be attended to; those with the most attention come first.",
        `The key of a token: ${d} numbers that the query is compared with. Orange is positive, blue is negative.`,
        `The score: the sum of the ${d} products of query and key, divided by √d = √${d}.`,
        "The attention: the softmax of the scores, a share of 100%.",
        `The value of a token: ${d} numbers that it passes on to the tokens that attend to it.`,
      ][column]
    }
    const query = vectors.query[at]
    if (line === 1) {
      return column === 0
        ? `The query of ${this.nameOf(data.token)}: ${d} numbers that are compared with each key.`
        : `q[${at + 1}] = ${number(query)}: number ${at + 1} of ${d} of the query.`
    }
    const { phase, row } = { phase: this.phase().name, row: this.phase().row ?? -1 }
    const shared = phase === "softmax" || phase === "value"
    const later = "This number comes in a later step."
    if (line === found.rows.length + 2) {
      if (column === 0) return `The output of the head for ${this.nameOf(data.token)}: the sum of all values, each times its attention.`
      if (column === 3) return shared ? "The attention to all tokens adds up to 100%." : later
      if (phase !== "value") return later
      const whole = row === found.rows.length - 1
      return `Output number ${at + 1} of ${d}${whole ? "" : " so far"}: ${number(found.sums[row][at])}${whole ? `, in the network ${number(vectors.output[at])}` : ""}.`
    }
    const { tokens, rest, weight, blend } = found.rows[line - 2]
    const name = rest ? `the other ${tokens.length} tokens` : this.nameOf(tokens[0])
    const [low, high] = this.range(tokens)
    const scored = phase !== "query" && (phase !== "key" || line - 2 <= row)
    switch (column) {
      case 0:
        return rest ? `The ${tokens.length} tokens with less attention than those above, added up.` : `${name[0].toUpperCase()}${name.slice(1)}.`
      case 1: {
        if (rest) return `The keys of ${name}. Point at a patch of the image to see its score.`
        const key = this.slice("keys", tokens[0])[at]
        return `k[${at + 1}] of ${name} = ${number(key)}. Times q[${at + 1}] = ${number(query)} it is ${number(query * key)}, one of the ${d} products that add up to q·k = ${number(found.dots[tokens[0]])}.`
      }
      case 2:
        if (!scored) return later
        return rest
          ? `The scores of ${name} lie between ${number(low)} and ${number(high)}.`
          : `q·k / √d = ${number(found.dots[tokens[0]])} / √${d} = ${number(high)}: how well the key of ${name} matches the query.`
      case 3:
        if (!shared) return later
        if (rest) return `The attention to ${name} together: ${percent(weight)}.`
        return !(found.total > 0 && found.total < Infinity)
          ? `The softmax of the scores: ${percent(weight)} is the share of ${name}.`
          : `e^${number(high)} / (sum over all keys) = ${number(Math.exp(high))} / ${number(found.total)} = ${percent(weight)}: the share of ${name}.`
      default:
        return rest
          ? `Number ${at + 1} of ${d}: the values of ${name}, each times its attention, add ${number(blend[at])} to the output.`
          : `v[${at + 1}] of ${name} = ${number(this.slice("values", tokens[0])[at])}. Times its attention, ${percent(weight)}, it adds ${number(blend[at])} to number ${at + 1} of the output.`
    }
  }
}
