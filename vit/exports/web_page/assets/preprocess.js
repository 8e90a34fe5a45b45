/**
 * Turn a picture into the input of the network, as the library does when it trains and predicts.
 *
 * The steps are those of vit.data.files.images (open_image, fit_square) and vit.data.batches.to_tensor. The resampling
 * is Pillow's: convolution with a filter whose support grows with the reduction, horizontally, then vertically, with
 * 8 bits between the two. A canvas' own drawImage would not do: its filters differ from browser to browser.
 */

import { turned, withoutOrientation } from "orientation"

const BAND = 2_000_000 // pixels that are read from the canvas at a time, as phones bound the size of a canvas
const PRECISION = 2 ** 22 // Pillow rounds the weights of its filters to multiples of 1 / 2^22
const GROUNDS = { white: [255, 255, 255], grey: [128, 128, 128], black: [0, 0, 0] }
const LIGHT = [208, 160]
const DARK = [96, 48]
const CHECKERS = 16 // squares of the checkerboard along the shorter side

const FILTERS = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at(x) {
      const a = -0.5
      x = Math.abs(x)
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    },
  },
}

/**
 * Decode a file or blob upright, with its own colours: an embedded colour profile is ignored, as by the library.
 * @param {Blob} file
 * @returns {Promise<ImageBitmap | HTMLCanvasElement>}
 */
export async function openPicture(file) {
  const { content, turn } = await withoutOrientation(file)
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" }
  return turned(await createImageBitmap(content, options), turn)
}

/**
 * Prepare a picture for the network.
 * @param {ImageBitmap | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement | HTMLImageElement | ImageData} source
 * @param {{image_size: number, crop_pct: number, interpolation: "bicubic" | "bilinear", ground: string,
 *   mean: number[], std: number[]}} preparation
 * @param {{ready?: boolean}} options `ready`: the picture has been prepared before, as the samples of the manifest, and
 *   is not cropped again
 * @returns {{pixels: Float32Array, shown: ImageData}} the normalised pixels (3 h w), and the same square to look at
 */
export function prepare(source, preparation, { ready = false } = {}) {
  const { image_size: size } = preparation
  const crop = ready ? 1 : preparation.crop_pct
  const [width, height] = sidesOf(source)
  if (!width || !height) throw new Error("The picture has no pixels yet.")
  const shorter = Math.min(width, height)
  const whole = Math.floor(size / crop)
  const horizontal = weights(width, usedPart(width, shorter, size, whole), size, preparation.interpolation)
  const vertical = weights(height, usedPart(height, shorter, size, whole), size, preparation.interpolation)
  // Pillow 13 begins with the axis that is reduced much more; the results differ where 8 bits clip in between.
  const tall = height > size && height - size > 2 * Math.max(0, width - size)
  const square = resampled(source, horizontal, vertical, tall, size, groundOf(source, preparation.ground, shorter))
  return { pixels: normalised(square, size, preparation), shown: toImageData(square, size) }
}

function sidesOf(source) {
  if (source.videoWidth !== undefined) return [source.videoWidth, source.videoHeight]
  if (source.naturalWidth !== undefined) return [source.naturalWidth, source.naturalHeight]
  return [source.width, source.height]
}

/** Return start and end of the used part of a side, in pixels of the picture, as vit.data.files.images._looked_at. */
function usedPart(side, shorter, size, whole) {
  const resized = Math.floor((whole * side) / shorter)
  const start = roundHalfEven((resized - size) / 2)
  return [(start * side) / resized, ((start + size) * side) / resized].map(Math.fround) // Pillow stores them so
}

function roundHalfEven(value) {
  const rounded = Math.round(value)
  return Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded
}

/**
 * Return the filter of each output pixel: its first input pixel, and the weights in multiples of 1 / 2^22.
 * @returns {{first: Int32Array, count: Int32Array, values: Float64Array, most: number, low: number, high: number}}
 *   low and high bound the input pixels that are needed
 */
function weights(side, [start, end], size, interpolation) {
  const filter = FILTERS[interpolation]
  const scale = (end - start) / size
  const stretch = Math.max(scale, 1)
  const support = filter.support * stretch
  const most = Math.ceil(support) * 2 + 1
  const first = new Int32Array(size)
  const count = new Int32Array(size)
  const values = new Float64Array(size * most)
  for (let place = 0; place < size; place++) {
    const centre = start + (place + 0.5) * scale
    const low = Math.max(0, Math.trunc(centre - support + 0.5))
    const high = Math.min(side, Math.trunc(centre + support + 0.5))
    let total = 0
    for (let index = 0; index < high - low; index++) {
      const weight = filter.at((index + low - centre + 0.5) / stretch)
      values[place * most + index] = weight
      total += weight
    }
    for (let index = 0; index < high - low; index++) {
      const weight = (values[place * most + index] / total) * PRECISION
      values[place * most + index] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5)
    }
    first[place] = low
    count[place] = high - low
  }
  return { first, count, values, most, low: first[0], high: first[size - 1] + count[size - 1] }
}

/**
 * Return the square (h w 3) as bytes. The picture is read in bands of rows, each of which is reduced at once; a tall one
 * in bands of columns.
 */
function resampled(source, horizontal, vertical, tall, size, ground) {
  const [first, second] = tall ? [vertical, horizontal] : [horizontal, vertical]
  const along = first.high - first.low
  const across = second.high - second.low
  const narrow = new Uint8ClampedArray(across * size * 3)
  const step = Math.max(1, Math.floor(BAND / along))
  for (let start = 0; start < across; start += step) {
    const lines = Math.min(step, across - start)
    const [left, top] = tall ? [second.low + start, first.low] : [first.low, second.low + start]
    const [width, height] = tall ? [lines, along] : [along, lines]
    const pixels = readPixels(source, left, top, width, height)
    composite(pixels, width, height, left, top, ground)
    const stride = tall ? width * 4 : 4
    for (let line = 0; line < lines; line++) {
      const offset = line * (tall ? 4 : width * 4) - first.low * stride
      reduce(pixels, offset, stride, first, narrow, (start + line) * size * 3, 3)
    }
  }
  const square = new Uint8ClampedArray(size * size * 3)
  for (let place = 0; place < size; place++) {
    const [begin, step] = tall ? [place * size * 3, 3] : [place * 3, size * 3]
    reduce(narrow, (place - second.low * size) * 3, size * 3, second, square, begin, step)
  }
  return square
}

/** Reduce one row or column of three channels. Sums stay below 2^53, so they are exact, as Pillow's integers. */
function reduce(input, offset, stride, { first, count, values, most }, output, start, step) {
  for (let place = 0; place < first.length; place++) {
    let red = PRECISION / 2
    let green = red
    let blue = red
    let at = offset + first[place] * stride
    for (let index = place * most; index < place * most + count[place]; index++, at += stride) {
      const weight = values[index]
      red += input[at] * weight
      green += input[at + 1] * weight
      blue += input[at + 2] * weight
    }
    const to = start + place * step
    output[to] = Math.floor(red / PRECISION) // the array clamps to 0…255
    output[to + 1] = Math.floor(green / PRECISION)
    output[to + 2] = Math.floor(blue / PRECISION)
  }
}

let board = null

function readPixels(source, left, top, width, height) {
  if (source instanceof ImageData) return cut(source, left, top, width, height)
  if (!board || board.canvas.width < width || board.canvas.height < height) {
    const canvas = document.createElement("canvas")
    canvas.width = width
    canvas.height = height
    board = canvas.getContext("2d", { willReadFrequently: true })
    board.imageSmoothingEnabled = false
  }
  board.clearRect(0, 0, width, height)
  board.drawImage(source, left, top, width, height, 0, 0, width, height)
  return board.getImageData(0, 0, width, height).data
}

function cut(image, left, top, width, height) {
  const pixels = new Uint8ClampedArray(width * height * 4)
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * image.width + left) * 4
    pixels.set(image.data.subarray(start, start + width * 4), row * width * 4)
  }
  return pixels
}

/** Return the two colours of the ground and the side of its squares; 0 for one colour. */
function groundOf(source, ground, shorter) {
  if (ground !== "checker") return { colours: [GROUNDS[ground], GROUNDS[ground]], side: 0 }
  const greys = meanOfOpaque(source) > 127 ? DARK : LIGHT
  return { colours: greys.map((grey) => [grey, grey, grey]), side: Math.max(1, Math.floor(shorter / CHECKERS)) }
}

/** Return the mean brightness, weighted by opacity; 0 of a picture that is fully transparent. */
function meanOfOpaque(source) {
  const [width, height] = sidesOf(source)
  let total = 0
  let weight = 0
  const step = Math.max(1, Math.floor(BAND / width))
  for (let top = 0; top < height; top += step) {
    const pixels = readPixels(source, 0, top, width, Math.min(step, height - top))
    for (let at = 0; at < pixels.length; at += 4) {
      const grey = Math.floor((pixels[at] * 19595 + pixels[at + 1] * 38470 + pixels[at + 2] * 7471 + 0x8000) / 65536)
      total += grey * pixels[at + 3]
      weight += pixels[at + 3]
    }
  }
  return weight ? total / weight : 0
}

/** Put transparent pixels on the ground, in place. */
function composite(pixels, width, height, left, top, { colours, side }) {
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at += 4) {
      const opacity = pixels[at + 3]
      if (opacity === 255) continue
      const odd = side ? (Math.floor((row + top) / side) + Math.floor((column + left) / side)) % 2 : 0
      for (let channel = 0; channel < 3; channel++) {
        pixels[at + channel] = (pixels[at + channel] * opacity + colours[odd][channel] * (255 - opacity)) / 255
      }
    }
  }
}

function normalised(square, size, { mean, std }) {
  const pixels = new Float32Array(3 * size * size)
  for (let channel = 0; channel < 3; channel++) {
    for (let place = 0; place < size * size; place++) {
      pixels[channel * size * size + place] = (square[place * 3 + channel] / 255 - mean[channel]) / std[channel]
    }
  }
  return pixels
}

function toImageData(square, size) {
  const shown = new ImageData(size, size)
  for (let place = 0; place < size * size; place++) {
    shown.data.set(square.subarray(place * 3, place * 3 + 3), place * 4)
    shown.data[place * 4 + 3] = 255
  }
  return shown
}
