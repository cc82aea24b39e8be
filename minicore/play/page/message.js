// The binary message of minicore/play/message.py: a length, a JSON text, then the arrays.
// `offset` of an array counts from the first one.

const TYPES = { float32: Float32Array, float16: Uint16Array, int32: Int32Array, uint8: Uint8Array };

/** Decode a message to {values, arrays: {name: {data, shape}}}. */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(header.arrays)) {
    const count = shape.reduce((product, n) => product * n, 1);
    const stored = new TYPES[dtype](buffer, 4 + length + offset, count);
    arrays[name] = { data: dtype === "float16" ? Float32Array.from(stored, half) : stored, shape };
  }
  return { values: header.values, arrays };
}

/** Encode uint8 arrays, {name: {data, shape}}, as a message. */
export function encode(arrays) {
  const entries = {};
  let end = 0;
  for (const [name, { data, shape }] of Object.entries(arrays)) {
    entries[name] = { dtype: "uint8", shape, offset: end };
    end += Math.ceil(data.length / 8) * 8;
  }
  const json = JSON.stringify({ values: {}, arrays: entries });
  const head = new TextEncoder().encode(json.padEnd(Math.ceil((json.length + 4) / 8) * 8 - 4));
  const bytes = new Uint8Array(4 + head.length + end);
  new DataView(bytes.buffer).setUint32(0, head.length, true);
  bytes.set(head, 4);
  for (const [name, { data }] of Object.entries(arrays)) bytes.set(data, 4 + head.length + entries[name].offset);
  return bytes;
}

/** The number that 16 bits encode as IEEE 754 half precision. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
