// Maps over one image: a patch picker, one map enlarged, and a tile for every row and column, such as layer and head.
// The maps of all tokens are here, so neither the pointer nor a click waits for a server. Frames (the epochs of a
// time-lapse) are played here too.
//
// While no patch is pinned, the maps are those of the patch below the pointer or of the patch that the arrow keys have
// reached; without one they are those of the chosen token. A click or Enter pins a patch, and only then tells `pick`.

import { FilmWidget } from "map_grid/frames"
import { Ground } from "map_grid/ground"
import { colourPixels, lower, number, percent, pixelTable, short, write } from "map_grid/values"
import { ARROWS, boxOf, gradient, gridLines, make, neighbour, outline, patchUnder, percentile } from "shared"

const ROLE_PIXELS = 68 // a narrower tile has no room for the role of its head
const LIVE_WORDS_MS = 250
const SHORT_PIXELS = 62 // the names of narrower tiles are short

export class MapGrid extends FilmWidget {
  constructor(parent) {
    super(parent, "attention")
    this.side = make("div", "side")
    this.picker = this.panel("Pick a patch", "picker")
    this.large = this.panel("", "large")
    const main = make("div", "main")
    const head = make("div", "head")
    this.legend = { low: make("span"), bar: make("span", "bar"), high: make("span") }
    const legend = make("div", "legend")
    legend.append(this.legend.low, this.legend.bar, this.legend.high)
    this.title = make("h4")
    head.append(this.title, legend)
    this.tiles = make("div", "tiles")
    this.key = make("p", "key")
    main.append(this.player(), head, this.tiles, this.key)
    this.tip = make("div", "tip")
    this.tip.hidden = true
    this.root.append(this.side, main, this.tip)

    this.from = make("p", "from", "", { "aria-live": "polite" }) // announces the patch that an arrow key has reached
    this.summary = make("button", "summary", "", { type: "button" })
    this.summary.onclick = () => this.release(true)
    this.before = make("div", "before")
    this.tiles.onkeydown = event => this.walk(event)
    this.tiles.onpointerleave = () => (this.tip.hidden = true)
    this.stamp = document.createElement("canvas") // one pixel a patch
    this.ground = new Ground()
    this.tops = new Map()
    this.preview = null
    this.hovered = -1
    this.drawn = 0
    this.redrawOnResize()
  }

  panel(title, name) {
    const figure = make("figure", name)
    const canvas = document.createElement("canvas")
    const view = { figure, canvas, title: make("figcaption", "", title) }
    figure.append(view.title, canvas)
    canvas.onclick = event => this.data.picker && this.choose(this.patchAt(event) + 1)
    canvas.onpointermove = event => this.point(event, view)
    canvas.onpointerleave = () => this.leave()
    canvas.onkeydown = event => this.data.picker && this.pressed(event)
    canvas.onblur = () => this.leave()
    this.side.append(figure)
    return view
  }

  // Use another image, or the same canvas with new content, and new numbers; they are shown at the next draw().
  setImage(image) {
    this.ground.set(image)
    this.tops.clear()
  }

  update(data) {
    if (this.data?.read !== data.read) this.tops.clear() // other maps
    this.data = data
    if (data.token !== this.token) this.pinned = data.token > 0 && data.offersSummary
    Object.assign(this, { token: data.token, row: data.row, column: data.column })
    if (!this.timer) this.frame = data.frame
    this.colours = pixelTable(data)
    this.root.style.setProperty("--border-colour", data.borderColour)
    this.build()
    this.draw()
  }

  // What a tile shows for a token in a frame of the time-lapse: `{ prefix, patches }`, the values of the tokens before
  // the patches and of each patch.
  read(row, column, token, frame) {
    return this.data.read(row, column, token, frame)
  }

  isReady() {
    return true
  }

  followsIn() {
    return true
  }

  pick(choice) {
    Object.assign(this, choice)
    this.draw()
    const { token, row, column, frame } = this
    this.tell("pick", { token, row, column, frame })
  }

  // Pin a patch, or release the pinned one.
  choose(token) {
    this.tip.hidden = true
    if (this.pinned && token === this.token) {
      this.release()
      if (this.follows() && matchMedia("(hover: hover)").matches) this.preview = token // still below the pointer
      this.draw()
    } else {
      this.pinned = true
      this.preview = null
      this.pick({ token })
    }
  }

  // Without a pinned patch the maps are those of the summary token, or of the last patch if there is none to choose.
  release(always = false) {
    this.pinned = false
    this.preview = null
    if (this.data.offersSummary && (always || this.token)) this.pick({ token: 0 })
    else this.draw()
  }

  // Whether maps can follow the pointer: they depend on the token, and those of every token are here, at least for the
  // enlarged tile.
  follows = () => this.data.pairs && (this.data.every || this.followsIn(this.row, this.column))

  shown = () => this.preview ?? this.token
  shownIn = (row, column) => (this.followsIn(row, column) ? this.shown() : this.token)

  point(event, view) {
    const patch = this.patchAt(event)
    const picks = view === this.target && this.data.picker
    if (picks && this.follows() && !this.pinned) {
      if (this.preview === patch + 1) return
      this.preview = patch + 1
    } else {
      if (view === this.large) this.showTip(event, this.row, this.column)
      if (!picks || this.hovered === patch) return
      this.hovered = patch
    }
    this.drawSoon()
  }

  leave() {
    this.tip.hidden = true
    if (this.preview === null && this.hovered < 0) return
    this.preview = null
    this.hovered = -1
    this.drawSoon()
  }

  // Draw at the next animation frame, once for all events until then.
  drawSoon() {
    this.soon ??= requestAnimationFrame(() => {
      this.soon = null
      this.draw()
    })
  }

  // Arrow keys move over the patches and Enter pins one; if the maps cannot follow, an arrow key pins the next patch.
  pressed(event) {
    const { rows, columns, offersSummary } = this.data
    const token = this.shown()
    if (event.key === "Escape" || event.key === "Home") this.release(offersSummary)
    else if (event.key in ARROWS) {
      // From another token an arrow key goes to the first patch.
      const next = this.onPatch(token) ? neighbour(token - 1, ARROWS[event.key], rows, columns) + 1 : 1
      if (this.follows()) {
        this.preview = next
        this.drawSoon()
      } else this.choose(next)
    } else if ((event.key === "Enter" || event.key === " ") && this.follows() && this.onPatch(token)) this.choose(token)
    else return
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
  onPatch = token => token >= 1 && token <= this.data.rows * this.data.columns
  tokenName = token => {
    if (!token) return this.data.summary
    return this.onPatch(token) ? this.patchName(token - 1) : this.data.before[token - 1 - this.data.rows * this.data.columns]
  }

  values = (row, column, frame = this.frame) => this.read(row, column, this.shownIn(row, column), frame)

  tileName = (row, column) => {
    const { rowNames, columnNames } = this.data
    if (columnNames.length === 1) return rowNames[row - 1]
    return rowNames.length === 1 ? columnNames[column - 1] : `${rowNames[row - 1]}, ${lower(columnNames[column - 1])}`
  }

  noteOf = (row, column) => this.data.tileNotes[(row - 1) * this.data.columnNames.length + column - 1] ?? {}

  build() {
    const { rowNames, columnNames, picker, before, rows, columns, pairs, onMap } = this.data
    const shape = JSON.stringify([rowNames, columnNames, picker, before, rows, columns, pairs, onMap])
    if (this.shape === shape) return
    this.shape = shape
    const single = rowNames.length * columnNames.length === 1 // always large
    this.enlarging = this.data.enlarges && !single
    const staged = picker && pairs && onMap && this.enlarging // one stage: the image with the enlarged map is also the picker
    this.target = staged ? this.large : this.picker
    this.side.hidden = !picker && !this.enlarging
    this.root.classList.toggle("single", single)
    this.root.classList.toggle("staged", staged)
    this.large.figure.hidden = !this.enlarging
    this.large.figure.classList.toggle("picker", staged)
    this.picker.figure.classList.toggle("picker", !staged)
    this.picker.figure.hidden = !picker || staged
    for (const { canvas } of [this.picker, this.large]) {
      const picks = canvas === this.target.canvas && picker
      Object.assign(canvas, { tabIndex: picks ? 0 : -1, role: picks ? "application" : "img" })
      canvas.style.cursor = picker ? "" : "default"
    }
    this.target.canvas.after(this.from, this.summary, this.before)
    this.before.replaceChildren(...before.map((name, index) => {
      const button = make("button", "summary", name, { type: "button" })
      button.onclick = () => {
        this.preview = null
        this.pinned = true
        this.pick({ token: rows * columns + 1 + index })
      }
      button.hidden = name === this.data.summary // it has its own button
      return button
    }))
    this.buildTiles(single)
  }

  buildTiles(single) {
    const { rowNames, columnNames, picker } = this.data
    const flow = rowNames.length === 1 && columnNames.length > 4 // one long row wraps, each tile under its own name
    const many = columnNames.length > 6
    const few = rowNames.length === 1 // and no more than four columns
    this.tiles.classList.toggle("flow", flow)
    this.tiles.classList.toggle("many", many)
    this.tiles.replaceChildren(...(flow ? [] : [make("span", "corner")]))
    const largest = single ? 400 : few ? 220 : rowNames.length > 6 || many ? 104 : 156
    for (const [name, value] of [["columns", columnNames.length], ["rows", rowNames.length], ["largest", `${largest}px`]])
      this.root.style.setProperty(`--${name}`, value)
    this.names = [] // each with its full text: narrow tiles have short names
    const named = (text, kind) => {
      const name = make("span", kind, text)
      this.names.push([name, single && picker ? "" : text]) // the title names a single tile
      return name
    }
    if (!flow) for (const name of columnNames) this.tiles.append(named(name, "column"))
    this.cells = []
    rowNames.forEach((name, index) => {
      const row = index + 1
      if (!flow) this.tiles.append(named(name, "line"))
      for (let column = 1; column <= columnNames.length; column++) {
        const cell = this.cell(row, column)
        if (flow) {
          const box = make("div", "named")
          box.append(make("span", "column", columnNames[column - 1]), cell.tile)
          this.tiles.append(box)
        } else this.tiles.append(cell.tile)
        this.cells.push(cell)
      }
    })
  }

  cell(row, column) {
    const tile = make("button", "tile", "", { type: "button" })
    const cell = { row, column, tile, canvas: document.createElement("canvas"), role: make("span", "role"), share: make("span", "share") }
    tile.append(cell.canvas, cell.role, cell.share)
    tile.onclick = event => {
      if (this.enlarging) this.pick({ row, column })
      else if (this.data.picker && event.detail) this.choose(this.patchAt(event) + 1) // a key press has no position
    }
    cell.canvas.onpointermove = event => this.showTip(event, row, column)
    return cell
  }

  // One scale for all tiles and all frames; it ends at the 99th percentile, since one high value would darken the rest.
  sharedTop() {
    const token = this.data.every ? this.shown() : this.token
    if (!this.tops.has(token)) {
      const frames = Math.max(1, this.data.frames.length)
      const shown = this.cells.flatMap(cell => Array.from({ length: frames }, (_, frame) => this.values(cell.row, cell.column, frame).patches))
      this.tops.set(token, percentile(shown, 0.99))
    }
    return this.tops.get(token)
  }

  draw() {
    const { data, row, column } = this
    const token = this.shown()
    if (!data || !this.ground.isThere() || !this.root.clientWidth || !this.isReady()) return
    const rows = this.cells.map(cell => this.values(cell.row, cell.column))
    const shared = data.top ?? this.sharedTop()
    const top = patches => (data.perTile ? patches.reduce((most, value) => Math.max(most, Math.abs(value)), 0) : shared)
    const width = this.cells[0].canvas.clientWidth
    this.cells.forEach((cell, index) => this.paint(cell.canvas, width, rows[index].patches, top(rows[index].patches), this.shownIn(cell.row, cell.column)))
    const chosen = rows[(row - 1) * data.columnNames.length + column - 1].patches
    if (this.enlarging) this.paint(this.large.canvas, this.large.canvas.clientWidth, chosen, top(chosen), token)
    if (this.target === this.picker) this.paintPicker()
    if (this.mayWrite()) this.write(rows, width, token, data.perTile ? "each tile's own maximum" : number(shared))
    const pinned = this.pinned ? this.token : ""
    Object.assign(this.root.dataset, { token, pinned, layer: row, head: column, frame: this.frame, version: data.version, drawn: ++this.drawn })
  }

  // Numbers that change with every frame of a camera cannot be read, and take time to lay out.
  mayWrite() {
    const now = performance.now()
    if (this.data.live && now - this.written < LIVE_WORDS_MS) return false
    this.written = now
    return true
  }

  // Write what is beside the maps; `most` is the end of the colour scale.
  write(rows, width, token, most) {
    const { data, row, column } = this
    const walked = this.tiles.matches(":focus-within") // then walk() decides
    for (const [name, text] of this.names) write(name, width < SHORT_PIXELS ? short(text) : text)
    this.cells.forEach((cell, index) => {
      const note = this.noteOf(cell.row, cell.column)
      const share = rows[index].prefix.reduce((sum, value) => sum + value, 0)
      const name = [this.tileName(cell.row, cell.column), note.role].filter(Boolean).join(", ")
      cell.share.hidden = !data.prefix || !data.shares || width < 34
      write(cell.share, width > 130 ? `${data.beforeShort} ${percent(share)}` : percent(share))
      cell.role.hidden = !note.role || width < ROLE_PIXELS
      write(cell.role, note.role ?? "")
      cell.tile.style.setProperty("--border", `${note.border ? (2 + 3 * note.border) * Math.min(1, width / SHORT_PIXELS) : 0}px`)
      cell.tile.ariaPressed = String(this.enlarging && cell.row === row && cell.column === column)
      if (!walked) cell.tile.tabIndex = cell.row === row && cell.column === column ? 0 : -1
      cell.tile.ariaLabel = [name, data.prefix && data.shares ? `: ${percent(share)} to ${data.beforeWords}` : "", ...(note.about ?? []).map(one => `. ${one}`)].join("")
    })
    this.say(token)
    this.legend.bar.style.background = gradient(data.colours, data.signed)
    write(this.legend.low, data.signed ? (data.perTile ? `${data.quantity} −` : `${data.quantity} ≤ −${most}`) : `${data.quantity} 0`)
    write(this.legend.high, data.perTile ? most : `≥ ${most}`)
    this.showEpoch()
  }

  // Write the titles, which token the maps belong to, and what a click does.
  say(token) {
    const { data, row, column } = this
    const [name, at] = [this.tokenName(token), this.tileName(row, column)]
    const touch = matchMedia("(hover: none)").matches
    write(this.title, data.title)
    write(this.large.title, [at, this.noteOf(row, column).role].filter(Boolean).join(": "))
    const corner = data.prefix && data.shares && !this.cells[0].share.hidden
    write(this.key, [...(corner ? [`Number in the corner: the share of ${data.beforeWords}.`] : []), ...data.key].join("\n"))
    this.key.hidden = !this.key.textContent
    if (!data.pairs) write(this.from, `Chosen: ${name}.`)
    else if (!this.follows()) write(this.from, `From the ${name}. The maps change with a click: those of all patches are too large to send at once.`)
    else if (this.preview !== null) write(this.from, `From ${name}${data.every ? "" : ", in this map. A click changes all maps"}.`)
    else if (this.pinned && this.onPatch(token)) write(this.from, `From ${name}, pinned: ${touch ? "tap" : "click"} it again to release it.`)
    else {
      const view = data.quantity.includes("attention") ? "what it attends to" : "its maps"
      const click = data.every ? "click to pin it" : "click it to change the other maps too: those of all patches are too large to send at once"
      const how = touch ? `Tap a patch to see ${view}.` : `Point at a patch to see ${view}, ${click}.`
      write(this.from, `From ${this.onPatch(token) ? "" : "the "}${name}. ${how}`)
    }
    const keys = this.follows() ? "Arrow keys move over the patches, Enter pins one" : "Arrow keys choose a patch"
    this.large.canvas.ariaLabel = at + (data.pairs ? `, from the ${name}` : "")
    const label = this.target === this.large ? `${this.large.canvas.ariaLabel}. ` : "The image. "
    if (data.picker) this.target.canvas.ariaLabel = `${label}Chosen: ${name}. ${keys}${data.offersSummary ? ", Escape returns to the summary token" : ""}.`
    write(this.summary, token && !this.preview ? `Back to the ${data.summary}` : `Summary token (${data.summary})`)
    this.summary.ariaPressed = String(!token)
    this.summary.hidden = !data.offersSummary
    ;[...this.before.children].forEach((button, index) => (button.ariaPressed = String(token === data.rows * data.columns + 1 + index)))
  }

  // Paint the image, and over it each patch in the colour of its value.
  paint(canvas, width, values, high, token) {
    const context = this.ground.paint(canvas, width)
    const { rows, columns, smooth, signed } = this.data
    if (this.stamp.width !== columns || this.stamp.height !== rows || !this.pixels) {
      Object.assign(this.stamp, { width: columns, height: rows })
      this.pixels = new ImageData(columns, rows)
    }
    colourPixels(new Uint32Array(this.pixels.data.buffer), values, { table: this.colours, high, signed })
    this.stamp.getContext("2d").putImageData(this.pixels, 0, 0)
    context.imageSmoothingEnabled = smooth
    context.imageSmoothingQuality = "high"
    context.drawImage(this.stamp, 0, 0, canvas.width, canvas.height)
    if (this.onPatch(token)) outline(context, boxOf(token - 1, canvas, rows, columns), ...[1, 2].map(times => times * Math.max(1, canvas.width / 130)))
    if (canvas === this.target.canvas && this.hovered >= 0 && this.hovered !== token - 1) {
      context.strokeStyle = "rgb(255 255 255 / 0.8)"
      context.lineWidth = devicePixelRatio
      context.strokeRect(...boxOf(this.hovered, canvas, rows, columns))
    }
  }

  paintPicker() {
    const { canvas } = this.picker
    const context = this.ground.paint(canvas, canvas.clientWidth)
    const { rows, columns } = this.data
    const token = this.shown()
    gridLines(context, canvas.width, rows, columns, "rgba(255,255,255,0.4)")
    if (this.hovered >= 0) {
      context.fillStyle = "rgba(255,255,255,0.45)"
      context.fillRect(...boxOf(this.hovered, canvas, rows, columns))
    }
    if (this.onPatch(token)) outline(context, boxOf(token - 1, canvas, rows, columns), 3 * devicePixelRatio, 6 * devicePixelRatio)
  }

  showTip(event, row, column) {
    const patch = this.patchAt(event)
    const value = this.values(row, column).patches[patch]
    const even = value * (this.data.prefix + this.data.rows * this.data.columns)
    const way = this.data.pairs ? `${this.tokenName(this.shown())} → ${this.patchName(patch)}` : this.patchName(patch)
    const said = this.data.shares ? ` ${even.toFixed(1)} × even` : ` ${this.data.quantity}`
    const lines = [this.tileName(row, column), way].map(text => make("div", "", text))
    const about = (this.noteOf(row, column).about ?? []).map(text => make("div", "about", text))
    this.tip.replaceChildren(make("b", "", number(value)), said, ...lines, ...about)
    this.tip.hidden = false
    const frame = this.root.getBoundingClientRect()
    const left = event.clientX - frame.left + 14
    this.tip.style.left = `${Math.max(0, left + this.tip.offsetWidth > frame.width ? left - this.tip.offsetWidth - 28 : left)}px`
    const below = event.clientY + this.tip.offsetHeight + 14 < innerHeight
    this.tip.style.top = `${event.clientY - frame.top + (below ? 14 : -14 - this.tip.offsetHeight)}px`
  }

  remove() {
    cancelAnimationFrame(this.soon)
    super.remove()
  }
}
