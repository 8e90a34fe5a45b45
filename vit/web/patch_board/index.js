// An image whose patches are covered by a click, or by dragging over several; a second click uncovers a patch.
// Until the image with the covered patches is there, newly covered ones are painted grey.

import { ARROWS, Widget, boxOf, gridLines, make, neighbour, outline, patchUnder } from "shared"

const GREY = "rgb(128 128 128)"

export class PatchBoard extends Widget {
  constructor(parent) {
    super(parent, "patches")
    this.canvas = make("canvas", "", "", { tabindex: "0", role: "application" })
    this.words = make("span", "words", "", { "aria-live": "polite" })
    this.root.append(this.canvas, this.words)
    this.covered = new Set()
    this.hovered = -1
    this.at = 0 // where the keyboard is
    this.canvas.onpointerdown = event => this.begin(event)
    this.canvas.onpointermove = event => this.move(event)
    this.canvas.onpointerup = () => this.end()
    this.canvas.onpointercancel = () => this.end()
    this.canvas.onpointerleave = () => this.hover(-1)
    this.canvas.onkeydown = event => this.key(event)
    this.canvas.onfocus = this.canvas.onblur = () => this.draw()
    this.redrawOnResize()
  }

  update(data) {
    this.data = data
    this.covered = new Set(data.covered)
    this.draw()
  }

  // Show the image as the network receives it, on which these patches are covered already.
  show(image, covered) {
    Object.assign(this, { image, shown: new Set(covered) })
    this.draw()
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
    if (this.covering !== undefined) this.stroke(patch - 1)
    this.hover(patch)
  }

  end() {
    if (this.covering === undefined) return
    this.covering = undefined
    this.report("cover")
  }

  // Cover or uncover every patch between the last one and this one: of a fast stroke, only some places are reported.
  stroke(to) {
    const { columns } = this.data
    const [row, column] = [Math.floor(this.at / columns), this.at % columns]
    const [down, right] = [Math.floor(to / columns) - row, (to % columns) - column]
    const steps = Math.max(Math.abs(down), Math.abs(right))
    if (!steps) return
    const patches = Array.from({ length: steps }, (_, step) => {
      const share = (step + 1) / steps
      return Math.round(row + share * down) * columns + Math.round(column + share * right) + 1
    })
    this.at = to
    this.paint(...patches)
  }

  paint(...patches) {
    for (const patch of patches) {
      if (this.covering) this.covered.add(patch)
      else this.covered.delete(patch)
    }
    this.draw()
    this.report("paint")
  }

  report(event) {
    this.tell(event, { covered: [...this.covered].sort((a, b) => a - b) })
  }

  key(event) {
    const { rows, columns } = this.data
    if (event.key === " " || event.key === "Enter") {
      const patch = this.at + 1
      this.covering = !this.covered.has(patch)
      this.paint(patch)
      this.end()
    } else if (event.key in ARROWS) {
      this.at = neighbour(this.at, ARROWS[event.key], rows, columns)
      this.draw()
    } else return
    event.preventDefault()
  }

  // From 1, row by row.
  patchAt = event => patchUnder(event, this.data.rows, this.data.columns) + 1

  hover(patch) {
    this.hovered = patch
    this.draw()
  }

  box = patch => boxOf(patch - 1, this.canvas, this.data.rows, this.data.columns)

  name = patch => `row ${Math.floor((patch - 1) / this.data.columns) + 1}, column ${((patch - 1) % this.data.columns) + 1}`

  draw() {
    const { data, image, canvas } = this
    if (!data || !image || !canvas.clientWidth) return
    const { rows, columns, word = "covered" } = data
    const side = Math.round(canvas.clientWidth * devicePixelRatio)
    if (canvas.width !== side || canvas.height !== side) Object.assign(canvas, { width: side, height: side })
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = image.width > 128 // small images in their own pixels
    context.drawImage(image, 0, 0, side, side)
    gridLines(context, side, rows, columns, "rgba(255,255,255,0.35)")
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
    if (this.root.querySelector("canvas:focus-visible")) outline(context, this.box(this.at + 1), 2.5 * devicePixelRatio, 5 * devicePixelRatio)
    canvas.ariaLabel = `The image, ${this.covered.size} of ${rows * columns} patches ${word}. Arrow keys move, Space changes one.`
    const here = this.hovered > 0 ? this.hovered : this.root.querySelector("canvas:focus-visible") ? this.at + 1 : 0
    this.words.textContent = here
      ? `Patch ${here}, ${this.name(here)}${this.covered.has(here) ? `: ${word}` : ""}`
      : this.covered.size
        ? `${this.covered.size} of ${rows * columns} patches ${word}`
        : `No patch is ${word}`
    this.root.dataset.covered = this.covered.size
    this.root.dataset.seen = this.shown.size
  }

  // Covered patches are marked, since a covered patch may look like part of the image.
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
}
