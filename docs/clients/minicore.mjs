// Runs a model that `minicore export` wrote, with onnxruntime-web. For Node and for browsers.

import * as ort from "onnxruntime-web/wasm";

ort.env.wasm.numThreads = 1; // with several threads, a web server must send special headers

// Open a file, given as Uint8Array. Return the session, the metadata and the size of its images.
export async function open(bytes) {
  const metadata = readMetadata(bytes);
  const about = JSON.parse(metadata.minicore ?? "{}");
  if (!about.check) throw new Error("This is not a file that minicore export wrote.");
  const session = await ort.InferenceSession.create(bytes);
  return { session, about, height: about.image_size[0], width: about.image_size[1] };
}

// Run the model on one image: height x width x 3 bytes, row by row, each pixel as red, green, blue.
// `row` and `column` are the position of the largest value of the map.
export async function detect({ session, height, width }, pixels) {
  const image = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const { score, map, p_value: pValue, anomalous } = await session.run({ image });
  const largest = map.data.reduce((a, b) => Math.max(a, b));
  const position = map.data.indexOf(largest);
  const [, mapHeight, mapWidth] = map.dims;
  return {
    score: score.data[0],
    verdict: anomalous ? (anomalous.data[0] ? "anomalous" : "good") : "no threshold",
    pValue: pValue?.data[0], // the share of good images that score higher
    map: { data: map.data, height: mapHeight, width: mapWidth },
    largest, row: Math.floor(position / mapWidth), column: position % mapWidth,
  };
}

// Run the check images of the file. Throw an error if a result differs from minicore's.
export async function check(model) {
  if (!model.about.check.length) throw new Error("check failed: the file has no check images");
  for (const [i, entry] of model.about.check.entries()) {
    const found = await detect(model, await decompress(entry.pixels));
    compare(`image ${i + 1}, score`, entry.score, found.score, entry.score_within);
    const atLargest = found.map.data[entry.map_row * found.map.width + entry.map_column];
    for (const value of [found.largest, atLargest]) {
      compare(`image ${i + 1}, map`, entry.map_largest, value, entry.map_within);
    }
    if ("anomalous" in entry) {
      compare(`image ${i + 1}, p_value`, entry.p_value, found.pValue, entry.p_value_within);
      const anomalous = Number(found.verdict === "anomalous");
      compare(`image ${i + 1}, anomalous`, Number(entry.anomalous), anomalous, 0);
    }
  }
}

function compare(what, expected, found, within) {
  if (Math.abs(expected - found) <= within) return; // false for NaN
  const numbers = `${expected.toPrecision(6)} expected, ${found.toPrecision(6)} found`;
  throw new Error(`check failed: ${what}: ${numbers}`);
}

// base64 of zlib-compressed bytes -> Uint8Array
async function decompress(text) {
  const compressed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Return the metadata of an ONNX file as an object: {key: text, ...}. onnxruntime-web cannot read it.
export function readMetadata(bytes) {
  const metadata = {};
  for (const [number, entry] of fields(bytes)) {
    if (number !== 14) continue; // 14 is metadata_props
    const { 1: key, 2: value } = Object.fromEntries(fields(entry));
    metadata[new TextDecoder().decode(key)] = new TextDecoder().decode(value);
  }
  return metadata;
}

// An ONNX file is a protobuf message: a list of fields. Yield number and bytes of each field.
function* fields(bytes) {
  let at = 0;
  const readInteger = () => { // 7 bits in each byte, lowest first; the last byte is below 128
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte % 128) * factor;
      if (!(byte >= 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readInteger(); // 8 * number + type
    if (tag % 8 === 0) readInteger(); // type 0: an integer
    else if (tag % 8 === 2) { // type 2: a length, then as many bytes
      const length = readInteger();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error("This is not an ONNX file.");
  }
}
