// The engine in the browser, without a server: the same methods as engine_local.js. It shows one
// part, with the settings of its fit. The computation is in static_worker.js.

import { withoutAlpha } from "./draw.js";

const SIGMA_STEP = 0.5; // pixels; the thresholds of the scene are for these σ
const FEWEST_NEIGHBOURS = 2; // and for b from this number on

export async function open() {
  const worker = new Worker(new URL("static_worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let count = 0;
  let report = () => {};
  let scene = null;

  worker.addEventListener("message", ({ data: { number, result, error, progress } }) => {
    if (progress) return report("loading", progress);
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  });

  function ask(method, argument) {
    count += 1;
    worker.postMessage({ number: count, method, argument });
    return new Promise((resolve, reject) => waiting.set(count, { resolve, reject }));
  }

  /** Thresholds and good scores for one setting, computed when the site was built. */
  function thresholds(coreset, b, place) {
    const { thresholds: byScore, map_thresholds: byPeak, good_scores: good, gumbel } = scene.arrays;
    const [, each, n] = good.shape;
    const atScore = coreset * each + b - FEWEST_NEIGHBOURS;
    return {
      threshold: byScore.data[atScore],
      map_threshold: byPeak.data[coreset * byPeak.shape[1] + place],
      gumbel: gumbel.data.slice(2 * atScore, 2 * atScore + 2),
      good_scores: { data: good.data.slice(atScore * n, (atScore + 1) * n), shape: [n] },
    };
  }

  return {
    info: { kind: "static", parts: [document.documentElement.dataset.part], engines: ["fast"], settings: false, webcam: false },

    /** The scene; `onProgress` gets the megabytes that have arrived, as a key and values of words.js. */
    async open(part, settings, onProgress) {
      report = onProgress;
      scene ??= await ask("open");
      return scene;
    },

    async image(kind, number) {
      const response = await fetch(`${kind}-${number}.webp`);
      if (!response.ok) return null;
      const picture = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
      const canvas = new OffscreenCanvas(picture.width, picture.height);
      const context = canvas.getContext("2d");
      context.drawImage(picture, 0, 0);
      return withoutAlpha(context.getImageData(0, 0, picture.width, picture.height).data);
    },

    async detect(pixels, { share, b, sigma }) {
      const place = Math.round(sigma / SIGMA_STEP); // of this σ in the scene's lists
      const rows = Math.round(share * scene.values.all_rows);
      const { values, arrays } = await ask("detect", { pixels, rows, b, sigma: place });
      const { good_scores, gumbel: [mu, beta], ...limits } =
        thresholds(scene.arrays.coresets.data.indexOf(rows), b, place);
      const anomalous = values.score > limits.threshold;
      const pValue = -Math.expm1(-Math.exp((mu - values.score) / beta)); // as threshold.py
      return { values: { ...values, ...limits, p_value: pValue, anomalous }, arrays: { ...arrays, good_scores } };
    },

    features: (pixels, position) => ask("features", { pixels, position }),

    source: async (equation) => (await fetch(`${equation}.json`)).json(),
  };
}
