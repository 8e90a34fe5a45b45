// A confusion matrix as a table: a click, or Enter on a focused cell, tells `cell`; arrow keys move.
// The cell `data.chosen` is outlined.

import { ARROWS, FULL, Widget, make } from "shared"

const TEXT_MAX = 24 // with more classes there is no room for numbers

function cell(counts, names, row, column, normalised) {
  const count = counts[row][column]
  const total = counts[row].reduce((sum, value) => sum + value, 0)
  const share = total ? count / total : 0
  const percent = `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
  const label = `true ${names[row]}, predicted ${names[column]}: ${count} of ${total} images, ${percent}`
  const text = names.length > TEXT_MAX ? "" : normalised ? percent : count
  const attributes = { role: "gridcell", title: label, "aria-label": label, tabindex: "-1" }
  const element = make("td", row === column ? "right" : "wrong", text, attributes)
  Object.assign(element.dataset, { row, column })
  // The square root keeps a few errors visible beside hundreds of correct predictions.
  element.style.setProperty("--share", `${Math.round(FULL * Math.sqrt(share))}%`)
  element.classList.toggle("none", count === 0)
  return element
}

function header(text, scope) {
  const element = make("th", "", "", { scope, title: text })
  element.append(make("span", "", text))
  return element
}

export class ConfusionMatrix extends Widget {
  constructor(parent) {
    super(parent, "matrix")
    this.table = make("table", "", "", { role: "grid", "aria-label": "Confusion matrix" })
    this.root.append(make("p", "axis", "Rows: the true class. Columns: the predicted class."), this.table)
    this.table.onclick = event => this.choose(event.target)
    this.table.onkeydown = event => this.key(event)
  }

  update(data) {
    this.table.style.setProperty("--right", data.colours[0])
    this.table.style.setProperty("--wrong", data.colours[1])
    const signature = JSON.stringify([data.counts, data.names, data.normalised])
    if (this.signature !== signature) this.build(data)
    this.signature = signature
    this.outline(...data.chosen)
  }

  build({ counts, names, normalised }) {
    const { table } = this
    table.replaceChildren()
    table.classList.toggle("many", names.length > TEXT_MAX)
    table.classList.toggle("long", names.some(name => name.length > 9) || names.length > 12)
    const head = table.createTHead().insertRow()
    head.append(make("td"), ...names.map(name => header(name, "col")))
    const body = table.createTBody()
    names.forEach((name, row) => {
      const line = body.insertRow()
      line.append(header(name, "row"), ...names.map((_, column) => cell(counts, names, row, column, normalised)))
    })
  }

  find = (row, column) => this.table.querySelector(`td[data-row="${row}"][data-column="${column}"]`)

  outline(row, column) {
    for (const old of this.table.querySelectorAll(".chosen")) {
      old.classList.remove("chosen")
      old.tabIndex = -1
    }
    const chosen = this.find(row, column)
    chosen?.classList.add("chosen")
    if (chosen) chosen.tabIndex = 0
  }

  choose(target) {
    const at = target.closest("td[data-row]")
    if (!at) return
    const place = [Number(at.dataset.row), Number(at.dataset.column)]
    this.outline(...place)
    this.tell("cell", place)
  }

  key(event) {
    const at = event.target.closest("td[data-row]")
    if (!at) return
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      this.choose(at)
    } else if (event.key in ARROWS) {
      event.preventDefault()
      const [down, right] = ARROWS[event.key]
      this.find(Number(at.dataset.row) + down, Number(at.dataset.column) + right)?.focus()
    }
  }
}
