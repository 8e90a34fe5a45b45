// The answer: a bar for each class, and the answer without changes beside it.

import { make } from "shared"

const BARS = 8 // with more classes, only the most probable ones have a bar
const LIVE_WORDS_MS = 250
const SPEAK_MS = 900 // the answer is read aloud once it has not changed for this time

export const percent = share => (share > 0 && share < 0.001 ? "<0.1%" : share >= 0.9995 && share < 1 ? ">99.9%" : `${(100 * share).toFixed(1)}%`)

export class Answer {
  constructor({ best, bars, compared, spoken, now }, names) {
    Object.assign(this, { best, bars, compared, spoken, now, names })
    this.items = Array.from({ length: Math.min(BARS, names.length) }, () => {
      const item = make("li")
      const parts = { name: make("span", "name"), track: make("span", "track"), fill: make("span", "fill"), tick: make("span", "tick"), value: make("span", "value") }
      parts.track.append(parts.fill, parts.tick)
      item.append(parts.name, parts.track, parts.value)
      return { item, ...parts }
    })
    bars.replaceChildren(...this.items.map(({ item }) => item))
    this.order = names.map((_, index) => index)
  }

  // `plain` holds the probabilities without changes, or null; `truth` is the class of a sample, or empty.
  update({ probabilities, plain, truth, live }) {
    const { names, order } = this
    if (names.length > BARS) order.sort((one, other) => probabilities[other] - probabilities[one])
    const top = probabilities.indexOf(Math.max(...probabilities))
    this.items.forEach(({ item, fill, tick }, place) => {
      fill.style.transform = `scaleX(${probabilities[order[place]]})`
      item.classList.toggle("top", order[place] === top)
      tick.hidden = !plain
      if (plain) tick.style.left = `${100 * plain[order[place]]}%`
    })
    const now = performance.now() // numbers that change with every frame cannot be read
    if (live && now - this.written < LIVE_WORDS_MS && names.length <= BARS) return
    this.written = now
    this.items.forEach(({ name, value }, place) => {
      write(name, names[order[place]])
      write(value, percent(probabilities[order[place]]))
    })
    const said = `${names[top]}, ${percent(probabilities[top])}`
    const judged = truth ? (truth === names[top] ? "The answer is right." : `In fact: ${truth}.`) : ""
    const compared = plain ? this.comparison(plain, top) : ""
    write(this.best, said)
    write(this.now, said)
    write(this.compared, [judged, compared].filter(Boolean).join(" "))
    this.speak(live ? names[top] : [`${said}.`, judged, compared].filter(Boolean).join(" "))
  }

  comparison(plain, top) {
    const before = plain.indexOf(Math.max(...plain))
    if (before === top) return `Without the changes (line on each bar): ${percent(plain[top])}.`
    return `Without the changes (line on each bar): ${this.names[before]}, ${percent(plain[before])}.`
  }

  speak(text) {
    if (text === this.waiting) return
    this.waiting = text
    clearTimeout(this.timer)
    this.timer = setTimeout(() => write(this.spoken, text), SPEAK_MS)
  }
}

// A network with one output, or without classes, has numbers and no probabilities.
export class Numbers {
  constructor({ best, bars, compared, now }, names) {
    Object.assign(this, { best, now, names })
    bars.hidden = compared.hidden = true
  }

  update({ logits }) {
    const said = logits.length === 1 ? `${this.names[0] ?? "Output"}: ${logits[0].toPrecision(4)}` : `${logits.length} features`
    write(this.best, logits.length === 1 ? said : `This network has no classes: its output is ${said}.`)
    write(this.now, said)
  }
}

const write = (element, text) => element.textContent !== text && (element.textContent = text)
