// Where pictures come from: the samples in the page, a file that is chosen, dropped or pasted.

import { openPicture } from "preprocess"
import { make } from "shared"

const BYTES_MAX = 100e6

export class Pictures {
  // `take(picture, {name, label, note})` is called with a decoded picture.
  constructor({ samples, file, drop, source }, manifest, take, complain) {
    Object.assign(this, { source, take, complain })
    this.buttons = manifest.samples.map((sample, place) => {
      const button = make("button", "sample", "", { type: "button", "aria-label": `Sample ${place + 1}: ${sample.label || sample.name}` })
      button.append(make("img", "", "", { src: sample.src, alt: "" }))
      button.onclick = () => this.sample(place)
      return button
    })
    this.samples = manifest.samples
    samples.replaceChildren(...this.buttons)
    samples.hidden = !this.samples.length
    file.onchange = () => {
      this.open(file.files[0])
      file.value = ""
    }
    document.onpaste = event => {
      const pasted = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"))
      if (!pasted) return
      event.preventDefault()
      this.open(pasted)
    }
    let depth = 0 // dragenter and dragleave also come from the elements inside
    const show = change => (drop.hidden = (depth = Math.max(0, depth + change)) === 0)
    addEventListener("dragenter", event => event.dataTransfer.types.includes("Files") && show(1))
    addEventListener("dragleave", event => event.dataTransfer.types.includes("Files") && show(-1))
    addEventListener("dragover", event => event.preventDefault())
    addEventListener("drop", event => {
      event.preventDefault()
      show(-depth)
      if (event.dataTransfer.files.length) this.open(event.dataTransfer.files[0])
    })
  }

  async sample(place) {
    const { src, name, label, licence } = this.samples[place]
    const image = new Image()
    image.src = src
    await image.decode()
    this.mark(place)
    this.take(image, { label, ready: true }) // prepared by the library
    this.source.textContent = [label ? `Sample: ${label}.` : `Sample: ${name}.`, licence].filter(Boolean).join(" ")
  }

  async open(file) {
    if (!file) return
    if (file.size > BYTES_MAX) return this.complain(`${file.name} is larger than ${BYTES_MAX / 1e6} MB: choose a smaller picture.`)
    let picture
    try {
      picture = await openPicture(file)
    } catch {
      return this.complain(`${file.name || "The file"} is not a picture that this browser can open: choose a JPEG, PNG or WebP.`)
    }
    this.mark(-1)
    this.source.textContent = `Picture: ${file.name || "pasted"}, ${picture.width} × ${picture.height} pixels.`
    this.take(picture, { label: "" })
  }

  mark(chosen) {
    this.buttons.forEach((button, place) => (button.ariaPressed = String(place === chosen)))
  }
}
