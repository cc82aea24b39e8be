// Computes in the browser, beside the page: one onnxruntime-web session for each stage.
// The graphs are those of minicore/play/static_graphs.py.

import * as ort from "./ort.wasm.min.mjs";
import { decode } from "./message.js";

const GRAPHS = ["network", "eq123", "picture", "eq6", "eq7", "map"];

let scene = null;
const sessions = {};
let embedded = null; // {pixels, patches, picture, milliseconds} of the latest image

/** Fetch a compressed file; `report` gets the number of bytes of each part that arrives. */
async function load(name, report) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  report(0, Number(response.headers.get("Content-Length")));
  const counted = response.body.pipeThrough(new TransformStream({
    transform(part, controller) {
      report(part.length, 0);
      controller.enqueue(part);
    },
  }));
  const bytes = await new Response(counted).arrayBuffer();
  const isCompressed = new DataView(bytes).getUint16(0) === 0x1f8b; // some servers decompress
  if (!isCompressed) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

const METHODS = {
  /** Load runtime and model; return the message of the scene. */
  async open() {
    let done = 0;
    let total = 0;
    const report = (more, size) => {
      done += more;
      total += size;
      const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
      self.postMessage({ progress: { done: megabytes(done), total: megabytes(Math.max(done, total)) } });
    };
    const [runtime, message] = await Promise.all([load("runtime.bin", report), load("scene.bin", report)]);
    Object.assign(ort.env.wasm, { wasmBinary: runtime, numThreads: 1 });
    scene = decode(message);
    for (const name of GRAPHS) sessions[name] = await ort.InferenceSession.create(scene.arrays[name].data);
    const { bank, rows, columns, squared_norms, ...shown } = scene.arrays;
    for (const name of GRAPHS) delete shown[name];
    return { values: scene.values, arrays: shown };
  },

  /** The frame of an image. `rows`: of the coreset; `sigma`: place of σ in the scene's lists. */
  async detect({ pixels, rows, b, sigma }) {
    const { patches, picture, milliseconds } = await embed(pixels);
    const [, D] = scene.arrays.bank.shape;
    const bank = tensor(scene.arrays.bank.data.subarray(0, rows * D), [rows, D]);
    const squared_norms = tensor(scene.arrays.squared_norms.data.subarray(0, rows), [1, rows]);
    const times = { ...milliseconds };
    const eq6 = await run("eq6", { patches, bank, squared_norms }, times);
    const { star, m_star, s_star } = eq6;
    const count = new ort.Tensor("int64", [BigInt(b)], [1]);
    const eq7 = await run("eq7", { patches, bank, star, m_star, s_star, b: count }, times);
    const { map } = await run("map", { distances: eq6.distances, ...smoothing(sigma) }, times);
    const integers = (found) => Int32Array.from(found.data, Number);
    const [height, width] = scene.values.size;
    return {
      values: {
        score: eq7.score.data[0], s_star: s_star.data[0], weight: eq7.weight.data[0],
        star: Number(star.data[0]), milliseconds: times,
      },
      arrays: {
        ...picture,
        distances: array(eq6.distances),
        nearest: { data: integers(eq6.nearest), shape: eq6.nearest.dims },
        neighbours: { data: integers(eq7.neighbours), shape: eq7.neighbours.dims },
        neighbour_distances: array(eq7.neighbour_distances),
        softmax: array(eq7.softmax),
        map: { data: map.data, shape: [height, width] },
      },
    };
  },

  /** The feature vector of one patch. */
  async features({ pixels, position }) {
    const { patches } = await embed(pixels);
    const D = scene.values.dimension;
    return patches.data.slice(position * D, (position + 1) * D);
  },
};

/** Network and equations 1 to 3; only once for the same image. */
async function embed(pixels) {
  if (embedded?.pixels.every((value, i) => value === pixels[i])) return embedded;
  const milliseconds = {};
  const image = new ort.Tensor("uint8", pixels, [1, ...scene.values.size, 3]);
  const levels = await run("network", { image }, milliseconds);
  const { patches } = await run("eq123", levels, milliseconds);
  const { xy, ...colours } = await run("picture", { patches, ...levels }, {});
  const picture = { xy: array(xy) };
  for (const [name, { data, dims }] of Object.entries(colours)) {
    picture[name.replace("colours", "level")] = { data, shape: dims.slice(1) };
  }
  embedded = { pixels, patches, picture, milliseconds };
  return embedded;
}

/** Run one graph, and write its time. */
async function run(name, inputs, milliseconds) {
  const start = performance.now();
  const found = await sessions[name].run(inputs);
  milliseconds[name] = performance.now() - start;
  return found;
}

function smoothing(sigma) {
  const matrix = ({ data, shape: [, height, width] }) => {
    const start = sigma * height * width;
    return tensor(data.subarray(start, start + height * width), [height, width]);
  };
  return { rows: matrix(scene.arrays.rows), columns: matrix(scene.arrays.columns) };
}

function tensor(data, dims) {
  return new ort.Tensor("float32", data, dims);
}

function array({ data, dims }) {
  return { data, shape: [...dims] };
}

self.addEventListener("message", async ({ data: { number, method, argument } }) => {
  try {
    self.postMessage({ number, result: await METHODS[method](argument) });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
});
