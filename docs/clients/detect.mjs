// Finds defects with a model that `minicore export` wrote, in Node 18 or later.
//
//   npm install onnxruntime-web@1.30.0      in the folder of this file and of minicore.mjs
//   node detect.mjs part.onnx image.rgb     one line for each image
//   node detect.mjs part.onnx --check       check the results of onnxruntime-web on this computer
//
// Node does not decode images. An .rgb file has 3 bytes for each pixel: red, green, blue. ffmpeg
// writes one:  ffmpeg -i image.png -f rawvideo -pix_fmt rgb24 image.rgb

import { readFile } from "node:fs/promises";
import { check, detect, open } from "./minicore.mjs";

async function main(file, ...paths) {
  const model = await open(new Uint8Array(await readFile(file)));
  if (paths[0] === "--check") {
    await check(model);
    console.log("check passed");
    return;
  }
  for (const path of paths) {
    const pixels = new Uint8Array(await readFile(path));
    const expected = model.height * model.width * 3;
    if (pixels.length !== expected) {
      const size = `${model.height} x ${model.width} x 3 = ${expected}`;
      throw new Error(`${path}: has ${pixels.length} bytes; the model needs ${size}`);
    }
    const { score, pValue, verdict, row, column } = await detect(model, pixels);
    const position = `largest at row ${row}, column ${column}`;
    const p = pValue === undefined ? "" : `p ${pValue.toPrecision(3)}, `;
    console.log(`${path}: score ${score.toPrecision(7)}, ${p}${verdict}, ${position}`);
  }
}

const [file, ...paths] = process.argv.slice(2);
try {
  if (!paths.length) throw new Error("node detect.mjs part.onnx image.rgb ..., or --check");
  await main(file, ...paths);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
