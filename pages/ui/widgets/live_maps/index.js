// The attention of one image while a network trains: the image, on which a patch can be chosen, and a tile for every
// head of every layer. New maps replace the old ones in place, so nothing moves.

const number = value => (value >= 0.1 ? value.toFixed(2) : value.toPrecision(2))

class LiveMaps extends Widget {
  constructor(parent) {
    super(parent, "live")
    this.images = make("div", "images", "", { role: "group", "aria-label": "Image whose attention is shown" })
    this.answer = make("p", "answer")
    this.canvas = make("canvas", "picker", "", { tabindex: "0", role: "application" })
    this.from = make("p", "from", "", { "aria-live": "polite" })
    this.back = make("button", "back", "", { type: "button" })
    this.scale = { bar: make("span", "bar"), high: make("span") }
    const legend = make("p", "legend", "attention 0 ")
    legend.append(this.scale.bar, this.scale.high)
    const side = make("div", "side")
    side.append(this.canvas, this.from, this.back, legend)
    this.tiles = make("div", "tiles")
    const main = make("div", "main")
    main.append(side, this.tiles)
    this.root.append(this.images, this.answer, main)
    this.stamp = document.createElement("canvas") // one pixel a patch
    this.token = 0 // 0: the summary token, k: the k-th patch
    this.over = 0
    this.canvas.onpointermove = event => this.hover(event)
    this.canvas.onpointerleave = () => this.look(0)
    this.canvas.onclick = event => this.pick(patchUnder(event, ...this.data.grid) + 1)
    this.canvas.onkeydown = event => this.key(event)
    this.back.onclick = () => this.pick(0)
    this.redrawOnResize()
  }

  update({ data, setTriggerValue }) {
    const before = this.data
    this.data = data
    this.levels = data.levels.getChildAt(0).toArray()
    this.tops = data.tops.getChildAt(0).toArray()
    this.stops = data.colours.map(rgb)
    if (data.queries <= this.token) this.token = 0
    if (before?.images.join() !== data.images.join()) {
      this.images.replaceChildren(...data.images.map((source, place) => {
        const button = make("button", "", "", { type: "button", "aria-label": `Image ${place + 1}: ${data.alts[place]}` })
        button.append(make("img", "", "", { src: source, alt: "" }))
        return button
      }))
    }
    ;[...this.images.children].forEach((button, place) => {
      button.ariaPressed = String(place === data.image)
      button.onclick = () => setTriggerValue("image", place)
    })
    this.build()
    const source = data.images[data.image]
    if (this.image?.src !== source) {
      this.image = new Image()
      this.image.onload = () => this.draw()
      this.image.src = source
    }
    this.draw()
  }

  build() {
    const { layers, heads } = this.data
    if (this.cells?.length === layers * heads && this.heads === heads) return
    this.heads = heads
    this.tiles.style.setProperty("--heads", heads)
    const short = heads > 4
    this.cells = []
    this.tiles.replaceChildren(make("span"))
    for (let head = 1; head <= heads; head++) this.tiles.append(make("span", "column", short ? `H ${head}` : `Head ${head}`))
    for (let layer = 1; layer <= layers; layer++) {
      this.tiles.append(make("span", "line", short ? `L ${layer}` : `Layer ${layer}`))
      for (let head = 1; head <= heads; head++) {
        const canvas = make("canvas", "", "", { role: "img", "aria-label": `Layer ${layer}, head ${head}` })
        this.tiles.append(canvas)
        this.cells.push(canvas)
      }
    }
  }

  get shown() {
    return this.over || this.token
  }

  hover(event) {
    if (event.pointerType === "mouse") this.look(patchUnder(event, ...this.data.grid) + 1)
  }

  look(token) {
    if (this.data.queries === 1 || token === this.over) return
    this.over = token
    this.draw()
  }

  pick(token) {
    if (this.data.queries === 1) return
    this.token = token === this.token ? 0 : token
    this.over = 0
    this.draw()
  }

  key(event) {
    if (event.key === "Escape") this.pick(0)
    else if (event.key in ARROWS) {
      const patch = this.token ? neighbour(this.token - 1, ARROWS[event.key], ...this.data.grid) : 0
      if (patch + 1 !== this.token) this.pick(patch + 1)
    } else return
    event.preventDefault()
  }

  // The attention of the shown token to the patches in one head.
  values(cell) {
    const { queries, prefix, grid } = this.data
    const keys = prefix + grid[0] * grid[1]
    const row = cell * queries + this.shown
    const top = this.tops[row] / 255
    return Array.from(this.levels.subarray(row * keys + prefix, (row + 1) * keys), level => level * top)
  }

  draw() {
    const { data } = this
    if (!data) return
    const [rows, columns] = data.grid
    const all = this.cells.map((_, cell) => this.values(cell))
    const top = percentile(all, 0.99)
    this.say(top)
    if (!this.image?.complete || !this.root.clientWidth) return
    this.cells.forEach((canvas, cell) => {
      const context = this.blank(canvas)
      const pixels = new ImageData(columns, rows)
      all[cell].forEach((value, patch) => {
        const scaled = Math.min(1, value / top)
        pixels.data.set([...colourAt(this.stops, scaled), 255 * 0.85 * Math.sqrt(scaled)], 4 * patch)
      })
      Object.assign(this.stamp, { width: columns, height: rows })
      this.stamp.getContext("2d").putImageData(pixels, 0, 0)
      context.imageSmoothingEnabled = false
      context.drawImage(this.stamp, 0, 0, canvas.width, canvas.height)
      if (this.shown) outline(context, boxOf(this.shown - 1, canvas, rows, columns), 1.5, 3)
    })
    const context = this.blank(this.canvas)
    gridLines(context, this.canvas.width, rows, columns, "rgba(255,255,255,0.4)")
    if (this.shown) outline(context, boxOf(this.shown - 1, this.canvas, rows, columns), 2 * devicePixelRatio, 4 * devicePixelRatio)
  }

  // The texts do not wait for the image.
  say(top) {
    const { data } = this
    const columns = data.grid[1]
    const name = this.shown ? `patch r${Math.ceil(this.shown / columns)} c${((this.shown - 1) % columns) + 1}` : data.summary
    this.from.textContent = `From the ${name}`
    this.back.textContent = `Back to the ${data.summary}`
    this.back.style.visibility = this.token ? "visible" : "hidden"
    const how = data.queries > 1 ? "Hover over a patch or press the arrow keys to see where it looks, Escape for the summary token." : ""
    this.canvas.ariaLabel = `The image. Shown: attention from the ${name}. ${how}`
    this.canvas.style.cursor = data.queries > 1 ? "crosshair" : "default"
    this.scale.bar.style.background = gradient(data.colours, false)
    this.scale.high.textContent = `≥ ${number(top)}`
    this.answer.textContent = data.answer
    Object.assign(this.root.dataset, { token: this.shown, image: data.image, top: top.toPrecision(6) })
  }

  blank(canvas) {
    const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio))
    if (canvas.width !== side) Object.assign(canvas, { width: side, height: side })
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = this.image.naturalWidth > 128 // small images in their own pixels
    context.drawImage(this.image, 0, 0, side, side)
    return context
  }
}

export default mount(LiveMaps)
