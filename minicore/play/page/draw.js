// Drawing helpers for all panels: colours, canvases at the screen's resolution, SVG elements.

const INFERNO = [
  [0, 0, 4], [22, 11, 57], [66, 10, 104], [106, 23, 110], [147, 38, 103], [188, 55, 84],
  [221, 81, 58], [243, 120, 25], [252, 165, 10], [246, 215, 70], [252, 255, 164],
];

// A table: a map has 50 176 pixels, and computing each colour would cost more than all other drawing.
const COLOURS = Array.from({ length: 1025 }, (_, i) => {
  const x = (i / 1024) * (INFERNO.length - 1);
  const k = Math.min(Math.floor(x), INFERNO.length - 2);
  return INFERNO[k].map((low, c) => low + (x - k) * (INFERNO[k + 1][c] - low));
});

/** The colour [r, g, b] of a share from 0 to 1 in matplotlib's inferno. */
export function inferno(share) {
  return COLOURS[Math.round(Math.min(Math.max(share, 0), 1) * 1024)];
}

/** The value of a colour variable of style.css, for drawing on a canvas. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Fit a canvas to its size on the screen; return its context, in CSS pixels, empty. */
export function fitted(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}

/** RGBA pixels as a canvas element that is not on the page. */
export function offscreen(width, height, rgba) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (rgba) context.putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}

/** RGB bytes (h · w · 3) as RGBA bytes (h · w · 4). */
export function withAlpha(rgb) {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0, k = 0; i < rgb.length; i += 3, k += 4) {
    rgba[k] = rgb[i];
    rgba[k + 1] = rgb[i + 1];
    rgba[k + 2] = rgb[i + 2];
  }
  return rgba;
}

/** RGBA bytes as RGB bytes. */
export function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, k = 0; i < rgb.length; i += 3, k += 4) {
    rgb[i] = rgba[k];
    rgb[i + 1] = rgba[k + 1];
    rgb[i + 2] = rgba[k + 2];
  }
  return rgb;
}

/** Values (height · width) as a canvas in inferno, from `low` to `high`. */
export function heat(values, height, width, low, high) {
  const rgba = new Uint8ClampedArray(height * width * 4).fill(255);
  values.forEach((value, i) => rgba.set(inferno((value - low) / (high - low || 1)), 4 * i));
  return offscreen(width, height, rgba);
}

/** An SVG element with attributes and children; `text` is an attribute too. */
export function svg(name, attributes = {}, children = []) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Draw the square `box` ({top, left, height, width}) with a white edge, visible on any image. */
export function square(context, box, scale, stroke, { width = 2, dash = [] } = {}) {
  for (const [style, line] of [["rgb(255 255 255 / 0.85)", 2 * width], [stroke, width]]) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.setLineDash(line === width ? dash : []);
    context.strokeRect(box.left * scale, box.top * scale, box.width * scale, box.height * scale);
  }
  context.setLineDash([]);
}

/** Whether the user asked for less motion. */
export function still() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Draw a part of an image enlarged: the square `box` with as much again around it, marked. */
export function cutOut(canvas, image, box, stroke, around = 2.6, line = 2) {
  const { context, width, height } = fitted(canvas);
  const side = Math.max(box.height, box.width) * around;
  const top = box.top + box.height / 2 - side / 2;
  const left = box.left + box.width / 2 - side / 2;
  const scale = width / side;
  context.fillStyle = colour("line"); // outside the image
  context.fillRect(0, 0, width, height);
  context.imageSmoothingEnabled = false;
  context.drawImage(image, -left * scale, -top * scale, image.width * scale, image.height * scale);
  square(context, { ...box, top: box.top - top, left: box.left - left }, scale, stroke, { width: line });
  return { context, width, height };
}
