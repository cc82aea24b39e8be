"""The poster of a trace: one image on its way through all equations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle as Box
from matplotlib.patheffects import withStroke

from minicore.images import as_images, view
from minicore.plots.principal import feature_colours, principal_directions
from minicore.plots.segmentation import overlay
from minicore.plots.sheet import CELL, GAP, SMALL, Page
from minicore.plots.style import (
    ANOMALOUS,
    GOOD,
    HEAT,
    INK,
    PALE,
    TRUTH,
    Array,
    Figure,
    short_number,
    styled,
)

if TYPE_CHECKING:  # a figure needs no network and no search
    from minicore.patchcore.trace import Trace

Edges = tuple[int, int, int, int]  # top, left, bottom, right; bottom and right are exclusive

# Panel 5, in units of its scale: depth of the floor, and space below and above.
DEPTH, BELOW, ABOVE = 0.75, 0.26, 0.12
SURROUNDINGS = 5  # cells drawn on each side of a patch
THUMBNAILS = 12  # largest number of neighbours drawn side by side


@styled
def trace(trace: Trace, train_images: Any = None, mask: npt.ArrayLike | None = None) -> Figure:
    """Draw one image on its way through the equations, from its pixels to its score.

    Read the numbered panels row by row. The colours of features are their three principal
    components: similar features have similar colours. The floor of panel 5 is the memory bank in
    its two principal directions. Each patch of the image is drawn above its nearest row of the
    bank; its height is its distance to this row.

    Parameters
    ----------
    trace : Trace
        From `minicore.trace`.
    train_images : images, optional
        The images of `PatchCore.fit`. Only the drawn images are read. Without images, the origin of
        the nearest patch is only named.
    mask : array-like of bool or int, shape (h, w), optional
        Nonzero where the defect is; drawn as an outline on the map. See `Dataset.read_masks`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If `mask` and the map have different shapes, or if there are fewer `train_images` than the
        model was fitted with.
    ImageError
        If a training image cannot be read.
    """
    truth = None if mask is None else np.asarray(mask).astype(bool)
    if truth is not None and truth.shape != trace.map.shape:
        raise ValueError(
            f"mask must have the shape of the map, {trace.map.shape}, got {truth.shape}"
        )
    train_images = None if train_images is None else _TrainingImages(trace, train_images)

    page = Page()
    _pixels_to_patches(page, trace)
    _search(page, trace, truth)
    _decision(page, trace, train_images)
    return page.figure


class _TrainingImages:
    """Training images. Each image is read when it is needed."""

    def __init__(self, trace: Trace, train_images: Any) -> None:
        self.images = as_images(train_images)
        self.preprocessing = trace.preprocessing
        last = int(max(trace.origins[..., 0].max(), trace.neighbour_origins[:, 0].max()))
        if last >= len(self.images):
            raise ValueError(
                f"train_images must be those that the model was fitted on: the bank contains "
                f"image {last}, but these are {len(self.images)} images"
            )

    def view(self, i: int, angle: float) -> Array:
        """Return image i as it is in the memory bank: prepared, and turned by `angle` degrees."""
        return view(self.images[i], self.preprocessing, angle)


# ------------------------------------------------------------------- first row


def _pixels_to_patches(page: Page, trace: Trace) -> None:
    page.heading(0, "From pixels to patches")
    height, width = trace.map.shape
    axes = page.panel(0, 0, "image", f"{height} × {width} pixels")
    axes.imshow(trace.image, aspect="auto")
    _frame(axes, trace.window, ANOMALOUS)
    page.arrow(0, 0)

    layers = list(trace.feature_maps.items())
    drawn = layers if len(layers) <= 2 else [layers[0], layers[-1]]
    for k, (layer, phi) in enumerate(drawn):
        c, h, w = phi.shape
        column = 1.0 + k if len(drawn) == 2 else 1.5
        axes = page.panel(0, column, f"feature map, {layer}", f"φ: {h} × {w} × {c} channels")
        axes.imshow(feature_colours(phi.transpose(1, 2, 0)), aspect="auto")
    if len(drawn) == 2:
        page.arrow(0, 1)
    page.arrow(0, 2)

    h, w, D = trace.patches.shape
    axes = page.panel(0, 3, "patch features", f"eq 1–3: {h} × {w} × {D}")
    axes.imshow(feature_colours(trace.patches), aspect="auto")


# ------------------------------------------------------------------ second row


def _search(page: Page, trace: Trace, truth: Array | None) -> None:
    page.heading(1, "Search: the nearest row for each patch")
    h, w = trace.patch_scores.shape
    l = len(trace.memory_bank)
    reach = _scale_end(trace.s_star, trace.threshold)

    axes = page.panel(1, 0, "memory bank", f"eq 4–6: each patch above the nearest of {l:,} rows", 2)
    _draw_bank(axes, trace, reach)
    page.arrow(1, 1)

    low = float(trace.patch_scores.min())
    detail = f"eq 6: {h} × {w}, {short_number(low)} to {short_number(trace.s_star)}"
    axes = page.panel(1, 2, "distance to nearest row", detail)
    axes.imshow(trace.patch_scores, cmap=HEAT, vmin=0, vmax=reach, aspect="auto")
    row, column = trace.position
    axes.add_patch(Box((column - 0.5, row - 0.5), 1, 1, fill=False, ec=ANOMALOUS, lw=1.6))
    page.arrow(1, 2)

    height, width = trace.map.shape
    outlined = truth is not None and truth.any()
    detail = f"{height} × {width}" + ("; defect outlined" if outlined else "")
    axes = page.panel(1, 3, "anomaly map", detail)
    scale = Normalize(trace.map.min(), _scale_end(trace.map.max(), trace.map_threshold))
    axes.imshow(overlay(trace.image / np.float32(255), scale(trace.map)), aspect="auto")
    if outlined:
        axes.contour(truth, levels=[0.5], colors=TRUTH, linewidths=1.2)


def _scale_end(largest: float, threshold: float | None) -> float:
    """Return the end of a scale. It is above 0, and a good image uses only the lower part."""
    return max(float(largest), 1.5 * (threshold or 0.0), 1e-12)


def _draw_bank(axes: Axes, trace: Trace, reach: float) -> None:
    """Draw the bank as a floor, and each patch above its nearest row."""
    bank = trace.memory_bank.astype(float)
    floor = bank @ principal_directions(bank, 2)
    floor -= floor.min(axis=0)
    floor /= np.maximum(floor.max(axis=0), 1e-12)
    floor[:, 1] *= DEPTH
    heights = trace.patch_scores.ravel() / reach
    x, ground = floor[trace.nearest.ravel()].T
    top = ground + heights

    axes.scatter(floor[:, 0], floor[:, 1], s=2.2, color=PALE, linewidths=0)
    order = np.argsort(heights, kind="stable")  # the largest distances are drawn last, in front
    stems = np.stack([x, ground, x, top], axis=1)[order].reshape(-1, 2, 2)
    colours = HEAT(heights[order])
    axes.add_collection(LineCollection(list(stems), colors=colours, linewidths=0.4, alpha=0.3))
    axes.scatter(x[order], top[order], s=4.5, c=colours, linewidths=0)

    deciding = heights.argmax()
    at, low, high = x[deciding], ground[deciding], top[deciding]
    neighbours = floor[trace.neighbours]
    axes.scatter(neighbours[:, 0], neighbours[:, 1], s=9, color=GOOD, linewidths=0, zorder=3)
    axes.plot([at, at], [low, high], color=INK, lw=1.1, zorder=3)
    axes.plot([at, at], [-BELOW / 2, low], color=GOOD, lw=0.6, zorder=3)
    ring: Any = {"s": 40, "facecolors": "white", "linewidths": 1.8, "zorder": 4}
    axes.scatter(at, high, edgecolors=ANOMALOUS, **ring)
    axes.scatter(at, low, edgecolors=GOOD, **ring)
    axes.set(xlim=(-0.02, 1.02), ylim=(-BELOW, max(top.max(), DEPTH) + ABOVE))
    # Text goes to the side with more space.
    right = at < 0.5
    halo = [withStroke(linewidth=2, foreground="white")]
    for y, words, colour in (
        (high, "deciding patch", ANOMALOUS),
        (high - 0.25 * (high - low), f"s* = {short_number(trace.s_star)}", INK),
        (-0.6 * BELOW, "m*, the nearest row, and its neighbours", GOOD),
    ):
        axes.annotate(words, (at, y), (7 if right else -7, 0), textcoords="offset points",
                      ha="left" if right else "right", va="center", color=colour, size=SMALL,
                      zorder=5, path_effects=halo)  # fmt: skip


# ------------------------------------------------------------------- third row


def _decision(page: Page, trace: Trace, train_images: _TrainingImages | None) -> None:
    page.heading(2, "Decision: the patch with the largest distance")
    row, column = trace.position
    axes = page.panel(2, 0, "deciding patch", f"eq 6: at ({row}, {column}) of the grid")
    _surroundings(axes, trace.image, trace.cell, trace.window, ANOMALOUS)
    page.arrow(2, 0)

    image, row, column = trace.origin
    turned = f" turned {trace.origin_angle:g}°" if trace.origin_angle else ""
    detail = f"good image {image}{turned}, ({row}, {column})"
    axes = page.panel(2, 1, "nearest row, m*", detail)
    if train_images is None:
        h, w = trace.patch_scores.shape
        axes.imshow(np.ones((h, w, 3)) * 0.92, aspect="auto")
        axes.add_patch(Box((column - 0.5, row - 0.5), 1, 1, color=GOOD, lw=0))
    else:
        good = train_images.view(image, trace.origin_angle)
        _surroundings(axes, good, trace.origin_cell, trace.origin_window, GOOD)
    page.arrow(2, 1)
    _bars(page, trace, train_images)


def _surroundings(axes: Axes, image: Array, cell: Edges, window: Edges, colour: str) -> None:
    """Draw a patch and its surroundings, with frames around its neighbourhood and its cell."""
    ends = []
    for low, high, size in zip(cell[:2], cell[2:], image.shape, strict=False):
        reach = min((high - low) * (2 * SURROUNDINGS + 1), size)
        first = min(max((low + high - reach) // 2, 0), size - reach)
        ends.append((first, first + reach))
    (top, bottom), (left, right) = ends
    _draw_part(axes, image, (top, left, bottom, right))
    _frame(axes, window, colour, lw=2)
    _frame(axes, cell, colour, lw=0.8)


def _draw_part(axes: Axes, image: Array, part: Edges) -> None:
    """Draw a part of an image; outside the image the axes stay empty."""
    axes.imshow(image, aspect="auto")
    top, left, bottom, right = part
    axes.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))


def _bars(page: Page, trace: Trace, train_images: _TrainingImages | None) -> None:
    """Draw the distances from which the score is computed, the weight and the score."""
    distances, title = trace.neighbour_distances, "weight and score"
    detail = f"eq 7: {len(distances)} distances, to m* and to its neighbours"
    if trace.top is not None:
        distances, title = np.sort(trace.patch_scores, axis=None)[: -trace.top - 1 : -1], "score"
        detail = f"the largest distances of all patches: {trace.top}"
        train_images = None  # nothing to draw below the bars
    b = len(distances)
    room = page.panel(2, 2, title, detail, 2)
    room.set_axis_off()
    x, y, wide = page.left(2), page.top(2), 2 * CELL + GAP
    pitch = wide / b
    thumb = min(pitch * 0.86, 0.32) if train_images is not None and b <= THUMBNAILS else 0.0
    tall = CELL - 0.62 - thumb
    axes = page.axes(x, y, wide, tall)
    colours = [GOOD] + ["#8DBEDD"] * (b - 1)
    axes.bar(np.arange(b), distances, width=0.86, color=colours)
    axes.set(xlim=(-0.5, b - 0.5), ylim=(0, max(distances.max(), 1e-12) * 1.22))
    if b <= THUMBNAILS:
        for i, distance in enumerate(distances):
            axes.annotate(short_number(distance), (i, distance), (0, 2), textcoords="offset points",
                          ha="center", size=SMALL)  # fmt: skip
    if thumb and train_images is not None:
        for i, (image, row, column) in enumerate(trace.neighbour_origins.tolist()):
            small = page.axes(x + i * pitch + (pitch - thumb) / 2, y + tall + 0.04, thumb, thumb)
            good = train_images.view(image, trace.neighbour_angles[i])
            _draw_part(small, good, trace.window_at(row, column))
    line = y + tall + thumb + 0.2
    quotient, weight = trace.softmax[0], trace.weight
    first = short_number(distances[0])
    words = f"weight = 1 − exp({first}) / Σ exp = 1 − {quotient:.3f} = {weight:.3f}"
    if len(trace.neighbours) == 1:
        words = "equation 7 is not used"
    page.text(x, line, words, size=SMALL)
    words = f"s = {weight:.3f} × {short_number(trace.s_star)} = {short_number(trace.s)}"
    if trace.top is not None:
        words = f"s = mean of the distances = {short_number(trace.s)}"
    page.text(x, line + 0.24, words, weight="bold", size=10)
    if trace.threshold is not None:
        bad, limit = trace.s > trace.threshold, short_number(trace.threshold)
        words = f"> {limit}: anomalous" if bad else f"≤ {limit}: good"
        page.text(x + wide, line + 0.24, words, ha="right", color=ANOMALOUS if bad else GOOD)


def _frame(axes: Axes, box: Edges, colour: str, lw: float = 1.4) -> None:
    top, left, bottom, right = box
    corner = (left - 0.5, top - 0.5)
    axes.add_patch(Box(corner, right - left, bottom - top, fill=False, ec=colour, lw=lw))
