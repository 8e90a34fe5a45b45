// Open the camera, or say what to do without one.

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
