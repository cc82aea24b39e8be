"""The patches that an update adds to a model, as squares in their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle

from minicore.plots.segmentation import shortened
from minicore.plots.style import HEAT, Array, Figure, short_number, styled

EDGE = 0.06  # inches
COLUMNS = 3  # pairs of an image and an enlarged part of it
CELL, GAP, BETWEEN = 1.04, 0.06, 0.16  # inches: side of a picture, gap in a pair, between pairs
HEAD, CAPTION, FOOT, BAR = 0.36, 0.36, 0.12, 0.62
LONGEST = 34  # letters in a line of a title
SHARE = 4  # the enlarged part is a fourth of the image, in width and in height
# The darkest part of the heat map's colours cannot be seen on a dark image.
COLOURS = LinearSegmentedColormap.from_list("additions", HEAT(np.linspace(0.4, 0.97, 64)))


@styled
def additions(
    images: Sequence[npt.ArrayLike],
    squares: Sequence[npt.ArrayLike],
    distances: Sequence[npt.ArrayLike],
    radius: float,
    *,
    titles: Sequence[str],
    heading: str,
) -> Figure:
    """Draw images with a square for each patch that an update would add to a model.

    Beside each image is its farthest patch, enlarged. The colour of a square is the distance of its
    patch from the memory bank.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8
        Prepared images, of one size.
    squares : sequence of (k, 4) float
        Top, left, height and width of the squares of each image, in pixels.
    distances : sequence of (k,) float
        Distance of each square's patch.
    radius : float
        Only patches with a larger distance are added: the lower end of the colour scale.
    titles : sequence of str
        One title per image.
    heading : str
        Title of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no images, or an image has no squares, or the numbers of images, squares,
        distances and titles are different.
    """
    counts = [len(images), len(squares), len(distances), len(titles)]
    boxes, far = [np.asarray(s) for s in squares], [np.asarray(d) for d in distances]
    if not counts[0] or len(set(counts)) > 1 or not all(map(len, boxes)):
        raise ValueError(
            f"expected at least one image, each with squares, distances and a title, got {counts}"
        )
    largest = max(float(d.max()) for d in far)
    norm = Normalize(radius, largest if largest > radius else radius + 1)
    across, down = min(COLUMNS, len(images)), -(-len(images) // COLUMNS)
    h, w = np.shape(images[0])[:2]
    tall, pair = CELL * h / w, 2 * CELL + GAP
    row = CAPTION + tall + FOOT
    width, height = EDGE + across * (pair + BETWEEN) + BAR, HEAD + max(down * row, CAPTION + 1.5)
    figure = Figure(figsize=(width, height))

    def place(x: float, y: float, wide: float, high: float) -> Axes:
        axes = figure.add_axes((x / width, 1 - (y + high) / height, wide / width, high / height))
        axes.set(xticks=[], yticks=[])
        return axes

    figure.text(EDGE / width, 1 - 0.18 / height, heading, weight="bold", va="center")
    for k, (image, title) in enumerate(zip(images, titles, strict=True)):
        x = EDGE + (k % COLUMNS) * (pair + BETWEEN)
        y = HEAD + CAPTION + (k // COLUMNS) * row
        whole, part = place(x, y, CELL, tall), place(x + CELL + GAP, y, CELL, tall)
        for axes in (whole, part):
            axes.imshow(np.asarray(image), interpolation="nearest", aspect="auto")
            axes.spines[:].set_visible(False)
        lines = [shortened(line, LONGEST) for line in title.splitlines()]
        whole.set_title("\n".join(lines), fontsize=7.5)
        order = np.argsort(far[k], kind="stable")  # the farthest on top
        _draw(whole, boxes[k][order], COLOURS(norm(far[k][order])), 0.8)
        farthest = order[-1:]
        _draw(part, boxes[k][farthest], COLOURS(norm(far[k][farthest])), 1.2)
        _zoom(part, boxes[k][farthest[0]], (h, w))
    bar = place(width - BAR, HEAD + CAPTION, 0.09, min(2.0, height - HEAD - CAPTION - FOOT))
    scale = figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar)
    scale.outline.set_visible(False)
    bar.set_ylabel(f"distance (radius: {short_number(radius)})")
    return figure


def _draw(axes: Axes, squares: Array, colours: Array, lw: float) -> None:
    boxes = [Rectangle((left - 0.5, top - 0.5), w, h) for top, left, h, w in squares.tolist()]
    axes.add_collection(
        PatchCollection(boxes, facecolors="none", edgecolors=colours, linewidths=lw)
    )


def _zoom(axes: Axes, square: Array, size: tuple[int, int]) -> None:
    """Show the part of an image around a square."""
    ends = []
    for low, side, whole in zip(square[:2], square[2:], size, strict=True):
        reach = min(max(whole / SHARE, 3 * side), whole)
        start = min(max(low + side / 2 - reach / 2, 0), whole - reach)
        ends.append((start - 0.5, start + reach - 0.5))
    (top, bottom), (left, right) = ends
    axes.set(xlim=(left, right), ylim=(bottom, top))
