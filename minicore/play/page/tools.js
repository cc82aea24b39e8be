// The tools of the image panel. Each has `begin` and `move`, which change the pixels of the image,
// and optionally `preview: true`: then the image is restored before each `move`, so that only the
// last one stays. A stroke holds {context, original, before, from, last, at, size, colour};
// `original` and `before` are canvases, points are [x, y] in pixels of the image.

function line(context, from, to, width) {
  context.lineCap = "round";
  context.lineJoin = "round";
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(to[0] + 0.01, to[1]);
  context.stroke();
}

function brush({ context, last, at, size, colour }) {
  context.strokeStyle = colour;
  line(context, last, at, size);
}

function eraser({ context, original, last, at, size }) {
  context.strokeStyle = context.createPattern(original, "no-repeat");
  line(context, last, at, size);
}

// A scratch is thin, with a dark and a bright edge, like a groove in the light.
function scratch({ context, from, at, size }) {
  const width = Math.max(size / 6, 1.5);
  context.strokeStyle = "rgb(30 28 26 / 0.75)";
  line(context, from, at, width);
  context.strokeStyle = "rgb(240 236 228 / 0.85)";
  line(context, [from[0] + width * 0.6, from[1] + width * 0.6], [at[0] + width * 0.6, at[1] + width * 0.6], width * 0.6);
}

function spot({ context, at, size, colour }) {
  const [x, y] = at;
  const fill = context.createRadialGradient(x, y, 0, x, y, size);
  fill.addColorStop(0, colour);
  fill.addColorStop(0.6, colour);
  fill.addColorStop(1, `${colour}00`); // the same colour, transparent
  context.fillStyle = fill;
  context.fillRect(x - size, y - size, 2 * size, 2 * size);
}

/** Draw the disk of `source` around `from` so that its centre comes to `to`. */
function disk(context, source, from, to, radius, opacity) {
  context.save();
  context.globalAlpha = opacity;
  context.beginPath();
  context.arc(to[0], to[1], radius, 0, 2 * Math.PI);
  context.clip();
  context.drawImage(source, to[0] - from[0], to[1] - from[1]);
  context.restore();
}

// The colours under the brush are dragged along in steps of one pixel.
function smear({ context, last, at, size }) {
  const steps = Math.max(Math.ceil(Math.hypot(at[0] - last[0], at[1] - last[1])), 1);
  const between = (k) => [0, 1].map((axis) => last[axis] + ((at[axis] - last[axis]) * k) / steps);
  for (let k = 1; k <= steps; k += 1) {
    disk(context, context.canvas, between(k - 1), between(k), size, 0.6);
  }
}

function copy({ context, before, from, at, size }) {
  disk(context, before, from, at, size, 1);
}

/** The tools by name, in the order of the buttons. */
export const TOOLS = {
  scratch: { begin() {}, move: scratch, preview: true, length: 60 },
  brush: { begin: brush, move: brush },
  spot: { begin: spot, move: spot, preview: true },
  smear: { begin() {}, move: smear, length: 30 },
  copy: { begin() {}, move: copy, preview: true, length: 60 },
  eraser: { begin: eraser, move: eraser },
};

/** Turn the image around its centre. The corners that become free keep the earlier image. */
export function turn(context, degrees) {
  const { canvas } = context;
  const copied = document.createElement("canvas");
  copied.width = canvas.width;
  copied.height = canvas.height;
  copied.getContext("2d").drawImage(canvas, 0, 0);
  context.save();
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((degrees * Math.PI) / 180);
  context.drawImage(copied, -canvas.width / 2, -canvas.height / 2);
  context.restore();
}

/** Multiply the brightness of all pixels. */
export function brighten(context, factor) {
  const { canvas } = context;
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  pixels.data.forEach((value, i) => {
    if (i % 4 < 3) pixels.data[i] = Math.round(value * factor); // limited to 255 by the array
  });
  context.putImageData(pixels, 0, 0);
}
