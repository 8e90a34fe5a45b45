// A matrix as a heat map: hover over a cell, or move with the arrow keys, to read its number.
// One row may be marked: it is outlined, and drawn again below, taller.

import { colourPixels } from "map_grid/values"
import { ARROWS, Widget, colourAt, gradient, make, neighbour, patchUnder, percentile, rgb } from "shared"

const STRIP = 22 // height of the marked row below, in pixels
const TALL = 16 // maximum height of a cell
const HEIGHT = 190 // height of the whole map, unless cells would be lower than two pixels

// The colours of 256 shares of the scale and, for signed numbers, of the same shares below zero. Shares use the whole
// scale; signed numbers have a colour for each sign, which fades to nothing at zero.
let table = {}
function colourTable({ share, colours }) {
  const key = `${share} ${colours}`
  if (table.key === key) return table.pixels
  const stops = colours.map(rgb)
  const bytes = new Uint8ClampedArray(4 * 512)
  for (let entry = 0; entry < 512; entry++) {
    const part = (entry % 256) / 255
    bytes.set(share ? [...colourAt(stops, part), 255] : [...stops[entry < 256 ? 1 : 0], 255 * part], 4 * entry)
  }
  table = { key, pixels: new Uint32Array(bytes.buffer) }
  return table.pixels
}

const format = value => (value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4 ? value.toPrecision(4) : value.toExponential(2))
const brief = value => (value === 0 ? "0" : Math.abs(value) >= 1e-2 && Math.abs(value) < 1e4 ? String(+value.toPrecision(2)) : value.toExponential(0))

export class HeatMap extends Widget {
  constructor(parent) {
    super(parent, "heat")
    this.map = make("canvas", "map", "", { tabindex: "0", role: "img" })
    this.strip = make("canvas", "strip")
    this.foot = make("div", "foot")
    this.text = make("span", "text", "", { "aria-live": "polite" })
    this.low = make("span", "low")
    this.bar = make("span", "bar")
    this.high = make("span", "high")
    const legend = make("span", "legend")
    legend.append(this.low, this.bar, this.high)
    this.foot.append(this.text, legend)
    this.root.append(this.map, this.strip, this.foot)
    this.stamp = document.createElement("canvas") // one pixel a number
    this.map.onpointermove = event => this.point(event, false)
    this.strip.onpointermove = event => this.point(event, true)
    for (const canvas of [this.map, this.strip]) canvas.onpointerleave = () => this.say(null)
    this.map.onkeydown = event => this.key(event)
    this.map.onblur = () => this.say(null)
    this.redrawOnResize()
  }

  update(data) {
    this.data = data
    this.values = data.values
    this.top = percentile([this.values], 0.99)
    this.colours = colourTable(data)
    this.paint()
    this.draw()
    this.say(this.at ?? null)
  }

  paint() {
    const { rows, columns, share, colours } = this.data
    if (this.stamp.width !== columns || this.stamp.height !== rows || !this.image) {
      Object.assign(this.stamp, { width: columns, height: rows })
      this.image = new ImageData(columns, rows)
      this.pixels = new Uint32Array(this.image.data.buffer)
    }
    colourPixels(this.pixels, this.values, { table: this.colours, high: this.top, signed: !share })
    this.stamp.getContext("2d").putImageData(this.image, 0, 0)
    this.low.textContent = share ? "0" : `≤ −${brief(this.top)}`
    this.high.textContent = `≥ ${brief(this.top)}`
    this.bar.style.background = gradient(colours, !share)
  }

  draw() {
    const { data } = this
    const width = this.root.clientWidth
    if (!data || !width) return
    const cell = Math.max(2, Math.min(TALL, HEIGHT / data.rows))
    const height = data.square ? (width * data.rows) / data.columns : Math.max(STRIP, cell * data.rows)
    this.size(this.map, width, data.rows === 1 ? STRIP : height)
    this.copy(this.map, 0, data.rows)
    const marked = data.mark !== null && data.rows > 1
    this.strip.hidden = !marked
    if (marked) {
      this.size(this.strip, width, STRIP)
      this.copy(this.strip, data.mark, 1)
      const context = this.map.getContext("2d")
      const line = devicePixelRatio
      const y = (data.mark * this.map.height) / data.rows
      context.lineWidth = 1.5 * line
      context.strokeStyle = getComputedStyle(this.root).color
      context.strokeRect(line, Math.max(line, y - line / 2), this.map.width - 2 * line, this.map.height / data.rows + line)
    }
    this.map.ariaLabel = data.label
    this.root.dataset.drawn = data.label
  }

  size(canvas, width, height) {
    const size = { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) }
    if (canvas.width === size.width && canvas.height === size.height) return canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height)
    canvas.style.height = `${height}px`
    Object.assign(canvas, size)
  }

  copy(canvas, from, rows) {
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = false
    context.drawImage(this.stamp, 0, from, this.data.columns, rows, 0, 0, canvas.width, canvas.height)
  }

  point(event, strip) {
    const { rows, columns, mark } = this.data
    const cell = patchUnder(event, rows, columns)
    this.say([strip ? mark : Math.floor(cell / columns), cell % columns])
  }

  key(event) {
    if (!(event.key in ARROWS)) return
    const { rows, columns, mark } = this.data
    const [row, column] = this.at ?? [mark ?? 0, 0]
    const cell = neighbour(row * columns + column, this.at ? ARROWS[event.key] : [0, 0], rows, columns)
    this.say([Math.floor(cell / columns), cell % columns])
    event.preventDefault()
  }

  say(at) {
    this.at = at
    if (!at) {
      this.text.textContent = this.data?.rest ?? ""
      return
    }
    const [row, column] = at
    const { rowNames, columnNames, columns } = this.data
    this.text.textContent = `${rowNames[row]} · ${columnNames[column]}: ${format(this.values[row * columns + column])}`
  }
}
