// The page: one picture goes through the network, and everything on the page follows it. While the camera is live, the
// next frame is taken as soon as the last one is drawn.

import { Answer, Numbers } from "answer"
import { Camera } from "camera"
import { offerLicences, showCard } from "card"
import { CoverControls, HeadControls } from "changes"
import { Cover } from "cover"
import { openNetwork, readManifest, softmax } from "engine"
import { Maps } from "maps"
import { offerThemes, setWords, term } from "parts"
import { Pictures } from "pictures"
import { prepare } from "preprocess"
import { make } from "shared"

const AVERAGE = 0.1 // weight of a new time in the averages
const TIMING_MS = 500
const HEADS_BESIDE = 6 // the buttons of more heads are below the maps, where they have room

const byId = id => document.getElementById(id)
const manifest = readManifest()
const kind = manifest.attention ? `A Vision Transformer with ${count(manifest.depth, "layer")} of ${count(manifest.heads, "head")}` : "A convolutional network"

// For measurements and tests: the times of the last images in milliseconds, and what is on the page.
const stats = { images: 0, fps: 0, frame: 0, prepare: 0, network: 0, draw: 0 }
window.vitPage = { stats, manifest, ready: false }

function count(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`
}

function complain(sentence) {
  byId("problem").textContent = sentence
  byId("problem").hidden = !sentence
}

class Page {
  constructor(network) {
    this.network = network
    const names = manifest.class_names
    const answer = { best: byId("best"), bars: byId("bars"), compared: byId("compared"), spoken: byId("spoken"), now: byId("now") }
    this.answer = names.length > 1 ? new Answer(answer, names) : new Numbers(answer, names)
    this.view = document.createElement("canvas") // the picture as the network receives it
    this.view.width = this.view.height = manifest.image_size
    this.context = this.view.getContext("2d")
    const elements = { samples: byId("samples"), file: byId("file"), drop: byId("drop"), source: byId("source") }
    this.pictures = new Pictures(elements, manifest, (picture, about) => this.take(picture, about), complain)
    const camera = { opener: byId("camera-open"), panel: byId("camera"), text: byId("camera-text"), buttons: byId("camera-buttons") }
    this.camera = new Camera(camera, what => this.follow(what))
    if (manifest.attention) this.lookInside()
    else this.showPicture()
  }

  // Without attention there are no maps: only the picture.
  showPicture() {
    Object.assign(this.view, { id: "view", role: "img", ariaLabel: "The picture as the network receives it" })
    const title = make("h2", "", "The picture as the network receives it", { id: "look-title" })
    byId("look").replaceChildren(title, this.view, make("p", "", "This network is convolutional: it has no attention, so this page shows its answer only."))
    byId("change").remove()
  }

  lookInside() {
    const elements = Object.fromEntries(["views", "smooth", "scale", "opacity", "caveat", "maps", "matrix"].map(id => [id, byId(id)]))
    const matrix = { box: byId("matrix-box"), matrixTitle: byId("matrix-title"), matrixText: byId("matrix-text"), matrixTerms: byId("matrix-terms") }
    this.maps = new Maps({ ...elements, ...matrix }, manifest)
    this.cover = new Cover(manifest.image_size, manifest.grid)
    this.covers = new CoverControls({ board: byId("board"), fill: byId("fill"), uncover: byId("uncover") }, manifest.grid, () => this.want())
    if (manifest.heads > HEADS_BESIDE) byId("look").append(byId("heads-part"))
    if (!manifest.head_mask) byId("heads-part").remove()
    else {
      this.heads = new HeadControls({ heads: byId("heads"), allOn: byId("all-on") }, manifest, () => {
        this.maps.setOff(this.heads.off)
        this.want()
      })
    }
  }

  // Pictures

  take(picture, { label, ready }) {
    complain("")
    this.camera.stop()
    this.prepare(picture, label, { ready })
    picture.close?.()
    this.want()
  }

  prepare(picture, label, options) {
    try {
      Object.assign(this, { prepared: prepare(picture, manifest.preparation, options), label })
    } catch (error) {
      this.camera.stop()
      complain(`The picture cannot be prepared for the network: ${error.message}`)
    }
  }

  follow(what) {
    if (what === "live") {
      this.pictures.mark(-1)
      byId("source").textContent = "Frames of the camera."
    }
    this.want(what === "still")
  }

  // The loop. There is one animation frame at a time: it draws the last result and starts the next image.

  want(changed = true) {
    this.stale ||= changed && Boolean(this.prepared)
    this.frame ??= requestAnimationFrame(now => this.tick(now))
  }

  tick(now) {
    this.frame = null
    if (this.result) this.draw(now)
    if (this.running) return // the next tick is asked for when the result is there
    const { camera } = this
    if (camera.live && camera.video.videoWidth) {
      const begun = performance.now()
      this.prepare(camera.video, "")
      this.stale = true
      measure("prepare", performance.now() - begun, true)
    }
    if (this.stale) this.run()
    else if (camera.live) this.want(false)
  }

  async run() {
    this.stale = false
    this.running = true
    const { prepared, label, camera } = this
    const begun = performance.now()
    try {
      const covered = this.covers?.covered ?? new Set()
      const mask = this.heads?.mask() ?? null
      let input = prepared
      if (covered.size) {
        this.cover.apply(prepared.pixels, prepared.shown, covered, this.covers.fill.value)
        input = this.cover
      }
      const found = await this.network.run(input.pixels, { headMask: mask })
      measure("network", performance.now() - begun, camera.live)
      const changed = Boolean(covered.size || mask)
      if (!changed) prepared.plain = softmax(found.logits)
      else if (!prepared.plain && !camera.live) prepared.plain = softmax((await this.network.run(prepared.pixels)).logits)
      this.result = { ...found, shown: input.shown, covered, live: camera.live, label, plain: changed && !camera.live ? prepared.plain : null }
    } catch (error) {
      camera.stop() // otherwise it fails again with every frame
      complain(`The network did not run: ${error.message}`)
    }
    this.running = false
    this.want(false)
  }

  draw(now) {
    const { result } = this
    this.result = null
    const begun = performance.now()
    byId("work").classList.remove("empty")
    this.context.putImageData(result.shown, 0, 0)
    this.maps?.show(result.attention, this.view, result.live)
    this.covers?.board.show(this.view, result.covered)
    const probabilities = softmax(result.logits)
    this.answer.update({ logits: result.logits, probabilities, plain: result.plain, truth: result.label, live: result.live })
    Object.assign(window.vitPage, { logits: result.logits, probabilities, attention: result.attention, drawn: (window.vitPage.drawn ?? 0) + 1 })
    measure("draw", performance.now() - begun, result.live)
    this.time(now, result.live)
  }

  time(now, live) {
    stats.images += 1
    if (live && this.last) measure("frame", now - this.last, true)
    stats.fps = live && stats.frame ? 1000 / stats.frame : 0
    this.last = live ? now : null
    if (!live) stats.frame = 0
    if (live && now - this.timed < TIMING_MS) return
    this.timed = now
    const backend = this.network.backend === "webgpu" ? "WebGPU" : "WebAssembly"
    const speed = stats.fps ? `${stats.fps.toFixed(0)} frames per second; a frame took` : "This picture took"
    byId("timing").textContent = `${speed} ${stats.network.toFixed(0)} ms in the network (${backend}) and ${stats.draw.toFixed(0)} ms to draw.`
  }
}

// Store the time of a picture, or the moving average over the frames of the camera.
function measure(name, milliseconds, live) {
  stats[name] = live && stats[name] ? stats[name] + AVERAGE * (milliseconds - stats[name]) : milliseconds
}

async function start() {
  const { class_names: names, samples } = manifest
  setWords(manifest.words)
  offerThemes(byId("theme"))
  byId("title").textContent = manifest.title
  byId("about-line").textContent =
    `${kind}` + (names.length > 1 ? `, trained for ${names.length} classes` : "") + ". It runs in this page: nothing is sent anywhere."
  byId("answer-title").append(term("logits"))
  byId("look-title").append(term("attention"))
  byId("cover-title").append(term("patch"))
  byId("heads-title").append(term("ablation"))
  byId("matrix-box").open = matchMedia("(min-width: 1181px)").matches // below the maps there is room
  showCard(byId("card"), manifest)
  offerLicences({ opener: byId("notices-open"), dialog: byId("notices"), text: byId("notices-text") })
  let network
  try {
    network = await openNetwork(manifest)
  } catch (error) {
    byId("loading").hidden = true
    complain(`The network did not open: ${error.message} Use a current version of Firefox, Chrome, Edge or Safari.`)
    console.error(error)
    return
  }
  byId("loading").hidden = true
  byId("work").hidden = false
  const page = new Page(network)
  window.vitPage.page = page
  if (samples.length) await page.pictures.sample(0)
  window.vitPage.ready = true
}

start()
