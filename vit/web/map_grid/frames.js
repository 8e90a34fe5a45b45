// The frames of a time-lapse: a play button and a slider.

import { write } from "map_grid/values"
import { Widget, make } from "shared"

const FRAME_MS = 700 // while it plays

export class FilmWidget extends Widget {
  frame = 0

  // The time-lapse's play button and slider; the server receives the epoch when the slider or the film stops.
  player() {
    this.film = make("div", "film")
    this.play = make("button", "play", "Play", { type: "button" })
    this.scrub = make("input", "", "", { type: "range", min: 0, step: 1, "aria-label": "Epoch" })
    this.epoch = make("output", "")
    this.film.append(this.play, this.scrub, this.epoch)
    this.play.onclick = () => (this.timer ? this.rest() : this.roll())
    this.scrub.oninput = () => {
      this.rest(false)
      this.show(Number(this.scrub.value))
    }
    this.scrub.onchange = () => this.pick({})
    return this.film
  }

  roll() {
    const last = this.data.frames.length - 1
    if (this.frame >= last) this.show(0)
    this.play.textContent = "Pause"
    this.timer = setInterval(() => {
      this.show(this.frame + 1)
      if (this.frame >= this.data.frames.length - 1) this.rest()
    }, FRAME_MS)
  }

  rest(tell = true) {
    if (!this.timer) return
    clearInterval(this.timer)
    this.timer = null
    this.play.textContent = "Play"
    if (tell) this.pick({})
  }

  show(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.data.frames.length - 1)
    this.draw()
  }

  showEpoch() {
    const { frames, notes } = this.data
    this.film.hidden = !frames.length
    if (!frames.length) return
    this.scrub.max = frames.length - 1
    this.scrub.value = this.frame
    const epoch = frames[this.frame] ? `After epoch ${frames[this.frame]}` : "Before training"
    write(this.epoch, notes[this.frame] ? `${epoch}: ${notes[this.frame]}` : epoch)
  }

  remove() {
    clearInterval(this.timer)
    super.remove()
  }
}
