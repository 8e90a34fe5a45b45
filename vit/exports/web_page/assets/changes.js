// What the visitor changes: covered patches, and heads that are switched off.

import { SIGNED } from "colours"
import { HeadBoard } from "head_board"
import { component } from "parts"
import { PatchBoard } from "patch_board"

export class CoverControls {
  covered = new Set()

  constructor({ board, fill, uncover }, [rows, columns], changed) {
    this.fill = fill
    this.uncover = uncover
    this.grid = { rows, columns }
    this.board = component(board, PatchBoard, "patch_board")
    const set = covered => {
      if (covered.length === this.covered.size && covered.every(patch => this.covered.has(patch))) return
      this.covered = new Set(covered)
      this.update()
      changed()
    }
    this.board.tell = (_, { covered }) => set(covered) // also during a stroke
    fill.onchange = () => changed()
    uncover.onclick = () => set([])
    this.update()
  }

  update() {
    this.uncover.disabled = !this.covered.size
    this.board.update({ ...this.grid, covered: this.covered })
  }
}

export class HeadControls {
  off = new Set() // layer times heads plus head, from 0

  constructor({ heads, allOn }, manifest, changed) {
    Object.assign(this, { depth: manifest.depth, heads: manifest.heads, allOn, changed })
    this.board = component(heads, HeadBoard, "head_board")
    this.board.tell = (_, { layer, head }) => this.toggle(layer, head)
    allOn.onclick = () => this.set(new Set())
    this.update()
  }

  // Layer or head 0 stands for all: they are switched off together, or on if all are off.
  toggle(layer, head) {
    const chosen = []
    for (let index = 0; index < this.depth * this.heads; index++) {
      if (layer && Math.floor(index / this.heads) + 1 !== layer) continue
      if (head && (index % this.heads) + 1 !== head) continue
      chosen.push(index)
    }
    const off = new Set(this.off)
    const all = chosen.every(index => off.has(index))
    for (const index of chosen) all ? off.delete(index) : off.add(index)
    this.set(off)
  }

  set(off) {
    this.off = off
    this.update()
    this.changed()
  }

  update() {
    const { depth, heads, off } = this
    const table = make => Array.from({ length: depth }, (_, layer) => Array.from({ length: heads }, (_, head) => make(layer, head, off.has(layer * heads + head))))
    this.allOn.disabled = !off.size
    this.board.update({
      depth,
      heads,
      groups: true,
      short: true,
      texts: table((layer, head, isOff) => (isOff ? "off" : "on")),
      tones: table((layer, head, isOff) => (isOff ? 1 : 0)),
      says: table((layer, head, isOff) => `Layer ${layer + 1}, head ${head + 1}: ${isOff ? "off" : "on"}`),
      pressed: [...off].map(index => [Math.floor(index / heads) + 1, (index % heads) + 1]),
      colours: SIGNED,
      label: "Heads: a click switches one off or on",
    })
  }

  // What the network takes: 1 keeps a head and 0 switches it off; null if all are on.
  mask() {
    if (!this.off.size) return null
    this.numbers ??= new Float32Array(this.depth * this.heads)
    this.numbers.fill(1)
    for (const index of this.off) this.numbers[index] = 0
    return this.numbers
  }
}
