// Upload an image by a button, by dragging it onto the page or by pasting it; and copy the address of the page.
// Files go to the page's own uploader, as if they were chosen there: it checks them and sends them to the server.

const COPIED = 2000 // milliseconds

class ImageTools extends Widget {
  constructor(parent) {
    super(parent, "tools")
    this.upload = this.button("upload", "Upload", () => this.input()?.click())
    this.copy = this.button("link", "Copy link", () => this.copyLink())
    this.address = make("input", "", "", { readonly: "", "aria-label": "The address of this view: copy it" })
    this.address.hidden = true
    this.address.onblur = () => (this.address.hidden = true)
    this.says = make("span", "says", "", { role: "status" })
    this.overlay = make("div", "overlay", "", { popover: "manual" })
    this.root.append(this.upload, this.copy, this.address, this.says, this.overlay)
    this.listening = new AbortController()
    const listen = (kind, action) => document.addEventListener(kind, action, { signal: this.listening.signal })
    listen("dragover", event => this.dragOver(event))
    listen("dragleave", event => event.relatedTarget || this.hideOverlay())
    listen("drop", event => this.drop(event))
    listen("paste", event => this.paste(event))
  }

  remove() {
    this.listening.abort()
    clearTimeout(this.later)
    super.remove()
  }

  update({ data }) {
    this.data = data
    this.upload.hidden = data.hasButton === false
    this.upload.title = data.words
    this.copy.title = "Copy the address that shows this view"
    this.overlay.textContent = data.many ? "Drop images to add them" : "Drop an image to look at it"
  }

  button(icon, text, action) {
    const made = make("button", "", "", { type: "button" })
    made.append(make("span", "icon", icon, { "aria-hidden": "true" }), make("span", "", text))
    made.onclick = action
    return made
  }

  // Files

  input() {
    return document.querySelector(`.${CSS.escape(this.data.uploader)} input[type=file]`)
  }

  give(files) {
    const input = this.input()
    if (!input || input.disabled) return this.say("This page takes no images now.")
    const taken = this.data.many ? files : files.slice(0, 1)
    this.say(files.length > taken.length ? `Only the first of ${files.length} files was taken.` : "")
    const transfer = new DataTransfer()
    for (const file of taken) transfer.items.add(file)
    input.files = transfer.files
    input.dispatchEvent(new Event("change", { bubbles: true }))
  }

  // Whether this handles dragged files: a visible uploader handles those that are dropped on it.
  isOurs(event) {
    return event.dataTransfer?.types.includes("Files") && !event.target.closest?.("[data-testid=stFileUploader]")
  }

  dragOver(event) {
    if (!this.isOurs(event)) return this.hideOverlay()
    event.preventDefault()
    event.dataTransfer.dropEffect = "copy"
    if (!this.overlay.matches(":popover-open")) this.overlay.showPopover()
  }

  hideOverlay() {
    if (this.overlay.matches(":popover-open")) this.overlay.hidePopover()
  }

  drop(event) {
    this.hideOverlay()
    if (!this.isOurs(event)) return
    event.preventDefault()
    const files = [...event.dataTransfer.files]
    if (files.length) this.give(files)
  }

  paste(event) {
    const files = [...(event.clipboardData?.files || [])].filter(file => file.type.startsWith("image/"))
    if (!files.length) return // text goes into the field that has the focus
    event.preventDefault()
    // Browsers call every image from the clipboard "image.png".
    this.give(files.map(file => (file.name === "image.png" ? new File([file], "pasted image.png", { type: file.type }) : file)))
  }

  // The link

  async copyLink() {
    const link = location.href
    try {
      await navigator.clipboard.writeText(link)
      this.address.hidden = true
      this.showCopied()
    } catch {
      // Without https, or without permission: show the address, so that it can be copied by hand.
      Object.assign(this.address, { hidden: false, value: link })
      this.address.focus()
      this.address.select()
      this.say("Copy the marked address.")
    }
  }

  showCopied() {
    const [icon, text] = this.copy.children
    const set = (name, words) => Object.assign(icon, { textContent: name }) && Object.assign(text, { textContent: words })
    set("check", "Copied")
    this.say("", "The link is copied.")
    clearTimeout(this.later)
    this.later = setTimeout(() => set("link", "Copy link"), COPIED)
  }

  // Show a sentence, or only tell it to screen readers.
  say(text, spoken = "") {
    this.says.textContent = text || spoken
    this.says.classList.toggle("spoken", !text)
  }
}

export default mount(ImageTools)
