// Cover patches of a picture, as vit.explain.interventions.cover does.

export class Cover {
  constructor(size, [rows, columns]) {
    Object.assign(this, { size, rows, columns })
    this.pixels = new Float32Array(3 * size * size)
    this.shown = new ImageData(size, size)
    this.place = new Uint16Array(size * size) // the patch of each pixel
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) this.place[y * size + x] = Math.floor((y * rows) / size) * columns + Math.floor((x * columns) / size)
    }
  }

  // Write the picture with these patches, numbered from 1, covered into `pixels` and `shown`.
  apply(pixels, shown, covered, fill) {
    const { size, place } = this
    const area = size * size
    const hidden = new Uint8Array(this.rows * this.columns)
    for (const patch of covered) hidden[patch - 1] = 1
    this.pixels.set(pixels)
    this.shown.data.set(shown.data)
    if (!covered.size) return
    for (let channel = 0; channel < 3; channel++) {
      const plane = pixels.subarray(channel * area, (channel + 1) * area)
      const look = Float32Array.from({ length: area }, (_, index) => shown.data[4 * index + channel])
      const [filled, seen] = fill === "blur" ? [this.blurred(plane), this.blurred(look)] : [mean(plane), mean(look)]
      for (let index = 0; index < area; index++) {
        if (!hidden[place[index]]) continue
        this.pixels[channel * area + index] = filled[index] ?? filled
        this.shown.data[4 * index + channel] = seen[index] ?? seen
      }
    }
  }

  // A Gaussian blur whose deviation is the side of a patch, renormalised at the borders.
  blurred(plane) {
    const { size } = this
    this.down ??= blurring(size, size / this.rows)
    this.across ??= blurring(size, size / this.columns)
    const half = new Float32Array(size * size)
    const whole = new Float32Array(size * size)
    for (let y = 0; y < size; y++) {
      for (let from = 0; from < size; from++) {
        const weight = this.down[y * size + from]
        for (let x = 0; x < size; x++) half[y * size + x] += weight * plane[from * size + x]
      }
    }
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        let sum = 0
        for (let from = 0; from < size; from++) sum += this.across[x * size + from] * half[y * size + from]
        whole[y * size + x] = sum
      }
    }
    return whole
  }
}

const mean = plane => plane.reduce((sum, value) => sum + value, 0) / plane.length

function blurring(size, deviation) {
  const weights = new Float32Array(size * size)
  for (let row = 0; row < size; row++) {
    let sum = 0
    for (let place = 0; place < size; place++) sum += weights[row * size + place] = Math.exp(-((row - place) ** 2) / (2 * deviation ** 2))
    for (let place = 0; place < size; place++) weights[row * size + place] /= sum
  }
  return weights
}
