// Equation 6: the distance of every patch to its nearest good patch; both cut out side by side.

import { colour, cutOut, fitted, heat, inferno, square } from "./draw.js";
import { neighbourhoodBox, rowColumn, step } from "./geometry.js";
import { trainingImage, word } from "./words.js";

export function nearest(app) {
  const element = (id) => document.getElementById(id);
  const grid = element("distances");
  let drawn = 0; // counts drawings: a training image that arrives late is not drawn

  function draw() {
    if (!app.frame) return;
    drawGrid();
    drawPair();
  }

  /** Colours go from 0 to twice the threshold of the map, so they mean the same for every image. */
  function drawGrid() {
    const [rows, columns] = app.scene.values.grid;
    const { data } = app.frame.arrays.distances;
    const high = 2 * app.mapThreshold;
    const { context, width, height } = fitted(grid);
    context.imageSmoothingEnabled = false;
    context.drawImage(heat(data, rows, columns, 0, high), 0, 0, width, height);
    const mark = (position, stroke) => {
      const [row, column] = rowColumn(app.scene, position);
      square(context, { top: row, left: column, height: 1, width: 1 }, width / columns, stroke);
    };
    mark(app.frame.values.star, colour(app.frame.values.anomalous ? "mark" : "grey"));
    if (app.hover !== null) mark(app.hover, "#0072b2");

    const scale = fitted(element("scale"));
    for (let x = 0; x < scale.width; x += 1) {
      scale.context.fillStyle = `rgb(${inferno(x / scale.width).join(" ")})`;
      scale.context.fillRect(x, 0, 1.5, scale.height);
    }
    element("scale-low").textContent = "0";
    element("scale-high").textContent = `${Math.max(...data) > high ? "≥ " : ""}${high.toFixed(1)}`;
  }

  async function drawPair() {
    const now = ++drawn;
    const position = app.shown;
    const { distances, nearest: rows } = app.frame.arrays;
    const [row, column] = rowColumn(app.scene, position);
    const [image, goodRow, goodColumn] = app.scene.arrays.origins.data.slice(3 * rows.data[position], 3 * rows.data[position] + 3);
    const distance = distances.data[position];
    const deciding = position === app.frame.values.star;
    const stroke = deciding ? colour(app.frame.values.anomalous ? "mark" : "grey") : "#0072b2";

    cutOut(element("this-patch"), element("paint-pixels"), neighbourhoodBox(app.scene, row, column), stroke);
    element("this-caption").textContent = word(deciding ? "decidingPatch" : "thisPatch", { row, column });
    element("good-caption").textContent = word("goodPatch", { row: goodRow, column: goodColumn });
    element("training-caption").textContent = trainingImage(app.scene, image);
    element("nearest-numbers").textContent = word("distance", { distance: distance.toFixed(3) })
      + (deciding ? ` ${word("largest")}` : "");

    const training = await app.training(image);
    if (now !== drawn) return;
    if (!training) {
      element("training-caption").textContent = word("trainingMissing", { number: image });
      fitted(element("good-patch")); // empty
      fitted(element("training"));
      return;
    }
    const box = neighbourhoodBox(app.scene, goodRow, goodColumn);
    cutOut(element("good-patch"), training, box, colour("good"));
    const { context, width } = fitted(element("training"));
    context.drawImage(training, 0, 0, width, (width * training.height) / training.width);
    square(context, box, width / training.width, colour("good"));
  }

  function under(event) {
    const box = grid.getBoundingClientRect();
    const [rows, columns] = app.scene.values.grid;
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    return row >= 0 && column >= 0 && row < rows && column < columns ? row * columns + column : null;
  }

  grid.addEventListener("pointermove", (event) => app.frame && app.setHover(under(event)));
  grid.addEventListener("pointerdown", (event) => app.frame && app.setHover(under(event)));
  grid.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && app.setHover(null));
  grid.addEventListener("keydown", (event) => {
    if (!app.frame) return;
    const position = step(app.scene, app.shown, event.key);
    if (position !== null) app.setHover(position);
    else if (event.key === "Escape") app.setHover(null);
    else return;
    event.preventDefault();
  });
  app.on("scene", () => {
    const [rows, columns] = app.scene.values.grid;
    grid.style.aspectRatio = `${columns} / ${rows}`;
  });
  for (const event of ["frame", "hover", "words"]) app.on(event, draw);
  app.on("hover", () => {
    if (!app.frame || ![grid, element("paint")].includes(document.activeElement)) return;
    app.speak(["this-caption", "nearest-numbers", "good-caption", "training-caption"].map((id) => element(id).textContent).join(". "));
  });
}
