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

/** The number that 16 bits encode as IEEE 754 half precision. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
