// Record frames of a few classes with the camera, in bursts: what is recorded while a button is held. The frames stay in
// the browser until they are sent as one zip, through an uploader of the page, to the server.

const SHORTEST = 3 // frames: a burst with fewer was a slip

// What is recorded survives a visit to another page of the app; it is gone when the browser's tab is closed.
const kept = { classes: [], past: [], named: 0 }

class CameraRecorder extends CameraWidget {
  constructor(parent) {
    super(parent, "recorder")
    this.canvas = make("canvas")
    this.lamp = make("div", "lamp")
    this.view.insertBefore(this.lamp, this.cover)
    this.cameras = make("select", "cameras", "", { "aria-label": "Camera" })
    this.cameras.onchange = () => this.turnOn(this.cameras.value)
    const label = make("label", "clicks", " Click to start and to stop, instead of holding")
    this.clicks = make("input", "", "", { type: "checkbox" })
    this.clicks.onchange = () => this.draw()
    label.prepend(this.clicks)
    this.tools.prepend(this.cameras)
    this.stage.append(label)
    this.list = make("ul", "classes")
    this.add = iconButton("", "add", "Add a class", () => this.addClass())
    this.undo = iconButton("", "undo", "Undo", () => this.takeBack())
    const edit = make("div", "row")
    edit.append(this.add, this.undo)
    this.train = iconButton("primary", "model_training", "Train on these frames", () => this.send("train"))
    this.store = iconButton("", "save", "Only store them", () => this.send("store"))
    const send = make("div", "row")
    send.append(this.train, this.store)
    this.says = make("p", "says", "", { role: "status" })
    this.side.append(this.list, edit, send, this.says)
    this.listening = new AbortController()
    const { signal } = this.listening
    document.addEventListener("visibilitychange", () => document.hidden && this.stop(), { signal })
    window.addEventListener("blur", () => this.stop(), { signal })
  }

  remove() {
    this.listening.abort()
    clearTimeout(this.waiting)
    super.remove()
  }

  update({ data }) {
    this.data = data
    this.canvas.width = this.canvas.height = data.side
    if (!kept.classes.length) kept.classes = data.names.map(name => this.newClass(name))
    if (data.round !== this.round) {
      this.round = data.round
      this.sending = ""
      clearTimeout(this.waiting)
      this.say(data.problem)
    }
    this.draw()
  }

  // The camera

  opened(stream) {
    return this.showCameras(stream.getVideoTracks()[0].getSettings().deviceId)
  }

  async showCameras(chosen) {
    const found = await listCameras()
    const option = ({ deviceId, label }, place) => Object.assign(make("option", "", label || `Camera ${place + 1}`), { value: deviceId })
    this.cameras.replaceChildren(...found.map(option))
    this.cameras.value = chosen
    this.several = found.length > 1
  }

  turnOff(words) {
    this.stop()
    super.turnOff(words)
  }

  // Classes and bursts. A change makes a new list, so that the old one can be restored.

  newClass(name) {
    kept.named += 1
    return { id: kept.named, name, bursts: [] }
  }

  change(classes, words = "") {
    kept.past.push(kept.classes)
    kept.classes = classes
    this.say(words)
    this.draw()
  }

  changeClass(id, changes, words) {
    this.change(
      kept.classes.map(one => (one.id === id ? { ...one, ...changes(one) } : one)),
      words,
    )
  }

  addClass() {
    this.change([...kept.classes, this.newClass("")])
    this.list.querySelector("li:last-child input")?.focus()
  }

  removeClass(id) {
    this.change(kept.classes.filter(one => one.id !== id), "The class is removed. Undo brings it back.")
    this.add.focus()
  }

  removeBurst(id, burst) {
    this.changeClass(id, one => ({ bursts: one.bursts.filter(other => other !== burst) }), "The burst is deleted. Undo brings it back.")
    this.list.querySelector(`[data-id="${id}"] .hold`)?.focus()
  }

  takeBack() {
    kept.classes = kept.past.pop() || kept.classes
    this.say("The last change is undone.")
    this.draw()
  }

  count(one) {
    return one.bursts.reduce((sum, burst) => sum + burst.frames.length, 0)
  }

  // Recording

  start(id) {
    const one = kept.classes.find(other => other.id === id)
    if (!this.isOn || this.burst || this.sending || !one || this.isFull(one)) return
    const room = this.data.frames[1] - this.count(one)
    this.burst = { id, frames: [], room }
    this.say("")
    this.burst.timer = setInterval(() => this.grab(), 1000 / this.data.rate)
    this.grab()
    this.draw()
  }

  grab() {
    const { burst } = this
    if (burst.frames.length >= burst.room) return this.stop()
    burst.frames.push(grabSquare(this.video, this.canvas))
    this.lamp.textContent = `Recording: ${burst.frames.length}`
    this.tick(burst)
  }

  tick(burst) {
    const one = kept.classes.find(other => other.id === burst.id)
    const counter = this.list.querySelector(`[data-id="${burst.id}"] .count`)
    if (counter) counter.textContent = this.countWords(this.count(one) + burst.frames.length, one.bursts.length + 1)
  }

  async stop() {
    const { burst } = this
    if (!burst) return
    clearInterval(burst.timer)
    this.burst = null
    const frames = (await Promise.all(burst.frames)).filter(Boolean)
    const one = kept.classes.find(other => other.id === burst.id)
    if (!one) return
    if (frames.length < SHORTEST) {
      this.say(`That was too short: hold the button while you move ${one.name || "the object"}.`)
      return this.draw()
    }
    const thumbnail = URL.createObjectURL(frames[Math.floor(frames.length / 2)])
    const words = `Burst ${one.bursts.length + 1} of ${one.name || "the class"}: ${frames.length} frames.`
    this.changeClass(burst.id, one => ({ bursts: [...one.bursts, { frames, thumbnail }] }), words)
  }

  isFull(one) {
    return this.count(one) >= this.data.frames[1] || one.bursts.length >= this.data.bursts
  }

  // Hold with the mouse, a finger, Space or Enter. A click without any of them comes from a screen reader: it starts or
  // stops, as every click does if the visitor has chosen that.
  listen(button, id) {
    const toggle = () => (this.burst ? this.stop() : this.start(id))
    const holds = () => !this.clicks.checked
    button.onpointerdown = event => {
      if (!holds() || event.button) return
      button.setPointerCapture(event.pointerId)
      this.start(id)
    }
    button.onpointerup = button.onpointercancel = () => holds() && this.stop()
    button.oncontextmenu = event => event.preventDefault()
    button.onkeydown = event => {
      if (![" ", "Enter"].includes(event.key)) return
      event.preventDefault()
      if (!event.repeat) holds() ? this.start(id) : toggle()
    }
    button.onkeyup = event => {
      if (![" ", "Enter"].includes(event.key)) return
      event.preventDefault()
      if (holds()) this.stop()
    }
    button.onblur = () => holds() && this.burst?.id === id && this.stop() // the press of another button starts with this
    button.onclick = event => (this.clicks.checked || (!event.detail && !event.pointerType)) && toggle()
  }

  // Drawing

  draw() {
    if (!this.data) return
    super.draw()
    this.lamp.hidden = !this.burst
    this.cameras.hidden = !this.isOn || !this.several
    const before = [...this.list.children]
    const cards = kept.classes.map(one => this.card(one, before.find(card => card.dataset.id === String(one.id))))
    // A card that is moved loses the focus.
    if (cards.length !== before.length || cards.some((card, place) => card !== before[place])) this.list.replaceChildren(...cards)
    this.add.disabled = kept.classes.length >= this.data.classes[1]
    this.undo.disabled = !kept.past.length || Boolean(this.burst)
    const problem = this.problem()
    for (const [button, why] of [[this.train, this.data.trainProblem], [this.store, ""]]) {
      button.disabled = Boolean(problem || why || this.burst || this.sending)
      button.title = problem || why
    }
    if (problem && !this.said) this.says.textContent = problem
    else if (!this.said) this.says.textContent = this.data.trainProblem || "Ready to train."
  }

  // One class. Its card is kept from one drawing to the next, so that the focus and a held button stay.
  card(one, card = this.newCard(one.id)) {
    const { name, count, hold, bursts, warning, remove } = card.parts
    const recording = this.burst?.id === one.id
    if (name.value !== one.name && name !== this.activeElement()) name.value = one.name
    name.setAttribute("aria-invalid", String(Boolean(one.name && this.nameProblem(one))))
    if (!recording) count.textContent = this.countWords(this.count(one), one.bursts.length)
    card.classList.toggle("recording", recording)
    const shown = one.name || "this class"
    const verb = this.clicks.checked ? (recording ? "Stop" : "Record") : "Hold to record"
    hold.lastChild.textContent = verb
    hold.setAttribute("aria-label", `${verb}: ${shown}`)
    hold.disabled = !this.isOn || this.isFull(one) || Boolean(this.sending)
    hold.title = this.isOn ? "" : "Turn the camera on first"
    const [some, few] = [one.bursts.length, this.data.classes[0]]
    bursts.replaceChildren(...one.bursts.map((burst, place) => this.thumbnail(one, burst, place)))
    warning.hidden = some !== 1
    remove.hidden = kept.classes.length <= few
    remove.setAttribute("aria-label", `Remove ${shown}`)
    return card
  }

  newCard(id) {
    const card = make("li", "", "", { "data-id": id })
    const name = make("input", "name", "", { placeholder: "Name of the class", "aria-label": "Name of the class", maxlength: this.data.nameLength })
    name.oninput = () => {
      // Undo does not cover typing, because the browser can undo it in the field.
      kept.classes = kept.classes.map(one => (one.id === id ? { ...one, name: name.value.normalize("NFC") } : one))
      this.say("")
      this.draw()
    }
    name.onfocus = () => this.data.names.includes(name.value) && name.select() // a name that was not chosen yet
    const count = make("span", "count")
    const hold = iconButton("hold", "radio_button_checked", "Hold to record", null)
    this.listen(hold, id)
    const remove = make("button", "icon remove", "close", { type: "button" })
    remove.onclick = () => this.removeClass(id)
    const bursts = make("div", "bursts")
    const warning = make("p", "warning", this.data.oneBurst)
    const head = make("div", "row head")
    head.append(name, remove)
    const act = make("div", "row")
    act.append(hold, count)
    card.append(head, act, bursts, warning)
    card.parts = { name, count, hold, bursts, warning, remove }
    return card
  }

  thumbnail(one, burst, place) {
    const figure = make("figure")
    const words = `Burst ${place + 1} of ${one.name || "this class"}, ${burst.frames.length} frames`
    const image = make("img", "", "", { src: burst.thumbnail, alt: words })
    const remove = make("button", "icon", "close", { type: "button", "aria-label": `Delete: ${words}`, title: "Delete this burst" })
    remove.onclick = () => this.removeBurst(one.id, burst)
    figure.append(image, make("figcaption", "", String(burst.frames.length), { "aria-hidden": "true" }), remove)
    return figure
  }

  activeElement() {
    return this.root.getRootNode().activeElement
  }

  countWords(frames, bursts) {
    return `${frames} of about ${this.data.goal} frames, ${bursts} burst${bursts === 1 ? "" : "s"}`
  }

  // Sending

  nameProblem(one) {
    const name = one.name.trim()
    if (!name) return "Give every class a name."
    if (!new RegExp(`^(?:${this.data.namePattern})$`).test(name)) return `${name}: ${this.data.nameRule}.`
    const same = kept.classes.filter(other => other.name.trim().toLowerCase() === name.toLowerCase())
    return same.length > 1 ? `Two classes have the name ${name}: rename one.` : ""
  }

  // What is missing before the frames can be used, as a sentence; empty if nothing is.
  problem() {
    const [fewest] = this.data.frames
    for (const one of kept.classes) {
      const problem = this.nameProblem(one)
      if (problem) return problem
    }
    const few = kept.classes.find(one => this.count(one) < fewest)
    return few ? `Record at least ${fewest} frames of ${few.name}, better about ${this.data.goal} in several bursts.` : ""
  }

  async send(then) {
    const input = document.querySelector(`.${CSS.escape(this.data.uploaders[then])} input[type=file]`)
    if (this.sending || this.problem()) return
    if (!input || input.disabled) return this.say("The page takes no frames now: wait a moment and try again.")
    this.sending = then
    this.say("Sending the frames")
    this.draw()
    const pad = (number, length) => String(number).padStart(length, "0")
    const files = kept.classes.flatMap(one =>
      one.bursts.flatMap((burst, place) =>
        burst.frames.map((frame, number) => [`${one.name.trim()}/burst-${pad(place + 1, 2)}/${pad(number + 1, 4)}.jpg`, frame]),
      ),
    )
    const names = kept.classes.map(one => one.name.trim()).join(" ")
    const transfer = new DataTransfer()
    transfer.items.add(new File([await zipFiles(files)], `${names}.zip`, { type: "application/zip" }))
    input.files = transfer.files
    input.dispatchEvent(new Event("change", { bubbles: true }))
    this.waiting = setTimeout(() => {
      this.sending = ""
      this.say("The server has not answered: check the connection, and send the frames again.")
      this.draw()
    }, this.data.patience)
  }

  say(text) {
    this.said = text
    if (text) this.says.textContent = text
  }
}

export default mount(CameraRecorder)
