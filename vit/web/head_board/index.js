// A button for every head, layers down and heads across, coloured by a number; a click tells `pick`.
// If whole layers can be chosen, the names of rows and columns and the corner are buttons too.
// `data` says what the buttons show; `short` shortens the names.

import { ARROWS, FULL, Widget, make } from "shared"

export class HeadBoard extends Widget {
  constructor(parent) {
    super(parent, "board", { role: "grid" })
    this.root.onclick = event => this.choose(event.target.closest("button"))
    this.root.onkeydown = event => this.walk(event)
  }

  update(data) {
    this.data = data
    this.build()
    this.draw()
  }

  build() {
    const { depth, heads, groups, short = heads > 6 } = this.data
    const shape = `${depth}x${heads}x${groups}`
    if (this.shape === shape) return
    this.shape = shape
    this.root.style.setProperty("--heads", heads)
    this.root.classList.toggle("many", short)
    this.root.replaceChildren()
    for (let layer = 0; layer <= depth; layer++) {
      const line = make("div", "line", "", { role: "row" })
      for (let head = 0; head <= heads; head++) line.append(this.cell(layer, head, short))
      this.root.append(line)
    }
    this.buttons = [...this.root.querySelectorAll("button")]
    const first = this.find(1, 1)
    if (first) first.tabIndex = 0
  }

  // Layer 0 and head 0 are the names; a name stands for its whole row or column.
  cell(layer, head, short) {
    const isName = !layer || !head
    const words = [short ? "L" : "Layer", short ? "H" : "Head"]
    const text = layer && head ? "" : layer ? `${words[0]} ${layer}` : head ? `${words[1]} ${head}` : this.data.groups ? "All" : ""
    const role = layer && head ? "gridcell" : layer ? "rowheader" : "columnheader"
    const wrap = make("div", "wrap", "", { role })
    if (isName && !this.data.groups) {
      wrap.append(make("span", "name", text))
      return wrap
    }
    const button = make("button", isName ? "name" : "head", text, { type: "button", tabindex: "-1" })
    Object.assign(button.dataset, { layer, head })
    if (isName) button.ariaLabel = layer ? `All heads of layer ${layer}` : head ? `Head ${head} of all layers` : "All heads"
    wrap.append(button)
    return wrap
  }

  draw() {
    const { texts, tones, says, pressed, colours, label } = this.data
    this.root.ariaLabel = label
    for (const button of this.buttons) {
      button.classList.remove("waiting")
      const [layer, head] = [Number(button.dataset.layer), Number(button.dataset.head)]
      if (!layer || !head) continue
      const tone = tones[layer - 1][head - 1]
      button.textContent = texts[layer - 1][head - 1]
      button.title = says[layer - 1][head - 1]
      button.ariaLabel = says[layer - 1][head - 1]
      button.ariaPressed = String(pressed.some(([one, other]) => one === layer && other === head))
      button.style.setProperty("--tone", colours[tone < 0 ? 0 : 1])
      button.style.setProperty("--share", `${Math.round(FULL * Math.min(1, Math.abs(tone)))}%`)
    }
    this.root.dataset.drawn = Number(this.root.dataset.drawn ?? 0) + 1
  }

  choose(button) {
    if (!button) return
    this.rove(button)
    button.classList.add("waiting")
    const click = `${Date.now()}-${Math.random()}` // the server may receive one click twice
    this.tell("pick", { layer: Number(button.dataset.layer), head: Number(button.dataset.head), click })
  }

  find = (layer, head) => this.buttons.find(one => one.dataset.layer === String(layer) && one.dataset.head === String(head))

  rove(button) {
    for (const one of this.buttons) one.tabIndex = -1
    button.tabIndex = 0
    button.focus()
  }

  walk(event) {
    const at = event.target.closest("button")
    if (!at || !(event.key in ARROWS)) return
    event.preventDefault()
    const [down, right] = ARROWS[event.key]
    const next = this.find(Number(at.dataset.layer) + down, Number(at.dataset.head) + right)
    if (next) this.rove(next)
  }
}
