// How one head computes the attention of one token. The browser computes every number from the recorded query, keys and
// values (see `words.js`), and compares the result with the recorded attention and output.

const STEP_MS = { query: 1600, key: 900, softmax: 2200, value: 800 }

class QueryKeyValue extends QueryKeyValueWords {
  constructor(parent) {
    super(parent, "qkv")
    this.stage = make("div", "stage")
    this.canvas = make("canvas", "", "", { role: "img" })
    this.title = make("p", "title")
    this.check = make("p", "check")
    this.stage.append(this.canvas, this.title, this.check)
    this.side = make("div", "side")
    this.words = make("p", "words", "", { "aria-live": "polite" })
    this.table = make("div", "table", "", { role: "grid" })
    this.detail = make("p", "detail", "", { "aria-live": "polite" })
    this.side.append(this.controls(), this.words, this.table, this.detail)
    this.root.append(this.stage, this.side)
    this.table.onkeydown = event => this.key(event)
    this.table.onpointerleave = () => this.say(null)
    this.canvas.onpointermove = event => this.sayToken(patchUnder(event, this.data.rows, this.data.columns) + this.data.before.length)
    this.canvas.onpointerleave = () => this.say(null)
    this.still = matchMedia("(prefers-reduced-motion: reduce)")
    this.watcher = new IntersectionObserver(([entry]) => this.appear(entry.isIntersecting), { threshold: 0.4 })
    this.watcher.observe(this.table)
    this.redrawOnResize()
  }

  controls() {
    const bar = make("div", "controls")
    const button = (name, text, act) => {
      const made = make("button", name, text, { type: "button" })
      made.onclick = act
      return made
    }
    this.play = button("play", "Play", () => (this.playing ? this.stop() : this.start()))
    this.back = button("back", "Back", () => this.go(this.step - 1))
    this.forward = button("forward", "Step", () => this.go(this.step + 1))
    this.scrub = make("input", "", "", { type: "range", min: 0, step: 1, "aria-label": "Step of the computation" })
    this.scrub.oninput = () => this.go(Number(this.scrub.value))
    this.speed = make("select", "", "", { "aria-label": "Speed" })
    for (const factor of ["0.5", "1", "2", "4"]) this.speed.append(make("option", "", `${factor}×`, { value: factor }))
    this.speed.value = "1"
    bar.append(this.play, this.back, this.forward, this.scrub, this.speed)
    return bar
  }

  update({ data }) {
    if (this.data?.version === data.version) return
    const first = !this.data
    this.data = data
    this.vectors = Object.fromEntries(["query", "keys", "values", "attention", "output"].map(name => [name, data[name].getChildAt(0).toArray()]))
    this.found = compute(this.vectors, data.width)
    this.tops = Object.fromEntries(["query", "keys", "values"].map(name => [name, percentile([this.vectors[name]], 0.99)]))
    this.tops.output = percentile([this.vectors.output], 1)
    this.image = new Image()
    this.image.onload = () => this.draw()
    this.image.src = data.image
    this.build()
    this.last = 2 * this.found.rows.length + 1
    this.scrub.max = this.last
    if (first) this.waiting = !this.still.matches // it plays once, when it comes into view
    this.show(this.playing || this.waiting ? 0 : this.last)
    if (this.playing) this.next()
  }

  // Playing

  appear(visible) {
    this.visible = visible
    if (visible && this.waiting && this.data) this.start()
  }

  start() {
    this.waiting = false
    this.playing = true
    this.play.textContent = "Pause"
    this.words.ariaLive = "off" // a screen reader would be interrupted by every step
    this.show(this.step >= this.last ? 0 : this.step)
    this.next()
  }

  stop() {
    clearTimeout(this.timer)
    this.waiting = this.playing = false
    this.play.textContent = "Play"
    this.words.ariaLive = "polite"
    this.mark()
  }

  next() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      if (this.visible && !document.hidden) this.show(this.step + 1)
      if (this.step >= this.last) this.stop()
      else this.next()
    }, STEP_MS[this.phase().name] / Number(this.speed.value))
  }

  go(step) {
    this.stop()
    this.show(Math.min(this.last, Math.max(0, step)))
  }

  // The steps: the query, each key, the softmax, each value.
  phase() {
    const count = this.found.rows.length
    if (this.step === 0) return { name: "query" }
    if (this.step <= count) return { name: "key", row: this.step - 1 }
    if (this.step === count + 1) return { name: "softmax" }
    return { name: "value", row: this.step - count - 2 }
  }

  // The table

  build() {
    const { data, found } = this
    const name = this.nameOf(data.token)
    this.lines = []
    const line = (className, cells) => {
      const row = make("div", `row ${className}`, "", { role: "row" })
      const at = this.lines.length
      const made = cells.map(({ kind, text = "", role = "gridcell", strip }, column) => {
        const cell = make("div", `cell ${kind}`, text, { role })
        if (strip) cell.append(make("span", "strip"))
        if (kind !== "none") {
          cell.tabIndex = -1
          cell.onpointermove = cell.onclick = event => this.say([at, column], strip ? this.under(event) : 0)
          cell.onfocus = () => this.say([at, column], this.number ?? 0)
          if (strip) cell.ariaLabel = `${data.width} numbers`
        }
        row.append(cell)
        return cell
      })
      this.lines.push(made)
      return row
    }
    const head = (kind, text) => ({ kind, text, role: "columnheader" })
    const none = { kind: "none" }
    const rows = [
      line("head", [head("name", "Token"), head("key", "Key k"), head("score", "q·k/√d"), head("weight", "Attention"), head("value", "Value v")]),
      line("query", [{ kind: "name", text: "Query q", role: "rowheader" }, { kind: "key", strip: true }, none, none, none]),
      ...found.rows.map(row =>
        line(row.rest ? "rest" : "own", [
          { kind: "name", role: "rowheader" },
          row.rest ? { kind: "key text", text: `${row.tokens.length} more keys` } : { kind: "key", strip: true },
          { kind: "score" },
          { kind: "weight" },
          { kind: "value", strip: true },
        ]),
      ),
      line("output", [{ kind: "name", text: "Output", role: "rowheader" }, none, none, { kind: "weight" }, { kind: "value", strip: true }]),
    ]
    this.ghost = make("span", "strip ghost", "", { "aria-hidden": "true" })
    this.table.replaceChildren(...rows, this.ghost)
    this.table.ariaLabel = `Attention of ${name} in ${data.title}, step by step. Arrow keys move over the numbers.`
    this.lines[0][0].tabIndex = 0
    this.thumbs = found.rows.map(({ tokens, rest }, at) => {
      const cell = this.lines[at + 2][0]
      const thumb = make("canvas", "thumb", "", { "aria-hidden": "true", width: 28, height: 28 })
      cell.replaceChildren(...(rest ? [] : [thumb]), make("span", "", rest ? "The rest" : this.shortName(tokens[0])))
      return rest ? null : thumb
    })
    this.paint(this.strip(1, 1), this.vectors.query, this.tops.query)
    found.rows.forEach(({ tokens, rest, blend }, at) => {
      if (!rest) this.paint(this.strip(at + 2, 1), this.slice("keys", tokens[0]), this.tops.keys)
      if (!rest) this.paint(this.strip(at + 2, 4), this.slice("values", tokens[0]), this.tops.values)
      else this.paint(this.strip(at + 2, 4), blend, this.tops.output)
    })
    this.title.textContent = `${data.title}: query of ${name}`
    const { errors } = found
    this.check.textContent = `Computed in your browser from the recorded q, k and v. Largest difference from the network's own: attention ${tiny(errors.attention)}, output ${tiny(errors.output)}.`
    this.canvas.ariaLabel = `The image with ${name} outlined; brighter patches get more of its attention.`
    this.at = this.number = null
    this.say(null)
  }

  strip = (line, column) => this.lines[line][column].querySelector(".strip")
  slice = (name, token) => this.vectors[name].subarray(token * this.data.width, (token + 1) * this.data.width)

  // One colour for each number, which fades to nothing at zero.
  paint(strip, values, top) {
    const stops = [...values].map((value, at) => {
      const colour = `rgb(${rgb(this.data.signed[value < 0 ? 0 : 1]).join(" ")} / ${Math.min(1, Math.abs(value) / top).toFixed(3)})`
      return `${colour} ${(100 * at) / values.length}% ${(100 * (at + 1)) / values.length}%`
    })
    strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`
    strip.style.setProperty("--count", values.length)
  }

  under(event) {
    const box = event.currentTarget.querySelector(".strip").getBoundingClientRect()
    const part = (event.clientX - box.left) / box.width
    return Math.min(this.data.width - 1, Math.max(0, Math.floor(part * this.data.width)))
  }

  // One step

  show(step) {
    this.step = Math.min(this.last, step)
    const { found } = this
    const { name, row } = this.phase()
    const count = found.rows.length
    const scored = name === "query" ? 0 : name === "key" ? row + 1 : count
    const shared = name === "softmax" || name === "value"
    const blended = name === "value" ? row + 1 : 0
    const low = found.scores.reduce((least, score) => Math.min(least, score), 0)
    const high = found.scores.reduce((most, score) => Math.max(most, score), 0)
    const most = Math.max(...found.rows.filter(one => !one.rest).map(one => one.weight))
    found.rows.forEach(({ tokens, rest, weight }, at) => {
      const [, , score, share, value] = this.lines[at + 2]
      this.lines[at + 2][0].parentElement.classList.toggle("active", at === row)
      const [worst, best] = this.range(tokens)
      score.textContent = at < scored ? (rest ? `${number(worst)} to ${number(best)}` : number(best)) : ""
      this.bar(score, at < scored && !rest ? [-low / (high - low), (best - low) / (high - low)] : null, best < 0 ? this.data.signed[0] : this.data.signed[1])
      share.textContent = shared ? percent(weight) : ""
      this.bar(share, shared ? [0, Math.min(1, weight / most)] : null, this.data.amounts[5])
      value.style.setProperty("--shown", at < blended ? 1 : 0.3)
    })
    const [, , , total, output] = this.lines[count + 2]
    total.textContent = shared ? percent(found.rows.reduce((sum, one) => sum + one.weight, 0)) : ""
    this.paint(output.querySelector(".strip"), blended ? found.sums[blended - 1] : new Float64Array(this.data.width), this.tops.output)
    this.lines[1][0].parentElement.classList.toggle("active", name === "query")
    this.lines[count + 2][0].parentElement.classList.toggle("active", name === "value")
    this.words.textContent = this.sentence(name, row)
    this.scrub.value = this.step
    this.scrub.ariaValueText = this.words.textContent
    this.back.disabled = this.step === 0
    this.forward.disabled = this.step === this.last
    this.move(name, row)
    if (this.at) this.say(this.at, this.number)
    this.mark()
    this.draw()
  }

  // The bar behind a number, between two shares of the cell.
  bar(cell, ends, colour) {
    cell.style.setProperty("--from", ends ? Math.min(...ends) : 0)
    cell.style.setProperty("--size", ends ? Math.abs(ends[1] - ends[0]) : 0)
    cell.style.setProperty("--bar", colour)
  }

  // The query moves over the keys, and the weighted values move to the output.
  move(name, row) {
    const { ghost, found } = this
    const moves = !this.still.matches && (name === "key" || name === "value") && row !== undefined
    ghost.hidden = !moves
    ghost.ontransitionend = null
    if (!moves) return
    const place = (cell, glide) => {
      const [box, around] = [cell.getBoundingClientRect(), this.table.getBoundingClientRect()]
      ghost.style.transition = glide ? "" : "none"
      ghost.style.width = `${box.width}px`
      ghost.style.transform = `translate(${box.left - around.left}px, ${box.top - around.top}px)`
    }
    ghost.style.setProperty("--glide", `${300 / Number(this.speed.value)}ms`)
    if (name === "key") {
      this.paint(ghost, this.vectors.query, this.tops.query)
      if (row === 0) place(this.lines[1][1], false)
      ghost.getBoundingClientRect() // apply this position first, so that the next one is reached by a transition
      place(this.lines[row + 2][1], true)
    } else {
      this.paint(ghost, found.rows[row].blend, this.tops.output)
      place(this.lines[row + 2][4], false)
      ghost.getBoundingClientRect()
      place(this.lines.at(-1)[4], true)
      ghost.ontransitionend = () => (ghost.hidden = true)
    }
  }

  // What a number means

  say(at, number = 0) {
    for (const marked of this.table.querySelectorAll(".marked")) marked.classList.remove("marked")
    this.at = at
    this.number = number
    this.detail.textContent = at ? this.meaning(at, number) : "Point at a number, or use the arrow keys in the table, to see what it means."
    if (!at) return
    const column = at[1] === 1 || at[1] === 4 ? at[1] : null
    if (column === null || at[0] === 0) return
    for (const line of [at[0], column === 1 ? 1 : this.lines.length - 1]) {
      const strip = this.strip(line, column)
      strip?.classList.add("marked")
      strip?.style.setProperty("--at", number)
    }
  }

  sayToken(token) {
    const { scores, weights } = this.found
    const name = this.nameOf(token)
    this.say(null)
    this.detail.textContent = `${name[0].toUpperCase()}${name.slice(1)}: score ${number(scores[token])}, attention ${percent(weights[token])}.`
  }

  // Arrow keys move over the numbers: up and down from token to token, left and right over numbers and columns.
  key(event) {
    if (!(event.key in ARROWS)) return
    event.preventDefault()
    this.stop()
    const [down, right] = ARROWS[event.key]
    let [line, column] = this.at ?? [0, 0]
    let at = this.number ?? 0
    const inside = this.strip(line, column) && at + right >= 0 && at + right < this.data.width
    if (right && this.at && inside) at += right
    else {
      const open = (row, place) => this.lines[row]?.[place] && !this.lines[row][place].classList.contains("none")
      do [line, column] = [line + down, column + right]
      while (this.lines[line]?.[column] && !open(line, column))
      if (!open(line, column)) return
      if (right) at = right > 0 ? 0 : this.data.width - 1
    }
    this.number = at
    for (const cell of this.lines.flat()) if (cell.tabIndex === 0) cell.tabIndex = -1
    this.lines[line][column].tabIndex = 0
    this.at = [line, column]
    this.lines[line][column].focus()
    this.say([line, column], at)
  }

  // For the tests.
  mark() {
    Object.assign(this.root.dataset, { step: this.step, last: this.last, playing: Boolean(this.playing), token: this.data.token })
    const { scores, weights, sums } = this.found
    this.root.numbers = { scores: [...scores], weights: [...weights], output: [...sums.at(-1)], rows: this.found.rows.map(row => row.tokens) }
  }

  // The image

  draw() {
    const { data, canvas, image } = this
    const side = canvas.clientWidth
    if (!data || !side || !image?.complete) return
    const [width, height] = [side, (side * data.rows) / data.columns]
    canvas.style.height = `${height}px`
    Object.assign(canvas, { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) })
    const context = canvas.getContext("2d")
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0)
    context.imageSmoothingEnabled = image.naturalWidth > width
    const { name, row } = this.phase()
    const prefix = data.before.length
    const most = this.found.weights.slice(prefix).reduce((top, weight) => Math.max(top, weight), 1e-9)
    context.drawImage(image, 0, 0, width, height)
    context.fillStyle = "rgb(0 0 0 / 0.6)"
    context.fillRect(0, 0, width, height)
    const [w, h] = [width / data.columns, height / data.rows]
    const light = (patch, alpha) => {
      const [x, y] = [patch % data.columns, Math.floor(patch / data.columns)]
      const part = [(x * image.naturalWidth) / data.columns, (y * image.naturalHeight) / data.rows, image.naturalWidth / data.columns, image.naturalHeight / data.rows]
      context.globalAlpha = alpha
      context.drawImage(image, ...part, x * w, y * h, w, h)
      context.globalAlpha = 1
    }
    const now = name === "key" || name === "value" ? this.found.rows[row].tokens : []
    if (name === "softmax" || name === "value") {
      for (let patch = 0; patch < data.rows * data.columns; patch++) light(patch, Math.sqrt(this.found.weights[prefix + patch] / most))
    } else for (const token of now) if (token >= prefix) light(token - prefix, 1)
    const box = token => [((token - prefix) % data.columns) * w, Math.floor((token - prefix) / data.columns) * h, w, h]
    if (now.length === 1 && now[0] >= prefix) {
      context.strokeStyle = data.signed[1]
      context.lineWidth = 2.5
      context.strokeRect(...box(now[0]))
      this.line(context, data.token, now[0], [w, h])
    }
    if (data.token >= prefix) outline(context, box(data.token), 2.5, 5)
    this.drawThumbs()
  }

  line(context, from, to, [w, h]) {
    const { before, columns } = this.data
    if (from < before.length || from === to) return
    const centre = token => [(((token - before.length) % columns) + 0.5) * w, (Math.floor((token - before.length) / columns) + 0.5) * h]
    context.beginPath()
    context.moveTo(...centre(from))
    context.lineTo(...centre(to))
    context.stroke()
  }

  drawThumbs() {
    const { data, image } = this
    if (this.thumbed === data.version) return
    this.thumbed = data.version
    this.thumbs.forEach((thumb, at) => {
      const patch = this.found.rows[at].tokens[0] - data.before.length
      if (!thumb || patch < 0) return
      const context = thumb.getContext("2d")
      const [w, h] = [image.naturalWidth / data.columns, image.naturalHeight / data.rows]
      context.imageSmoothingEnabled = false
      context.drawImage(image, (patch % data.columns) * w, Math.floor(patch / data.columns) * h, w, h, 0, 0, 28, 28)
    })
  }

  remove() {
    clearTimeout(this.timer)
    this.watcher.disconnect()
    super.remove()
  }
}

export default mount(QueryKeyValue)
