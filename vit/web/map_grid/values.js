// The numbers of the maps: how they are written, and their colours.

import { colourAt, rgb } from "shared"

export function number(value) {
  const size = Math.abs(value)
  return size === 0 ? "0" : size >= 0.1 ? value.toFixed(2) : size >= 0.001 ? value.toFixed(4) : value.toExponential(1)
}
export const lower = text => text.charAt(0).toLowerCase() + text.slice(1)
export const short = name => name.replace(/^(\w)\w+ (\d+)$/, "$1 $2") // Head 12 -> H 12
export const write = (element, text) => element.textContent !== text && (element.textContent = text)
export const percent = share => (share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.0095 ? 1 : 0)}%`)

// Write the colours of values into pixels; from `high` on they have the colour at the end of the scale.
export function colourPixels(pixels, values, { table, high, signed }) {
  const scale = 255 / (high || 1)
  for (let index = 0; index < values.length; index++) {
    const share = Math.min(255, Math.abs(values[index]) * scale) | 0
    pixels[index] = table[signed && values[index] < 0 ? 256 + share : share]
  }
}

// The colours of a map as pixels: entry k is the colour of the share k / 255 of the scale, entry 256 + k that of the
// same share below zero. The opacity follows the value, so that the image shows where the map is low. Signed numbers
// have one colour for each sign, and only the opacity shows the amount.
export function pixelTable({ colours, signed, opacity }) {
  const table = new Uint8ClampedArray(4 * 512)
  const stops = colours.map(rgb)
  for (let entry = 0; entry < 512; entry++) {
    const share = (entry % 256) / 255
    const colour = signed ? stops[entry < 256 ? 1 : 0] : colourAt(stops, share)
    table.set([...colour, 255 * opacity * Math.sqrt(share)], 4 * entry)
  }
  return new Uint32Array(table.buffer)
}
