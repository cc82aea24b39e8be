"""Images, their anomaly maps, what is predicted from them, and the truth, row by row."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from minicore.plots.style import ANOMALOUS, GOOD, HEAT, INK, TRUTH, WIDTH, Figure, styled

Array = npt.NDArray[Any]
Line = tuple[str, str, str]  # words, colour, weight
LETTERS = 18  # of a word beside a row
WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}


@styled
def panels(
    images: npt.ArrayLike,
    maps: npt.ArrayLike,
    masks: npt.ArrayLike | None = None,
    *,
    threshold: float | None = None,
    scores: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    titles: Sequence[str] | None = None,
    limit: float | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    """Show each image beside its anomaly map, what is predicted from it, and the truth.

    Parameters
    ----------
    images : array-like of uint8, or of float in [0, 1], shape (n, h, w, 3) or (n, h, w)
        One row of the figure each, cropped as the maps are.
    maps : array-like of float, shape (n, h, w)
        Anomaly maps; all share one scale of colours.
    masks : array-like of bool or int, shape (n, h, w), optional
        Nonzero where the defects are. Adds a column, and an outline on the map.
    threshold : float, optional
        Pixels at or above it are predicted defective. Adds a column, and a mark on the scale.
    scores : array-like of float, shape (n,), optional
        Image scores, written beside the rows.
    labels : array-like of int, shape (n,), optional
        0 good, 1 anomalous, written beside the rows in the colour of the class.
    titles : sequence of str, length n, optional
        Written beside the rows. Long words, such as the names of files, are shortened in the
        middle.
    limit : float, optional
        The threshold of the image scores, written under them.
    vmin, vmax : float, optional
        Ends of the scale; the smallest and largest value of `maps` if not given. Values outside
        have the colour of the nearer end; the bar then ends in a point.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        Shapes do not belong together, `images` have another dtype, a map is not finite, or
        `vmin` is not below `vmax`.
    """
    pictures, heat = _pictures(np.asarray(images)), np.asarray(maps)
    if heat.ndim != 3 or not heat.size or pictures.shape != (*heat.shape, 3):
        raise ValueError(
            "images (n, h, w) or (n, h, w, 3) and maps (n, h, w) must belong together, n ≥ 1, "
            f"got {np.shape(images)} and {heat.shape}"
        )
    truth = None if masks is None else np.asarray(masks).astype(bool)
    if truth is not None and truth.shape != heat.shape:
        raise ValueError(f"masks must have the shape of maps, {heat.shape}, got {truth.shape}")
    beside = _beside(len(heat), titles, labels, scores, limit)
    norm = _scale(heat, vmin, vmax)

    heads = ["image", "anomaly map"]
    heads += [] if threshold is None else [f"map ≥ {threshold:.3g}"]
    heads += [] if truth is None else ["ground truth"]
    figure, grid, bar = _grid(heads, heat.shape, beside)
    for i, row in enumerate(grid):
        cells = dict(zip(heads, row, strict=True))
        cells["image"].imshow(pictures[i])
        cells["anomaly map"].imshow(overlay(pictures[i], norm(heat[i])))
        if threshold is not None:
            cells[heads[2]].imshow(_tint(pictures[i], heat[i] >= threshold, ANOMALOUS))
        if truth is not None:
            cells["ground truth"].imshow(_tint(pictures[i], truth[i], TRUTH))
            if truth[i].any():
                for name in ("anomaly map", "ground truth"):
                    cells[name].contour(truth[i], levels=[0.5], colors=TRUTH, linewidths=1)
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = beyond.get((bool(heat.min() < norm.vmin), bool(heat.max() > norm.vmax)), "both")
    scale = figure.colorbar(ScalarMappable(norm, HEAT), cax=bar, extend=extend)
    scale.outline.set_visible(False)
    low, high = bar.get_ylim()
    label = "anomaly score"
    if threshold is not None and low <= threshold <= high:
        label += f"\nmarked: threshold {_short(threshold)}"
        # A pointer at the left of the bar, in the colour of what is predicted.
        bar.plot(-0.3, threshold, ">", ms=5, color=ANOMALOUS, clip_on=False,
                 transform=bar.get_yaxis_transform())  # fmt: skip
    bar.set_ylabel(label)
    return figure


def _beside(
    n: int,
    titles: Sequence[str] | None,
    labels: npt.ArrayLike | None,
    scores: npt.ArrayLike | None,
    limit: float | None,
) -> list[list[Line]]:
    """Write what stands to the left of each row, line by line."""
    given = {"titles": titles, "labels": labels, "scores": scores}
    for name, values in given.items():
        if values is not None and np.shape(values) != (n,):
            raise ValueError(f"{name} must be one per image, ({n},), got {np.shape(values)}")
    lines: list[list[Line]] = [[] for _ in range(n)]
    for i, row in enumerate(lines):
        if titles is not None:
            words = " ".join(map(_shortened, str(titles[i]).split()))
            row += [(part, INK, "bold") for part in textwrap.wrap(words, 15, **WHOLE)]
        if labels is not None:
            bad = bool(np.asarray(labels)[i])
            row.append(("anomalous", ANOMALOUS, "normal") if bad else ("good", GOOD, "normal"))
        if scores is not None:
            row.append((f"score {_short(np.asarray(scores)[i])}", INK, "normal"))
        if limit is not None:
            row.append((f"threshold {_short(limit)}", INK, "normal"))
    return lines


def _short(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")  # 2.60, and 260 without a point


def _shortened(word: str) -> str:
    """Cut the middle out of a long word: the end of a file's name tells files apart."""
    if len(word) <= LETTERS:
        return word
    end = LETTERS // 2
    return f"{word[: LETTERS - end - 1]}…{word[-end:]}"


def _grid(
    heads: list[str], shape: tuple[int, ...], beside: list[list[Line]]
) -> tuple[Figure, list[list[Axes]], Axes]:
    """Cells without ticks, placed in inches so that they sit close; and the axes of the scale."""
    rows, columns = len(beside), len(heads)
    right, top, edge, gap, line = 0.98, 0.28, 0.06, 0.07, 0.17
    letter = {"bold": 0.085, "normal": 0.066}  # its mean width at 8.5 points
    longest = max((len(words) * letter[w] for row in beside for words, _, w in row), default=0)
    left = longest + 0.16 if longest else edge
    # A bar shorter than 1.3 has no room for its label.
    cell = min((WIDTH - left - right - gap * (columns - 1)) / columns, 2.0)
    tall = cell * shape[1] / shape[2]
    width = left + columns * (cell + gap) - gap + right
    height = top + max(rows * (tall + gap) - gap, 1.3) + edge
    figure = Figure(figsize=(width, height))

    def place(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    grid = [
        [place(left + j * (cell + gap), top + i * (tall + gap), cell, tall) for j in range(columns)]
        for i in range(rows)
    ]
    for axes in (axes for row in grid for axes in row):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(head)
    for i, lines in enumerate(beside):
        middle = top + i * (tall + gap) + tall / 2
        for k, (words, colour, weight) in enumerate(lines):
            y = 1 - (middle + (k - (len(lines) - 1) / 2) * line) / height
            figure.text((left - 0.1) / width, y, words, ha="right", va="center",
                        color=colour, weight=weight)  # fmt: skip
    return figure, grid, place(width - right + 0.14, top, 0.1, min(height - top - edge, 2.4))


def _scale(maps: Array, vmin: float | None, vmax: float | None) -> Normalize:
    low = float(maps.min()) if vmin is None else vmin
    high = float(maps.max()) if vmax is None else vmax
    if vmin is None and vmax is None and low == high:
        high = low + 1  # maps all the same: any scale will do
    if not low < high:  # NaN too
        raise ValueError(f"maps must be finite and vmin below vmax, got {low} and {high}")
    return Normalize(low, high, clip=True)


def _pictures(images: Array) -> Array:
    """Images as float RGB in [0, 1], (n, h, w, 3)."""
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, or float in [0, 1], got dtype {images.dtype}")
    pictures = images if images.dtype.kind == "f" else images / np.float32(255)
    if pictures.ndim == 3:
        pictures = np.repeat(pictures[..., None], 3, axis=-1)
    return np.clip(pictures, 0, 1)


def _grey(picture: Array) -> Array:
    """Luma of an RGB picture (ITU-R BT.601), still (h, w, 3)."""
    return np.repeat((picture @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=-1)


def overlay(picture: Array, level: Array) -> Array:
    """Heat over the grey picture: the hotter, the more it hides what is underneath."""
    level = np.asarray(level)  # matplotlib's norm gives a masked array
    opacity = np.clip(0.4 + 0.8 * level, 0, 0.9)[..., None]
    # Dimmed, so that a bright object cannot pass for a hot one.
    return opacity * HEAT(level)[..., :3] + (1 - opacity) * 0.6 * _grey(picture)


def _tint(picture: Array, mask: Array, colour: str) -> Array:
    """Fill the mask with a colour, over the picture grey and faded."""
    faded = 0.55 * _grey(picture) + 0.45
    return np.where(mask[..., None], 0.25 * faded + 0.75 * np.array(to_rgb(colour)), faded)
