// What is known of the run: settings, results, curves, confusion matrix, how the weights are stored, and licences.

import { RIGHT, WRONG } from "colours"
import { ConfusionMatrix } from "confusion_matrix"
import { Curves } from "curves"
import { unpack } from "engine"
import { component, term } from "parts"
import { make } from "shared"

export function showCard(root, { card, weights, preparation }) {
  const facts = make("div", "facts")
  facts.append(list("Results", Object.entries(card.metrics)))
  root.append(facts)
  if (card.curves) {
    const curves = section(root, "Curves", "epoch")
    component(curves, Curves, "curves").update({ ...card.curves, label: "Curves of the training" })
  }
  if (card.confusion_matrix) {
    const part = section(root, "Confusion matrix", "confusion matrix")
    const said = make("p", "quiet small", "", { "aria-live": "polite" })
    const matrix = component(part, ConfusionMatrix, "confusion_matrix")
    const { class_names: names, confusion_matrix: counts } = card
    const data = { counts, names, normalised: false, colours: [RIGHT, WRONG], chosen: [0, 0] }
    const read = ([row, column]) => {
      const total = counts[row].reduce((sum, value) => sum + value, 0)
      const images = counts[row][column] === 1 ? "image" : "images"
      said.textContent = `On the validation images: ${counts[row][column]} of ${total} ${images} of the class ${names[row]} were classified as ${names[column]}. Click another cell to read it.`
    }
    matrix.update(data)
    matrix.tell = (_, chosen) => read(chosen)
    read(data.chosen)
    part.append(said)
  }
  const made = section(root, "How this page computes")
  made.append(...[preparation.sentence, weights.sentence, card.origin].map(sentence => make("p", "", sentence)))
  const all = make("details")
  all.append(make("summary", "", "All settings"), list("", card.settings))
  root.append(all)
}

function section(root, title, word) {
  const part = make("section", "part")
  const heading = make("h3", "", title)
  if (word) heading.append(term(word))
  part.append(heading)
  root.append(part)
  return part
}

function list(title, pairs) {
  const part = make("section")
  const entries = make("dl")
  for (const [name, value] of pairs) {
    const row = make("div")
    row.append(make("dt", "", name), make("dd", "", value))
    entries.append(row)
  }
  part.append(...(title ? [make("h3", "", title)] : []), entries)
  return part
}

export function offerLicences({ opener, dialog, text }) {
  opener.onclick = async () => {
    dialog.showModal()
    if (text.textContent) return
    text.textContent = "Reading …"
    text.textContent = new TextDecoder().decode(await unpack("licences"))
  }
}
