// A table of records that never scrolls sideways: where its columns do not fit, each record becomes a card. Rows can be
// chosen, sorted, and described with tags and a note. The page stores what is chosen and sends it back.

const [FIRST_ROWS, FIRST_CARDS] = [12, 6] // rows shown at first, besides the chosen ones; a button shows all
const NARROW = 560 // pixels; below this width the table always shows cards

const compare = (one, other) => {
  if (one === null || other === null) return (one === null) - (other === null) // empty values are last in both directions
  return typeof one === "number" ? one - other : String(one).localeCompare(String(other), undefined, { numeric: true })
}

class RecordTable extends CountingWidget {
  constructor(parent) {
    super(parent, "records")
    this.sortBar = make("div", "sortbar")
    this.table = make("table", "", "", { role: "table" })
    this.more = make("button", "more", "", { type: "button" })
    this.said = make("p", "said", "", { role: "status" })
    this.more.onclick = () => {
      this.all = !this.all
      this.build()
    }
    this.root.append(this.sortBar, this.table, this.more, this.said)
    this.width = 0
    this.seen = new Set() // names that were chosen: their rows stay visible when they no longer are
    this.opened = new Set() // names of the rows whose notes are shown as a whole
    this.resized = new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - this.width) < 1) return // only the height has changed, as after each redraw
      this.width = entry.contentRect.width
      this.fit()
    })
    this.resized.observe(this.root)
  }

  update(component) {
    const fresh = this.receive(component)
    const { data } = this
    const draft = data.draft
    if (draft && draft.seq !== this.draftSeq) {
      this.draftSeq = draft.seq
      this.edit(draft.name, draft)
    }
    if (this.editing && !data.rows.some(row => row.name === this.editing.name)) this.editing = null
    if (fresh || !this.chosen) this.chosen = [...data.chosen]
    const signature = JSON.stringify([data.columns, data.rows, this.chosen, data.chosen, data.label])
    if (signature === this.signature) return
    this.signature = signature
    this.build()
  }

  // Drawing

  build(again = false) {
    const { data } = this
    const focused = this.focusKey()
    this.table.setAttribute("aria-label", data.label)
    if (this.sort && !data.columns.some(column => column.key === this.sort.key)) this.sort = null
    this.drawSortBar()
    const head = make("thead", "", "", { role: "rowgroup" })
    const line = make("tr", "", "", { role: "row" })
    line.append(...data.columns.map(column => this.header(column)))
    head.append(line)
    const body = make("tbody", "", "", { role: "rowgroup" })
    const rows = this.sorted()
    const most = this.narrow ? FIRST_CARDS : FIRST_ROWS
    for (const name of this.chosen) this.seen.add(name)
    const shown = this.all ? rows : rows.filter((row, place) => place < most || this.seen.has(row.name))
    for (const row of shown) {
      body.append(this.row(row))
      if (this.editing?.name === row.name) body.append(this.editing.line)
    }
    this.table.replaceChildren(head, body)
    this.more.hidden = rows.length <= most
    this.more.textContent = this.all ? "Show fewer" : `Show all ${rows.length}`
    this.more.ariaExpanded = String(Boolean(this.all))
    this.refocus(focused)
    if (!again) this.fit()
  }

  // Cards where the columns do not fit side by side.
  fit() {
    this.root.classList.remove("cards")
    const wide = this.table.scrollWidth > this.root.clientWidth + 1 || this.root.clientWidth < NARROW
    this.root.classList.toggle("cards", wide)
    if (wide === this.narrow) return
    this.narrow = wide
    if (this.data) this.build(true)
  }

  drawSortBar() {
    const { columns } = this.data
    this.sortBar.hidden = !this.data.sortable
    if (this.sortBar.hidden) return
    const select = make("select", "", "", { "data-focus": "sortbar" })
    const none = make("option", "", "As listed", { value: "" })
    const options = columns.flatMap(column =>
      [1, -1].map(way => make("option", "", `${column.title}, ${way > 0 ? "ascending" : "descending"}`, { value: `${way}${column.key}` })),
    )
    select.append(none, ...options)
    select.value = this.sort ? `${this.sort.way}${this.sort.key}` : ""
    select.onchange = () => {
      const way = select.value.startsWith("-") ? -1 : 1
      this.sort = select.value ? { key: select.value.slice(way < 0 ? 2 : 1), way } : null
      this.build()
    }
    const label = make("label", "", "Sort by ")
    label.append(select)
    this.sortBar.replaceChildren(label)
  }

  header(column) {
    const cell = make("th", column.numeric ? "numeric" : "", "", { role: "columnheader", scope: "col" })
    if (column.help) cell.title = column.help
    if (!this.data.sortable) {
      cell.textContent = column.title
      return cell
    }
    const way = this.sort?.key === column.key ? this.sort.way : 0
    if (way) cell.setAttribute("aria-sort", way > 0 ? "ascending" : "descending")
    const button = make("button", "sort", column.title, { type: "button", "data-focus": `sort:${column.key}` })
    button.append(make("span", "arrow", way > 0 ? "▲" : way < 0 ? "▼" : "", { "aria-hidden": "true" }))
    button.onclick = () => {
      const first = column.numeric ? -1 : 1 // the largest number first
      this.sort = way === 0 ? { key: column.key, way: first } : way === first ? { key: column.key, way: -first } : null
      this.build()
    }
    cell.append(button)
    return cell
  }

  sorted() {
    const rows = [...this.data.rows]
    if (!this.sort) return rows
    const { key, way } = this.sort
    const at = this.data.columns.findIndex(column => column.key === key)
    const value = row => (at === 0 ? row.name : row.cells[at - 1].sort)
    return rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)]
      return a === null || b === null ? compare(a, b) : way * compare(a, b)
    })
  }

  row(row) {
    const place = this.chosen.indexOf(row.name)
    const line = make("tr", place >= 0 ? "chosen" : "", "", { role: "row" })
    line.append(this.nameCell(row, place))
    row.cells.forEach((cell, index) => line.append(this.cell(cell, this.data.columns[index + 1])))
    return line
  }

  nameCell(row, place) {
    const { data } = this
    const cell = make("th", "name", "", { scope: "row", role: "rowheader" })
    const box = make("div", "who")
    if (data.most) {
      const check = make("input", "", "", { type: "checkbox", "aria-label": `Compare ${row.title}`, "data-focus": `check:${row.name}` })
      check.checked = place >= 0
      check.onchange = () => this.choose(row.name, check)
      box.append(check)
    }
    if (data.colours.length) {
      const swatch = make("span", "swatch", "", { "aria-hidden": "true" })
      if (place >= 0 && place < data.colours.length) swatch.style.background = data.colours[place]
      box.append(swatch)
    }
    if (data.pictures) {
      const frame = make("span", "picture")
      if (row.picture) frame.append(make("img", "", "", { src: row.picture, alt: row.pictureAlt, title: row.pictureAlt }))
      box.append(frame)
    }
    const words = make("div", "words")
    const title = make("span", "title", row.title)
    words.append(title)
    if (row.tags?.length) {
      const tags = make("span", "tags")
      tags.append(...row.tags.map(tag => make("span", "tag", tag)))
      words.append(tags)
    }
    if (row.note) {
      const note = make("span", this.opened.has(row.name) ? "note open" : "note", row.note)
      note.onclick = () => {
        if (!this.opened.delete(row.name)) this.opened.add(row.name)
        note.classList.toggle("open")
      }
      words.append(note)
    }
    box.append(words)
    if (row.editable) {
      const button = make("button", "pencil", "✎", {
        type: "button", "aria-label": `Tags and note of ${row.title}`, title: "Tags and note", "data-focus": `edit:${row.name}`,
      })
      button.onclick = () => {
        if (this.editing?.name === row.name) this.close(row.name)
        else this.edit(row.name, { tags: row.tags, note: row.note, problem: "" })
        this.build()
        this.editing?.first.focus()
      }
      box.append(button)
    }
    cell.append(box)
    return cell
  }

  cell(cell, column) {
    const kind = `${column.numeric ? "numeric" : ""} ${cell.empty ? "empty" : ""}`
    const element = make("td", kind, "", { role: "cell", "data-title": column.title })
    if (cell.strip) element.append(this.strip(cell))
    else element.append(make("span", cell.tone ? `tone ${cell.tone}` : "", cell.text))
    return element
  }

  // A small line from the smallest to the largest value, a dot for each value and a bar at the mean.
  strip({ strip, text }) {
    const { low, high, values, mean } = strip
    const [width, height] = [160, 22]
    const x = value => 6 + ((value - low) / (high - low || 1)) * (width - 12)
    const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, class: "strip", role: "img", "aria-label": text })
    const [first, last] = [Math.min(...values), Math.max(...values)]
    svg.append(
      makeSvg("line", { x1: 6, x2: width - 6, y1: height / 2, y2: height / 2, class: "ground" }),
      makeSvg("line", { x1: x(first), x2: x(last), y1: height / 2, y2: height / 2, class: "range" }),
      ...values.map(value => makeSvg("circle", { cx: x(value), cy: height / 2, r: 3.5, class: "dot" })),
      makeSvg("line", { x1: x(mean), x2: x(mean), y1: 2, y2: height - 2, class: "mean" }),
    )
    return svg
  }

  // Choosing

  choose(name, check) {
    const { most } = this.data
    if (check.checked && this.chosen.length >= most) {
      check.checked = false
      this.said.textContent = `At most ${most} runs can be compared.`
      return
    }
    this.said.textContent = ""
    this.chosen = check.checked ? [...this.chosen, name] : this.chosen.filter(one => one !== name)
    this.tell("choice", { names: this.chosen })
    this.signature = ""
    this.build()
  }

  // Tags and notes

  edit(name, { tags, note, problem }) {
    const { limits, known } = this.data
    const form = make("form", "edit")
    const names = make("input", "", "", { type: "text", placeholder: "baseline, to repeat", maxlength: limits.tags * (limits.tag + 2), spellcheck: "false" })
    names.value = tags.join(", ")
    const text = make("textarea", "", "", { rows: 3, maxlength: limits.note })
    text.value = note
    const label = (title, field) => {
      const element = make("label", "", title)
      element.append(field)
      return element
    }
    const split = () => names.value.split(",").map(tag => tag.trim()).filter(Boolean)
    const offered = make("div", "offered")
    offered.append(...known.map(tag => {
      const button = make("button", "tag", tag, { type: "button" })
      button.onclick = () => {
        const now = split()
        names.value = (now.includes(tag) ? now.filter(one => one !== tag) : [...now, tag]).join(", ")
        press()
      }
      return button
    }))
    const press = () => {
      const now = split()
      for (const button of offered.children) button.ariaPressed = String(now.includes(button.textContent))
    }
    names.oninput = press
    press()
    const buttons = make("div", "buttons")
    const save = make("button", "save", "Save", { type: "submit" })
    const cancel = make("button", "", "Cancel", { type: "button" })
    cancel.onclick = () => this.close(name)
    buttons.append(save, cancel)
    form.onsubmit = event => {
      event.preventDefault()
      this.tell("notes", { name, tags: split(), note: text.value })
      this.close(name)
    }
    form.onkeydown = event => {
      event.stopPropagation() // typed letters must not trigger Streamlit's keyboard shortcuts
      if (event.key === "Escape") this.close(name)
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit()
    }
    if (problem) form.append(make("p", "problem", problem, { role: "alert" }))
    form.append(label(`Tags, with commas between them (up to ${limits.tags})`, names))
    if (known.length) form.append(offered)
    form.append(label("Note", text), buttons)
    const line = make("tr", "editor", "", { role: "row" })
    const cell = make("td", "", "", { role: "cell", colspan: this.data.columns.length })
    cell.append(form)
    line.append(cell)
    this.editing = { name, line, first: names }
    this.signature = ""
  }

  close(name) {
    this.editing = null
    this.build()
    this.refocus(`edit:${name}`)
  }

  // Keep the focus when the table is redrawn.

  focusKey() {
    const active = this.root.getRootNode().activeElement
    this.inForm = this.editing?.line.contains(active) ? active : null
    return active?.dataset?.focus
  }

  refocus(key) {
    if (this.inForm) this.inForm.focus({ preventScroll: true })
    else if (key) this.root.querySelector(`[data-focus="${CSS.escape(key)}"]`)?.focus({ preventScroll: true })
  }
}

export default mount(RecordTable)
