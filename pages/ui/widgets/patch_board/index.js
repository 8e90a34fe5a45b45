// A picture whose patches are covered by a click, or by drawing over several; a second click uncovers.
// The page sends the picture as the model sees it. Until it comes, what was just covered is painted grey here.

const instances = new WeakMap()

export default function (component) {
  const { parentElement } = component
  if (!instances.has(parentElement)) instances.set(parentElement, new PatchBoard(parentElement))
  instances.get(parentElement).update(component)
  return () => instances.get(parentElement)?.remove()
}

const GREY = "rgb(128 128 128)"

class PatchBoard {
  constructor(parent) {
    this.root = document.createElement("div")
    this.root.className = "patches"
    this.canvas = document.createElement("canvas")
    Object.assign(this.canvas, { tabIndex: 0, role: "application" })
    this.words = document.createElement("span")
    this.words.className = "words"
    this.words.setAttribute("aria-live", "polite")
    this.root.append(this.canvas, this.words)
    parent.append(this.root)
    this.covered = new Set()
    this.seq = -1
    this.hovered = -1
    this.at = 0 // where the keyboard is
    this.canvas.onpointerdown = event => this.begin(event)
    this.canvas.onpointermove = event => this.move(event)
    this.canvas.onpointerup = () => this.end()
    this.canvas.onpointercancel = () => this.end()
    this.canvas.onpointerleave = () => this.hover(-1)
    this.canvas.onkeydown = event => this.key(event)
    this.canvas.onfocus = this.canvas.onblur = () => this.draw()
    this.resized = new ResizeObserver(() => this.draw())
    this.resized.observe(this.root)
  }

  // A message older than our last event would undo it, so then only the rest counts.
  update({ data, setTriggerValue }) {
    this.send = setTriggerValue
    this.data = data
    if (data.seq < this.seq) return
    this.seq = data.seq
    this.covered = new Set(data.covered)
    if (this.source === data.image) return this.draw()
    this.source = data.image
    const image = new Image()
    image.onload = () => {
      if (this.source !== data.image) return
      Object.assign(this, { image, shown: new Set(data.covered) })
      this.draw()
    }
    image.src = data.image
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId)
    const patch = this.patchAt(event)
    this.at = patch - 1
    this.covering = !this.covered.has(patch)
    this.paint(patch)
    event.preventDefault()
    this.canvas.focus({ focusVisible: false })
  }

  move(event) {
    const patch = this.patchAt(event)
    if (this.covering !== undefined) this.paint(patch)
    this.hover(patch)
  }

  end() {
    if (this.covering === undefined) return
    this.covering = undefined
    this.tell()
  }

  paint(patch) {
    if (this.covering) this.covered.add(patch)
    else this.covered.delete(patch)
    this.draw()
  }

  tell() {
    this.seq += 1
    this.send("cover", { covered: [...this.covered].sort((a, b) => a - b), seq: this.seq })
  }

  key(event) {
    const { rows, columns } = this.data
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
    if (event.key === " " || event.key === "Enter") {
      const patch = this.at + 1
      this.covering = !this.covered.has(patch)
      this.paint(patch)
      this.end()
    } else if (event.key in steps) {
      const [down, right] = steps[event.key]
      const row = Math.min(rows - 1, Math.max(0, Math.floor(this.at / columns) + down))
      const column = Math.min(columns - 1, Math.max(0, (this.at % columns) + right))
      this.at = row * columns + column
      this.draw()
    } else return
    event.preventDefault()
  }

  // From 1, row by row.
  patchAt(event) {
    const { rows, columns } = this.data
    const box = this.canvas.getBoundingClientRect()
    const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)))
    return place(event.clientY - box.top, box.height, rows) * columns + place(event.clientX - box.left, box.width, columns) + 1
  }

  hover(patch) {
    this.hovered = patch
    this.draw()
  }

  box(patch) {
    const { rows, columns } = this.data
    const [w, h] = [this.canvas.width / columns, this.canvas.height / rows]
    return [((patch - 1) % columns) * w, Math.floor((patch - 1) / columns) * h, w, h]
  }

  name = patch => `row ${Math.floor((patch - 1) / this.data.columns) + 1}, column ${((patch - 1) % this.data.columns) + 1}`

  draw() {
    const { data, image, canvas } = this
    if (!data || !image || !canvas.clientWidth) return
    const { rows, columns } = data
    const side = Math.round(canvas.clientWidth * devicePixelRatio)
    if (canvas.width !== side || canvas.height !== side) Object.assign(canvas, { width: side, height: side })
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = image.naturalWidth > 128 // small images in their own pixels
    context.drawImage(image, 0, 0, side, side)
    context.fillStyle = "rgba(255,255,255,0.35)"
    for (let row = 1; row < rows; row++) context.fillRect(0, Math.round((row * side) / rows), side, 1)
    for (let column = 1; column < columns; column++) context.fillRect(Math.round((column * side) / columns), 0, 1, side)
    for (const patch of this.covered) {
      const [x, y, w, h] = this.box(patch)
      if (!this.shown.has(patch)) {
        context.fillStyle = GREY
        context.fillRect(x, y, w, h)
      }
      this.cross(context, x, y, w, h)
    }
    if (this.hovered > 0) {
      context.fillStyle = "rgba(255,255,255,0.35)"
      context.fillRect(...this.box(this.hovered))
    }
    if (this.root.querySelector("canvas:focus-visible")) this.outline(context, this.at + 1)
    canvas.ariaLabel = `The image, ${this.covered.size} of ${rows * columns} patches covered. Arrow keys move, Space covers or uncovers.`
    const here = this.hovered > 0 ? this.hovered : this.root.querySelector("canvas:focus-visible") ? this.at + 1 : 0
    this.words.textContent = here
      ? `Patch ${here}, ${this.name(here)}${this.covered.has(here) ? ": covered" : ""}`
      : this.covered.size
        ? `${this.covered.size} of ${rows * columns} patches covered`
        : "No patch is covered"
    this.root.dataset.covered = this.covered.size
    this.root.dataset.seen = this.shown.size
  }

  // Covered places are marked, for a covered patch may look like a plain one.
  cross(context, x, y, w, h) {
    const inset = 0.34
    for (const [colour, width] of [["#000", 3], ["#fff", 1.4]]) {
      context.strokeStyle = colour
      context.lineWidth = width * devicePixelRatio
      context.beginPath()
      context.moveTo(x + inset * w, y + inset * h)
      context.lineTo(x + (1 - inset) * w, y + (1 - inset) * h)
      context.moveTo(x + (1 - inset) * w, y + inset * h)
      context.lineTo(x + inset * w, y + (1 - inset) * h)
      context.stroke()
    }
  }

  outline(context, patch) {
    const [x, y, w, h] = this.box(patch)
    for (const [colour, width] of [["#000", 5], ["#fff", 2.5]]) {
      context.strokeStyle = colour
      context.lineWidth = width * devicePixelRatio
      context.strokeRect(x, y, w, h)
    }
  }

  remove() {
    this.resized.disconnect()
    this.root.remove()
  }
}
