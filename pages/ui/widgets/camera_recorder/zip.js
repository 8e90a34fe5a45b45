// Pack files into a zip without compression, since JPEG files hardly compress.

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

function crc32(bytes) {
  let crc = 0xffffffff
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

// A record of a zip: a list of [number of bytes, value], least significant byte first.
function zipRecord(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0))
  let offset = 0
  for (const [size, value] of fields) {
    for (let byte = 0; byte < size; byte++) bytes[offset++] = (value / 256 ** byte) & 0xff
  }
  return bytes
}

const [UTF8_NAME, ZIP_VERSION, FIRST_OF_JANUARY_1980] = [0x0800, 20, 0x21]

// Return a zip of files, a list of [name, Blob].
async function zipFiles(files) {
  const [parts, directory] = [[], []]
  let offset = 0
  for (const [name, blob] of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer())
    const encoded = new TextEncoder().encode(name)
    const shared = [
      ...[[2, ZIP_VERSION], [2, UTF8_NAME], [2, 0], [2, 0], [2, FIRST_OF_JANUARY_1980]],
      ...[[4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, encoded.length], [2, 0]],
    ]
    const header = zipRecord([[4, 0x04034b50], ...shared])
    parts.push(header, encoded, bytes)
    const rest = [[2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]
    directory.push(zipRecord([[4, 0x02014b50], [2, ZIP_VERSION], ...shared, ...rest]), encoded)
    offset += header.length + encoded.length + bytes.length
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0)
  const end = zipRecord([
    ...[[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]],
  ])
  return new Blob([...parts, ...directory, end], { type: "application/zip" })
}
