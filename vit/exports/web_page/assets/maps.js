// The maps: every head of every layer, one of them large with its matrix, and rollout.

import { AttentionRows } from "attention_rows"
import { BORDER, SEQUENTIAL } from "colours"
import { HeatMap } from "heat_map"
import { MapGrid } from "map_grid"
import { component, term } from "parts"
import { make } from "shared"

const VIEWS = {
  heads: { label: "Every head", term: "" },
  rollout: { label: "Rollout", term: "rollout" },
}
const ROLLOUT = "The attention of all layers multiplied, up to each layer: how much of each patch can reach the token. Mean over the heads; it knows no class."
const NO_ROLLOUT = "Rollout is not offered: it multiplies the attention of the layers, which needs rows that sum to 1 and tokens that stay at their places."

class Grid extends MapGrid {
  draw() {
    super.draw()
    this.tell("draw") // the matrix follows the pointer too
  }
}

export class Maps {
  view = "heads"
  off = new Set()

  constructor(elements, manifest) {
    Object.assign(this, { elements, manifest })
    const { depth, heads, grid, before } = manifest
    this.rows = new AttentionRows(manifest)
    this.follows = manifest.normalised_over === "key" && !manifest.mixes_positions
    const layers = Array.from({ length: depth }, (_, layer) => layer + 1)
    this.shapes = {
      heads: {
        rowNames: layers.map(layer => `Layer ${layer}`),
        columnNames: Array.from({ length: heads }, (_, head) => `Head ${head + 1}`),
        title: "Every head of every layer",
        quantity: "attention",
        read: this.rows.ofHead,
      },
      rollout: {
        rowNames: layers.map(layer => (layer === 1 ? "Layer 1" : `Layers 1 to ${layer}`)),
        columnNames: ["Rollout"],
        title: "Rollout",
        quantity: "rollout",
        read: this.rows.ofRollout,
      },
    }
    this.chosen = { heads: { row: 1, column: 1 }, rollout: { row: depth, column: 1 } }
    this.settings = {
      rows: grid[0],
      columns: grid[1],
      prefix: manifest.prefix_tokens.length,
      summary: manifest.summary,
      colours: SEQUENTIAL,
      borderColour: BORDER,
      shares: manifest.normalised_over === "key",
      pairs: true,
      signed: false,
      every: true,
      first: 0,
      frames: [],
      notes: [],
      frame: 0,
      top: null,
      picker: true,
      offersSummary: true,
      enlarges: true,
      onMap: true,
      before: before.names,
      beforeShort: before.short,
      beforeWords: before.words,
      token: 0,
      perTile: false,
      opacity: Number(elements.opacity.value) / 100,
      smooth: elements.smooth.checked,
    }
    this.grid = component(elements.maps, Grid, "map_grid")
    this.grid.tell = (name, event) => (name === "pick" ? this.pick(event) : this.drawMatrix())
    this.heat = component(elements.matrix, HeatMap, "heat_map")
    elements.matrixTerms.append(term("query"), "query", term("key"), "key")
    this.tokenNames = Array.from({ length: this.rows.tokens }, (_, place) => this.nameOf(place))
    this.control()
    this.update()
  }

  pick({ token, row, column }) {
    this.settings.token = token
    this.chosen[this.view] = { row, column }
    this.update()
  }

  nameOf(place) {
    const { prefix_tokens: before, grid } = this.manifest
    if (place < before.length) return before[place]
    const patch = place - before.length
    return `patch r${Math.floor(patch / grid[1]) + 1} c${(patch % grid[1]) + 1}`
  }

  control() {
    const { views, smooth, scale, opacity, box, caveat } = this.elements
    for (const [name, { label, term: word }] of Object.entries(VIEWS)) {
      if (name === "rollout" && !this.follows) continue
      const choice = make("label", "choice")
      const input = make("input", "", "", { type: "radio", name: "view", value: name })
      input.checked = name === this.view
      input.onchange = () => {
        this.view = name
        this.update()
      }
      choice.append(input, make("span", "", label))
      views.append(choice, ...(word ? [term(word)] : []))
    }
    const { caveat: how } = this.manifest
    caveat.textContent = [how, this.follows ? "" : NO_ROLLOUT].filter(Boolean).join(" ")
    caveat.hidden = !caveat.textContent
    const set = (name, value) => {
      this.settings[name] = value
      this.update()
    }
    smooth.onchange = () => set("smooth", smooth.checked)
    scale.onchange = () => set("perTile", scale.value === "tile")
    opacity.oninput = () => set("opacity", Number(opacity.value) / 100)
    box.ontoggle = () => this.drawMatrix()
  }

  // Show the attention of a picture; `canvas` holds the picture, which may be a frame of the camera.
  show(attention, canvas, live) {
    this.rows.set(attention)
    this.settings.live = this.grid.data.live = live
    this.grid.setImage(canvas)
    this.grid.draw()
  }

  setOff(off) {
    this.off = off
    this.update()
  }

  update() {
    const { view, settings, off } = this
    const { depth, heads } = this.manifest
    const key = []
    if (view === "rollout") key.push(ROLLOUT)
    if (view === "rollout" && off.size) key.push("Heads that are off count too: rollout takes the attention, not the outputs.")
    const tileNotes = view === "heads" && off.size
      ? Array.from({ length: depth * heads }, (_, index) => (off.has(index) ? { role: "off", border: 0, about: ["Switched off: its output is zero."] } : {}))
      : []
    this.elements.box.hidden = view !== "heads"
    this.grid.update({ ...settings, ...this.shapes[view], ...this.chosen[view], key, tileNotes })
  }

  // The whole matrix of the enlarged head.
  drawMatrix() {
    const { elements, grid, rows } = this
    if (this.view !== "heads" || !rows.attention) return
    const { row: layer, column: head } = this.chosen.heads
    elements.matrixTitle.textContent = `The matrix of layer ${layer}, head ${head}`
    if (!elements.box.open) return
    const { tokens, heads } = rows
    const size = tokens * tokens
    const start = ((layer - 1) * heads + head - 1) * size
    const token = grid.shown()
    const single = token > 0 || rows.summary[1] - rows.summary[0] === 1
    this.heat.update({
      values: rows.attention.subarray(start, start + size),
      rows: tokens,
      columns: tokens,
      rowNames: this.tokenNames,
      columnNames: this.tokenNames,
      mark: single ? (token ? rows.placeOf(token) : rows.summary[0]) : null,
      share: true,
      square: true,
      colours: SEQUENTIAL,
      label: `Attention of layer ${layer}, head ${head}: ${tokens} queries down, ${tokens} keys across.`,
      rest: single ? `strip: ${this.tokenNames[token ? rows.placeOf(token) : rows.summary[0]]}` : "",
    })
    const sum = this.manifest.normalised_over === "key" ? "each row sums to 1" : "each column sums to 1"
    elements.matrixText.textContent =
      `Queries are rows, keys are columns: ${sum}. A bright column is a token that many others attend to; a bright diagonal, tokens that attend to themselves. ` +
      (single ? "The outlined row is the query of the maps above, drawn again below." : `The maps above are the ${this.manifest.summary.replace("of", "of the rows of")}.`)
  }
}
