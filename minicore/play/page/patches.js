// Equations 1 to 3: the neighbourhood of one patch, the levels in false colours, the patch feature.

import { colour, cutOut, fitted, offscreen, square, withAlpha } from "./draw.js";
import { levelBox, neighbourhoodBox, rowColumn } from "./geometry.js";
import { word } from "./words.js";

const WAIT = 60; // milliseconds with the pointer on one patch before its feature is asked for
const LEVELS = ["good", "second"]; // colour variables of style.css, finest level first

export function patches(app) {
  const element = (id) => document.getElementById(id);
  let timer = null;
  let asking = false;
  let again = false;
  let feature = null; // the latest patch feature

  function draw() {
    if (!app.frame) return;
    const { layers } = app.scene.values;
    const [row, column] = rowColumn(app.scene, app.shown);
    const box = neighbourhoodBox(app.scene, row, column);
    const { context, width } = cutOut(element("cutout"), element("paint-pixels"), box, colour(LEVELS[0]), 4);
    if (layers.length > 1) { // the neighbourhood of the coarser level, around the same centre
      const scale = width / (4 * Math.max(box.height, box.width));
      const coarse = levelBox(app.scene, 1, row, column);
      square(context, { ...coarse, top: (width / scale - coarse.height) / 2, left: (width / scale - coarse.width) / 2 }, scale, colour(LEVELS[1]));
    }
    element("cutout-caption").textContent = word("cutoutCaption", { row, column });
    element("level-1").parentElement.hidden = layers.length < 2;
    layers.slice(0, 2).forEach((layer, j) => drawLevel(layer, j, row, column));
    const fields = layers.map(({ name, receptive: side }) => word(side ? "receptive" : "receptiveImage", { name, side }));
    element("levels-note").textContent = [word("levelsNote"), ...fields].join(" ");
    element("feature-caption").textContent = caption();
    askFeature();
  }

  function caption() {
    const { dimension, whitened } = app.scene.values;
    return word(whitened ? "whitenedCaption" : "featureCaption", { dimension });
  }

  function drawLevel(layer, j, row, column) {
    const [height, width] = layer.size;
    const { context, width: side, height: tall } = fitted(element(`level-${j}`));
    const array = app.frame.arrays[`level_${j}`];
    context.imageSmoothingEnabled = false;
    if (array) context.drawImage(offscreen(width, height, withAlpha(array.data)), 0, 0, side, tall);
    const t = layer.cell;
    const box = levelBox(app.scene, j, row, column);
    const cells = { top: box.top / t[0], left: box.left / t[1], height: box.height / t[0], width: box.width / t[1] };
    square(context, cells, side / width, colour(LEVELS[j]));
    element(`level-${j}-caption`).textContent = word("levelCaption", { name: layer.name, height, width, channels: layer.channels });
  }

  /** Ask for the feature of the shown patch: one question at a time, the newest next. */
  function askFeature() {
    again = true;
    clearTimeout(timer);
    timer = setTimeout(nextFeature, WAIT);
  }

  async function nextFeature() {
    if (asking || !again || !app.frame) return; // a new part has no frame yet
    asking = true;
    again = false;
    try {
      feature = await app.engine.features(app.pixels, app.shown);
      if (!again) drawFeature();
    } catch (error) {
      if (error.name !== "AbortError") console.warn(error);
    }
    asking = false;
    nextFeature();
  }

  /** The numbers of the feature as bars; the numbers of each level have one colour, unless whitened. */
  function drawFeature() {
    const { context, width, height } = fitted(element("feature"));
    const { layers, whitened } = app.scene.values;
    const high = Math.max(...feature, 0);
    const low = Math.min(...feature, 0);
    const y = (value) => ((high - value) / (high - low || 1)) * (height - 2) + 1;
    const joined = !whitened && layers.reduce((sum, layer) => sum + layer.channels, 0) === feature.length;
    feature.forEach((value, k) => {
      context.fillStyle = colour(LEVELS[joined && k >= layers[0].channels ? 1 : 0]);
      context.fillRect((k / feature.length) * width, Math.min(y(value), y(0)), Math.max(width / feature.length - 0.3, 0.7), Math.max(Math.abs(y(value) - y(0)), 0.5));
    });
    element("feature").setAttribute("aria-label", caption());
  }

  // --- p, s and the levels, where the engine can fit again ---

  let names = null; // of the levels when the page opened

  function fillSettings() {
    const { patchsize, stride, layers } = app.scene.values;
    names ??= layers.map((layer) => layer.name);
    const choices = [names, ...(names.length > 1 ? names.map((name) => [name]) : [])];
    const fill = (id, options, chosen) => element(id).replaceChildren(...options.map((value) => new Option(value, value, false, value === chosen)));
    fill("setting-p", ["1", "3", "5", "7"], `${patchsize}`);
    fill("setting-s", ["1", "2", "3"], `${stride}`);
    fill("setting-layers", choices.map((choice) => choice.join(" + ")), layers.map((layer) => layer.name).join(" + "));
  }

  for (const id of ["setting-p", "setting-s", "setting-layers"]) {
    element(id).addEventListener("change", () => app.openPart(app.scene.values.part, {
      p: Number(element("setting-p").value),
      s: Number(element("setting-s").value),
      layers: element("setting-layers").value.split(" + "),
    }));
  }

  app.on("scene", () => {
    element("patch-settings").hidden = !app.engine.info.settings;
    if (app.engine.info.settings) fillSettings();
  });
  for (const event of ["frame", "hover", "words"]) app.on(event, draw);
}
