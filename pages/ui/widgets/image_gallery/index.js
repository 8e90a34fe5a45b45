// A button with the current image. It opens a gallery of thumbnails with their classes and the answers of the network.
// Python sends the lists, the answers and one sheet of thumbnails when this asks for them; filtering, sorting and paging
// happen here.

const SHEETS_KEPT = 24
const PATIENCE = 10_000 // milliseconds after which an unanswered question is asked again
const POLL = 700 // milliseconds between two questions for answers that are being computed
const SORTS = [["number", "Number"], ["sure", "Most sure first"], ["unsure", "Least sure first"]]
const OUTCOMES = [["", "Right and wrong"], ["1", "Right only"], ["0", "Wrong only"]]
const percent = share => `${(100 * share).toFixed(share > 0.9995 || share < 0.0995 ? 1 : 0)}\u00a0%`

class ImageGallery extends Widget {
  constructor(parent) {
    super(parent, "picker")
    this.seq = 0
    this.asked = 0 // the number of the question that is not answered yet
    this.section = "val"
    this.first = 0
    this.chosen = new Set()
    this.forget()
    this.button = make("button", "card", "", { type: "button", "aria-haspopup": "dialog" })
    this.button.onclick = () => this.open()
    this.root.append(this.button)
    this.build()
  }

  remove() {
    clearTimeout(this.later)
    clearTimeout(this.patience)
    this.dialog.close()
    super.remove()
  }

  forget() {
    this.lists = this.answers = null
    this.filters = { class: "", right: "", sort: "number" }
    this.thumbnails = new Map() // by id: the sheet and the place in it
    this.sheets = []
  }

  // The dialog

  build() {
    const dialog = (this.dialog = make("dialog", "gallery"))
    this.title = make("h2", "", "", { id: "title" })
    dialog.setAttribute("aria-labelledby", "title")
    const close = make("button", "icon", "close", { type: "button", "aria-label": "Close" })
    close.onclick = () => dialog.close()
    const head = make("div", "line head")
    head.append(this.title, close)
    this.tabs = make("div", "line tabs", "", { role: "group", "aria-label": "Kind of images" })
    this.bar = make("div", "line filters")
    this.says = make("p", "says", "", { role: "status" })
    this.list = make("div", "list", "", { role: "listbox" })
    this.list.onkeydown = event => this.key(event)
    this.list.onclick = event => this.choose(event.target.closest("[role=option]"))
    this.foot = make("div", "line foot")
    dialog.append(head, this.tabs, this.bar, this.says, this.list, this.foot)
    dialog.onclick = event => event.target === dialog && dialog.close() // a click beside it
    dialog.onclose = () => clearTimeout(this.later)
    this.buildFilters()
    this.buildFoot()
    this.root.append(dialog)
  }

  buildFilters() {
    this.selects = {}
    for (const [name, label] of [["class", "Class"], ["right", "Answer"], ["sort", "Order"]]) {
      const field = make("label", "", label)
      const select = (this.selects[name] = make("select", "", "", { "aria-label": label }))
      select.onchange = () => {
        this.filters[name] = select.value
        this.first = 0
        this.draw()
      }
      field.append(select)
      this.bar.append(field)
    }
  }

  buildFoot() {
    const button = (text, action) => {
      const made = make("button", "", text, { type: "button" })
      made.onclick = action
      return made
    }
    this.back = button("Previous page", () => this.turn(-1))
    this.forward = button("Next page", () => this.turn(1))
    this.place = make("span", "place")
    this.done = button("", () => this.pick([...this.chosen]))
    this.done.classList.add("primary")
    this.foot.append(this.back, this.place, this.forward, this.done)
  }

  open() {
    this.chosen = new Set(this.data.chosen)
    const id = this.data.chosen[0] || ""
    this.section = id.startsWith("pic-") ? "own" : id.startsWith("sample-") || !this.data.count ? "photographs" : "val"
    this.stale = true // images may have been uploaded since
    this.dialog.showModal()
    this.turnTo(id)
    this.list.querySelector("[tabindex='0']")?.focus()
  }

  // Show the page on which an image is.
  turnTo(id) {
    const at = this.indices().findIndex(index => this.idOf(index) === id)
    this.first = at < 0 ? 0 : at - (at % this.data.page)
    this.draw()
  }

  turn(by) {
    this.first = Math.max(0, this.first + by * this.data.page)
    this.draw()
    this.list.scrollTop = 0
  }

  // What Python sends

  update({ data, setTriggerValue }) {
    if (this.data && this.data.version !== data.version) this.forget()
    this.data = data
    this.trigger = setTriggerValue
    if (data.lists) Object.assign(this, { lists: data.lists, stale: false })
    if (data.answers) this.answers = data.answers
    if (data.sheet) this.receive(data.sheet)
    if (data.seq >= this.asked) this.asked = 0
    this.drawButton()
    if (this.dialog.open) this.draw()
  }

  receive({ ids, columns, image }) {
    if (ids.every(id => this.thumbnails.get(id)?.url === image)) return // a rerun has sent it again
    const sheet = new Image()
    ids.forEach((id, place) => this.thumbnails.set(id, { sheet, url: image, columns, place, rows: Math.ceil(ids.length / columns) }))
    this.sheets.push(ids)
    if (this.sheets.length > SHEETS_KEPT) this.sheets.shift().forEach(id => this.thumbnails.delete(id))
    sheet.onload = () => this.dialog.open && this.draw()
    sheet.src = image
  }

  // Ask for what the open gallery lacks, one question at a time.
  ask() {
    clearTimeout(this.later)
    if (!this.dialog.open || this.asked) return
    const wants = {}
    if (this.stale) wants.lists = true
    const missing = this.onPage.map(one => one.id).filter(id => !this.thumbnails.has(id))
    if (missing.length) wants.sheet = missing
    const complete = !wants.lists && !missing.length // computing the answers would delay the thumbnails
    if (complete && this.data.count && (!this.answers || this.start)) {
      Object.assign(wants, { answers: true, start: Boolean(this.start) })
    }
    if (Object.keys(wants).length) return this.tell({ wants })
    if (this.answers?.state === "running") this.later = setTimeout(() => this.tell({ wants: { answers: true } }), POLL)
  }

  tell(event) {
    this.start = false
    this.asked = ++this.seq
    this.trigger("ask", { ...event, seq: this.seq })
    clearTimeout(this.patience)
    this.patience = setTimeout(() => {
      this.asked = 0
      this.ask()
    }, PATIENCE)
  }

  // Images

  // Return the indices of the section's images that pass the filters, in order.
  indices() {
    if (this.section !== "val") return (this.lists?.[this.section] || []).map((_, index) => index)
    const labels = this.lists?.labels || []
    const { said, sure, right } = this.answers?.state === "ready" ? this.answers : {}
    const found = []
    for (let index = 0; index < this.data.count; index++) {
      if (this.filters.class !== "" && labels[index] !== Number(this.filters.class)) continue
      if (said && this.filters.right !== "" && right[index] !== Number(this.filters.right)) continue
      found.push(index)
    }
    const sign = { sure: -1, unsure: 1 }[this.filters.sort]
    if (said && sign) found.sort((one, two) => sign * (sure[one] - sure[two]) || one - two)
    return found
  }

  idOf(index) {
    return this.section === "val" ? `val-${index}` : this.lists[this.section][index].id
  }

  image(index) {
    if (this.section !== "val") return this.lists[this.section][index]
    const { labels = [], classes = [] } = this.lists || {}
    const { said, sure, right, names } = this.answers?.state === "ready" ? this.answers : {}
    const id = `val-${index}`
    const answer = said && { name: names[said[index]], sure: sure[index], right: Boolean(right[index]) }
    return { id, name: id, about: classes[labels[index]] || "", answer }
  }

  // Drawing

  drawButton() {
    const { current, label, count } = this.data
    this.title.textContent = `Choose ${this.data.most > 1 ? "images" : "an image"}`
    this.button.classList.toggle("plain", !current)
    if (!current) {
      this.button.replaceChildren(make("span", "icon", "photo_library", { "aria-hidden": "true" }), make("span", "", label))
      return
    }
    const picture = make("img", "", "", { alt: "", src: current.image })
    const words = make("span", "words")
    words.append(make("span", "name", current.name), make("span", "about", current.about))
    this.button.setAttribute("aria-label", `${label}: ${current.name}, ${current.about}. Open the gallery`)
    this.button.title = `Choose one of ${count.toLocaleString("en")} validation images, photographs and your images`
    this.button.replaceChildren(picture, words, make("span", "icon", "expand_more", { "aria-hidden": "true" }))
  }

  draw() {
    const found = this.indices()
    const page = this.data.page
    if (this.first >= found.length) this.first = Math.max(0, Math.ceil(found.length / page) - 1) * page
    this.onPage = found.slice(this.first, this.first + page).map(index => this.image(index))
    this.drawTabs()
    this.drawFilters()
    this.drawWords(found.length)
    this.drawList(this.onPage)
    const last = this.first + this.onPage.length
    this.place.textContent = found.length ? `${this.first + 1} to ${last} of ${found.length.toLocaleString("en")}` : ""
    this.back.disabled = this.first === 0
    this.forward.disabled = last >= found.length
    this.back.hidden = this.forward.hidden = found.length <= page
    this.done.hidden = this.data.most === 1
    this.done.disabled = !this.chosen.size
    this.done.textContent = `Show ${this.chosen.size} image${this.chosen.size === 1 ? "" : "s"}`
    this.ask()
  }

  drawTabs() {
    const kinds = [["val", "Validation images", this.data.count], ["photographs", "Photographs"], ["own", "Your images"]]
    const tabs = kinds.map(([kind, text, count = this.lists?.[kind].length]) => {
      const tab = make("button", "", count === undefined ? text : `${text} (${count.toLocaleString("en")})`, {
        type: "button",
        "aria-pressed": kind === this.section,
      })
      tab.onclick = () => {
        this.section = kind
        this.first = 0
        this.draw()
        this.tabs.children[kinds.findIndex(one => one[0] === kind)].focus()
      }
      tab.disabled = kind === "val" && !this.data.count
      return tab
    })
    this.tabs.replaceChildren(...tabs)
  }

  drawFilters() {
    this.bar.hidden = this.section !== "val"
    const known = this.answers?.state === "ready"
    const classes = (this.lists?.classes || []).map((name, index) => [String(index), name])
    const fill = (name, options, disabled) => {
      const select = this.selects[name]
      select.disabled = disabled
      const text = JSON.stringify(options)
      if (select.dataset.options === text) return
      select.dataset.options = text
      select.replaceChildren(...options.map(([value, label]) => make("option", "", label, { value })))
      select.value = this.filters[name]
    }
    if (this.lists) fill("class", [["", "All classes"], ...classes], false)
    fill("right", OUTCOMES, !known)
    fill("sort", SORTS, !known)
  }

  drawWords(count) {
    const answers = this.answers
    const words = {
      photographs: "Sample photographs in the public domain. Their class is unknown, so there is no right or wrong.",
      own: this.lists && !this.lists.own.length ? "You have no images here yet: upload, drop or paste one." : "",
    }[this.section]
    const start = answers?.state === "asks" && this.section === "val"
    const legend = answers?.state === "ready" ? "The network's answer: \u2713 right, \u2717 wrong, with its probability." : answers?.words
    const text = words ?? (count || !this.lists ? legend || "" : "No image matches: choose other filters.")
    if (this.says.dataset.text === text) return
    this.says.dataset.text = text
    this.says.replaceChildren(start ? make("button", "", text, { type: "button" }) : text)
    if (start) {
      this.says.firstChild.onclick = () => {
        this.start = true
        this.answers = { state: "running", words: "Starting" }
        this.draw()
      }
    }
  }

  // Tiles are kept while the same images are on the page, so that the focus and the scrolling stay.
  drawList(images) {
    const ids = images.map(one => one.id).join()
    if (this.list.dataset.ids !== ids) {
      this.list.dataset.ids = ids
      this.list.replaceChildren(...images.map(one => this.tile(one.id)))
    }
    this.list.classList.toggle("roomy", this.section !== "val")
    this.list.setAttribute("aria-label", "Images")
    this.list.setAttribute("aria-multiselectable", this.data.most > 1)
    const tiles = [...this.list.children]
    images.forEach((one, place) => this.fillTile(tiles[place], one))
    const focused = tiles.find(tile => tile.tabIndex === 0)
    if (!focused && tiles.length) (tiles.find(tile => this.chosen.has(tile.dataset.id)) || tiles[0]).tabIndex = 0
  }

  tile(id) {
    const tile = make("div", "thumbnail", "", { role: "option", tabindex: "-1", "data-id": id })
    tile.append(make("canvas", "", "", { "aria-hidden": "true", width: 1, height: 1 }), make("span", "name"), make("span", "about"))
    return tile
  }

  fillTile(tile, { id, name, about, answer }) {
    const [canvas, first, second] = tile.children
    const outcome = answer && (answer.right ? "right" : "wrong")
    first.textContent = about && this.section === "val" ? about : name
    second.textContent = answer
      ? `${answer.right ? "\u2713" : `\u2717 ${answer.name}`} ${percent(answer.sure)}`
      : this.section === "val"
        ? name
        : about
    tile.className = `thumbnail ${outcome || ""}`
    const answered = answer ? `, answer ${answer.name}, ${percent(answer.sure)}, ${outcome}` : ""
    const text = `${name}${about ? `, ${about}` : ""}${answered}`
    tile.setAttribute("aria-label", text)
    tile.title = text
    tile.setAttribute("aria-selected", this.chosen.has(id))
    const found = this.thumbnails.get(id)
    if (!found?.sheet.complete || !found.sheet.naturalWidth || canvas.dataset.drawn === id) return
    const { sheet, columns, rows, place } = found
    const [width, height] = [sheet.naturalWidth / columns, sheet.naturalHeight / rows]
    Object.assign(canvas, { width, height })
    const [left, top] = [(place % columns) * width, Math.floor(place / columns) * height]
    canvas.getContext("2d").drawImage(sheet, left, top, width, height, 0, 0, width, height)
    canvas.dataset.drawn = id
  }

  // Choosing

  choose(tile) {
    if (!tile) return
    this.focus(tile)
    if (this.data.most === 1) return this.pick([tile.dataset.id])
    const { id } = tile.dataset
    if (!this.chosen.delete(id) && this.chosen.size < this.data.most) this.chosen.add(id)
    this.draw()
  }

  pick(ids) {
    this.dialog.close()
    this.tell({ picks: ids })
  }

  focus(tile) {
    for (const one of this.list.querySelectorAll("[tabindex='0']")) one.tabIndex = -1
    tile.tabIndex = 0
    tile.focus()
  }

  key(event) {
    const tiles = [...this.list.children]
    const at = tiles.indexOf(event.target.closest("[role=option]"))
    if (at < 0) return
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
    if (event.key in steps) {
      const to = at + steps[event.key]
      if (tiles[to]) this.focus(tiles[to])
      else if (to < 0 && !this.back.disabled) this.turnAndFocus(-1)
      else if (to >= tiles.length && !this.forward.disabled) this.turnAndFocus(1)
    } else if (event.key === "Home") this.focus(tiles[0])
    else if (event.key === "End") this.focus(tiles.at(-1))
    else if (event.key === "PageUp" && !this.back.disabled) this.turnAndFocus(-1)
    else if (event.key === "PageDown" && !this.forward.disabled) this.turnAndFocus(1)
    else if (event.key === "Enter" || event.key === " ") this.choose(tiles[at])
    else return
    event.preventDefault()
  }

  turnAndFocus(by) {
    this.turn(by)
    const tiles = this.list.children
    if (tiles.length) this.focus(by < 0 ? tiles[tiles.length - 1] : tiles[0])
  }
}

export default mount(ImageGallery)
