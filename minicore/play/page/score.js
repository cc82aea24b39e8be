// Equation 7: the neighbours of m*, the softmax of their distances, the score and its threshold.

import { colour, cutOut, fitted, svg } from "./draw.js";
import { neighbourhoodBox } from "./geometry.js";
import { trainingImage, word } from "./words.js";

const BINS = 12;
const HEIGHT = 150; // of the histogram, in pixels

export function score(app) {
  const element = (id) => document.getElementById(id);
  let drawn = 0;

  /** The text above the numbers; what belongs to equation 7 is hidden if the model does not use it. */
  function describe() {
    if (!app.scene) return;
    const { top } = app.scene.values;
    for (const part of document.querySelectorAll(".weighted")) part.hidden = top !== null;
    element("score-text").textContent = word(top === null ? "scoreText" : "scoreTextTop", { top });
  }

  function draw() {
    if (!app.frame) return;
    if (app.scene.values.top === null) drawNeighbours();
    drawNumbers();
    drawHistogram();
  }

  async function drawNeighbours() {
    const now = ++drawn;
    const { neighbours, neighbour_distances: distances, softmax } = app.frame.arrays;
    const star = app.frame.arrays.nearest.data[app.frame.values.star];
    const largest = Math.max(...softmax.data);
    const list = element("neighbours");
    const canvases = Array.from(neighbours.data, (row, i) => {
      const line = list.children[i] ?? list.appendChild(newLine());
      line.classList.toggle("first", row === star);
      const [canvas, distance, track, share] = line.children;
      distance.textContent = `${row === star ? "m*  " : ""}${distances.data[i].toFixed(3)}`;
      track.firstChild.style.width = `${(100 * softmax.data[i]) / largest}%`;
      share.textContent = softmax.data[i].toFixed(3);
      return canvas;
    });
    while (list.children.length > neighbours.data.length) list.lastChild.remove();

    const { data: origins } = app.scene.arrays.origins;
    for (const [i, canvas] of canvases.entries()) {
      const [image, row, column] = origins.slice(3 * neighbours.data[i], 3 * neighbours.data[i] + 3);
      const training = await app.training(image);
      if (now !== drawn) return;
      canvas.title = training ? trainingImage(app.scene, image) : word("trainingMissing", { number: image });
      if (training) cutOut(canvas, training, neighbourhoodBox(app.scene, row, column), colour("good"), 2, 1);
      else fitted(canvas); // empty
    }
  }

  function newLine() {
    const line = document.createElement("div");
    line.className = "neighbour";
    const track = document.createElement("div");
    track.className = "track";
    track.append(document.createElement("div"));
    line.append(document.createElement("canvas"), document.createElement("span"), track, document.createElement("span"));
    return line;
  }

  function drawNumbers() {
    const { score: s, s_star: distance, weight } = app.frame.values;
    const { top } = app.scene.values;
    element("score-numbers").textContent = word(top === null ? "scoreNumbers" : "scoreNumbersTop", {
      top,
      quotient: (1 - weight).toFixed(3), distance: distance.toFixed(3), weight: weight.toFixed(3), score: s.toFixed(3),
    });
  }

  function drawHistogram() {
    const { goodScores: good, threshold } = app;
    const { score: s, anomalous } = app.frame.values;
    const chart = element("histogram");
    const width = chart.getBoundingClientRect().width;
    const shown = [...good, s, ...(threshold === null ? [] : [threshold])];
    const low = Math.min(...shown) * 0.95;
    const high = Math.max(...shown) * 1.08;
    const x = (value) => 10 + ((value - low) / (high - low)) * (width - 20);
    const base = HEIGHT - 24;
    const kind = anomalous ? "defective" : "good";
    const anchor = (value) => (x(value) > width * 0.75 ? "end" : x(value) < width * 0.2 ? "start" : "middle");
    chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    chart.setAttribute("aria-label", word("histogramLabel", { n: good.length, score: s.toFixed(2) }));
    element("histogram-caption").textContent = good.length ? word("histogramText", { n: good.length, p: Number(app.frame.values.p_value?.toPrecision(2)) }) : "";
    chart.replaceChildren(
      ...bars(good, x, base),
      svg("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }),
      ...(threshold === null ? [] : [
        svg("line", { class: "threshold", x1: x(threshold), x2: x(threshold), y1: 36, y2: base }),
        svg("text", { x: x(threshold), y: HEIGHT - 7, "text-anchor": anchor(threshold), text: word("thresholdAt", { threshold: threshold.toFixed(2) }) }),
      ]),
      svg("line", { class: kind, "stroke-width": 3, x1: x(s), x2: x(s), y1: 26, y2: base }),
      svg("path", { class: kind, d: `M ${x(s) - 6} 20 h 12 l -6 9 z` }),
      svg("text", { class: kind, x: x(s), y: 14, "text-anchor": anchor(s), text: word("scoreAt", { score: s.toFixed(2) }) }),
    );
  }

  /** The histogram of the good scores, as bars that stand on `base`. */
  function bars(good, x, base) {
    if (!good.length) return [];
    const lowest = Math.min(...good);
    const width = (Math.max(...good) - lowest) / BINS || 1;
    const counts = new Array(BINS).fill(0);
    for (const value of good) counts[Math.min(Math.floor((value - lowest) / width), BINS - 1)] += 1;
    const most = Math.max(...counts);
    return counts.map((count, bin) => svg("rect", {
      class: "bar", x: x(lowest + bin * width), width: Math.max(x(width) - x(0) - 1, 1),
      y: base - (count / most) * (base - 46), height: (count / most) * (base - 46),
    }));
  }

  element("b").addEventListener("input", () => {
    const b = Number(element("b").value);
    element("b-value").textContent = b;
    app.set({ b });
  });
  app.on("scene", () => {
    element("b").max = Math.min(20, app.scene.values.rows);
    element("b").value = app.settings.b;
    element("b-value").textContent = app.settings.b;
  });
  for (const event of ["scene", "words"]) app.on(event, describe);
  for (const event of ["frame", "words"]) app.on(event, draw);
}
