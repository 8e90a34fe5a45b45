// Open the camera, or say what to do without one. Widgets with a camera share this.

function iconButton(className, icon, text, action) {
  const made = make("button", className, "", { type: "button" })
  made.append(make("span", "icon", icon, { "aria-hidden": "true" }), make("span", "", text))
  made.onclick = action
  return made
}

const CAMERA_PROBLEMS = {
  insecure:
    "Browsers give a camera only to pages on https or on localhost. Open this app at such an address, or upload images.",
  NotFoundError: "This device has no camera that the browser can use. Connect one and try again, or upload images.",
  NotAllowedError:
    "The browser did not allow the camera. Allow it for this page in the browser, at the icon beside the address, and try again.",
  NotReadableError: "The camera is used by another program. Close that program and try again.",
  AbortError: "The camera could not be started. Unplug it, plug it in again, and try again.",
  ended: "The camera was disconnected. Connect it and turn it on again.",
}
const OTHER_PROBLEM = "The camera could not be started. Try another browser, or upload images."

// Show a camera in a video element; return its stream. Errors have a sentence for the visitor as their message.
async function openCamera(video, deviceId = "") {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new Error(CAMERA_PROBLEMS.insecure)
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: { ideal: "environment" } }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...which, width: { ideal: 640 } } })
    video.srcObject = stream
    await video.play()
    return stream
  } catch (error) {
    throw new Error(CAMERA_PROBLEMS[error.name] || OTHER_PROBLEM)
  }
}

function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() || []) track.stop()
  video.srcObject = null
}

// The cameras by id, once the visitor has allowed one: before that, they have no names.
async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices()
  return devices.filter(device => device.kind === "videoinput")
}

// Return the centre square of the current frame as a JPEG file.
function grabSquare(video, canvas) {
  const side = Math.min(video.videoWidth, video.videoHeight)
  const context = canvas.getContext("2d", { willReadFrequently: true })
  context.imageSmoothingQuality = "high"
  const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2]
  context.drawImage(video, left, top, side, side, 0, 0, canvas.width, canvas.height)
  return new Promise(resolve => canvas.toBlob(resolve, "image/jpeg", 0.9))
}

// A widget with a camera on one side; what is made of its frames is on the other, `side`.
class CameraWidget extends Widget {
  constructor(parent, className) {
    super(parent, `camera ${className}`)
    this.video = make("video", "", "", { playsinline: "", "aria-label": "Camera" })
    this.video.muted = true
    this.on = iconButton("", "videocam", "Turn the camera on", () => this.turnOn())
    this.coverText = make("p", "", "", { role: "status" })
    this.cover = make("div", "cover")
    this.cover.append(this.on, this.coverText)
    this.view = make("div", "view")
    this.view.append(this.video, this.cover)
    this.off = iconButton("", "videocam_off", "Turn off", () => this.turnOff())
    this.tools = make("div", "row")
    this.tools.append(this.off)
    this.stage = make("div", "stage")
    this.stage.append(this.view, this.tools)
    this.side = make("div", "side")
    const parts = make("div", "parts")
    parts.append(this.stage, this.side)
    this.root.append(parts)
  }

  get isOn() {
    return Boolean(this.video.srcObject)
  }

  async turnOn(deviceId = "") {
    this.on.disabled = true
    this.coverText.textContent = "Waiting for the camera"
    closeCamera(this.video)
    try {
      const stream = await openCamera(this.video, deviceId)
      if (!this.root.isConnected) return closeCamera(this.video)
      stream.getVideoTracks()[0].onended = () => this.turnOff(CAMERA_PROBLEMS.ended)
      await this.opened(stream)
      this.coverText.textContent = ""
    } catch (error) {
      this.turnOff(error.message)
    }
    this.on.disabled = false
    this.draw()
  }

  turnOff(words = "") {
    closeCamera(this.video)
    this.coverText.textContent = words
    this.draw()
  }

  draw() {
    this.cover.hidden = this.isOn
    this.off.hidden = !this.isOn
  }

  remove() {
    this.turnOff()
    super.remove()
  }
}
