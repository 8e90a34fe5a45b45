// A confusion matrix as a table: a click, or Enter on a focused cell, reports the cell to the page; arrow keys move.
// The page stores the choice and sends it back in `data.chosen`; that cell is outlined.

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

function draw(table, { counts, names, normalised }) {
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

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const table = parentElement.querySelector("table")
  table.style.setProperty("--right", data.colours[0])
  table.style.setProperty("--wrong", data.colours[1])
  const signature = JSON.stringify([data.counts, data.names, data.normalised])
  if (table.dataset.signature !== signature) {
    draw(table, data)
    table.dataset.signature = signature
  }

  const find = (row, column) => table.querySelector(`td[data-row="${row}"][data-column="${column}"]`)
  const outline = (row, column) => {
    for (const old of table.querySelectorAll(".chosen")) {
      old.classList.remove("chosen")
      old.tabIndex = -1
    }
    const chosen = find(row, column)
    chosen?.classList.add("chosen")
    if (chosen) chosen.tabIndex = 0
  }
  const choose = target => {
    const at = target.closest("td[data-row]")
    if (!at) return
    const place = [Number(at.dataset.row), Number(at.dataset.column)]
    outline(...place)
    setTriggerValue("cell", place)
  }
  outline(...data.chosen)

  table.onclick = event => choose(event.target)
  table.onkeydown = event => {
    const at = event.target.closest("td[data-row]")
    if (!at) return
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      choose(at)
      return
    }
    const step = ARROWS[event.key]
    if (!step) return
    event.preventDefault()
    find(Number(at.dataset.row) + step[0], Number(at.dataset.column) + step[1])?.focus()
  }
}
