// The camera: asked for once, after an explanation; its frames are drawn in this page and go nowhere else.

import { make } from "shared"

const PROMISE = "Each frame goes through the network in this browser. Frames stay in this browser: they are not stored and not sent."
const REFUSED = {
  NotAllowedError: "The browser does not allow this page to use the camera. Allow it in the browser's address bar, then try again, or choose a picture.",
  NotFoundError: "No camera was found. Connect one and try again, or choose a picture.",
  NotReadableError: "Another program is using the camera. Close it and try again, or choose a picture.",
}

export class Camera {
  live = false // whether frames are taken

  // `tell(name)` is called with "live" and "still"; a frame that is frozen stays the picture.
  constructor({ opener, panel, text, buttons }, tell) {
    Object.assign(this, { opener, panel, text, buttons, tell })
    this.video = make("video", "", "", { playsinline: "", muted: "" })
    this.video.muted = true
    opener.onclick = () => (panel.hidden ? this.open() : this.close())
  }

  open() {
    this.panel.hidden = false
    this.opener.setAttribute("aria-expanded", "true")
    if (!navigator.mediaDevices?.getUserMedia)
      return this.say("Browsers allow the camera only on https, on localhost and in a file on this computer. Here it is not available: choose a picture instead.")
    this.say(PROMISE, ["Turn the camera on", () => this.start()])
    this.buttons.firstChild.focus()
  }

  close() {
    this.stop()
    this.panel.hidden = true
    this.opener.setAttribute("aria-expanded", "false")
  }

  say(text, ...choices) {
    this.text.textContent = text
    this.buttons.replaceChildren(...choices.map(([label, action]) => {
      const button = make("button", "", label, { type: "button" })
      button.onclick = action
      return button
    }))
  }

  async start(facing = "environment") {
    this.end()
    this.say("Waiting for the camera …")
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: facing, width: { ideal: 640 }, height: { ideal: 480 } } })
      this.video.srcObject = this.stream
      await this.video.play()
      this.many = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput").length > 1
    } catch (error) {
      this.end()
      const words = REFUSED[error.name] ?? `The camera did not start (${error.message || error.name}). Choose a picture instead.`
      return this.say(words, ["Try again", () => this.start()])
    }
    if (this.panel.hidden) return this.end() // closed while it was asked for
    this.stream.getVideoTracks()[0].onended = () => {
      this.stop()
      this.say("The camera has stopped.", ["Turn the camera on", () => this.start()])
    }
    this.facing = facing
    this.resume()
  }

  resume() {
    this.live = true
    const other = this.facing === "environment" ? "user" : "environment"
    this.say(
      "Live. Frames stay in this browser.",
      ["Freeze this frame", () => this.freeze()],
      ...(this.many ? [["Other camera", () => this.start(other)]] : []),
      ["Turn off", () => this.close()],
    )
    this.tell("live")
  }

  freeze() {
    this.live = false
    this.say("Frozen: look at this frame with everything on this page.", ["Live again", () => this.resume()], ["Turn off", () => this.close()])
    this.buttons.firstChild.focus()
    this.tell("still")
  }

  // Another picture was chosen.
  stop() {
    const wasOn = Boolean(this.stream)
    this.end()
    if (wasOn) this.tell("still")
    if (wasOn && !this.panel.hidden) this.say(PROMISE, ["Turn the camera on", () => this.start()])
  }

  end() {
    this.live = false
    this.stream?.getTracks().forEach(track => track.stop())
    this.stream = this.video.srcObject = null
  }
}
