// What all widgets share. Python puts this in front of each widget's own code, so a widget uses these names without an
// import (see `component.py`).

// Return the function that Streamlit calls at each rerun: it keeps one widget of a class for each element on the page.
function mount(WidgetClass) {
  const widgets = new WeakMap()
  return component => {
    const { parentElement } = component
    if (!widgets.has(parentElement)) widgets.set(parentElement, new WidgetClass(parentElement))
    widgets.get(parentElement).update(component)
    return () => {
      widgets.get(parentElement)?.remove()
      widgets.delete(parentElement)
    }
  }
}

class Widget {
  constructor(parent, className, attributes = {}) {
    this.root = make("div", className, "", attributes)
    parent.append(this.root)
  }

  redrawOnResize() {
    this.resized = new ResizeObserver(() => this.draw())
    this.resized.observe(this.root)
  }

  remove() {
    this.resized?.disconnect()
    this.root.remove()
  }
}

const REPEAT = 4000 // milliseconds without an acknowledgement after which an event is sent again

// A widget that counts its events. Python sends the number of the last event it has seen back in `data.seq`: a message
// with a smaller number was on its way when the event happened, and would undo it.
class CountingWidget extends Widget {
  seq = -1
  acknowledged = -1

  // Store a message; return whether Python has seen our last event.
  receive({ data, setTriggerValue }) {
    this.data = data
    this.trigger = setTriggerValue
    this.acknowledged = data.seq
    if (data.seq < this.seq) return false
    this.seq = data.seq
    return true
  }

  // Send an event, and once more if Python does not acknowledge it: Streamlit can lose one that arrives while a page
  // restarts its script. Python counts events, so one that arrives twice counts once.
  tell(name, event) {
    this.seq += 1
    const message = { ...event, seq: this.seq }
    this.trigger(name, message)
    clearTimeout(this.repeating)
    this.repeating = setTimeout(() => this.acknowledged < message.seq && this.trigger(name, message), REPEAT)
  }

  remove() {
    clearTimeout(this.repeating)
    super.remove()
  }
}

// Elements

function make(tag, className = "", text = "", attributes = {}) {
  const element = document.createElement(tag)
  element.className = className
  element.textContent = text // never innerHTML: names come from users
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

function makeSvg(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.textContent = text
  return element
}

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] } // rows down, columns right

// Patches, numbered from 0, row by row

function patchUnder(event, rows, columns) {
  const box = event.currentTarget.getBoundingClientRect()
  const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)))
  const row = place(event.clientY - box.top, box.height, rows)
  return row * columns + place(event.clientX - box.left, box.width, columns)
}

function neighbour(patch, [down, right], rows, columns) {
  const row = Math.min(rows - 1, Math.max(0, Math.floor(patch / columns) + down))
  const column = Math.min(columns - 1, Math.max(0, (patch % columns) + right))
  return row * columns + column
}

function boxOf(patch, canvas, rows, columns) {
  const [width, height] = [canvas.width / columns, canvas.height / rows]
  return [(patch % columns) * width, Math.floor(patch / columns) * height, width, height]
}

// A white line on a wider black one is visible on any image.
function outline(context, box, white, black) {
  for (const [colour, width] of [["#000", black], ["#fff", white]]) {
    context.strokeStyle = colour
    context.lineWidth = width
    context.strokeRect(...box)
  }
}

function gridLines(context, side, rows, columns, colour) {
  context.fillStyle = colour
  for (let row = 1; row < rows; row++) context.fillRect(0, Math.round((row * side) / rows), side, 1)
  for (let column = 1; column < columns; column++) context.fillRect(Math.round((column * side) / columns), 0, 1, side)
}

// Colours

const FULL = 75 // percent of the fullest colour: text of the page stays legible on it in both themes

const rgb = colour => [1, 3, 5].map(start => parseInt(colour.slice(start, start + 2), 16))

// The colour at a share of a scale, 0 to 1, between its stops.
function colourAt(stops, share) {
  const place = share * (stops.length - 1)
  const low = Math.min(stops.length - 2, Math.floor(place))
  return stops[low].map((one, channel) => one + (stops[low + 1][channel] - one) * (place - low))
}

// Signed numbers have a colour for each sign, which fades to nothing at zero.
const gradient = (colours, signed) =>
  `linear-gradient(to right, ${(signed ? [colours[0], "transparent", colours[1]] : colours).join(",")})`

// The size that a share of all numbers stays below: the end of a colour scale, since one outlier would darken the rest.
function percentile(arrays, share) {
  const all = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0))
  let offset = 0
  for (const array of arrays) {
    for (const value of array) all[offset++] = Math.abs(value)
  }
  all.sort()
  return all[Math.min(all.length - 1, Math.floor(share * all.length))] || all[all.length - 1] || 1
}
