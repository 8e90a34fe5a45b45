// What all components share. A component is a class: its constructor gets the parent element, `update(data)` draws what
// `data` holds, and `tell(name, event)` is called with what the visitor does. The app replaces `tell` with a message to
// the server, an exported page with a function of its own.

export class Widget {
  constructor(parent, className, attributes = {}) {
    this.root = make("div", className, "", attributes)
    parent.append(this.root)
  }

  tell() {}

  redrawOnResize() {
    this.resized = new ResizeObserver(() => this.draw())
    this.resized.observe(this.root)
  }

  remove() {
    this.resized?.disconnect()
    this.root.remove()
  }
}

// Elements

export function make(tag, className = "", text = "", attributes = {}) {
  const element = document.createElement(tag)
  element.className = className
  element.textContent = text // never innerHTML: names come from users
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

export function makeSvg(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.textContent = text
  return element
}

export const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] } // rows down, columns right

// Patches, numbered from 0, row by row

export function patchUnder(event, rows, columns) {
  const box = event.currentTarget.getBoundingClientRect()
  const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)))
  const row = place(event.clientY - box.top, box.height, rows)
  return row * columns + place(event.clientX - box.left, box.width, columns)
}

export function neighbour(patch, [down, right], rows, columns) {
  const row = Math.min(rows - 1, Math.max(0, Math.floor(patch / columns) + down))
  const column = Math.min(columns - 1, Math.max(0, (patch % columns) + right))
  return row * columns + column
}

export function boxOf(patch, canvas, rows, columns) {
  const [width, height] = [canvas.width / columns, canvas.height / rows]
  return [(patch % columns) * width, Math.floor(patch / columns) * height, width, height]
}

// A white line on a wider black one is visible on any image.
export function outline(context, box, white, black) {
  for (const [colour, width] of [["#000", black], ["#fff", white]]) {
    context.strokeStyle = colour
    context.lineWidth = width
    context.strokeRect(...box)
  }
}

export function gridLines(context, side, rows, columns, colour) {
  context.fillStyle = colour
  for (let row = 1; row < rows; row++) context.fillRect(0, Math.round((row * side) / rows), side, 1)
  for (let column = 1; column < columns; column++) context.fillRect(Math.round((column * side) / columns), 0, 1, side)
}

// Colours

export const FULL = 75 // percent of the fullest colour: text of the page stays legible on it in both themes

export const rgb = colour => [1, 3, 5].map(start => parseInt(colour.slice(start, start + 2), 16))

// The colour at a share of a scale, 0 to 1, between its stops.
export function colourAt(stops, share) {
  const place = share * (stops.length - 1)
  const low = Math.min(stops.length - 2, Math.floor(place))
  return stops[low].map((one, channel) => one + (stops[low + 1][channel] - one) * (place - low))
}

// Signed numbers have a colour for each sign, which fades to nothing at zero.
export const gradient = (colours, signed) =>
  `linear-gradient(to right, ${(signed ? [colours[0], "transparent", colours[1]] : colours).join(",")})`

// The size that a share of all numbers stays below: the end of a colour scale, since one outlier would darken the rest.
export function percentile(arrays, share) {
  const count = arrays.reduce((sum, array) => sum + array.length, 0)
  if (sizes.length < count) sizes = new Float32Array(count)
  let [offset, most] = [0, 0]
  for (const array of arrays) {
    for (let index = 0; index < array.length; index++) {
      const size = (sizes[offset++] = Math.abs(array[index]))
      if (size > most) most = size
    }
  }
  return select(sizes, count, Math.min(count - 1, Math.floor(share * count))) || most || 1
}

let sizes = new Float32Array(0)

// Return the number that would be at a place after sorting; the numbers before the end change their order.
function select(numbers, end, place) {
  let [low, high] = [0, end - 1]
  while (low < high) {
    const pivot = numbers[(low + high) >> 1]
    let [left, right] = [low, high]
    while (left <= right) {
      while (numbers[left] < pivot) left++
      while (numbers[right] > pivot) right--
      if (left <= right) {
        const kept = numbers[left]
        numbers[left++] = numbers[right]
        numbers[right--] = kept
      }
    }
    if (place <= right) high = right
    else if (place >= left) low = left
    else break
  }
  return numbers[place]
}
