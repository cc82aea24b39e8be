// The engine on this computer: asks the server of `minicore play` (minicore/play/server.py).
// All addresses are relative to the page's own, which contains the token.

import { decode, encode } from "./message.js";

async function answer(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) await refuse(response);
  return response;
}

/** Throw the error of a response. 409: a newer request has replaced this one. */
async function refuse(response) {
  const error = (await response.text()) || `status ${response.status}`;
  if (response.status === 409) throw new DOMException(error, "AbortError");
  throw new Error(error);
}

async function message(path, options) {
  return decode(await (await answer(path, options)).arrayBuffer());
}

function post(path, body, type, signal) {
  return message(path, { method: "POST", headers: { "Content-Type": type }, body, signal });
}

/** Report the stage of a fit: patch features, then equation 5, then the thresholds. */
async function reportStage(onProgress) {
  const { stages } = await (await answer("progress")).json();
  if (!stages) return;
  const keys = ["fittingPatches", "fittingCoreset", "fittingThresholds"];
  onProgress(keys[Math.min(stages.length, 2)], {});
}

/** Open the engine. engine_static.js returns an object with the same methods. */
export async function open() {
  const info = await (await answer("info")).json();
  let running = null; // the request of `detect` that has no answer yet
  let opening = null; // the same of `open`
  let scene = 0; // number of the open scene on the server

  return {
    info,

    /** The scene of a part: everything that does not depend on the image. An earlier call rejects. */
    async open(part, settings, onProgress) {
      opening?.abort();
      opening = new AbortController();
      const asked = JSON.stringify({ part, ...settings });
      const timer = setInterval(() => reportStage(onProgress).catch(console.warn), 500);
      try {
        const opened = await post("open", asked, "application/json", opening.signal);
        scene = opened.values.scene;
        return opened;
      } finally {
        clearInterval(timer);
      }
    },

    /** Fit a new part to good images of (h, w, 3) bytes each; return its scene. */
    async learn(images, [h, w]) {
      const data = new Uint8Array(images.length * h * w * 3);
      images.forEach((image, i) => data.set(image, i * image.length));
      const body = encode({ images: { data, shape: [images.length, h, w, 3] } });
      const opened = await post("learn", body, "application/octet-stream");
      scene = opened.values.scene;
      return opened;
    },

    /** The pixels of an example or a training image, (h · w · 3) bytes; null if there is none. */
    async image(kind, number) {
      const path = kind === "training" ? `training/${number}` : `image/${kind}/${number}`;
      const response = await fetch(`${path}?scene=${scene}`);
      if (response.status === 404) return null;
      if (!response.ok) await refuse(response);
      return decode(await response.arrayBuffer()).arrays.pixels.data;
    },

    /** The frame of an image. An earlier call without an answer rejects with AbortError. */
    detect(pixels, { share, b, sigma, engine }) {
      running?.abort();
      running = new AbortController();
      const query = new URLSearchParams({ scene, share, sigma, engine });
      if (b !== null) query.set("b", b); // null: the model does not use equation 7
      return post(`detect?${query}`, pixels, "application/octet-stream", running.signal);
    },

    /** The feature vector of one patch. */
    async features(pixels, position) {
      const path = `features?scene=${scene}&position=${position}`;
      const { arrays } = await post(path, pixels, "application/octet-stream");
      return arrays.features.data;
    },

    /** The source of one equation: {file, lines, first, last}. */
    async source(equation) {
      return (await answer(`source/${equation}`)).json();
    },
  };
}
