// The attention of one image: a patch picker, one head enlarged, and a tile for every head of every layer.
// Everything is drawn here, from the maps of all tokens, so that a click does not wait for the server.

const instances = new WeakMap()

export default function (component) {
  const { parentElement } = component
  if (!instances.has(parentElement)) instances.set(parentElement, new AttentionGrid(parentElement))
  instances.get(parentElement).update(component)
  return () => instances.get(parentElement)?.remove()
}

function make(tag, className, text = "", attributes = {}) {
  const element = document.createElement(tag)
  element.className = className
  element.textContent = text // text from elsewhere is never read as HTML
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

const number = value => (value >= 0.1 ? value.toFixed(2) : value >= 0.001 ? value.toFixed(4) : value.toExponential(1))
const percent = share => (share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.0095 ? 1 : 0)}%`)

class AttentionGrid {
  constructor(parent) {
    this.root = make("div", "attention")
    const side = make("div", "side")
    this.picker = this.panel(side, "Pick a patch", "picker")
    this.large = this.panel(side, "", "large")
    const main = make("div", "main")
    const head = make("div", "head")
    this.legend = { low: make("span", "", "attention 0"), bar: make("span", "bar"), high: make("span", "") }
    const legend = make("div", "legend")
    legend.append(this.legend.low, this.legend.bar, this.legend.high)
    head.append(make("h4", "", "Every head of every layer"), legend)
    this.tiles = make("div", "tiles")
    main.append(head, this.tiles)
    this.tip = make("div", "tip")
    this.tip.hidden = true
    this.root.append(side, main, this.tip)
    parent.append(this.root)

    this.summary = make("button", "summary", "", { type: "button" })
    this.summary.onclick = () => this.pick({ token: 0 })
    this.picker.canvas.after(this.summary)
    this.picker.canvas.tabIndex = 0
    this.picker.canvas.onkeydown = event => this.key(event)
    for (const view of [this.picker, this.large]) view.canvas.onclick = event => this.pick({ token: this.patchAt(event) + 1 })
    this.picker.canvas.onpointermove = event => this.hover(this.patchAt(event))
    this.picker.canvas.onpointerleave = () => this.hover(-1)
    this.large.canvas.onpointermove = event => this.showTip(event, this.layer, this.head)
    this.large.canvas.onpointerleave = () => (this.tip.hidden = true)
    this.tiles.onpointerleave = () => (this.tip.hidden = true)
    this.stamp = document.createElement("canvas") // one pixel a patch
    this.hovered = -1
    this.seq = -1
    this.drawn = 0
    this.resized = new ResizeObserver(() => this.draw())
    this.resized.observe(this.root)
  }

  panel(parent, title, name) {
    const panel = make("figure", name)
    const view = { title: make("figcaption", "", title), canvas: document.createElement("canvas") }
    panel.append(view.title, view.canvas)
    parent.append(panel)
    return view
  }

  // What Python says. A message older than our last event would undo it, so then only the rest counts.
  update({ data, setTriggerValue }) {
    this.send = setTriggerValue
    if (data.maps) {
      this.maps = data.maps.getChildAt(0).toArray()
      this.version = data.version
      this.image = new Image()
      this.image.onload = () => this.draw()
      this.image.src = data.image
    } else if (this.version !== data.version) {
      this.send("pick", { version: null, seq: this.seq }) // drawn anew, with nothing at hand: ask for the maps
      return
    }
    this.data = data
    if (data.seq >= this.seq) {
      this.seq = data.seq
      Object.assign(this, { token: data.token, layer: data.layer, head: data.head })
    }
    this.build()
    this.draw()
  }

  pick(choice) {
    Object.assign(this, choice)
    this.seq += 1
    if (this.data.every) this.draw()
    const { token, layer, head, version, seq } = this
    this.send("pick", { token, layer, head, version, seq })
  }

  key(event) {
    const { rows, columns } = this.data
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
    if (event.key === "Escape" || event.key === "Home") this.pick({ token: 0 })
    else if (event.key in steps) {
      const [down, right] = this.token ? steps[event.key] : [0, 0] // from the summary token to the first patch
      const here = Math.max(0, this.token - 1)
      const row = Math.min(rows - 1, Math.max(0, Math.floor(here / columns) + down))
      const column = Math.min(columns - 1, Math.max(0, (here % columns) + right))
      this.pick({ token: row * columns + column + 1 })
    } else return
    event.preventDefault()
  }

  patchAt(event) {
    const box = event.currentTarget.getBoundingClientRect()
    const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)))
    const row = place(event.clientY - box.top, box.height, this.data.rows)
    return row * this.data.columns + place(event.clientX - box.left, box.width, this.data.columns)
  }

  patchName = patch => `patch r${Math.floor(patch / this.data.columns) + 1} c${(patch % this.data.columns) + 1}`
  tokenName = token => (token ? this.patchName(token - 1) : this.data.summary)

  // The chosen token's attention in one head: what goes to the prefix, then to each patch.
  row(layer, head) {
    const { prefix, rows, columns, heads, depth, first } = this.data
    const length = prefix + rows * columns
    const start = (((this.token - first) * depth + layer - 1) * heads + head - 1) * length
    return { prefix: this.maps.subarray(start, start + prefix), patches: this.maps.subarray(start + prefix, start + length) }
  }

  build() {
    const { depth, heads } = this.data
    if (this.shape === `${depth}x${heads}`) return
    this.shape = `${depth}x${heads}`
    this.tiles.replaceChildren(make("span", ""))
    this.tiles.style.setProperty("--heads", heads)
    this.tiles.style.setProperty("--tile", `${depth > 6 || heads > 6 ? 104 : 156}px`)
    for (let head = 1; head <= heads; head++) this.tiles.append(make("span", "column", heads > 6 ? `H ${head}` : `Head ${head}`))
    this.cells = []
    for (let layer = 1; layer <= depth; layer++) {
      this.tiles.append(make("span", "line", heads > 6 ? `L ${layer}` : `Layer ${layer}`))
      for (let head = 1; head <= heads; head++) {
        const tile = make("button", "tile", "", { type: "button" })
        const cell = { layer, head, tile, canvas: document.createElement("canvas"), share: make("span", "share") }
        tile.append(cell.canvas, cell.share)
        tile.onclick = () => this.pick({ layer, head })
        cell.canvas.onpointermove = event => this.showTip(event, layer, head)
        this.tiles.append(tile)
        this.cells.push(cell)
      }
    }
  }

  draw() {
    const { data, token, layer, head } = this
    if (!data || !this.image?.complete || !this.root.clientWidth || token < data.first) return
    if (!data.every && token !== data.first) return // its maps are on their way
    const rows = this.cells.map(cell => this.row(cell.layer, cell.head))
    const shared = percentile(rows.map(row => row.patches), 0.99)
    this.stops = data.colours.map(colour => [1, 3, 5].map(start => parseInt(colour.slice(start, start + 2), 16)))
    const width = this.cells[0].canvas.clientWidth
    this.cells.forEach((cell, index) => {
      const high = data.perHead ? Math.max(...rows[index].patches) : shared
      this.paint(cell.canvas, width, rows[index].patches, high)
      const share = rows[index].prefix.reduce((sum, value) => sum + value, 0)
      cell.share.hidden = !data.prefix
      cell.share.textContent = width > 96 ? `cls ${percent(share)}` : percent(share)
      cell.tile.ariaPressed = String(cell.layer === layer && cell.head === head)
      cell.tile.ariaLabel = `Layer ${cell.layer}, head ${cell.head}: ${percent(share)} to the class token`
    })
    const chosen = rows[(layer - 1) * data.heads + head - 1].patches
    const high = data.perHead ? Math.max(...chosen) : shared
    this.paint(this.large.canvas, this.large.canvas.clientWidth, chosen, high)
    this.paintPicker()
    this.picker.title.textContent = token ? `From ${this.tokenName(token)}` : "Pick a patch"
    this.large.title.textContent = `Layer ${layer}, head ${head}`
    this.large.canvas.ariaLabel = `${this.large.title.textContent}, from the ${this.tokenName(token)}`
    this.picker.canvas.ariaLabel = `The image. Chosen: ${this.tokenName(token)}. Arrow keys choose a patch, Escape the summary token.`
    this.summary.textContent = token ? `Back to the summary token` : `Summary token (${data.summary})`
    this.summary.ariaPressed = String(!token)
    this.legend.bar.style.background = `linear-gradient(to right, ${data.colours.join(",")})`
    this.legend.high.textContent = data.perHead ? "each head's own maximum" : `≥ ${number(shared)}`
    Object.assign(this.root.dataset, { token, layer, head, version: this.version, drawn: ++this.drawn })
  }

  // The image, and over it each patch in the colour of its value; opacity follows the value.
  paint(canvas, width, values, high) {
    const context = this.blank(canvas, width)
    const { rows, columns, opacity } = this.data
    const pixels = new ImageData(columns, rows)
    values.forEach((value, patch) => {
      const scaled = Math.min(1, value / (high || 1))
      const place = scaled * (this.stops.length - 1)
      const [low, part] = [Math.min(this.stops.length - 2, Math.floor(place)), place - Math.min(this.stops.length - 2, Math.floor(place))]
      for (let channel = 0; channel < 3; channel++)
        pixels.data[4 * patch + channel] = this.stops[low][channel] * (1 - part) + this.stops[low + 1][channel] * part
      pixels.data[4 * patch + 3] = 255 * opacity * Math.sqrt(scaled)
    })
    Object.assign(this.stamp, { width: columns, height: rows })
    this.stamp.getContext("2d").putImageData(pixels, 0, 0)
    context.imageSmoothingEnabled = false
    context.drawImage(this.stamp, 0, 0, canvas.width, canvas.height)
    if (this.token) this.outline(canvas, context, this.token - 1, Math.max(1, canvas.width / 130))
  }

  paintPicker() {
    const { canvas } = this.picker
    const context = this.blank(canvas, canvas.clientWidth)
    const { rows, columns } = this.data
    context.fillStyle = "rgba(255,255,255,0.4)"
    for (let row = 1; row < rows; row++) context.fillRect(0, Math.round((row * canvas.height) / rows), canvas.width, 1)
    for (let column = 1; column < columns; column++) context.fillRect(Math.round((column * canvas.width) / columns), 0, 1, canvas.height)
    if (this.hovered >= 0) {
      const [x, y, w, h] = this.box(canvas, this.hovered)
      context.fillStyle = "rgba(255,255,255,0.45)"
      context.fillRect(x, y, w, h)
    }
    if (this.token) this.outline(canvas, context, this.token - 1, 3 * devicePixelRatio)
  }

  blank(canvas, width) {
    const side = Math.max(1, Math.round(width * devicePixelRatio))
    Object.assign(canvas, { width: side, height: side })
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = this.image.naturalWidth > 128 // small images in their own pixels
    context.drawImage(this.image, 0, 0, canvas.width, canvas.height)
    return context
  }

  box(canvas, patch) {
    const { rows, columns } = this.data
    const [w, h] = [canvas.width / columns, canvas.height / rows]
    return [(patch % columns) * w, Math.floor(patch / columns) * h, w, h]
  }

  outline(canvas, context, patch, width) {
    const [x, y, w, h] = this.box(canvas, patch)
    for (const [colour, line] of [["#000", 2 * width], ["#fff", width]]) {
      context.strokeStyle = colour
      context.lineWidth = line
      context.strokeRect(x, y, w, h)
    }
  }

  hover(patch) {
    this.hovered = patch
    if (this.data && this.image?.complete) this.paintPicker()
  }

  showTip(event, layer, head) {
    const patch = this.patchAt(event)
    const value = this.row(layer, head).patches[patch]
    const even = value * (this.data.prefix + this.data.rows * this.data.columns)
    const place = `Layer ${layer}, head ${head}`
    const way = `${this.tokenName(this.token)} → ${this.patchName(patch)}`
    this.tip.replaceChildren(make("b", "", number(value)), ` ${even.toFixed(1)} × even`, make("div", "", place), make("div", "", way))
    this.tip.hidden = false
    const frame = this.root.getBoundingClientRect()
    const left = event.clientX - frame.left + 14
    this.tip.style.left = `${Math.max(0, left + this.tip.offsetWidth > frame.width ? left - this.tip.offsetWidth - 28 : left)}px`
    this.tip.style.top = `${event.clientY - frame.top + 14}px`
  }

  remove() {
    this.resized.disconnect()
    this.root.remove()
  }
}

function percentile(arrays, share) {
  const all = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0))
  let offset = 0
  for (const array of arrays) {
    all.set(array, offset)
    offset += array.length
  }
  all.sort()
  return all[Math.min(all.length - 1, Math.floor(share * all.length))] || all[all.length - 1] || 1
}
