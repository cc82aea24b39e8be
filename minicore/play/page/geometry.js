// Where patches lie on the image, in pixels. The centre of patch i is at t (s i + ½): t is the
// number of pixels of one cell of the finest feature map, s the stride.

/** Row and column of a patch number. */
export function rowColumn(scene, position) {
  const columns = scene.values.grid[1];
  return [Math.floor(position / columns), position % columns];
}

function around(scene, row, column, side) {
  const { stride } = scene.values;
  const t = scene.values.layers[0].cell;
  const y = t[0] * (stride * row + 0.5);
  const x = t[1] * (stride * column + 0.5);
  return { top: y - side[0] / 2, left: x - side[1] / 2, height: side[0], width: side[1] };
}

/** The square of the neighbourhood of equation 1 in the finest level, for the patch (row, column). */
export function neighbourhoodBox(scene, row, column) {
  return levelBox(scene, 0, row, column);
}

/** The square of one position of the patch grid. */
export function positionBox(scene, row, column) {
  return around(scene, row, column, scene.values.layers[0].cell.map((t) => t * scene.values.stride));
}

/** The square of the neighbourhood in level j, around the centre of the patch. */
export function levelBox(scene, j, row, column) {
  const { layers, patchsize } = scene.values;
  const cells = 2 * Math.floor(patchsize / 2) + 1;
  return around(scene, row, column, layers[j].cell.map((t) => t * cells));
}

/** The square of the receptive field of a patch in level j; null if it is larger than the image. */
export function receptiveBox(scene, j, row, column) {
  const side = scene.values.layers[j].receptive;
  return side ? around(scene, row, column, [side, side]) : null;
}

/** The patch at a pixel (y, x). */
export function patchAt(scene, y, x) {
  const [rows, columns] = scene.values.grid;
  const t = scene.values.layers[0].cell;
  const s = scene.values.stride;
  const row = Math.min(Math.max(Math.round((y / t[0] - 0.5) / s), 0), rows - 1);
  const column = Math.min(Math.max(Math.round((x / t[1] - 0.5) / s), 0), columns - 1);
  return row * columns + column;
}

/** The patch one step from `position` for an arrow key; null for other keys. */
export function step(scene, position, key) {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
  if (!move) return null;
  const [rows, columns] = scene.values.grid;
  const [row, column] = rowColumn(scene, position);
  const limit = (value, size) => Math.min(Math.max(value, 0), size - 1);
  return limit(row + move[0], rows) * columns + limit(column + move[1], columns);
}
