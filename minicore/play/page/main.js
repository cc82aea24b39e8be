// The state of the page and its flow: part -> scene -> image -> pixels -> frame -> panels.
//
// Each panel is one function of the shared object `app`. A panel reads the state from it, listens to
// its events, and calls its methods. The events:
//   scene   the part has changed          app.scene
//   image   another image was opened      app.original, app.pixels
//   example the user chose an example or a part
//   frame   the engine has new numbers    app.frame
//   hover   the patch under the pointer   app.hover (null: none; app.shown: then the deciding one)
//   words   the language has changed

import { bank } from "./bank.js";
import { offscreen, withAlpha } from "./draw.js";
import { nearest } from "./nearest.js";
import { own } from "./own.js";
import { paint } from "./paint.js";
import { patches } from "./patches.js";
import { score } from "./score.js";
import { source } from "./source.js";
import { tour } from "./tour.js";
import { language, translate, word } from "./words.js";

const WAIT = 30; // milliseconds without a stroke before the next question

const app = {
  engine: null,
  scene: null,
  frame: null,
  original: null,
  pixels: null,
  live: false, // whether the images come from the camera
  hover: null,
  settings: { share: 0.1, b: 9, sigma: 4, engine: "fast" },
  fit: {}, // p, s and layers, where the engine can change them

  on(event, listener) {
    (listeners[event] ??= []).push(listener);
  },

  /** The patch that all panels show: the one under the pointer, or the deciding one. */
  get shown() {
    return this.hover ?? this.frame?.values.star ?? null;
  },

  /** The threshold of the score for these settings; null if there is none. */
  get threshold() {
    const { threshold = this.scene.values.threshold } = this.frame.values;
    return threshold;
  },

  /** The threshold of the map; half of the largest distance if there is none. */
  get mapThreshold() {
    const { map_threshold: threshold = this.scene.values.map_threshold } = this.frame.values;
    return threshold ?? Math.max(...this.frame.arrays.distances.data) / 2;
  },

  /** Scores of good images for these settings. */
  get goodScores() {
    return Array.from(this.frame.arrays.good_scores?.data ?? this.scene.values.good_scores);
  },

  setHover(position) {
    if (position === this.hover) return;
    this.hover = position;
    emit("hover");
  },

  setPixels(pixels) {
    this.pixels = pixels;
    ask();
  },

  set(settings) {
    Object.assign(this.settings, settings);
    ask();
  },

  /** Show an image that is not an example. */
  showImage(pixels) {
    Object.assign(this, { original: pixels, pixels });
    emit("image");
    ask();
  },

  /** A text for screen readers, when nothing has changed for a second. */
  speak(text) {
    clearTimeout(speech);
    speech = setTimeout(() => (element("spoken").textContent = text), 1000);
  },

  openPart,

  /** Open the first good image, if there is one. */
  openGood() {
    const { images } = app.scene.values;
    example.kind = ["good", "training"].find((kind) => images[kind]) ?? example.kind;
    element("example-kind").value = example.kind;
    return openExample(0).catch(problem);
  },

  /** Fit a new part to good images. */
  async learn(images) {
    opened += 1;
    await showScene(await this.engine.learn(images, this.scene.values.size));
    const name = this.scene.values.part;
    if (![...element("part").options].some((option) => option.value === name)) {
      element("part").append(new Option(word("ownPart"), name));
    }
    element("part").value = name;
    element("part").parentElement.hidden = false;
  },

  /** A training image as a canvas, from the engine only once; null if the engine has none. */
  training(number) {
    if (!trainingImages.has(number)) trainingImages.set(number, loadTraining(number));
    return trainingImages.get(number);
  },
};

const listeners = {};
const trainingImages = new Map();
let speech = null;
const element = (id) => document.getElementById(id);

async function loadTraining(number) {
  const [height, width] = app.scene.values.size;
  const pixels = await app.engine.image("training", number);
  return pixels && offscreen(width, height, withAlpha(pixels));
}

function emit(event) {
  for (const listener of listeners[event] ?? []) listener();
}

// --- one question at a time, always with the newest pixels -------------------------------------

let timer = null;
let asking = false;
let again = false;
let opened = 0; // counts parts, so that an answer about an earlier part is dropped

function ask() {
  again = true;
  clearTimeout(timer);
  timer = setTimeout(next, WAIT);
}

async function next() {
  if (asking || !again || !app.scene || !app.pixels) return;
  asking = true;
  again = false;
  const asked = opened;
  busy(true);
  try {
    const frame = await app.engine.detect(app.pixels, app.settings);
    if (asked === opened) {
      app.frame = frame;
      emit("frame");
      showVerdict();
      problem(null);
    }
  } catch (error) {
    if (error.name !== "AbortError") problem(error);
  } finally {
    asking = false;
    if (again) next();
    else busy(false);
  }
}

function busy(on) {
  element("busy").hidden = !on;
}

function problem(error) {
  if (error) console.warn(error);
  element("problem").hidden = !error;
  element("problem").textContent = error ? word("problem", { message: error.message }) : "";
}

// --- the verdict --------------------------------------------------------------------------------

function showVerdict() {
  if (!app.frame) return;
  const { score, anomalous, milliseconds } = app.frame.values;
  const total = Object.values(milliseconds).reduce((sum, ms) => sum + ms, 0);
  element("time").textContent = word("milliseconds", { ms: total.toFixed(0) });
  const { threshold } = app;
  element("verdict").classList.toggle("defective", anomalous === true);
  element("verdict-word").textContent = threshold === null ? "" : word(anomalous ? "defective" : "good");
  element("verdict-numbers").textContent = threshold === null
    ? word("scoreOnly", { score: score.toFixed(2) })
    : word("scoreAndThreshold", { score: score.toFixed(2), threshold: threshold.toFixed(2) });
  const missed = example.kind === "defective" && anomalous === false;
  const falseAlarm = example.kind !== "defective" && anomalous && app.pixels === app.original;
  element("verdict-note").textContent = missed ? word("missed") : falseAlarm ? word("falseAlarm") : "";
  app.speak(`${element("verdict-word").textContent}. ${element("verdict-numbers").textContent}`);
}

// --- part and example ---------------------------------------------------------------------------

const example = { kind: "good", number: 0 };

async function openPart(part, fit = app.fit) {
  busy(true);
  learning(true);
  element("verdict-word").textContent = word("opening");
  const asked = ++opened;
  try {
    const scene = await app.engine.open(part, fit, (key, values) => {
      if (asked === opened) element("verdict-word").textContent = word(key, values);
    });
    if (asked !== opened) return;
    app.fit = fit;
    await showScene(scene);
    problem(null);
  } catch (error) {
    if (asked !== opened) return;
    problem(error);
    showVerdict();
  } finally {
    if (asked === opened) learning(false);
    busy(asking);
  }
}

/** Hide the numbers of the part before while another one is being learned. */
function learning(on) {
  document.querySelector("main").setAttribute("aria-busy", on);
  if (!on) return;
  element("verdict").classList.remove("defective");
  for (const id of ["verdict-numbers", "verdict-note", "time"]) element(id).textContent = "";
}

async function showScene(scene) {
  const before = app.scene?.values;
  Object.assign(app, { scene, frame: null, hover: null });
  trainingImages.clear();
  const { part, size, first_share: share, b, sigma, images } = scene.values;
  Object.assign(app.settings, { share, b, sigma });
  for (const option of element("example-kind").options) option.hidden = option.disabled = !images[option.value];
  emit("scene");
  if (app.live || (app.pixels && before?.part === part && `${before.size}` === `${size}`)) return ask();
  const kinds = ["good", "defective", "training"].filter((kind) => images[kind]);
  if (!kinds.length) element("own").open = true;
  if (!images[example.kind]) example.kind = kinds[0] ?? "good";
  element("example-kind").value = example.kind;
  await openExample(0);
}

async function openExample(number) {
  const count = app.scene.values.images[example.kind];
  if (!count) return;
  example.number = (number + count) % count;
  const pixels = await app.engine.image(example.kind, example.number);
  if (!pixels) return;
  app.hover = null;
  element("example-number").textContent = `${example.number + 1} / ${count}`;
  emit("example");
  app.showImage(pixels);
}

function connectControls() {
  const { parts, engines } = app.engine.info;
  element("part").replaceChildren(...parts.map((name) => new Option(name, name)));
  element("part").parentElement.hidden = parts.length < 2;
  element("part").addEventListener("change", () => {
    emit("example"); // the part begins with an example
    openPart(element("part").value);
  });
  element("engine").hidden = engines.length < 2;
  element("engine").addEventListener("change", (event) => app.set({ engine: event.target.value }));
  element("example-kind").addEventListener("change", () => {
    example.kind = element("example-kind").value;
    openExample(0).catch(problem);
  });
  element("example-back").addEventListener("click", () => openExample(example.number - 1).catch(problem));
  element("example-next").addEventListener("click", () => openExample(example.number + 1).catch(problem));
}

function connectLanguage() {
  const apply = () => {
    translate(document);
    element("language").textContent = language() === "en" ? "한국어" : "English";
    element("language").lang = language() === "en" ? "ko" : "en";
    emit("words");
    showVerdict();
  };
  element("language").addEventListener("click", () => {
    language(language() === "en" ? "ko" : "en");
    apply();
  });
  apply();
}

async function start() {
  connectLanguage();
  try {
    const { open } = await import(`./engine_${document.documentElement.dataset.engine}.js`);
    app.engine = await open();
  } catch (error) {
    problem(error);
    return;
  }
  for (const panel of [own, paint, patches, bank, nearest, score, source, tour]) panel(app);
  connectControls();
  let width = window.innerWidth; // the height changes when a phone hides its address bar
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width && app.frame) emit("frame");
    width = window.innerWidth;
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.frame && emit("frame"));
  await openPart(app.engine.info.parts[0]);
}

start();
