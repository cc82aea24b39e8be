// The image panel: the prepared crop, which is all that the network sees. The user paints on it.

import { colour, fitted, inferno, offscreen, square, withAlpha, withoutAlpha } from "./draw.js";
import { levelBox, neighbourhoodBox, patchAt, positionBox, receptiveBox, rowColumn, step } from "./geometry.js";
import { TOOLS, brighten, turn } from "./tools.js";
import { translate, word } from "./words.js";

const UNDO = 60; // images that can be undone

export function paint(app) {
  const element = (id) => document.getElementById(id);
  const panel = element("paint");
  const canvas = element("paint-pixels");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let original = null; // the image as it was opened, a canvas
  let past = [];
  let future = [];
  let stroke = null;
  let tool = "scratch";
  let pointer = null; // place of the pointer on the image, or null

  // --- pixels, undo and redo ---

  const copied = () => context.getImageData(0, 0, canvas.width, canvas.height);

  function changed() {
    app.setPixels(withoutAlpha(copied().data));
    element("undo").disabled = element("reset").disabled = !past.length;
    element("redo").disabled = !future.length;
  }

  function remember() {
    past.push(copied());
    if (past.length > UNDO) past.shift();
    future = [];
  }

  function back(from, to) {
    if (!from.length) return;
    to.push(copied());
    context.putImageData(from.pop(), 0, 0);
    changed();
  }

  function edit(change) {
    remember();
    change(context);
    changed();
  }

  const undo = () => back(past, future);
  const redo = () => back(future, past);

  // --- strokes ---

  function point(event) {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * canvas.width,
      ((event.clientY - box.top) / box.height) * canvas.height,
    ];
  }

  function begin(at) {
    remember();
    const before = offscreen(canvas.width, canvas.height);
    before.getContext("2d").drawImage(canvas, 0, 0);
    const size = Number(element("size").value);
    stroke = { context, original, before, from: at, last: at, at, size, colour: element("colour").value };
    TOOLS[tool].begin(stroke);
    changed();
  }

  function move(at) {
    stroke.at = at;
    if (TOOLS[tool].preview) context.drawImage(stroke.before, 0, 0);
    TOOLS[tool].move(stroke);
    stroke.last = at;
    changed();
  }

  panel.addEventListener("pointerdown", (event) => {
    if (!original || event.button) return;
    event.preventDefault();
    panel.focus({ preventScroll: true });
    panel.setPointerCapture(event.pointerId);
    begin(point(event));
  });
  panel.addEventListener("pointermove", (event) => {
    if (!app.scene) return;
    pointer = point(event);
    if (stroke) move(pointer);
    app.setHover(patchAt(app.scene, pointer[1], pointer[0]));
    drawMarks();
  });
  for (const name of ["pointerup", "pointercancel"]) panel.addEventListener(name, () => (stroke = null));
  panel.addEventListener("pointerleave", () => {
    pointer = null;
    if (!stroke) app.setHover(null);
    drawMarks();
  });

  // Keys: arrows move the patch, Space uses the tool there, Z and Y undo and redo.
  panel.addEventListener("keydown", (event) => {
    if (!app.scene || app.shown === null) return;
    const position = step(app.scene, app.shown, event.key);
    if (position !== null) app.setHover(position);
    else if (event.key === " " || event.key === "Enter") stamp();
    else if (event.key === "Escape") app.setHover(null);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) undo();
    else if (key === "y" || key === "z") redo();
    else return;
    event.preventDefault();
  });

  /** Use the tool at the shown patch, with a short movement if the tool needs one. */
  function stamp() {
    const box = positionBox(app.scene, ...rowColumn(app.scene, app.shown));
    const at = [box.left + box.width / 2, box.top + box.height / 2];
    const half = (TOOLS[tool].length ?? 0) / 2;
    begin([at[0] - half, at[1] - half * 0.6]);
    move([at[0] + half, at[1] + half * 0.6]);
    stroke = null;
  }

  /** Draw a scratch across the centre, for the tour, if the user has not painted yet. */
  app.exampleScratch = () => {
    if (past.length || !original) return;
    const [w, h] = [canvas.width, canvas.height];
    edit(() => TOOLS.scratch.move({ context, from: [w * 0.36, h * 0.38], at: [w * 0.62, h * 0.58], size: 16 }));
  };

  // --- buttons ---

  const buttons = Object.keys(TOOLS).map((name) => {
    const button = document.createElement("button");
    button.dataset.word = `tool_${name}`;
    button.setAttribute("role", "radio");
    button.addEventListener("click", () => choose(name));
    button.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const names = Object.keys(TOOLS);
      const next = (names.indexOf(name) + move + names.length) % names.length;
      choose(names[next]);
      buttons[next].focus();
    });
    return button;
  });
  element("tools").append(...buttons);

  function choose(name) {
    tool = name;
    buttons.forEach((button, i) => {
      const chosen = Object.keys(TOOLS)[i] === name;
      button.setAttribute("aria-checked", chosen);
      button.tabIndex = chosen ? 0 : -1;
    });
    writeHelp();
  }

  element("undo").addEventListener("click", undo);
  element("redo").addEventListener("click", redo);
  element("reset").addEventListener("click", () => edit(() => context.drawImage(original, 0, 0)));
  element("turn-left").addEventListener("click", () => edit(() => turn(context, -5)));
  element("turn-right").addEventListener("click", () => edit(() => turn(context, 5)));
  element("darker").addEventListener("click", () => edit(() => brighten(context, 0.9)));
  element("brighter").addEventListener("click", () => edit(() => brighten(context, 1 / 0.9)));
  element("show-map").addEventListener("change", drawMap);
  element("sigma").addEventListener("input", () => {
    const sigma = Number(element("sigma").value);
    element("sigma-value").textContent = sigma;
    app.set({ sigma });
  });
  element("size").addEventListener("input", drawMarks);

  // --- the anomaly map and the marks ---

  /** The map from half its threshold on, in inferno; its threshold as a line. */
  function drawMap() {
    const heat = element("paint-heat");
    heat.hidden = !element("show-map").checked || !app.frame;
    if (heat.hidden) return;
    const [height, width] = app.scene.values.size;
    const threshold = app.mapThreshold;
    const { data } = app.frame.arrays.map;
    const rgba = new Uint8ClampedArray(height * width * 4);
    const high = 2 * threshold;
    for (let i = 0; i < data.length; i += 1) {
      const above = data[i] > threshold;
      const edge = above && (data[i + 1] <= threshold || data[i - 1] <= threshold || data[i + width] <= threshold || data[i - width] <= threshold);
      const [r, g, b] = edge ? [255, 255, 255] : inferno(data[i] / high);
      rgba.set([r, g, b, edge ? 255 : Math.min(Math.max(data[i] / threshold - 0.6, 0) / 0.6, 1) * 170], 4 * i);
    }
    heat.width = width;
    heat.height = height;
    heat.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  }

  /** The deciding patch, the hovered patch with neighbourhood and receptive field, the brush. */
  function drawMarks() {
    const { context: marks, width, height } = fitted(element("paint-marks"));
    if (!app.scene || !original) return;
    marks.beginPath();
    marks.rect(0, 0, width, height);
    marks.clip();
    const scale = width / canvas.width;
    if (app.frame) {
      const { star, anomalous } = app.frame.values;
      square(marks, neighbourhoodBox(app.scene, ...rowColumn(app.scene, star)), scale, colour(anomalous ? "mark" : "grey"));
    }
    if (app.hover !== null && !stroke) {
      const place = rowColumn(app.scene, app.hover);
      const fields = app.scene.values.layers.map((_, j) => receptiveBox(app.scene, j, ...place));
      for (const field of fields) if (field) square(marks, field, scale, "#222222", { width: 1.5, dash: [6, 5] });
      if (app.scene.values.layers.length > 1) square(marks, levelBox(app.scene, 1, ...place), scale, "#e69f00", { width: 1.5 });
      square(marks, neighbourhoodBox(app.scene, ...place), scale, "#0072b2");
      square(marks, positionBox(app.scene, ...place), scale, "#0072b2", { width: 1 });
    }
    if (pointer) {
      const radius = Number(element("size").value) * (["spot", "smear", "copy"].includes(tool) ? 1 : tool === "scratch" ? 0.1 : 0.5);
      marks.strokeStyle = "rgb(255 255 255 / 0.9)";
      marks.lineWidth = 1.5;
      marks.beginPath();
      marks.arc(pointer[0] * scale, pointer[1] * scale, Math.max(radius * scale, 2), 0, 2 * Math.PI);
      marks.stroke();
    }
  }

  app.on("scene", () => {
    const { sigma } = app.settings;
    element("sigma").value = sigma;
    element("sigma-value").textContent = sigma;
    drawMap();
  });
  app.on("image", () => {
    const [height, width] = app.scene.values.size;
    panel.style.aspectRatio = `${width} / ${height}`;
    canvas.width = width;
    canvas.height = height;
    original = offscreen(width, height, withAlpha(app.original));
    context.drawImage(original, 0, 0);
    [past, future] = [[], []];
    for (const id of ["undo", "redo", "reset"]) element(id).disabled = true;
    drawMarks();
  });
  /** What to do with the tool, and what the marks on the image mean. */
  function writeHelp() {
    element("image-help").textContent = word(tool === "copy" ? "copyHelp" : "imageHelp");
    if (!app.frame) return;
    element("image-legend").textContent = word("imageLegend", { threshold: app.mapThreshold.toFixed(2) });
  }

  app.on("frame", () => {
    drawMap();
    drawMarks();
    writeHelp();
  });
  app.on("hover", drawMarks);
  app.on("words", writeHelp);
  translate(element("tools"));
  choose(tool);
}
