// Each run is a line over axes. A drag along an axis keeps the runs inside it; a click, or Enter, compares a run.
// Where the axes do not fit side by side, they are drawn below one another.

const NARROW = 620 // pixels; below this width the axes are drawn below one another
const NEAR = 14 // pixels between the pointer and the line that it picks
const GRIP = 14 // pixels on both sides of an axis in which a drag selects
const MARGIN = { wide: { left: 84, right: 40, top: 58, bottom: 16 }, tall: { left: 28, right: 28, top: 34, bottom: 30 } }

const percent = share => `${(100 * share).toFixed(1)}%`

class ParallelCoordinates extends CountingWidget {
  constructor(parent) {
    super(parent, "parallel")
    this.stage = make("div", "stage", "", { tabindex: "0", role: "application" })
    this.svg = makeSvg("svg")
    this.labels = make("div", "labels", "", { "aria-hidden": "true" })
    this.stage.append(this.svg, this.labels)
    this.readout = make("p", "readout", "", { "aria-live": "polite" })
    this.compare = make("button", "", "", { type: "button" })
    this.clear = make("button", "", "Clear the selection", { type: "button" })
    const bar = make("div", "bar")
    bar.append(this.compare, this.clear)
    this.root.append(this.stage, this.readout, bar)
    this.bar = bar
    this.brushes = new Map()
    this.stage.onpointermove = event => this.move(event)
    this.stage.onpointerdown = event => this.press(event)
    this.stage.onpointerup = event => this.release(event)
    this.stage.onpointercancel = () => (this.drag = null)
    this.stage.onpointerleave = () => this.drag || this.light(null)
    this.stage.onkeydown = event => this.key(event)
    this.stage.onblur = () => this.light(null)
    this.compare.onclick = () => this.tell("choice", { names: this.best() })
    this.clear.onclick = () => {
      this.brushes.clear()
      this.draw()
    }
    this.redrawOnResize()
  }

  update(component) {
    if (!this.receive(component)) return
    const signature = JSON.stringify([this.data.axes, this.data.runs])
    if (signature !== this.signature) {
      this.brushes.clear()
      this.lit = null
    }
    this.signature = signature
    this.stage.ariaLabel = `${this.data.label} The up and down keys go through the runs by accuracy` +
      (this.data.most ? ", Enter compares one." : ".")
    this.draw()
  }

  // Places

  get wide() {
    return this.root.clientWidth >= NARROW
  }

  layout() {
    const count = this.data.axes.length
    const width = this.root.clientWidth
    const margin = this.wide ? MARGIN.wide : MARGIN.tall
    const height = this.wide ? 380 : margin.top + margin.bottom + 66 * (count - 1)
    this.size = { width, height, margin, step: this.wide ? (width - margin.left - margin.right) / Math.max(1, count - 1) : 66 }
  }

  point(axis, at) {
    const { width, height, margin, step } = this.size
    return this.wide
      ? [margin.left + axis * step, height - margin.bottom - at * (height - margin.top - margin.bottom)]
      : [margin.left + at * (width - margin.left - margin.right), margin.top + axis * step]
  }

  // The position along an axis, from 0 to 1, of a point.
  share([x, y]) {
    const { width, height, margin } = this.size
    const at = this.wide
      ? (height - margin.bottom - y) / (height - margin.top - margin.bottom)
      : (x - margin.left) / (width - margin.left - margin.right)
    return Math.min(1, Math.max(0, at))
  }

  axisAt([x, y]) {
    const { margin, step } = this.size
    const place = (this.wide ? x - margin.left : y - margin.top) / step
    const axis = Math.round(place)
    return Math.abs(place - axis) * step <= GRIP && axis >= 0 && axis < this.data.axes.length ? axis : -1
  }

  inside(run) {
    return [...this.brushes].every(([axis, [low, high]]) => {
      const at = this.data.axes[axis].places[run]
      return at >= low - 1e-9 && at <= high + 1e-9
    })
  }

  ranked() {
    const runs = this.data.runs.map((_, run) => run).filter(run => this.inside(run))
    return runs.sort((one, other) => this.data.runs[other].accuracy - this.data.runs[one].accuracy)
  }

  best() {
    return this.ranked().slice(0, this.data.most).map(run => this.data.runs[run].name)
  }

  // Drawing

  draw() {
    if (!this.data || !this.root.clientWidth) return
    this.layout()
    const { data, size } = this
    this.svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`)
    this.svg.style.height = this.stage.style.height = `${size.height}px`
    this.paths = data.runs.map((run, index) => {
      const points = data.axes.map((axis, place) => this.point(place, axis.places[index]).map(value => value.toFixed(1)).join(","))
      return makeSvg("polyline", { points: points.join(" "), class: "line" })
    })
    const axes = data.axes.flatMap((axis, place) => {
      const [[x1, y1], [x2, y2]] = [this.point(place, 0), this.point(place, 1)]
      return [
        makeSvg("line", { x1, y1, x2, y2, class: "grip", "stroke-width": 2 * GRIP }),
        makeSvg("line", { x1, y1, x2, y2, class: "axis" }),
        ...axis.ticks.map(([at]) => {
          const [x, y] = this.point(place, at)
          const [dx, dy] = this.wide ? [4, 0] : [0, 4]
          return makeSvg("line", { x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy, class: "axis" })
        }),
      ]
    })
    const brushes = [...this.brushes].map(([axis, [low, high]]) => {
      const [[x1, y1], [x2, y2]] = [this.point(axis, low), this.point(axis, high)]
      const pad = GRIP - 4
      return makeSvg("rect", this.wide
        ? { x: x1 - pad, width: 2 * pad, y: y2 - 2, height: y1 - y2 + 4, class: "brush" }
        : { x: x1 - 2, width: x2 - x1 + 4, y: y1 - pad, height: 2 * pad, class: "brush" })
    })
    this.svg.replaceChildren(...axes, ...this.paths, ...brushes)
    this.labels.replaceChildren(...data.axes.flatMap((axis, place) => this.names(axis, place)))
    this.paint()
  }

  names(axis, place) {
    const { step, width, margin } = this.size
    const [x, y] = this.point(place, this.wide ? 1 : 0)
    const title = make("span", this.wide ? "title" : "title over", axis.title)
    if (this.wide) Object.assign(title.style, { left: `${x}px`, top: `${y - 12}px`, width: `${Math.max(60, step - 8)}px` })
    else Object.assign(title.style, { left: `${width / 2}px`, top: `${y - 8}px`, width: `${width}px` })
    const room = this.wide ? Math.min(place ? 0.62 * step : margin.left - 10, 140) : 0
    let end = -Infinity // right end of the last label on a horizontal axis
    const ticks = axis.ticks.flatMap(([at, text]) => {
      const [tx, ty] = this.point(place, at)
      const tick = make("span", this.wide ? "tick" : "tick below", text)
      if (this.wide) {
        Object.assign(tick.style, { right: `${width - tx + 8}px`, top: `${ty}px`, maxWidth: `${room}px` })
        return [tick]
      }
      const half = Math.min(60, 3.6 * text.length)
      const centre = Math.min(width - half, Math.max(half, tx))
      if (centre - half < end + 4 && at < 1) return []
      end = centre + half
      Object.assign(tick.style, { left: `${centre}px`, top: `${ty + 6}px`, maxWidth: `${2 * half + 8}px` })
      return [tick]
    })
    return [title, ...ticks]
  }

  // Update the colours of the lines without redrawing them.
  paint() {
    const { data } = this
    const kept = this.ranked()
    const last = data.axes[data.axes.length - 1]
    this.paths.forEach((path, run) => {
      const place = data.chosen.indexOf(data.runs[run].name)
      path.style.stroke = place >= 0 ? data.colours[place % data.colours.length] : ""
      path.style.setProperty("--share", `${Math.round(100 * last.places[run])}%`) // a higher accuracy has a stronger colour
      path.classList.toggle("chosen", place >= 0)
      path.classList.toggle("out", !this.inside(run))
      path.classList.toggle("lit", run === this.lit)
      if (place >= 0 || run === this.lit) path.parentNode.insertBefore(path, this.svg.querySelector(".brush"))
    })
    const brushed = this.brushes.size > 0
    this.bar.hidden = !brushed
    this.compare.hidden = !data.most || !kept.length
    const count = Math.min(kept.length, data.most)
    this.compare.textContent = kept.length > data.most ? `Compare the best ${count} of these runs` : `Compare ${count === 1 ? "this run" : `these ${count} runs`}`
    const run = this.lit === null ? null : data.runs[this.lit]
    this.readout.textContent = run
      ? `${run.title}: ${percent(run.accuracy)}, seed ${run.seed}`
      : brushed
        ? `${kept.length} of ${data.runs.length} runs are inside.`
        : "Point at a line to see its run. Drag along an axis to keep the runs inside."
  }

  light(run) {
    if (run === this.lit) return
    this.lit = run
    if (this.paths) this.paint()
  }

  // Pointer and keys

  at(event) {
    const box = this.stage.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
  }

  nearest([x, y]) {
    let [found, best] = [null, NEAR]
    this.data.runs.forEach((_, run) => {
      if (!this.inside(run)) return
      for (let axis = 1; axis < this.data.axes.length; axis++) {
        const [a, b] = [axis - 1, axis].map(place => this.point(place, this.data.axes[place].places[run]))
        const [dx, dy] = [b[0] - a[0], b[1] - a[1]]
        const part = Math.min(1, Math.max(0, ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy || 1)))
        const distance = Math.hypot(x - a[0] - part * dx, y - a[1] - part * dy)
        if (distance < best) [found, best] = [run, distance]
      }
    })
    return found
  }

  press(event) {
    const place = this.at(event)
    const axis = this.axisAt(place)
    if (axis < 0) return
    this.drag = { axis, from: this.share(place), moved: false }
    this.stage.setPointerCapture(event.pointerId)
  }

  move(event) {
    const place = this.at(event)
    if (!this.drag) {
      this.stage.classList.toggle("over", this.axisAt(place) >= 0)
      if (event.pointerType === "mouse") this.light(this.nearest(place))
      return
    }
    const at = this.share(place)
    if (Math.abs(at - this.drag.from) < 0.02 && !this.drag.moved) return
    this.drag.moved = true
    this.brushes.set(this.drag.axis, [Math.min(at, this.drag.from), Math.max(at, this.drag.from)])
    this.draw()
  }

  release(event) {
    const drag = this.drag
    this.drag = null
    if (drag?.moved) return
    if (drag && this.brushes.delete(drag.axis)) {
      this.draw()
      return
    }
    const run = this.nearest(this.at(event))
    this.light(run)
    if (run !== null) this.toggle(run)
  }

  toggle(run) {
    const { data } = this
    if (!data.most) return
    const { name } = data.runs[run]
    const without = data.chosen.filter(one => one !== name)
    if (without.length === data.chosen.length && without.length >= data.most) {
      this.readout.textContent = `At most ${data.most} runs can be compared.`
      return
    }
    data.chosen = without.length < data.chosen.length ? without : [...data.chosen, name]
    this.paint()
    this.tell("choice", { names: data.chosen })
  }

  key(event) {
    const kept = this.ranked()
    if (!kept.length) return
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      if (this.lit !== null) this.toggle(this.lit)
      return
    }
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (!way) return
    event.preventDefault()
    const place = kept.indexOf(this.lit)
    this.light(kept[Math.min(kept.length - 1, Math.max(0, place < 0 ? 0 : place + way))])
  }
}

export default mount(ParallelCoordinates)
