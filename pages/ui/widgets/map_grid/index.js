// Maps over one image: a patch picker, one map enlarged, and a tile for every row and column, such as layer and head.
// Everything is drawn here from the maps of all tokens, so a click does not wait for the server. Frames (the epochs of
// a time-lapse) are played here too.

const FRAME_MS = 700 // of a time-lapse while it plays

function number(value) {
  const size = Math.abs(value)
  return size === 0 ? "0" : size >= 0.1 ? value.toFixed(2) : size >= 0.001 ? value.toFixed(4) : value.toExponential(1)
}
const lower = text => text.charAt(0).toLowerCase() + text.slice(1)
const short = name => name.replace(/^(\w)\w+ (\d+)$/, "$1 $2") // Head 12 -> H 12
const percent = share => (share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.0095 ? 1 : 0)}%`)

class MapGrid extends CountingWidget {
  constructor(parent) {
    super(parent, "attention")
    this.side = make("div", "side")
    this.picker = this.panel(this.side, "Pick a patch", "picker")
    this.large = this.panel(this.side, "", "large")
    const main = make("div", "main")
    const head = make("div", "head")
    this.legend = { low: make("span"), bar: make("span", "bar"), high: make("span") }
    const legend = make("div", "legend")
    legend.append(this.legend.low, this.legend.bar, this.legend.high)
    this.title = make("h4")
    head.append(this.title, legend)
    this.tiles = make("div", "tiles")
    main.append(this.player(), head, this.tiles)
    this.tip = make("div", "tip")
    this.tip.hidden = true
    this.root.append(this.side, main, this.tip)

    this.summary = make("button", "summary", "", { type: "button" })
    this.summary.onclick = () => this.pick({ token: 0 })
    this.before = make("div", "before")
    this.picker.canvas.after(this.summary, this.before)
    Object.assign(this.picker.canvas, { tabIndex: 0, role: "application" })
    this.large.canvas.role = "img"
    this.picker.title.setAttribute("aria-live", "polite") // announces the patch that an arrow key has chosen
    this.tiles.onkeydown = event => this.walk(event)
    this.picker.canvas.onkeydown = event => this.key(event)
    for (const view of [this.picker, this.large])
      view.canvas.onclick = event => this.data.picker && this.pick({ token: this.patchAt(event) + 1 })
    this.picker.canvas.onpointermove = event => this.hover(this.patchAt(event))
    this.picker.canvas.onpointerleave = () => this.hover(-1)
    this.large.canvas.onpointermove = event => this.showTip(event, this.row, this.column)
    this.large.canvas.onpointerleave = () => (this.tip.hidden = true)
    this.tiles.onpointerleave = () => (this.tip.hidden = true)
    this.stamp = document.createElement("canvas") // one pixel a patch
    this.hovered = -1
    this.frame = 0
    this.drawn = 0
    this.redrawOnResize()
  }

  // The time-lapse's play button and slider; the server receives the epoch when the slider or the film stops.
  player() {
    this.film = make("div", "film")
    this.play = make("button", "play", "Play", { type: "button" })
    this.scrub = make("input", "", "", { type: "range", min: 0, step: 1, "aria-label": "Epoch" })
    this.epoch = make("output", "")
    this.film.append(this.play, this.scrub, this.epoch)
    this.play.onclick = () => (this.timer ? this.rest() : this.roll())
    this.scrub.oninput = () => {
      this.rest(false)
      this.show(Number(this.scrub.value))
    }
    this.scrub.onchange = () => this.pick({})
    return this.film
  }

  roll() {
    const last = this.data.frames.length - 1
    if (this.frame >= last) this.show(0)
    this.play.textContent = "Pause"
    this.timer = setInterval(() => {
      this.show(this.frame + 1)
      if (this.frame >= this.data.frames.length - 1) this.rest()
    }, FRAME_MS)
  }

  rest(tell = true) {
    if (!this.timer) return
    clearInterval(this.timer)
    this.timer = null
    this.play.textContent = "Play"
    if (tell) this.pick({})
  }

  show(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.data.frames.length - 1)
    this.draw()
  }

  panel(parent, title, name) {
    const panel = make("figure", name)
    const view = { title: make("figcaption", "", title), canvas: document.createElement("canvas") }
    panel.append(view.title, view.canvas)
    parent.append(panel)
    return view
  }

  update(component) {
    const { data } = component
    if (data.maps) {
      this.maps = data.maps.getChildAt(0).toArray()
      this.version = data.version
      this.image = new Image()
      this.image.onload = () => this.draw()
      this.image.src = data.image
    } else if (this.version !== data.version) {
      component.setTriggerValue("pick", { version: null, seq: this.seq }) // a new element without maps asks for them
      return
    }
    if (this.receive(component)) {
      Object.assign(this, { token: data.token, row: data.row, column: data.column })
      if (!this.timer) this.frame = data.frame
    }
    this.build()
    this.draw()
  }

  pick(choice) {
    Object.assign(this, choice)
    if (this.data.every) this.draw()
    const { token, row, column, frame, version } = this
    this.tell("pick", { token, row, column, frame, version })
  }

  key(event) {
    const { rows, columns } = this.data
    if (event.key === "Escape" || event.key === "Home") this.data.offersSummary && this.pick({ token: 0 })
    else if (event.key in ARROWS) {
      // From another token an arrow key goes to the first patch.
      const patch = this.onPatch() ? neighbour(this.token - 1, ARROWS[event.key], rows, columns) : 0
      this.pick({ token: patch + 1 })
    } else return
    event.preventDefault()
  }

  // Arrow keys move from tile to tile; the tab key stops at one tile only; Enter enlarges a tile.
  walk(event) {
    const at = this.cells.find(cell => cell.tile === event.target.closest("button"))
    if (!at || !(event.key in ARROWS)) return
    event.preventDefault()
    const [down, right] = ARROWS[event.key]
    const next = this.cells.find(cell => cell.row === at.row + down && cell.column === at.column + right)
    if (!next) return
    for (const { tile } of this.cells) tile.tabIndex = tile === next.tile ? 0 : -1
    next.tile.focus()
  }

  patchAt = event => patchUnder(event, this.data.rows, this.data.columns)

  patchName = patch => `patch r${Math.floor(patch / this.data.columns) + 1} c${(patch % this.data.columns) + 1}`
  onPatch = (token = this.token) => token >= 1 && token <= this.data.rows * this.data.columns
  tokenName = token => {
    if (!token) return this.data.summary
    return this.onPatch(token) ? this.patchName(token - 1) : this.data.before[token - 1 - this.data.rows * this.data.columns]
  }

  // What one tile shows for the chosen token: the values of the prefix, then of each patch.
  values(row, column, frame = this.frame) {
    const { prefix, rows, columns, rowNames, columnNames, first, tokens, pairs } = this.data
    const length = prefix + rows * columns
    const place = ((frame * tokens + (pairs ? this.token - first : 0)) * rowNames.length + row - 1) * columnNames.length + column - 1
    const start = place * length
    return { prefix: this.maps.subarray(start, start + prefix), patches: this.maps.subarray(start + prefix, start + length) }
  }

  tileName = (row, column) => {
    const { rowNames, columnNames } = this.data
    if (columnNames.length === 1) return rowNames[row - 1]
    return rowNames.length === 1 ? columnNames[column - 1] : `${rowNames[row - 1]}, ${lower(columnNames[column - 1])}`
  }

  build() {
    const { rowNames, columnNames, picker, before, rows, columns } = this.data
    const shape = JSON.stringify([rowNames, columnNames, picker, before, rows, columns])
    if (this.shape === shape) return
    this.shape = shape
    this.before.replaceChildren(...before.map((name, index) => {
      const button = make("button", "summary", name, { type: "button" })
      button.onclick = () => this.pick({ token: rows * columns + 1 + index })
      button.hidden = name === this.data.summary // it has its own button
      return button
    }))
    const many = columnNames.length > 6
    const single = rowNames.length * columnNames.length === 1 // always large
    this.enlarging = this.data.enlarges && !single
    this.side.hidden = !picker && !this.enlarging
    this.root.classList.toggle("single", single)
    this.large.canvas.parentElement.hidden = !this.enlarging
    this.picker.canvas.parentElement.hidden = !picker
    this.large.canvas.style.cursor = picker ? "" : "default"
    const flow = rowNames.length === 1 && columnNames.length > 4 // one long row wraps, each tile under its own name
    this.tiles.classList.toggle("flow", flow)
    this.tiles.replaceChildren(...(flow ? [] : [make("span", "")]))
    this.tiles.style.setProperty("--columns", columnNames.length)
    const few = rowNames.length === 1 // and no more than four columns
    this.tiles.style.setProperty("--tile", `${single ? 400 : few ? 220 : rowNames.length > 6 || many ? 104 : 156}px`)
    const label = name => (single && picker ? "" : many ? short(name) : name) // the title names a single one
    if (!flow) for (const name of columnNames) this.tiles.append(make("span", "column", label(name)))
    this.cells = []
    rowNames.forEach((name, index) => {
      const row = index + 1
      if (!flow) this.tiles.append(make("span", "line", label(name)))
      for (let column = 1; column <= columnNames.length; column++) {
        const tile = make("button", "tile", "", { type: "button" })
        const cell = { row, column, tile, canvas: document.createElement("canvas"), share: make("span", "share") }
        tile.append(cell.canvas, cell.share)
        tile.onclick = event => {
          if (this.enlarging) this.pick({ row, column })
          else if (picker && event.detail) this.pick({ token: this.patchAt(event) + 1 }) // a key press has no position
        }
        cell.canvas.onpointermove = event => this.showTip(event, row, column)
        if (flow) {
          const named = make("div", "named")
          named.append(make("span", "column", columnNames[column - 1]), tile)
          this.tiles.append(named)
        } else this.tiles.append(tile)
        this.cells.push(cell)
      }
    })
  }

  // One scale for all tiles and all frames; it ends at the 99th percentile, since one high value would darken the rest.
  sharedTop() {
    const { version, token } = this
    if (this.top?.version !== version || this.top.token !== token) {
      const frames = Math.max(1, this.data.frames.length)
      const shown = this.cells.flatMap(cell => Array.from({ length: frames }, (_, frame) => this.values(cell.row, cell.column, frame).patches))
      this.top = { version, token, value: percentile(shown, 0.99) }
    }
    return this.top.value
  }

  draw() {
    const { data, token, row, column } = this
    if (!data || !this.image?.complete || !this.root.clientWidth || token < data.first) return
    if (!data.every && token !== data.first) return // its maps have not arrived yet
    const rows = this.cells.map(cell => this.values(cell.row, cell.column))
    const shared = data.top ?? this.sharedTop()
    const top = patches => (data.perTile ? Math.max(...patches.map(Math.abs)) : shared)
    this.stops = data.colours.map(rgb)
    const width = this.cells[0].canvas.clientWidth
    const walked = this.tiles.matches(":focus-within") // then walk() decides
    this.cells.forEach((cell, index) => {
      this.paint(cell.canvas, width, rows[index].patches, top(rows[index].patches))
      const share = rows[index].prefix.reduce((sum, value) => sum + value, 0)
      const name = this.tileName(cell.row, cell.column)
      cell.share.hidden = !data.prefix || !data.shares
      cell.share.textContent = width > 130 ? `${data.beforeShort} ${percent(share)}` : percent(share)
      cell.tile.ariaPressed = String(this.enlarging && cell.row === row && cell.column === column)
      if (!walked) cell.tile.tabIndex = cell.row === row && cell.column === column ? 0 : -1
      cell.tile.ariaLabel = cell.share.hidden ? name : `${name}: ${percent(share)} to ${data.beforeWords}`
    })
    const chosen = rows[(row - 1) * data.columnNames.length + column - 1].patches
    this.paint(this.large.canvas, this.large.canvas.clientWidth, chosen, top(chosen))
    this.paintPicker()
    this.title.textContent = data.title
    this.picker.title.textContent = token ? `${data.pairs ? "From" : "Chosen:"} ${this.tokenName(token)}` : "Pick a patch"
    this.large.title.textContent = this.tileName(row, column)
    this.large.canvas.ariaLabel = this.large.title.textContent + (data.pairs ? `, from the ${this.tokenName(token)}` : "")
    this.picker.canvas.ariaLabel = `The image. Chosen: ${this.tokenName(token)}. Arrow keys choose a patch${data.offersSummary ? ", Escape the summary token" : ""}.`
    this.summary.textContent = token ? `Back to the ${data.summary}` : `Summary token (${data.summary})`
    this.summary.ariaPressed = String(!token)
    ;[...this.before.children].forEach((button, index) => (button.ariaPressed = String(token === data.rows * data.columns + 1 + index)))
    this.summary.hidden = !data.offersSummary
    this.legend.bar.style.background = gradient(data.colours, data.signed)
    const most = data.perTile ? "each tile's own maximum" : number(shared)
    this.legend.low.textContent = data.signed ? (data.perTile ? `${data.quantity} −` : `${data.quantity} ≤ −${most}`) : `${data.quantity} 0`
    this.legend.high.textContent = data.perTile ? most : `≥ ${most}`
    this.film.hidden = !data.frames.length
    if (data.frames.length) {
      this.scrub.max = data.frames.length - 1
      this.scrub.value = this.frame
      const epoch = data.frames[this.frame] ? `After epoch ${data.frames[this.frame]}` : "Before training"
      this.epoch.textContent = data.notes[this.frame] ? `${epoch}: ${data.notes[this.frame]}` : epoch
    }
    Object.assign(this.root.dataset, { token, layer: row, head: column, frame: this.frame, version: this.version, drawn: ++this.drawn })
  }

  // Paint the image, and over it each patch in the colour of its value; the opacity follows the value.
  paint(canvas, width, values, high) {
    const context = this.blank(canvas, width)
    const { rows, columns, opacity } = this.data
    const pixels = new ImageData(columns, rows)
    values.forEach((value, patch) => {
      const scaled = Math.min(1, Math.abs(value) / (high || 1))
      pixels.data.set([...this.colour(value, scaled), 255 * opacity * Math.sqrt(scaled)], 4 * patch)
    })
    Object.assign(this.stamp, { width: columns, height: rows })
    this.stamp.getContext("2d").putImageData(pixels, 0, 0)
    context.imageSmoothingEnabled = false
    context.drawImage(this.stamp, 0, 0, canvas.width, canvas.height)
    this.outlineChosen(canvas, context, Math.max(1, canvas.width / 130))
  }

  // Amounts use the whole scale; signed numbers have a colour for each sign, and only the opacity shows the amount.
  colour(value, scaled) {
    if (this.data.signed) return this.stops[value < 0 ? 0 : 1]
    return colourAt(this.stops, scaled)
  }

  paintPicker() {
    const { canvas } = this.picker
    const context = this.blank(canvas, canvas.clientWidth)
    const { rows, columns } = this.data
    gridLines(context, canvas.width, rows, columns, "rgba(255,255,255,0.4)")
    if (this.hovered >= 0) {
      context.fillStyle = "rgba(255,255,255,0.45)"
      context.fillRect(...boxOf(this.hovered, canvas, rows, columns))
    }
    this.outlineChosen(canvas, context, 3 * devicePixelRatio)
  }

  blank(canvas, width) {
    const side = Math.max(1, Math.round(width * devicePixelRatio))
    Object.assign(canvas, { width: side, height: side })
    const context = canvas.getContext("2d")
    context.imageSmoothingEnabled = this.image.naturalWidth > 128 // small images in their own pixels
    context.drawImage(this.image, 0, 0, canvas.width, canvas.height)
    return context
  }

  outlineChosen(canvas, context, width) {
    if (!this.onPatch()) return
    outline(context, boxOf(this.token - 1, canvas, this.data.rows, this.data.columns), width, 2 * width)
  }

  hover(patch) {
    this.hovered = patch
    if (this.data && this.image?.complete) this.paintPicker()
  }

  showTip(event, row, column) {
    const patch = this.patchAt(event)
    const value = this.values(row, column).patches[patch]
    const even = value * (this.data.prefix + this.data.rows * this.data.columns)
    const way = this.data.pairs ? `${this.tokenName(this.token)} → ${this.patchName(patch)}` : this.patchName(patch)
    const said = this.data.shares ? ` ${even.toFixed(1)} × even` : ` ${this.data.quantity}`
    this.tip.replaceChildren(make("b", "", number(value)), said, make("div", "", this.tileName(row, column)), make("div", "", way))
    this.tip.hidden = false
    const frame = this.root.getBoundingClientRect()
    const left = event.clientX - frame.left + 14
    this.tip.style.left = `${Math.max(0, left + this.tip.offsetWidth > frame.width ? left - this.tip.offsetWidth - 28 : left)}px`
    this.tip.style.top = `${event.clientY - frame.top + 14}px`
  }

  remove() {
    clearInterval(this.timer)
    super.remove()
  }
}

export default mount(MapGrid)
