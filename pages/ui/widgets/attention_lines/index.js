// One image, and lines from a token to the patches that it attends to. Everything is drawn from the attention of all
// layers and heads, which is sent once. It plays until the visitor touches it.

const SHARE = 0.6 // the lines of a head lead to the tokens that hold this share of its attention,
const LINES_MAX = 24 // but to no more than these
const FULL_WEIGHT = 0.08 // a line of at least this weight may have the full width, so that weak lines stay thin
const BAND = 44 // height above the image for the class token and registers, in pixels
const HOLD_MS = 2600 // on each token while it plays
const GROW_MS = 480 // for the lines of a token to grow
const FADE_MS = 160
const SPEAK_MS = 700 // a screen reader announces a query after it has not changed for this time
const DASHES = [[], [6, 4], [2, 3]] // heads with the same colour differ in their dashes

const percent = share => (share > 0 && share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.0095 ? 1 : 0)}%`)
const ease = part => 1 - (1 - Math.min(1, Math.max(0, part))) ** 3
const between = (one, other, part) => [one[0] + (other[0] - one[0]) * part, one[1] + (other[1] - one[1]) * part]

// The attention of one query to every token, from the levels (0 to 255) of the largest weight of each row.
function weightsOf({ levels, tops }, { heads, tokens }, layer, head, query) {
  const row = (layer * heads + head) * tokens + query
  return Float32Array.from(levels.subarray(row * tokens, (row + 1) * tokens), level => (level * tops[row]) / 255)
}

// The fewest keys that hold at least a share of the weights, the largest first, but at most `most`.
function strongest(weights, share, most) {
  const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b)
  const wanted = share * weights.reduce((sum, weight) => sum + weight, 0)
  let [held, count] = [0, 0]
  while (count < Math.min(most, order.length) && held < wanted) held += weights[order[count++]]
  return order.slice(0, count)
}

class AttentionLines extends Widget {
  constructor(parent) {
    super(parent, "hero")
    this.stage = make("div", "stage")
    this.canvas = make("canvas", "", "", { tabindex: "0", role: "application" })
    this.before = make("div", "before")
    this.stage.append(this.canvas, this.before)
    this.side = make("div", "side")
    this.title = make("h2")
    this.answer = make("p", "answer")
    this.heads = make("div", "heads", "", { role: "group", "aria-label": "Heads whose lines are drawn" })
    this.play = make("button", "play", "Pause", { type: "button" })
    this.slider = make("input", "", "", { type: "range", min: 1, step: 1, "aria-label": "Layer" })
    this.layerName = make("output")
    const controls = make("div", "controls")
    controls.append(this.layerName, this.slider, this.play)
    this.note = make("p", "note")
    this.spoken = make("p", "spoken", "", { "aria-live": "polite" })
    this.side.append(this.title, this.answer, this.heads, controls, this.note, this.spoken)
    this.root.append(this.stage, this.side)

    this.play.onclick = () => (this.playing ? this.touch() : this.start())
    this.slider.oninput = () => {
      this.touch()
      this.show({ layer: Number(this.slider.value) - 1 }, GROW_MS)
    }
    this.canvas.onpointermove = event => event.pointerType === "mouse" && this.hover(event)
    this.canvas.onclick = event => this.click(event)
    this.canvas.onkeydown = event => this.key(event)
    this.canvas.onfocus = () => this.canvas.matches(":focus-visible") && this.touch()
    this.visible = true
    this.watcher = new IntersectionObserver(([entry]) => (this.visible = entry.isIntersecting))
    this.watcher.observe(this.root)
    this.still = matchMedia("(prefers-reduced-motion: reduce)")
    this.redrawOnResize()
  }

  update({ data }) {
    if (this.data?.version === data.version) return
    this.data = data
    this.levels = data.levels.getChildAt(0).toArray()
    this.tops = data.tops.getChildAt(0).toArray()
    this.shown = new Set(Array.from({ length: data.heads }, (_, head) => head))
    this.pinned = false
    this.build()
    this.image = new Image()
    this.image.onload = () => this.draw()
    this.image.src = data.image
    this.show({ layer: data.layer, query: data.still }, 0)
    if (this.still.matches) this.stop()
    else this.start()
  }

  // Buttons

  build() {
    const { data } = this
    this.stage.style.setProperty("--band", `${data.before.length ? BAND : 0}px`)
    this.stage.style.setProperty("--ratio", data.columns / data.rows)
    this.slider.max = data.depth
    this.before.replaceChildren(...data.before.map((name, token) => {
      const button = make("button", "token", name, { type: "button" })
      button.onpointerenter = event => event.pointerType === "mouse" && this.choose(token, false)
      button.onclick = () => this.choose(token, true)
      return button
    }))
    this.chips = Array.from({ length: data.heads }, (_, head) => {
      const chip = make("button", "head", "", { type: "button" })
      chip.style.setProperty("--colour", this.colour(head))
      const parts = { mark: make("span", "mark"), name: make("span", "name", `Head ${head + 1}`), inside: make("span", "inside"), most: make("span", "most") }
      chip.append(...Object.values(parts))
      chip.onclick = () => {
        this.touch()
        if (!this.shown.delete(head)) this.shown.add(head)
        this.show({}, 0)
      }
      return { chip, ...parts }
    })
    this.heads.replaceChildren(...this.chips.map(({ chip }) => chip))
    this.canvas.ariaLabel =
      `${data.alt} Arrow keys choose one of ${data.rows} by ${data.columns} patches, Enter pins it, Escape unpins it` +
      (data.before.length ? `, Home chooses the ${data.before[0]}.` : ".")
  }

  colour = head => this.data.colours[head % this.data.colours.length]
  dash = head => DASHES[Math.floor(head / this.data.colours.length) % DASHES.length]

  // Playing

  start() {
    this.playing = true
    this.pinned = false
    this.step = this.data.path.indexOf(this.query)
    this.play.textContent = "Pause"
    this.next()
  }

  next() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      if (this.visible && !document.hidden) {
        this.step = (this.step + 1) % this.data.path.length
        this.show({ query: this.data.path[this.step] }, GROW_MS)
      }
      this.next()
    }, HOLD_MS)
    this.mark()
  }

  stop() {
    clearTimeout(this.timer)
    this.playing = false
    this.play.textContent = "Play"
    this.mark()
  }

  touch() {
    if (this.playing) this.stop()
  }

  // Choosing a token, by its place in the network: first those before the patches, then the patches row by row

  get prefix() {
    return this.data.before.length
  }

  choose(query, pin) {
    this.touch()
    if (pin) this.pinned = !(this.pinned && query === this.query)
    else if (this.pinned) return
    this.show({ query }, 0)
  }

  under(event) {
    const { rows, columns } = this.data
    const box = this.canvas.getBoundingClientRect()
    const top = box.top + (this.prefix ? BAND : 0)
    const currentTarget = { getBoundingClientRect: () => ({ left: box.left, top, width: box.width, height: box.bottom - top }) }
    return event.clientY < top ? null : this.prefix + patchUnder({ clientX: event.clientX, clientY: event.clientY, currentTarget }, rows, columns)
  }

  hover(event) {
    const query = this.under(event)
    if (query !== null && (this.playing || query !== this.query)) this.choose(query, false)
  }

  click(event) {
    const query = this.under(event)
    if (query !== null) this.choose(query, true)
  }

  key(event) {
    const { rows, columns } = this.data
    this.touch()
    if (event.key in ARROWS) {
      const patch = this.query < this.prefix ? this.middle() : neighbour(this.query - this.prefix, ARROWS[event.key], rows, columns)
      this.show({ query: this.prefix + patch }, 0)
    } else if (event.key === "Home" && this.prefix) this.show({ query: 0 }, 0)
    else if (event.key === "Enter" || event.key === " ") this.choose(this.query, true)
    else if (event.key === "Escape") {
      this.pinned = false
      this.show({}, 0)
    } else return
    event.preventDefault()
  }

  // From a token before the patches, an arrow key goes to the middle of the image.
  middle = () => Math.floor(this.data.rows / 2) * this.data.columns + Math.floor(this.data.columns / 2)

  nameOf(token) {
    if (token < this.prefix) return this.data.before[token]
    const patch = token - this.prefix
    return `row\u00a0${Math.floor(patch / this.data.columns) + 1}, column\u00a0${(patch % this.data.columns) + 1}`
  }

  // What is drawn and said

  show(change, grow) {
    const from = this.query
    Object.assign(this, change)
    this.old = this.lines
    this.oldQuery = from ?? this.query
    this.rows = this.chips.map((_, head) => this.rowOf(head))
    this.lines = this.rows.flatMap(({ lines }) => lines).filter(({ head }) => this.shown.has(head))
    this.top = Math.max(...this.rows.flatMap(({ lines }) => lines.map(({ weight }) => weight)), FULL_WEIGHT)
    this.grow = this.still.matches ? 0 : grow
    this.begun = performance.now()
    this.say()
    this.mark()
    this.draw()
  }

  rowOf(head) {
    const { data, prefix, query } = this
    const weights = weightsOf(this, data, this.layer, head, query)
    const kept = strongest(weights, SHARE, LINES_MAX)
    let [patches, inside] = [0, 0]
    for (let patch = 0; patch < data.cover.length; patch++) {
      patches += weights[prefix + patch]
      inside += weights[prefix + patch] * data.cover[patch]
    }
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return {
      inside: patches ? inside / patches : 0,
      most: kept[0],
      peak: weights[kept[0]] / sum,
      carried: kept.reduce((total, key) => total + weights[key], 0) / sum,
      lines: kept.filter(key => key !== query).map(key => ({ head, key, weight: weights[key] })),
    }
  }

  say() {
    const { data, rows, query, layer } = this
    const patch = query >= this.prefix
    this.title.textContent = patch ? `What the patch in ${this.nameOf(query)} attends to` : `What the ${this.nameOf(query)} attends to`
    this.answer.textContent = data.answer
    this.layerName.textContent = `Layer ${layer + 1} of ${data.depth}`
    this.slider.value = layer + 1
    this.chips.forEach(({ chip, inside, most, mark }, head) => {
      const { peak, most: key } = rows[head]
      inside.textContent = `${percent(rows[head].inside)} on the ${data.object}`
      most.textContent = `most to ${key === query ? "itself" : this.nameOf(key)} (${percent(peak)})`
      mark.style.setProperty("--dash", this.dash(head).length ? "dashed" : "solid")
      chip.ariaPressed = String(this.shown.has(head))
    })
    ;[...this.before.children].forEach((button, token) => (button.ariaPressed = String(token === query)))
    const drawn = rows.filter((_, head) => this.shown.has(head))
    const carried = drawn.reduce((sum, row) => sum + row.carried, 0) / (drawn.length || 1)
    this.note.textContent = drawn.length
      ? `Lines lead to what holds ${percent(SHARE)} of a head's attention, at most ${LINES_MAX} per head. These carry ${percent(carried)}; thicker means more. The ${data.object} covers ${percent(data.covered)} of the image.`
      : "No head is chosen."
    clearTimeout(this.speaking)
    if (this.playing || !this.spokenOnce) return void (this.spokenOnce = true)
    this.speaking = setTimeout(() => {
      const said = rows.map((row, head) => this.shown.has(head) && `Head ${head + 1}: ${this.chips[head].inside.textContent}, ${this.chips[head].most.textContent}.`)
      this.spoken.textContent = `${this.title.textContent}, layer ${layer + 1}. ${said.filter(Boolean).join(" ")}`
    }, SPEAK_MS)
  }

  // For the tests.
  mark() {
    const { query, layer, lines, playing, pinned } = this
    Object.assign(this.root.dataset, { query, layer, playing: Boolean(playing), pinned: Boolean(pinned), lines: lines.length })
    Object.assign(this.root, { lines, cover: this.data.cover })
  }

  // Drawing

  draw() {
    if (this.frame || !this.data) return
    this.frame = requestAnimationFrame(now => {
      this.frame = null
      this.paint(now)
      if (now - this.begun < Math.max(this.grow, FADE_MS) && !this.still.matches) this.draw()
    })
  }

  placeOf(token, side) {
    const { rows, columns } = this.data
    const band = this.prefix ? BAND : 0
    if (token < this.prefix) return [(side * (token + 1)) / (this.prefix + 1), band - 8]
    const patch = token - this.prefix
    const height = (side * rows) / columns
    return [((patch % columns) + 0.5) * (side / columns), band + (Math.floor(patch / columns) + 0.5) * (height / rows)]
  }

  paint(now) {
    const { canvas, data, image } = this
    const side = canvas.clientWidth
    if (!side || !image?.complete) return
    const ratio = devicePixelRatio
    const band = this.prefix ? BAND : 0
    const height = (side * data.rows) / data.columns
    const size = [Math.round(side * ratio), Math.round((height + band) * ratio)]
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size
    const context = canvas.getContext("2d")
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, side, height + band)
    context.save()
    context.beginPath()
    context.roundRect(0, band, side, height, 8)
    context.clip()
    context.drawImage(image, 0, band, side, height)
    context.fillStyle = "rgba(0,0,0,0.5)" // lines of any colour stand out on a darker image
    context.fillRect(0, band, side, height)
    const since = now - this.begun
    const fade = this.still.matches ? 1 : Math.min(1, since / FADE_MS)
    this.lighten(context, side, band, this.grow ? ease(since / this.grow) : fade)
    context.restore()
    if (fade < 1 && this.old) this.strokes(context, side, this.old, this.oldQuery, 1, (1 - fade) * 0.8)
    this.strokes(context, side, this.lines, this.query, this.grow ? ease(since / this.grow) : 1, this.grow ? 1 : fade)
    this.outlineQuery(context, side, band, ease(this.grow ? (2 * since) / this.grow : 1))
  }

  // Patches that are attended to have their own brightness again.
  lighten(context, side, band, opacity) {
    const { rows, columns } = this.data
    const { naturalWidth, naturalHeight } = this.image
    const bright = new Map()
    for (const { key, weight } of this.lines) {
      if (key >= this.prefix) bright.set(key, Math.max(bright.get(key) ?? 0, this.strength(weight)))
    }
    for (const [key, strength] of bright) {
      const [row, column] = [Math.floor((key - this.prefix) / columns), (key - this.prefix) % columns]
      const part = [column * (naturalWidth / columns), row * (naturalHeight / rows), naturalWidth / columns, naturalHeight / rows]
      const [width, height] = [side / columns, (side * rows) / columns / rows]
      context.globalAlpha = opacity * (0.2 + 0.8 * strength)
      context.drawImage(this.image, ...part, column * width, band + row * height, width, height)
    }
    context.globalAlpha = 1
  }

  strength = weight => Math.min(1, weight / this.top) ** 0.7

  strokes(context, side, lines, query, length, opacity) {
    const from = this.placeOf(query, side)
    const scale = Math.max(0.75, side / 480)
    context.lineCap = "round"
    for (const { head, key, weight } of lines) {
      const strength = this.strength(weight)
      const to = this.placeOf(key, side)
      const [x, y] = [to[0] - from[0], to[1] - from[1]]
      const bend = 0.16 + 0.1 * (head - (this.data.heads - 1) / 2) // the lines of two heads to one patch lie side by side
      const control = [from[0] + x / 2 - y * bend, from[1] + y / 2 + x * bend]
      const middle = between(from, control, length)
      const end = between(middle, between(control, to, length), length)
      const path = new Path2D()
      path.moveTo(...from)
      path.quadraticCurveTo(...middle, ...end)
      const dot = new Path2D()
      dot.arc(...end, scale * (1.3 + 3.7 * strength), 0, 2 * Math.PI)
      context.setLineDash(this.dash(head))
      // A white edge separates dark colours from the image.
      for (const [colour, edge, alpha] of [["#fff", 0.6 + strength, 0.5], [this.colour(head), 0, 1]]) {
        context.globalAlpha = opacity * alpha * (0.25 + 0.75 * strength)
        context.strokeStyle = context.fillStyle = colour
        context.lineWidth = scale * (0.7 + 4.8 * strength + edge)
        context.stroke(path)
        context.lineWidth = scale * edge
        if (edge) context.stroke(dot)
        else context.fill(dot)
      }
    }
    context.globalAlpha = 1
    context.setLineDash([])
  }

  // The chosen patch; while it plays, the outline glides there from the last one.
  outlineQuery(context, side, band, part) {
    const { rows, columns } = this.data
    if (this.query < this.prefix) return // its button is marked
    const [from, to] = [this.oldQuery, this.query].map(token => this.placeOf(token, side))
    const [x, y] = between(from, to, this.oldQuery < this.prefix ? 1 : part)
    const [width, height] = [side / columns, (side * rows) / columns / rows]
    outline(context, [x - width / 2, y - height / 2, width, height], this.pinned ? 3.5 : 2, this.pinned ? 6.5 : 4)
  }

  remove() {
    clearTimeout(this.timer)
    clearTimeout(this.speaking)
    cancelAnimationFrame(this.frame)
    this.watcher.disconnect()
    super.remove()
  }
}

export default mount(AttentionLines)
