// A matrix as a heat map with its numbers at hand: hover over a cell, or walk with the arrow keys.
// One row may be marked; it is drawn once more below, taller.

const instances = new WeakMap()

export default function (component) {
  const { parentElement } = component
  if (!instances.has(parentElement)) instances.set(parentElement, new HeatMap(parentElement))
  instances.get(parentElement).update(component.data)
  return () => instances.get(parentElement)?.remove()
}

const STRIP = 22 // height of the marked row below, in pixels
const TALL = 16 // height of a cell at most
const HEIGHT = 190 // height of the whole map, where cells of two pixels allow it

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag)
  element.className = className
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

const number = value => (value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4 ? value.toPrecision(4) : value.toExponential(2))
const short = value => (value === 0 ? "0" : Math.abs(value) >= 1e-2 && Math.abs(value) < 1e4 ? String(+value.toPrecision(2)) : value.toExponential(0))
const rgb = colour => [1, 3, 5].map(start => parseInt(colour.slice(start, start + 2), 16))

class HeatMap {
  constructor(parent) {
    this.root = make("div", "heat")
    this.map = make("canvas", "map", { tabindex: "0", role: "img" })
    this.strip = make("canvas", "strip")
    this.foot = make("div", "foot")
    this.text = make("span", "text", { "aria-live": "polite" })
    this.low = make("span", "low")
    this.bar = make("span", "bar")
    this.high = make("span", "high")
    const legend = make("span", "legend")
    legend.append(this.low, this.bar, this.high)
    this.foot.append(this.text, legend)
    this.root.append(this.map, this.strip, this.foot)
    parent.append(this.root)
    this.stamp = document.createElement("canvas") // one pixel a number
    this.map.onpointermove = event => this.point(event, false)
    this.strip.onpointermove = event => this.point(event, true)
    for (const canvas of [this.map, this.strip]) canvas.onpointerleave = () => this.say(null)
    this.map.onkeydown = event => this.key(event)
    this.map.onblur = () => this.say(null)
    this.resized = new ResizeObserver(() => this.draw())
    this.resized.observe(this.root)
  }

  update(data) {
    this.data = data
    this.values = data.values.getChildAt(0).toArray()
    const sizes = Float32Array.from(this.values, Math.abs).sort()
    this.top = sizes[Math.floor(0.99 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1
    this.stops = data.colours.map(rgb)
    this.paint()
    this.draw()
    this.say(null)
  }

  // Shares run through the colours; signed numbers have two, which fade into the page at zero.
  colour(value) {
    const { share } = this.data
    const part = Math.min(1, Math.abs(value) / this.top)
    if (!share) return [...this.stops[value < 0 ? 0 : 1], 255 * part]
    const place = part * (this.stops.length - 1)
    const low = Math.min(this.stops.length - 2, Math.floor(place))
    return [...this.stops[low].map((one, channel) => one + (this.stops[low + 1][channel] - one) * (place - low)), 255]
  }

  paint() {
    const { rows, columns, share, colours } = this.data
    const pixels = new ImageData(columns, rows)
    this.values.forEach((value, place) => pixels.data.set(this.colour(value), 4 * place))
    Object.assign(this.stamp, { width: columns, height: rows })
    this.stamp.getContext("2d").putImageData(pixels, 0, 0)
    this.low.textContent = share ? "0" : `≤ −${short(this.top)}`
    this.high.textContent = `≥ ${short(this.top)}`
    const stops = share ? colours : [colours[0], "transparent", colours[1]]
    this.bar.style.background = `linear-gradient(to right, ${stops.join(",")})`
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
    const box = event.currentTarget.getBoundingClientRect()
    const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)))
    const row = strip ? mark : place(event.clientY - box.top, box.height, rows)
    this.say([row, place(event.clientX - box.left, box.width, columns)])
  }

  key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
    if (!(event.key in steps)) return
    const { rows, columns, mark } = this.data
    const [down, right] = this.at ? steps[event.key] : [0, 0]
    const [row, column] = this.at ?? [mark ?? 0, 0]
    this.say([Math.min(rows - 1, Math.max(0, row + down)), Math.min(columns - 1, Math.max(0, column + right))])
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

  remove() {
    this.resized.disconnect()
    this.root.remove()
  }
}
