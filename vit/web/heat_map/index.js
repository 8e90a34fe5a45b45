// A matrix as a heat map: hover over a cell, or move with the arrow keys, to read its number.
// One row may be marked: it is outlined, and drawn again below, taller.

const STRIP = 22 // height of the marked row below, in pixels
const TALL = 16 // maximum height of a cell
const HEIGHT = 190 // height of the whole map, unless cells would be lower than two pixels

const number = value => (value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4 ? value.toPrecision(4) : value.toExponential(2))
const short = value => (value === 0 ? "0" : Math.abs(value) >= 1e-2 && Math.abs(value) < 1e4 ? String(+value.toPrecision(2)) : value.toExponential(0))

class HeatMap extends Widget {
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

  update({ data }) {
    this.data = data
    this.values = data.values.getChildAt(0).toArray()
    this.top = percentile([this.values], 0.99)
    this.stops = data.colours.map(rgb)
    this.paint()
    this.draw()
    this.say(null)
  }

  // Shares use the whole scale; signed numbers have a colour for each sign, which fades to nothing at zero.
  colour(value) {
    const { share } = this.data
    const part = Math.min(1, Math.abs(value) / this.top)
    if (!share) return [...this.stops[value < 0 ? 0 : 1], 255 * part]
    return [...colourAt(this.stops, part), 255]
  }

  paint() {
    const { rows, columns, share, colours } = this.data
    const pixels = new ImageData(columns, rows)
    this.values.forEach((value, place) => pixels.data.set(this.colour(value), 4 * place))
    Object.assign(this.stamp, { width: columns, height: rows })
    this.stamp.getContext("2d").putImageData(pixels, 0, 0)
    this.low.textContent = share ? "0" : `≤ −${short(this.top)}`
    this.high.textContent = `≥ ${short(this.top)}`
    this.bar.style.background = gradient(colours, !share)
  }

  draw() {
    const { data } = this
    const width = this.root.clientWidth
    if (!data || !width) return
    const cell = Math.max(2, Math.min(TALL, HEIGHT / data.rows))
    this.size(this.map, width, data.rows === 1 ? STRIP : Math.max(STRIP, cell * data.rows))
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
    canvas.style.height = `${height}px`
    canvas.width = Math.round(width * devicePixelRatio)
    canvas.height = Math.round(height * devicePixelRatio)
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
    this.text.textContent = `${rowNames[row]} · ${columnNames[column]}: ${number(this.values[row * columns + column])}`
  }
}

export default mount(HeatMap)
