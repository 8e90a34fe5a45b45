// Run the network in the browser on the camera's frames: its answer as bars, and the heads of one layer as tiles. No frame
// leaves the browser, unless the visitor freezes one: then it goes to the page's uploader, like any other image.

const BARS = 6 // with more classes, only the most probable ones have a bar
const SMOOTH = 0.9 // weight of the earlier frames in the frame rate that is shown
const WORDS_EVERY = 500 // milliseconds between two changes of the numbers, so that they can be read
const SPEAK_EVERY = 3000 // milliseconds between two answers that are read aloud

// Networks that are open, by address: after a rerun of the page they are used again.
const openNetworks = new Map()

const addressOf = path => new URL(path, document.baseURI).href

async function fetchBytes(path) {
  const answer = await fetch(addressOf(path))
  if (!answer.ok) throw new Error(`The server did not send the network (${answer.status}): open the page again.`)
  return new Uint8Array(await answer.arrayBuffer())
}

async function openAt({ files, network, manifest }) {
  const [engine, { prepare }, { AttentionRows }, runtime] = await Promise.all(
    ["engine", "preprocess", "attention_rows", "runtime"].map(name => import(addressOf(`${files}/${name}.js`))),
  )
  const [wasm, bytes] = await Promise.all([fetchBytes(`${files}/runtime.wasm`), fetchBytes(network)])
  const { run } = await engine.openParts(manifest, { runtime, wasm, network: bytes })
  return { run, prepare, softmax: engine.softmax, rows: manifest.attention ? new AttentionRows(manifest) : null }
}

function openNetwork(data) {
  if (!openNetworks.has(data.network)) {
    const opening = openAt(data)
    opening.catch(() => openNetworks.delete(data.network)) // the next try opens it anew
    openNetworks.set(data.network, opening)
  }
  return openNetworks.get(data.network)
}

class LiveCamera extends CameraWidget {
  constructor(parent) {
    super(parent, "live")
    this.freeze = iconButton("", "photo_camera", "Freeze", () => this.send())
    this.freeze.title = "Take this frame as an image of the app, to look at it on every page"
    this.rate = make("span", "rate")
    this.tools.prepend(this.freeze)
    this.tools.append(this.rate)
    this.bars = make("ul", "bars")
    this.layers = make("div", "row layers", "", { role: "group", "aria-label": "Layer" })
    this.tiles = make("div", "tiles")
    this.spoken = make("p", "spoken", "", { role: "status" })
    this.side.append(this.bars, this.layers, this.tiles, this.spoken)
    this.layer = Infinity // the last one: its heads are closest to the answer
  }

  update({ data }) {
    const other = data.network !== this.data?.network
    this.data = data
    if (other) this.build()
    this.draw()
  }

  // The parts that depend on the network.
  build() {
    const { manifest } = this.data
    this.network = null
    this.order = manifest.class_names.map((_, index) => index)
    this.items = this.order.slice(0, BARS).map(() => {
      const [item, name, track, fill, value] = [make("li"), make("span", "name"), make("span", "track"), make("span", "fill"), make("span", "value")]
      track.append(fill)
      item.append(name, track, value)
      return { item, name, fill, value }
    })
    this.bars.replaceChildren(...this.items.map(({ item }) => item))
    this.layer = Math.min(this.layer, manifest.depth)
    const inside = manifest.attention // a convolutional network has no heads
    this.layers.replaceChildren(
      ...Array.from({ length: inside ? manifest.depth : 0 }, (_, index) => {
        const button = make("button", "layer", `Layer ${index + 1}`, { type: "button" })
        button.onclick = () => this.choose(index + 1)
        return button
      }),
    )
    const [rows, columns] = manifest.grid
    this.heads = Array.from({ length: inside ? manifest.heads : 0 }, (_, index) => {
      const [figure, canvas, map] = [make("figure"), make("canvas"), make("canvas", "map")]
      canvas.width = canvas.height = manifest.image_size
      Object.assign(map, { width: columns, height: rows })
      figure.append(canvas, map, make("figcaption", "", `Head ${index + 1}`))
      const pixels = map.getContext("2d").createImageData(columns, rows)
      return { figure, canvas: canvas.getContext("2d"), map: map.getContext("2d"), pixels, words: new Uint32Array(pixels.data.buffer) }
    })
    this.tiles.replaceChildren(...this.heads.map(({ figure }) => figure))
    this.table = pixelTable({ colours: this.data.colours, signed: false, opacity: 0.8 })
    this.choose(this.layer)
  }

  choose(layer) {
    this.layer = layer
    ;[...this.layers.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index + 1 === layer)))
  }

  draw() {
    super.draw()
    this.freeze.hidden = !this.isOn
    this.freeze.disabled = !this.network
    for (const part of [this.bars, this.layers, this.tiles]) part.hidden = !this.isOn || !this.network
    this.rate.hidden = !this.isOn
  }

  async opened() {
    this.rate.textContent = "Opening the network"
    this.draw()
    this.network = await openNetwork(this.data)
    this.loop()
  }

  // Frames, one after another

  async loop() {
    let before = performance.now()
    this.interval = 0
    while (this.isOn && this.root.isConnected) {
      await new Promise(requestAnimationFrame)
      if (!this.isOn || !this.video.videoWidth) continue
      try {
        this.network = await openNetwork(this.data) // another one if another run was chosen
        await this.frame()
      } catch (error) {
        return this.turnOff(error.message)
      }
      const now = performance.now()
      this.interval = this.interval ? SMOOTH * this.interval + (1 - SMOOTH) * (now - before) : now - before
      before = now
      if (now - (this.worded || 0) > WORDS_EVERY) {
        this.worded = now
        const rate = 1000 / this.interval
        this.rate.textContent = `${rate.toFixed(rate < 2 ? 1 : 0)} frames a second, in this browser`
      }
    }
  }

  async frame() {
    const { network } = this
    const { pixels, shown } = network.prepare(this.video, this.data.manifest.preparation)
    const { logits, attention } = await network.run(pixels)
    if (network !== this.network || !this.isOn) return
    this.draw()
    this.showAnswer(network.softmax(logits))
    if (attention) {
      network.rows.set(attention)
      this.showHeads(network.rows, shown)
    }
    this.root.dataset.frames = Number(this.root.dataset.frames || 0) + 1
  }

  showAnswer(probabilities) {
    const names = this.data.manifest.class_names
    if (!names.length) return
    if (names.length > BARS) this.order.sort((one, other) => probabilities[other] - probabilities[one])
    const best = probabilities.indexOf(Math.max(...probabilities))
    this.items.forEach(({ item, name, fill, value }, place) => {
      const index = this.order[place]
      write(name, names[index])
      write(value, percent(probabilities[index]))
      fill.style.transform = `scaleX(${probabilities[index]})`
      item.classList.toggle("best", index === best)
    })
    const now = performance.now()
    if (now - (this.said || 0) < SPEAK_EVERY) return
    this.said = now
    write(this.spoken, `${names[best]}, ${percent(probabilities[best])}`)
  }

  // The attention of the summary token, on one scale for all heads of the layer.
  showHeads(rows, shown) {
    const maps = this.heads.map((_, index) => rows.ofHead(this.layer, index + 1, 0).patches)
    const high = percentile(maps, 0.99)
    this.heads.forEach(({ canvas, map, pixels, words }, index) => {
      canvas.putImageData(shown, 0, 0)
      colourPixels(words, maps[index], { table: this.table, high, signed: false })
      map.putImageData(pixels, 0, 0)
    })
  }

  // Give the current frame to the page's uploader.
  async send() {
    const input = document.querySelector(`.${CSS.escape(this.data.uploader)} input[type=file]`)
    if (!input || input.disabled) return (this.rate.textContent = "The page takes no images now: try again.")
    const canvas = make("canvas")
    Object.assign(canvas, { width: this.video.videoWidth, height: this.video.videoHeight })
    canvas.getContext("2d").drawImage(this.video, 0, 0)
    const frame = await new Promise(resolve => canvas.toBlob(resolve, "image/png"))
    const transfer = new DataTransfer()
    transfer.items.add(new File([frame], "camera frame.png", { type: "image/png" }))
    input.files = transfer.files
    input.dispatchEvent(new Event("change", { bubbles: true }))
  }
}

export default mount(LiveCamera)
