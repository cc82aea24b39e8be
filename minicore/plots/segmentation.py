"""Images, anomaly maps, predictions and ground truth, row by row."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from minicore.plots.style import (
    ANOMALOUS,
    GOOD,
    HEAT,
    INK,
    TRUTH,
    WIDTH,
    Array,
    Figure,
    short_number,
    styled,
)

Line = tuple[str, str, str]  # text, colour, weight
LONGEST_WORD = 18  # letters, in the text beside a row
WRAP: Any = {"break_long_words": False, "break_on_hyphens": False}


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
    """Draw each image beside its anomaly map, its prediction and its ground truth.

    Parameters
    ----------
    images : array-like of uint8, or of float in [0, 1], shape (n, h, w, 3) or (n, h, w)
        One row of the figure per image. Images have the crop of the maps.
    maps : array-like of float, shape (n, h, w)
        Anomaly maps; all maps have one colour scale.
    masks : array-like of bool or int, shape (n, h, w), optional
        Nonzero where a defect is. Adds a column, and an outline on the map.
    threshold : float, optional
        Pixels at or above it are predicted as defective. Adds a column, and a mark on the scale.
    scores : array-like of float, shape (n,), optional
        Image scores, written beside the rows.
    labels : array-like of int, shape (n,), optional
        0 good, 1 anomalous; written beside the rows in the colour of the class.
    titles : sequence of str, length n, optional
        Written beside the rows. Long words, for example file names, are shortened in the middle.
    limit : float, optional
        Threshold of the image scores, written below the scores.
    vmin, vmax : float, optional
        Limits of the colour scale; by default, the minimum and maximum of `maps`. Values outside
        have the colour of the nearer limit; the colour bar then ends in a point.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If shapes do not match, if `images` have another dtype, if a map is not finite, or if
        `vmin` is not less than `vmax`.
    """
    pictures, heat = _pictures(np.asarray(images)), np.asarray(maps)
    if heat.ndim != 3 or not heat.size or pictures.shape != (*heat.shape, 3):
        raise ValueError(
            "images (n, h, w) or (n, h, w, 3) and maps (n, h, w) must match, n ≥ 1, "
            f"got {np.shape(images)} and {heat.shape}"
        )
    truth = None if masks is None else np.asarray(masks).astype(bool)
    if truth is not None and truth.shape != heat.shape:
        raise ValueError(f"masks must have the shape of maps, {heat.shape}, got {truth.shape}")
    row_texts = _row_texts(len(heat), titles, labels, scores, limit)
    norm = _scale(heat, vmin, vmax)

    heads = ["image", "anomaly map"]
    heads += [] if threshold is None else [f"map ≥ {threshold:.3g}"]
    heads += [] if truth is None else ["ground truth"]
    figure, grid, bar = _grid(heads, heat.shape, row_texts)
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
        label += f"\nmarked: threshold {short_number(threshold)}"
        # A pointer at the left of the bar, in the colour of the prediction.
        bar.plot(-0.3, threshold, ">", ms=5, color=ANOMALOUS, clip_on=False,
                 transform=bar.get_yaxis_transform())  # fmt: skip
    bar.set_ylabel(label)
    return figure


def _row_texts(
    n: int,
    titles: Sequence[str] | None,
    labels: npt.ArrayLike | None,
    scores: npt.ArrayLike | None,
    limit: float | None,
) -> list[list[Line]]:
    """Return the lines of text to the left of each row."""
    given = {"titles": titles, "labels": labels, "scores": scores}
    for name, values in given.items():
        if values is not None and np.shape(values) != (n,):
            raise ValueError(f"{name} must be one per image, ({n},), got {np.shape(values)}")
    lines: list[list[Line]] = [[] for _ in range(n)]
    for i, row in enumerate(lines):
        if titles is not None:
            words = " ".join(map(shortened, str(titles[i]).split()))
            row += [(part, INK, "bold") for part in textwrap.wrap(words, 15, **WRAP)]
        if labels is not None:
            bad = bool(np.asarray(labels)[i])
            row.append(("anomalous", ANOMALOUS, "normal") if bad else ("good", GOOD, "normal"))
        if scores is not None:
            row.append((f"score {short_number(np.asarray(scores)[i])}", INK, "normal"))
        if limit is not None:
            row.append((f"threshold {short_number(limit)}", INK, "normal"))
    return lines


def shortened(word: str, most: int = LONGEST_WORD) -> str:
    """Remove the middle of a long word: file names often differ only at the end."""
    if len(word) <= most:
        return word
    end = most // 2
    return f"{word[: most - end - 1]}…{word[-end:]}"


def _grid(
    heads: list[str], shape: tuple[int, ...], row_texts: list[list[Line]]
) -> tuple[Figure, list[list[Axes]], Axes]:
    """Return the figure, the axes of its cells without ticks, and the axes of the scale."""
    rows, columns = len(row_texts), len(heads)
    right, top, edge, gap, line = 0.98, 0.28, 0.06, 0.07, 0.17
    letter = {"bold": 0.085, "normal": 0.066}  # mean width in inches, at 8.5 points
    longest = max((len(words) * letter[w] for row in row_texts for words, _, w in row), default=0)
    left = longest + 0.16 if longest else edge
    cell = min((WIDTH - left - right - gap * (columns - 1)) / columns, 2.0)
    tall = cell * shape[1] / shape[2]
    width = left + columns * (cell + gap) - gap + right
    # A colour bar shorter than 1.3 inches has no space for its label.
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
    for i, lines in enumerate(row_texts):
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
        high = low + 1  # all values are equal: any scale works
    if not low < high:  # also false for NaN
        raise ValueError(f"maps must be finite and vmin below vmax, got {low} and {high}")
    return Normalize(low, high, clip=True)


def _pictures(images: Array) -> Array:
    """Return images as float RGB in [0, 1], (n, h, w, 3)."""
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, or float in [0, 1], got dtype {images.dtype}")
    pictures = images if images.dtype.kind == "f" else images / np.float32(255)
    if pictures.ndim == 3:
        pictures = np.repeat(pictures[..., None], 3, axis=-1)
    return np.clip(pictures, 0, 1)


def _grey(picture: Array) -> Array:
    """Return the luma of an RGB picture (ITU-R BT.601) as a grey picture, (h, w, 3)."""
    return np.repeat((picture @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=-1)


def overlay(picture: Array, level: Array) -> Array:
    """Return a grey picture with a heat map over it, (h, w, 3).

    A larger level, in [0, 1], is more opaque.
    """
    level = np.asarray(level)  # a masked array, if it comes from a norm of matplotlib
    opacity = np.clip(0.4 + 0.8 * level, 0, 0.9)[..., None]
    # The picture is dimmed, so that a bright object does not look like a large score.
    return np.asarray(opacity * HEAT(level)[..., :3] + (1 - opacity) * 0.6 * _grey(picture))


def _tint(picture: Array, mask: Array, colour: str) -> Array:
    """Return a pale grey picture with the mask filled in one colour."""
    faded = 0.55 * _grey(picture) + 0.45
    return np.where(mask[..., None], 0.25 * faded + 0.75 * np.array(to_rgb(colour)), faded)
