// Equations 4 and 5: the memory bank and its coreset in two dimensions, and the covering radius.

import { colour, fitted, still, svg } from "./draw.js";
import { rowColumn } from "./geometry.js";
import { word } from "./words.js";

const FLIGHT = 900; // milliseconds of the patches' flight from the grid
const MOVE = 250; // milliseconds of their move from one frame to the next
const PICKING = 6000; // milliseconds in which all picks appear
const FEWEST = 20; // picks
const HEIGHT = 130; // of the curve, in pixels

/** Call `draw(share)` in each animation frame, the share from 0 to 1; return a function that ends it. */
function animate(duration, draw) {
  if (still()) {
    draw(1);
    return () => {};
  }
  const start = performance.now();
  let frame = requestAnimationFrame(function tick(now) {
    const share = Math.min(Math.max((now - start) / duration, 0), 1);
    draw(share);
    if (share < 1) frame = requestAnimationFrame(tick);
  });
  return () => cancelAnimationFrame(frame);
}

export function bank(app) {
  const element = (id) => document.getElementById(id);
  const canvas = element("bank");
  let view = null; // the part of the plane that the canvas shows: {left, top, width, height}
  let places = null; // where this image's patches are drawn, in the plane
  let [width, height] = [0, 0]; // of the canvas
  const backdrop = document.createElement("canvas");
  let backdropKey = null;
  let stop = () => {}; // ends the flight
  let stopPicking = () => {};
  let shownPicks = null; // picks drawn while they appear one by one; null: all of the coreset

  // --- shares: the slider is logarithmic, from the smallest share to that of the fitted coreset ---

  function smallest() {
    const { share, all_rows: all } = app.scene.values;
    return Math.min(Math.max(Math.min(0.01, share / 10), FEWEST / all), share);
  }

  function picks() {
    const { all_rows: all, rows } = app.scene.values;
    return Math.min(Math.max(Math.round(app.settings.share * all), 1), rows);
  }

  function writeShare() {
    const { all_rows: all } = app.scene.values;
    const percent = (value) => Number((100 * value).toPrecision(value < 0.1 ? 2 : 3));
    element("share-value").textContent = word("shareValue", { percent: percent(picks() / all), rows: picks(), all });
  }

  element("share").addEventListener("input", () => {
    const low = smallest();
    const { share } = app.scene.values;
    app.set({ share: low * (share / low) ** (element("share").value / 1000) });
    stopPicking();
    shownPicks = null;
    writeShare();
    draw();
    drawCurve();
  });

  // --- the plane ---

  /** The whole memory bank and a margin; patches farther away are drawn on the edge. */
  function fitView() {
    const x = [Infinity, -Infinity];
    const y = [Infinity, -Infinity];
    for (const { data } of [app.scene.arrays.all_xy, app.scene.arrays.bank_xy]) {
      for (let i = 0; i < data.length; i += 2) {
        x[0] = Math.min(x[0], data[i]);
        x[1] = Math.max(x[1], data[i]);
        y[0] = Math.min(y[0], data[i + 1]);
        y[1] = Math.max(y[1], data[i + 1]);
      }
    }
    const [wide, tall] = [x[1] - x[0] || 1, y[1] - y[0] || 1];
    view = { left: x[0] - 0.1 * wide, top: y[0] - 0.1 * tall, width: 1.2 * wide, height: 1.2 * tall };
  }

  /** The place on the canvas of row i of some coordinates. */
  function place(data, i) {
    return [
      Math.min(Math.max(((data[2 * i] - view.left) / view.width) * width, 4), width - 4),
      Math.min(Math.max(((data[2 * i + 1] - view.top) / view.height) * height, 4), height - 4),
    ];
  }

  function draw() {
    if (!app.scene || !view) return;
    const { context, ...size } = fitted(canvas);
    ({ width, height } = size);
    const count = shownPicks ?? picks();
    drawBackdrop(count);
    context.drawImage(backdrop, 0, 0, width, height);
    if (shownPicks) ring(context, place(app.scene.arrays.bank_xy.data, shownPicks - 1), colour("good"), 9);
    if (app.frame && places && !shownPicks) drawThisImage(context);
  }

  /** All patches and the coreset: drawn again only if they have changed. */
  function drawBackdrop(count) {
    const key = [count, element("random").checked, canvas.width, canvas.height, colour("good")].join();
    if (key === backdropKey) return;
    backdropKey = key;
    const scale = canvas.width / width;
    backdrop.width = canvas.width;
    backdrop.height = canvas.height;
    const context = backdrop.getContext("2d");
    context.scale(scale, scale);
    const { all_xy: all, bank_xy: rows, random_xy: random } = app.scene.arrays;
    drawDots(context, all.data, all.shape[0], colour("grey"), 1.4, 0.5);
    drawDots(context, rows.data, count, colour("good"), count > 1500 ? 1 : 2, 0.8);
    if (element("random").checked) drawCrosses(context, random, count);
  }

  function drawDots(context, data, count, fill, radius, opacity) {
    context.fillStyle = fill;
    context.globalAlpha = opacity;
    for (let i = 0; i < count; i += 1) {
      const [x, y] = place(data, i);
      context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
    context.globalAlpha = 1;
  }

  function drawCrosses(context, random, count) {
    context.strokeStyle = colour("ink");
    context.globalAlpha = count > 1500 ? 0.35 : 0.8;
    context.lineWidth = 1;
    context.beginPath();
    for (let i = 0; i < Math.min(count, random.shape[0]); i += 1) {
      const [x, y] = place(random.data, i);
      context.moveTo(x - 2.5, y - 2.5);
      context.lineTo(x + 2.5, y + 2.5);
      context.moveTo(x - 2.5, y + 2.5);
      context.lineTo(x + 2.5, y - 2.5);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  /** The patches of this image, those above the threshold darker; a line to the nearest good patch. */
  function drawThisImage(context) {
    const { distances, nearest } = app.frame.arrays;
    const threshold = app.mapThreshold;
    for (const far of [false, true]) {
      context.fillStyle = colour(far ? "mark" : "second");
      context.globalAlpha = far ? 0.95 : 0.5;
      for (let i = 0; i < distances.data.length; i += 1) {
        if (distances.data[i] > threshold !== far) continue;
        const [x, y] = place(places, i);
        context.fillRect(x - (far ? 2.2 : 1.4), y - (far ? 2.2 : 1.4), far ? 4.4 : 2.8, far ? 4.4 : 2.8);
      }
    }
    context.globalAlpha = 1;
    const from = place(places, app.shown);
    const to = place(app.scene.arrays.bank_xy.data, nearest.data[app.shown]);
    context.strokeStyle = colour("ink");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    ring(context, from, colour("mark"), 6);
    ring(context, to, colour("good"), 6);
  }

  function ring(context, [x, y], stroke, radius) {
    context.strokeStyle = stroke;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  // --- this image's patches move ---

  function moveTo(target, from, duration) {
    stop();
    const start = Float32Array.from(from);
    const delay = 0.4; // the last patch starts after this share of the time
    stop = animate(duration, (share) => {
      places = Float32Array.from(target, (end, k) => {
        const begin = (delay * k) / target.length;
        const t = Math.min(Math.max((share - begin) / (1 - delay), 0), 1);
        return start[k] + (end - start[k]) * (1 - (1 - t) ** 3);
      });
      draw();
    });
  }

  /** The places of the patches as a grid: the image, drawn over the plane. */
  function gridPlaces() {
    const [rows, columns] = app.scene.values.grid;
    const side = (0.5 * canvas.clientHeight) / canvas.clientWidth;
    const places = new Float32Array(2 * rows * columns);
    for (let i = 0; i < rows * columns; i += 1) {
      const [row, column] = rowColumn(app.scene, i);
      places[2 * i] = view.left + view.width * (0.03 + (side * column) / columns);
      places[2 * i + 1] = view.top + view.height * (0.05 + (0.5 * row) / rows);
    }
    return places;
  }

  function fly() {
    if (app.frame) moveTo(app.frame.arrays.xy.data, gridPlaces(), FLIGHT);
  }

  function pickOneByOne() {
    stopPicking();
    const all = picks();
    stopPicking = animate(PICKING, (share) => {
      shownPicks = share < 1 ? Math.max(Math.round(all ** share), 1) : null; // slowly at first
      draw();
      drawCurve();
    });
  }

  element("fly").addEventListener("click", fly);
  element("picks").addEventListener("click", pickOneByOne);
  element("random").addEventListener("change", () => {
    draw();
    drawCurve();
    drawLegend();
  });

  // --- the covering radius ---

  function drawCurve() {
    if (!app.scene) return;
    const { radii, random_counts: counts, random_radii: random } = app.scene.arrays;
    const now = shownPicks ?? picks();
    const compare = element("random").checked && random.data.length > 0;
    const chart = element("radius");
    const width = chart.getBoundingClientRect().width;
    const base = HEIGHT - 22;
    const highest = Math.max(radii.data[0], compare ? random.data[0] : 0);
    const x = (n) => 8 + (Math.log(n) / Math.log(Math.max(radii.data.length, 2))) * (width - 16);
    const y = (radius) => base - (radius / highest) * (base - 18);
    const chosen = [];
    for (let n = 1; n < radii.data.length; n = Math.max(n + 1, Math.round(n * 1.04))) chosen.push(n);
    chosen.push(radii.data.length);
    const path = (points) => points.map(([n, radius], i) => `${i ? "L" : "M"} ${x(n).toFixed(1)} ${y(radius).toFixed(1)}`).join(" ");
    const radius = radii.data[now - 1];
    const left = x(now) < width / 2;
    const labels = { x: x(now) + (left ? 8 : -8), "text-anchor": left ? "start" : "end" };
    chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    chart.setAttribute("aria-label", word("radiusLabel", { radius: radius.toFixed(2), rows: now }));
    chart.replaceChildren(
      svg("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }),
      svg("text", { x: 8, y: HEIGHT - 6, text: "1" }),
      svg("text", { x: width / 2, y: HEIGHT - 6, "text-anchor": "middle", text: word("radiusPicks") }),
      svg("text", { x: width - 8, y: HEIGHT - 6, "text-anchor": "end", text: radii.data.length }),
      svg("path", { class: "curve", d: path(chosen.map((n) => [n, radii.data[n - 1]])) }),
      ...(compare ? [svg("path", { class: "curve random", d: path(Array.from(counts.data, (n, i) => [n, random.data[i]])) })] : []),
      svg("line", { class: "axis", x1: x(now), x2: x(now), y1: 4, y2: base }),
      svg("circle", { class: "good", cx: x(now), cy: y(radius), r: 4 }),
      svg("text", { ...labels, class: "good", y: Math.min(y(radius) + 16, base - 4), text: word("radiusGreedy", { radius: radius.toFixed(2) }) }),
      ...(compare && now <= counts.data.at(-1) ? [svg("text", { ...labels, y: y(randomRadius(now)) - 7, text: word("radiusRandom", { radius: randomRadius(now).toFixed(2) }) })] : []),
    );
  }

  /** The covering radius of the nearest computed number of random picks that is not larger. */
  function randomRadius(count) {
    const { random_counts: counts, random_radii: random } = app.scene.arrays;
    const after = counts.data.findIndex((n) => n > count);
    return random.data[(after < 0 ? random.data.length : after) - 1];
  }

  function drawLegend() {
    const entries = [["grey", "legendAll"], ["good", "legendPicks"], ["second", "legendThis"], ["mark", "legendFar"]];
    if (element("random").checked) entries.push(["ink", "legendRandom"]);
    element("bank-legend").replaceChildren(...entries.map(([name, key]) => {
      const entry = document.createElement("span");
      const dot = document.createElement("i");
      dot.style.background = `var(--${name})`;
      entry.append(dot, word(key));
      return entry;
    }));
  }

  app.on("scene", () => {
    stop();
    stopPicking();
    shownPicks = null;
    places = null;
    backdropKey = null;
    const low = smallest();
    const { share } = app.scene.values;
    element("share").disabled = low === share;
    element("share").value = share > low ? (1000 * Math.log(app.settings.share / low)) / Math.log(share / low) : 1000;
    element("random").parentElement.hidden = !app.scene.arrays.random_radii?.data.length;
    fitView();
    writeShare();
    drawLegend();
    drawCurve();
    draw();
  });
  app.on("example", () => (places = null));
  app.on("frame", () => {
    if (places) moveTo(app.frame.arrays.xy.data, places, MOVE);
    else fly();
  });
  app.on("hover", draw);
  app.on("words", () => {
    if (!app.scene) return;
    writeShare();
    drawLegend();
    drawCurve();
  });
}
