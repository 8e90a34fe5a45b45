// An image that a slider cuts into patches, and one patch enlarged with its numbers.
// Everything is drawn here: the server sends the image, and receives the chosen patch.

const LEGIBLE = 27 // pixels that a cell needs for three numbers
const CUT = 0.35 // the largest gap, as a share of a patch's side

class PatchCutter extends CountingWidget {
  constructor(parent) {
    super(parent, "cutter")
    const left = make("figure", "whole")
    this.board = make("canvas", "board", "", { tabindex: "0", role: "application" })
    this.slider = make("input", "", "", { type: "range", min: 0, max: 100, value: 25, "aria-label": "Cut the image apart" })
    const row = make("label", "row")
    row.append(make("span", "", "Whole"), this.slider, make("span", "", "Cut apart"))
    left.append(make("figcaption", "", "The image"), this.board, row)
    const right = make("figure", "one")
    this.title = make("figcaption", "")
    this.patch = make("canvas", "patch", "", { role: "img" })
    this.words = make("p", "words", "", { "aria-live": "polite" })
    right.append(this.title, this.patch, this.words)
    this.root.append(left, right)
    this.hovered = 0
    this.slider.oninput = () => this.draw()
    this.board.onpointermove = event => this.hover(this.patchAt(event))
    this.board.onpointerleave = () => this.hover(0)
    this.board.onclick = event => this.pick(this.patchAt(event))
    this.board.onkeydown = event => this.key(event)
    this.redrawOnResize()
  }

  update(component) {
    if (this.receive(component)) this.chosen = component.data.patch
    const { data } = this
    if (this.source === data.image) return this.draw()
    this.source = data.image
    const image = new Image()
    image.onload = () => {
      if (this.source !== data.image) return
      const copy = document.createElement("canvas")
      Object.assign(copy, { width: image.naturalWidth, height: image.naturalHeight })
      const context = copy.getContext("2d", { willReadFrequently: true })
      context.drawImage(image, 0, 0)
      Object.assign(this, { image: copy, pixels: context.getImageData(0, 0, copy.width, copy.height).data })
      this.draw()
    }
    image.src = data.image
  }

  pick(patch) {
    this.chosen = patch
    this.draw()
    this.tell("pick", { patch })
  }

  hover(patch) {
    this.hovered = patch
    this.draw()
  }

  key(event) {
    if (!(event.key in ARROWS)) return
    const { rows, columns } = this.data
    this.pick(neighbour(this.chosen - 1, ARROWS[event.key], rows, columns) + 1)
    event.preventDefault()
  }

  // From 1, row by row.
  patchAt = event => patchUnder(event, this.data.rows, this.data.columns) + 1

  // Side of a patch on the board, and from one to the next, in the canvas's pixels.
  measure(side) {
    const gap = (this.slider.value / 100) * CUT
    const cell = side / (this.data.columns + (this.data.columns - 1) * gap)
    return { cell, step: cell * (1 + gap) }
  }

  draw() {
    const { data, image } = this
    if (!data || !image || !this.root.clientWidth) return
    this.drawBoard()
    this.drawPatch(this.hovered || this.chosen)
    this.root.dataset.patch = this.chosen
    this.root.dataset.cut = this.slider.value
  }

  drawBoard() {
    const { data, image, board } = this
    const side = Math.round(board.clientWidth * devicePixelRatio)
    Object.assign(board, { width: side, height: side })
    const context = board.getContext("2d")
    context.imageSmoothingEnabled = false
    const { cell, step } = this.measure(side)
    const [w, h] = [image.width / data.columns, image.height / data.rows]
    const place = patch => [((patch - 1) % data.columns) * step, Math.floor((patch - 1) / data.columns) * step]
    for (let patch = 1; patch <= data.rows * data.columns; patch++) {
      const [x, y] = place(patch)
      context.drawImage(image, ((patch - 1) % data.columns) * w, Math.floor((patch - 1) / data.columns) * h, w, h, x, y, cell, cell)
    }
    for (const [patch, width] of [[this.hovered, 1.5], [this.chosen, 2.5]]) {
      if (!patch) continue
      const line = width * devicePixelRatio
      const [x, y] = place(patch)
      outline(context, [x + line, y + line, cell - 2 * line, cell - 2 * line], line, 2 * line)
    }
    board.ariaLabel = `The image in ${data.rows * data.columns} patches. Chosen: ${this.name(this.chosen)}. Arrow keys choose another.`
  }

  drawPatch(patch) {
    const { data, image, pixels } = this
    const side = Math.round(this.patch.clientWidth * devicePixelRatio)
    Object.assign(this.patch, { width: side, height: side })
    const context = this.patch.getContext("2d")
    const across = Math.round(image.width / data.columns)
    const down = Math.round(image.height / data.rows)
    const cell = side / across
    const [left, top] = [((patch - 1) % data.columns) * across, Math.floor((patch - 1) / data.columns) * down]
    const legible = cell / devicePixelRatio >= LEGIBLE
    context.textAlign = "center"
    context.textBaseline = "middle"
    context.font = `${Math.min(12 * devicePixelRatio, cell / 3.4)}px ${getComputedStyle(this.root).fontFamily}`
    for (let y = 0; y < down; y++)
      for (let x = 0; x < across; x++) {
        const start = 4 * ((top + y) * image.width + left + x)
        const colour = [...pixels.subarray(start, start + 3)]
        context.fillStyle = `rgb(${colour})`
        context.fillRect(x * cell, y * cell, Math.ceil(cell), Math.ceil(cell))
        if (!legible) continue
        const [red, green, blue] = colour.map(value => (value / 255) ** 2.2)
        context.fillStyle = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff" // luminance, WCAG's
        colour.forEach((value, channel) => context.fillText(value, (x + 0.5) * cell, (y + 0.2 + 0.3 * channel) * cell))
      }
    const count = across * down * 3
    this.title.textContent = `${this.name(patch)}, enlarged`
    this.patch.ariaLabel = `${this.name(patch)}: ${across} by ${down} pixels of three numbers each`
    this.words.textContent = `${across} × ${down} pixels × 3 colours = ${count} numbers. In each pixel, from top to bottom: red, green and blue, from 0 to 255.`
  }

  name = patch => `Patch ${patch}, row ${Math.floor((patch - 1) / this.data.columns) + 1}, column ${((patch - 1) % this.data.columns) + 1}`
}

export default mount(PatchCutter)
