// The maps of all tokens arrive once for each version, or those of the chosen token and of the enlarged tile if they are
// too large; then only a click changes the other tiles.

// Numbers in half precision arrive as 16-bit integers; this is the number of each of them.
let halves
function fromHalves(bits) {
  if (!halves) {
    halves = new Float32Array(65536)
    for (let half = 0; half < 65536; half++) {
      const [exponent, fraction] = [(half >> 10) & 31, half & 1023]
      const size = exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction
      halves[half] = half >> 15 ? -size : size
    }
  }
  const values = new Float32Array(bits.length)
  for (let index = 0; index < bits.length; index++) values[index] = halves[bits[index]]
  return values
}

const readNumbers = table => {
  const values = table.getChildAt(0).toArray()
  return table.schema.fields[0].name === "half" ? fromHalves(values) : values
}

class ServedMapGrid extends counting(MapGrid) {
  update(component) {
    const { data } = component
    if (data.maps) {
      this.maps = readNumbers(data.maps)
      this.tileMaps = data.tile && { row: data.row, column: data.column, numbers: readNumbers(data.tile) }
      this.version = data.version
      this.preview = null
      const image = new Image()
      image.onload = () => {
        this.setImage(image)
        this.draw()
      }
      image.src = data.image
      this.setImage(image)
    } else if (this.version !== data.version) {
      component.setTriggerValue("pick", { version: null, seq: this.seq }) // a new element without maps asks for them
      return
    }
    const { token, row, column, frame } = this
    super.update(this.receive(component) ? data : { ...data, token, row, column, frame })
  }

  tell(name, event) {
    super.tell(name, { ...event, version: this.version })
  }

  // Maps can follow the pointer if those of every token are here, at least for the enlarged tile.
  followsIn(row, column) {
    return this.data.every || (this.tileMaps?.row === row && this.tileMaps.column === column)
  }

  isReady() {
    const { every, first } = this.data
    return every ? this.shown() >= first : this.token === first // otherwise its maps have not arrived yet
  }

  read(row, column, token, frame) {
    const { every, prefix, rows, columns, rowNames, columnNames, first, tokens, pairs } = this.data
    const length = prefix + rows * columns
    const ofTile = !every && token !== first // and then there are no frames
    const place = ((frame * tokens + (pairs ? token - first : 0)) * rowNames.length + row - 1) * columnNames.length + column - 1
    const start = (ofTile ? token : place) * length
    const numbers = ofTile ? this.tileMaps.numbers : this.maps
    return { prefix: numbers.subarray(start, start + prefix), patches: numbers.subarray(start + prefix, start + length) }
  }
}

export default mount(ServedMapGrid)
