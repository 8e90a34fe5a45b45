// The image below the maps. Scaled images are kept, since most canvases have the same size.

const SIZES_MAX = 8 // more are from before the window changed

export class Ground {
  scaled = new Map() // by the side of a canvas in pixels
  images = 0

  // Use another image, or the same canvas with new content.
  set(image) {
    this.image = image
    this.images += 1
  }

  isThere() {
    return Boolean(this.image) && this.image.complete !== false
  }

  // Give a canvas its size and the image, and return its context.
  paint(canvas, width) {
    const side = Math.max(1, Math.round(width * devicePixelRatio))
    if (canvas.width !== side || canvas.height !== side) Object.assign(canvas, { width: side, height: side })
    const context = canvas.getContext("2d")
    context.clearRect(0, 0, side, side)
    context.drawImage(this.scaledTo(side), 0, 0)
    return context
  }

  scaledTo(side) {
    if (this.scaled.size > SIZES_MAX) this.scaled.clear()
    if (!this.scaled.has(side)) this.scaled.set(side, Object.assign(document.createElement("canvas"), { width: side, height: side }))
    const canvas = this.scaled.get(side)
    if (canvas.images !== this.images) {
      canvas.images = this.images
      const context = canvas.getContext("2d")
      context.imageSmoothingEnabled = this.image.width > 128 // small images in their own pixels
      context.clearRect(0, 0, side, side)
      context.drawImage(this.image, 0, 0, side, side)
    }
    return canvas
  }
}
