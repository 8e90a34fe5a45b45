/**
 * Run the exported network in the browser: open it, give it pixels, read logits and the attention of every head.
 *
 * The runtime and the network lie in the page itself, gzipped and base64, so nothing is loaded from anywhere.
 */

/**
 * Return the bytes of a packed part of the page, and remove the part to free its memory.
 * @param {string} id
 * @returns {Promise<Uint8Array>}
 */
export async function unpack(id) {
  const element = document.getElementById(id)
  if (!element) throw new Error(`The page has no part "${id}": it is incomplete. Export it again.`)
  const packed = fromBase64(element.textContent.trim())
  element.remove()
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** @param {string} text @returns {Uint8Array} */
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text)
  const characters = atob(text)
  const bytes = new Uint8Array(characters.length)
  for (let index = 0; index < bytes.length; index++) bytes[index] = characters.charCodeAt(index)
  return bytes
}

/**
 * Return the manifest: everything about the run that the page shows; see vit/exports/web_page/__init__.py.
 * @returns {object}
 */
export function readManifest() {
  return JSON.parse(document.getElementById("manifest").textContent)
}

let opened = null

/**
 * Open the network of the page; a second call gives the same network.
 * @param {object} manifest
 * @returns {Promise<{run: Function, backend: "webgpu" | "wasm", close: Function}>}
 *   `run(pixels, {headMask})` takes the normalised pixels (3 h w) and optionally a number for each head (depth heads):
 *   1 keeps the head, 0 switches it off. It resolves to `{logits, attention}`: a number for each class, and
 *   (depth heads n n), indexed [query, key], or null for a network without attention. Calls run one after another.
 */
export function openNetwork(manifest) {
  opened ??= openNow(manifest)
  return opened
}

async function openNow(manifest) {
  const { runtime, session, backend } = await openSession()
  const size = manifest.image_size
  const maskShape = [manifest.depth, manifest.heads]
  const allHeads = manifest.head_mask ? new Float32Array(manifest.depth * manifest.heads).fill(1) : null
  let last = Promise.resolve()

  async function runNow(pixels, headMask) {
    const feeds = { images: new runtime.Tensor("float32", pixels, [1, 3, size, size]) }
    if (manifest.head_mask) feeds.head_mask = new runtime.Tensor("float32", headMask ?? allHeads, maskShape)
    const found = await session.run(feeds)
    return { logits: found.logits.data, attention: found.attention ? found.attention.data : null }
  }

  return {
    backend,
    run(pixels, { headMask = null } = {}) {
      if (pixels.length !== 3 * size * size) {
        throw new RangeError(`The network takes ${3 * size * size} numbers (3 × ${size} × ${size}), not ${pixels.length}.`)
      }
      if (headMask && headMask.length !== maskShape[0] * maskShape[1]) {
        throw new RangeError(`The head mask needs ${maskShape[0] * maskShape[1]} numbers, not ${headMask.length}.`)
      }
      const result = last.then(() => runNow(pixels, headMask && Float32Array.from(headMask)))
      last = result.catch(() => {}) // an error is the caller's, and must not stop the next call
      return result
    },
    close: () => session.release(),
  }
}

/** Open a session in WebGPU if the page holds that runtime and the browser can use it, otherwise in WebAssembly. */
async function openSession() {
  const network = await unpack("network")
  if (await canUseWebGpu()) {
    try {
      return await openWith("webgpu", network)
    } catch (error) {
      console.info(`WebGPU could not be used, so the network runs in WebAssembly: ${error.message}`)
    }
  }
  document.getElementById("runtime-webgpu")?.remove()
  return openWith("wasm", network)
}

/** The runtime waits for the GPU by suspending WebAssembly (JavaScript Promise Integration). */
async function canUseWebGpu() {
  if (!document.getElementById("runtime-webgpu") || !("Suspending" in WebAssembly)) return false
  try {
    return Boolean(await navigator.gpu?.requestAdapter())
  } catch {
    return false
  }
}

async function openWith(backend, network) {
  const runtime = await import(`onnxruntime-${backend}`)
  runtime.env.logLevel = "error"
  runtime.env.wasm.wasmBinary = await unpack(`runtime-${backend}`)
  runtime.env.wasm.numThreads = 1 // more need cross-origin isolation, which a page opened as a file cannot have
  const session = await runtime.InferenceSession.create(network, { executionProviders: [backend], logSeverityLevel: 3 })
  return { runtime, session, backend }
}

/**
 * Turn logits into probabilities.
 * @param {ArrayLike<number>} logits
 * @returns {Float32Array}
 */
export function softmax(logits) {
  const top = Math.max(...logits)
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - top))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return Float32Array.from(powers, (power) => power / total)
}
