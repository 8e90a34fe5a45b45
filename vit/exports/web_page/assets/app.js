/** The page: choose a sample or a picture, and read the answer and the attention as text. */
import { openNetwork, readManifest, softmax } from "engine"
import { openPicture, prepare } from "preprocess"

const manifest = readManifest()
const byId = (id) => document.getElementById(id)
byId("title").textContent = manifest.title

const network = await openNetwork(manifest)
byId("status").textContent = `Ready (${network.backend}).`
for (const sample of manifest.samples) byId("sample").append(new Option(`${sample.name}: ${sample.label}`, sample.src))
byId("sample").addEventListener("change", showSample)
byId("picture").addEventListener("change", async (event) => show(prepare(await openPicture(event.target.files[0]), manifest.preparation)))
if (manifest.samples.length) await showSample()

async function showSample() {
  const image = new Image()
  image.src = byId("sample").value
  await image.decode()
  await show(prepare(image, manifest.preparation, { ready: true }))
}

async function show({ pixels, shown }) {
  const canvas = byId("shown")
  canvas.width = canvas.height = manifest.image_size
  canvas.getContext("2d").putImageData(shown, 0, 0)
  const { logits, attention } = await network.run(pixels)
  const shares = softmax(logits)
  byId("answer").textContent = manifest.class_names.map((name, index) => `${(100 * shares[index]).toFixed(1)} % ${name}`).join("\n")
  byId("attention").textContent = attention ? `${attention.length} attention weights; the first row: ${[...attention.slice(0, 8)].map((weight) => weight.toFixed(4)).join(" ")} …` : "No attention."
}
