// Plots over the steps of a training with one cursor: hovering over a plot, or the arrow keys, read every line of every
// plot at the same step. The axes do not depend on how far the training is.

import { Widget, make, makeSvg } from "shared"

const HEIGHT = 300 // of a plot in pixels, axes included
const MARGIN = { left: 46, right: 14, top: 10, bottom: 38 }
const NAMES = 118 // width to the right of a plot for the names of other runs
const LINE_HEIGHT = 15 // of such a name
const DOTS_MAX = 60 // with more points than this, a line has no dots
const SPEAK_MS = 600
const STROKES = { raw: [1, 0.3], line: [2.2, 1], dots: [2.2, 1], other: [1.6, 0.5] } // width and opacity

function draw(parent, tag, attributes, text) {
  const element = makeSvg(tag, attributes, text)
  parent.append(element)
  return element
}

const WRITE = {
  number: value => String(+value.toPrecision(4)),
  percent: value => `${(100 * value).toFixed(1)}%`,
  power: value => value.toExponential(2),
}
const TICK = {
  number: value => String(+value.toPrecision(3)),
  percent: value => `${+(100 * value).toPrecision(3)}%`,
  power: value => (value ? value.toExponential(1) : "0"),
}

// Return about `count` round numbers from 0 to `end`, at least `least` apart.
function ticks(end, count, least = 0) {
  const rough = end / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = Math.max(least, power * [1, 2, 2.5, 5, 10].find(one => one * power >= rough * 0.999))
  return Array.from({ length: Math.floor(end / step + 1e-6) + 1 }, (_, index) => index * step)
}

// Return the index of the point that is nearest to a step.
function nearest(xs, step) {
  let [low, high] = [0, xs.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (xs[middle] < step) low = middle + 1
    else high = middle
  }
  return low && step - xs[low - 1] <= xs[low] - step ? low - 1 : low
}

export class Curves extends Widget {
  constructor(parent) {
    super(parent, "curves", { tabindex: "0", role: "group" })
    this.grid = make("div", "grid")
    this.tip = make("div", "tip")
    this.tip.hidden = true
    this.spoken = make("p", "spoken", "", { "aria-live": "polite" })
    this.root.append(this.grid, this.tip, this.spoken)
    this.plots = []
    this.root.onkeydown = event => this.key(event)
    this.root.onblur = () => this.point(null)
    this.redrawOnResize()
  }

  update(data) {
    this.data = data
    while (this.plots.length < data.plots.length) this.plots.push(this.build(this.plots.length))
    while (this.plots.length > data.plots.length) this.plots.pop().figure.remove()
    this.root.ariaLabel = `${data.label}. The left and right arrow keys read the values at a step.`
    this.draw()
  }

  build(index) {
    const figure = make("figure")
    const caption = make("figcaption")
    const [title, legend, note] = [make("b"), make("span", "legend"), make("span", "note")]
    caption.append(title, legend, note)
    const svg = makeSvg("svg", { "aria-hidden": "true" }) // the group has a name, and the cursor is read aloud
    figure.append(caption, svg)
    this.grid.append(figure)
    const plot = { figure, title, legend, note, svg, clip: `clip-${index}` }
    svg.onpointermove = event => {
      const box = svg.getBoundingClientRect()
      this.at = { plot, y: event.clientY - box.top }
      const share = (event.clientX - box.left - MARGIN.left) / plot.width
      this.point(share < -0.02 || share > 1.02 ? null : Math.min(1, Math.max(0, share)) * this.data.steps)
    }
    svg.onpointerleave = () => this.point(null)
    return plot
  }

  draw() {
    if (!this.data || !this.root.clientWidth) return
    this.plots.forEach((plot, index) => this.drawPlot(plot, this.data.plots[index]))
    this.root.dataset.drawn = this.data.label
    this.point(this.step ?? null, false)
  }

  drawPlot(plot, data) {
    const { svg } = plot
    const total = plot.figure.clientWidth
    const others = data.lines.filter(line => line.kind === "other")
    const named = this.data.plots.some(({ lines }) => lines.some(line => line.kind === "other")) // so that all plots align
    plot.data = data
    plot.width = Math.max(60, total - MARGIN.left - (named ? NAMES : MARGIN.right))
    plot.height = HEIGHT - MARGIN.top - MARGIN.bottom
    const x = (plot.x = step => MARGIN.left + (step / this.data.steps) * plot.width)
    const y = (plot.y = value => MARGIN.top + (1 - value / data.top) * plot.height)
    svg.replaceChildren()
    svg.setAttribute("width", total)
    svg.setAttribute("height", HEIGHT)
    plot.title.textContent = data.title
    const own = data.lines.filter(line => line.kind !== "other")
    plot.legend.replaceChildren(...(own.length > 1 ? own : []).map(line => this.sign(line)))
    plot.note.textContent = data.above ? `${data.above} higher point${data.above > 1 ? "s are" : " is"} outside the plot` : ""

    const bottom = MARGIN.top + plot.height
    for (const value of ticks(data.top, 5)) {
      draw(svg, "line", { class: "rule", x1: MARGIN.left, x2: MARGIN.left + plot.width, y1: y(value), y2: y(value) })
      draw(svg, "text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, TICK[data.form](value))
    }
    for (const step of ticks(this.data.steps, Math.max(2, Math.min(6, plot.width / 90)), 1)) {
      draw(svg, "line", { class: "rule", x1: x(step), x2: x(step), y1: bottom, y2: bottom + 4 })
      draw(svg, "text", { x: x(step), y: bottom + 17, "text-anchor": "middle" }, step.toLocaleString("en"))
    }
    draw(svg, "text", { x: MARGIN.left + plot.width / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "Step")

    const clip = draw(draw(svg, "defs"), "clipPath", { id: plot.clip })
    draw(clip, "rect", { x: MARGIN.left, y: MARGIN.top - 2, width: plot.width, height: plot.height + 4 })
    const area = draw(svg, "g", { "clip-path": `url(#${plot.clip})` })
    const order = { other: 0, raw: 1, line: 2, dots: 3 }
    for (const line of [...data.lines].sort((one, other) => order[one.kind] - order[other.kind])) {
      const [width, opacity] = STROKES[line.kind]
      const path = line.xs.map((step, index) => `${index ? "L" : "M"}${x(step).toFixed(1)} ${y(line.ys[index]).toFixed(1)}`).join("")
      draw(area, "path", { d: path, stroke: line.colour, "stroke-width": width, "stroke-opacity": opacity, fill: "none", "stroke-linejoin": "round" })
      if (line.xs.length === 1 || (line.kind === "dots" && line.xs.length <= DOTS_MAX))
        line.xs.forEach((step, index) => draw(area, "circle", { cx: x(step), cy: y(line.ys[index]), r: 2.6, fill: line.colour }))
    }
    this.nameOthers(plot, others)
    plot.cursor = draw(svg, "g", { class: "cursor" })
  }

  // The names of other runs at the right, each as near to the end of its line as the others allow.
  nameOthers(plot, others) {
    const ends = others.map(line => {
      const inside = line.xs.filter(step => step <= this.data.steps).length
      return { line, y: plot.y(Math.min(plot.data.top, line.ys[Math.max(0, inside - 1)])) }
    })
    ends.sort((one, other) => one.y - other.y)
    let lowest = MARGIN.top
    for (const end of ends) lowest = (end.at = Math.max(end.y, lowest)) + LINE_HEIGHT
    let highest = MARGIN.top + plot.height
    for (const end of ends.reverse()) highest = (end.at = Math.min(end.at, highest)) - LINE_HEIGHT
    const left = MARGIN.left + plot.width + 6
    for (const { line, at } of ends) {
      draw(plot.svg, "line", { x1: left, x2: left + 12, y1: at, y2: at, stroke: line.colour, "stroke-width": 3 })
      const name = line.name.length > 15 ? `${line.name.slice(0, 14)}…` : line.name
      draw(plot.svg, "text", { x: left + 16, y: at + 4 }, name)
    }
  }

  sign(line) {
    const sign = make("span", "sign", line.name)
    sign.style.setProperty("--colour", line.colour)
    sign.dataset.kind = line.kind
    return sign
  }

  key(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (event.key === "Escape") return this.point(null)
    if (!way) return
    event.preventDefault()
    const { steps } = this.data
    this.at = null
    const from = this.step ?? (way > 0 ? 0 : steps)
    this.point(Math.min(steps, Math.max(0, from + way * Math.max(1, steps / 40))), true, true)
  }

  // Show the values of all lines at a step; null hides them.
  point(step, show = true, speak = false) {
    this.step = step
    for (const plot of this.plots) plot.cursor?.replaceChildren()
    this.tip.hidden = step === null || (!show && this.tip.hidden)
    if (step === null) return
    const rows = [make("div", "when", this.when(step))]
    const said = [this.when(step)]
    for (const plot of this.plots) {
      draw(plot.cursor, "line", { class: "now", x1: plot.x(step), x2: plot.x(step), y1: MARGIN.top, y2: MARGIN.top + plot.height })
      rows.push(make("div", "part", plot.data.title))
      for (const line of plot.data.lines) {
        const place = nearest(line.xs, step)
        const [at, value] = [line.xs[place], line.ys[place]]
        const words = WRITE[plot.data.form](value)
        const where = Math.abs(at - step) > this.data.steps / 60 ? ` at step ${at.toLocaleString("en")}` : ""
        if (value <= plot.data.top) draw(plot.cursor, "circle", { cx: plot.x(at), cy: plot.y(value), r: 4, fill: line.colour })
        const row = make("div", "row")
        row.append(this.sign(line), make("span", "value", `${words}${where}`))
        rows.push(row)
        said.push(`${plot.data.title}, ${line.name}: ${words}${where}`)
      }
    }
    this.tip.replaceChildren(...rows)
    this.place(step)
    clearTimeout(this.speaking)
    if (speak) this.speaking = setTimeout(() => (this.spoken.textContent = said.join(". ")), SPEAK_MS)
  }

  when(step) {
    const { perEpoch, steps } = this.data
    const epoch = perEpoch ? `, epoch ${(step / perEpoch).toFixed(1)}` : ""
    return `Step ${Math.round(step).toLocaleString("en")} of ${steps.toLocaleString("en")}${epoch}`
  }

  // Put the readings beside the cursor, inside the widget.
  place(step) {
    const plot = this.at?.plot ?? this.plots[0]
    const frame = this.root.getBoundingClientRect()
    const box = plot.svg.getBoundingClientRect()
    const x = box.left - frame.left + plot.x(step)
    const width = this.tip.offsetWidth
    const left = x + 14 + width > frame.width ? x - 14 - width : x + 14
    this.tip.style.left = `${Math.max(0, left)}px`
    this.tip.style.top = `${Math.max(0, box.top - frame.top + (this.at?.y ?? MARGIN.top) - 30)}px`
  }

  remove() {
    clearTimeout(this.speaking)
    super.remove()
  }
}
