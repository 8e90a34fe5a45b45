// An image that a slider cuts into patches, and one patch enlarged with the numbers it is made of.
// Nothing of this waits for the server: it sends the picture, and is told which patch was chosen.

const instances = new WeakMap()

export default function (component) {
  const { parentElement } = component
  if (!instances.has(parentElement)) instances.set(parentElement, new PatchCutter(parentElement))
  instances.get(parentElement).update(component)
  return () => instances.get(parentElement)?.remove()
}

const LEGIBLE = 27 // pixels of a cell that three numbers have room in
const CUT = 0.35 // of a patch's side, the gap where the image is wholly cut apart

function make(tag, className, attributes = {}, text = "") {
  const element = document.createElement(tag)
  element.className = className
  element.textContent = text
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

class PatchCutter {
  constructor(parent) {
    this.root = make("div", "cutter")
    const left = make("figure", "whole")
    this.board = make("canvas", "board", { tabindex: "0", role: "application" })
    this.slider = make("input", "", { type: "range", min: 0, max: 100, value: 25, "aria-label": "Cut the image apart" })
    const row = make("label", "row")
    row.append(make("span", "", {}, "Whole"), this.slider, make("span", "", {}, "Cut apart"))
    left.append(make("figcaption", "", {}, "The image"), this.board, row)
    const right = make("figure", "one")
    this.title = make("figcaption", "")
    this.patch = make("canvas", "patch", { role: "img" })
    this.words = make("p", "words", { "aria-live": "polite" })
    right.append(this.title, this.patch, this.words)
    this.root.append(left, right)
    parent.append(this.root)
    this.hovered = 0
    this.seq = -1
    this.slider.oninput = () => this.draw()
    this.board.onpointermove = event => this.hover(this.patchAt(event))
    this.board.onpointerleave = () => this.hover(0)
    this.board.onclick = event => this.pick(this.patchAt(event))
    this.board.onkeydown = event => this.key(event)
    this.resized = new ResizeObserver(() => this.draw())
    this.resized.observe(this.root)
  }

  // A message older than our last event would undo it.
  update({ data, setTriggerValue }) {
    this.send = setTriggerValue
    this.data = data
    if (data.seq >= this.seq) Object.assign(this, { seq: data.seq, chosen: data.patch })
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
    this.seq += 1
    this.draw()
    this.send("pick", { patch, seq: this.seq })
  }

  hover(patch) {
    this.hovered = patch
    this.draw()
  }

  key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
    if (!(event.key in steps)) return
    const { rows, columns } = this.data
    const [down, right] = steps[event.key]
    const row = Math.min(rows - 1, Math.max(0, Math.floor((this.chosen - 1) / columns) + down))
    const column = Math.min(columns - 1, Math.max(0, ((this.chosen - 1) % columns) + right))
    this.pick(row * columns + column + 1)
    event.preventDefault()
  }

  // From 1, row by row.
  patchAt(event) {
    const { rows, columns } = this.data
    const box = this.board.getBoundingClientRect()
    const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)))
    return place(event.clientY - box.top, box.height, rows) * columns + place(event.clientX - box.left, box.width, columns) + 1
  }

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
      for (const [colour, line] of [["#000", 2 * width], ["#fff", width]]) {
        Object.assign(context, { strokeStyle: colour, lineWidth: line * devicePixelRatio })
        const inset = width * devicePixelRatio
        const [x, y] = place(patch)
        context.strokeRect(x + inset, y + inset, cell - 2 * inset, cell - 2 * inset)
      }
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
    this.words.textContent = `${across} × ${down} pixels × 3 colours = ${count} numbers. In each pixel from above: how much red, green and blue, from 0 to 255.`
  }

  name = patch => `Patch ${patch}, row ${Math.floor((patch - 1) / this.data.columns) + 1}, column ${((patch - 1) % this.data.columns) + 1}`

  remove() {
    this.resized.disconnect()
    this.root.remove()
  }
}
