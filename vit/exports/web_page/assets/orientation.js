/**
 * Turn pictures upright by the EXIF orientation in PNG and WebP files, which browsers ignore or do not agree on.
 *
 * All browsers turn JPEG files. For the other two, the orientation is taken out of the file before it is decoded.
 */

const ORIENTATION = 0x0112

/**
 * Return a file as the browser should decode it, and how the picture must be turned afterwards (EXIF, 1 to 8).
 * @param {Blob} file
 * @returns {Promise<{content: Blob, turn: number}>}
 */
export async function withoutOrientation(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer())
  const isPng = text(head, 1, 3) === "PNG"
  if (!isPng && !(text(head, 0, 4) === "RIFF" && text(head, 8, 4) === "WEBP")) return { content: file, turn: 1 }
  const bytes = new Uint8Array(await file.arrayBuffer())
  for (const { type, start, size } of chunks(bytes, isPng)) {
    if (type !== "eXIf" && type !== "EXIF") continue
    const turn = orientationIn(bytes, start, size)
    if (turn === 1) break
    if (isPng) return { content: new Blob([bytes.subarray(0, start - 8), bytes.subarray(start + size + 4)]), turn }
    bytes.set(new TextEncoder().encode("NONE"), start - 8)
    return { content: new Blob([bytes], { type: "image/webp" }), turn }
  }
  return { content: file, turn: 1 }
}

/** Yield the chunks of a PNG or WebP file: type, and start and size of the content. */
function* chunks(bytes, isPng) {
  const view = new DataView(bytes.buffer)
  for (let at = isPng ? 8 : 12; at + 8 <= bytes.length; ) {
    const size = isPng ? view.getUint32(at) : view.getUint32(at + 4, true)
    if (at + 8 + size > bytes.length) return
    yield { type: text(bytes, isPng ? at + 4 : at, 4), start: at + 8, size }
    at += 8 + size + (isPng ? 4 : size % 2)
  }
}

/** Return the orientation in EXIF data; 1 if there is none. */
function orientationIn(bytes, start, size) {
  const from = text(bytes, start, 4) === "Exif" ? start + 6 : start
  const view = new DataView(bytes.buffer, from, start + size - from)
  try {
    const little = view.getUint16(0) === 0x4949
    const table = view.getUint32(4, little)
    for (let index = 0; index < view.getUint16(table, little); index++) {
      const entry = table + 2 + index * 12
      const value = view.getUint16(entry + 8, little)
      if (view.getUint16(entry, little) === ORIENTATION) return value >= 1 && value <= 8 ? value : 1
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error // damaged data ends before its tables do
  }
  return 1
}

/**
 * Return a picture turned upright.
 * @param {ImageBitmap} picture
 * @param {number} turn its EXIF orientation
 * @returns {ImageBitmap | HTMLCanvasElement}
 */
export function turned(picture, turn) {
  if (turn === 1) return picture
  const { width, height } = picture
  const canvas = document.createElement("canvas")
  canvas.width = turn > 4 ? height : width
  canvas.height = turn > 4 ? width : height
  const context = canvas.getContext("2d")
  // The places of a picture's corner and of its two axes, for each orientation.
  const [a, b, c, d] = { 2: [-1, 0, 0, 1], 3: [-1, 0, 0, -1], 4: [1, 0, 0, -1], 5: [0, 1, 1, 0], 6: [0, 1, -1, 0], 7: [0, -1, -1, 0], 8: [0, -1, 1, 0] }[turn]
  context.setTransform(a, b, c, d, a + c < 0 ? canvas.width : 0, b + d < 0 ? canvas.height : 0)
  context.imageSmoothingEnabled = false
  context.drawImage(picture, 0, 0)
  return canvas
}

function text(bytes, start, length) {
  return String.fromCharCode(...bytes.subarray(start, start + length))
}
