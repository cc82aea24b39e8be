"""One image through the whole method, on one page: the picture of a trace."""

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
from minicore.plots.principal import feature_colours, principal_axes
from minicore.plots.segmentation import overlay
from minicore.plots.sheet import CELL, GAP, SMALL, Page
from minicore.plots.style import ANOMALOUS, GOOD, HEAT, INK, PALE, TRUTH, Figure, styled

if TYPE_CHECKING:  # drawing needs no network and no search
    from minicore.patchcore.trace import Trace

Array = npt.NDArray[Any]
Edges = tuple[int, int, int, int]  # top, left, bottom, right; the latter two exclusive

# Panel 5, in units of the end of its scale: depth of the floor, room below it and on top.
DEPTH, BELOW, ABOVE = 0.75, 0.26, 0.12
SURROUNDINGS = 5  # cells shown on each side of a patch
THUMBNAILS = 12  # neighbours that can be shown side by side


@styled
def trace(trace: Trace, train_images: Any = None, mask: npt.ArrayLike | None = None) -> Figure:
    """Show one image on its way through the equations, from its pixels to its score.

    Read it row by row, as numbered. Colours of feature maps and patches are their three principal
    components: like features have like colours. The floor of panel 5 is the memory bank in its two
    principal directions; each patch of the image hovers above the row of the bank that it is
    nearest to, as high as it is far from it.

    Parameters
    ----------
    trace : Trace
        From `minicore.trace`.
    train_images : images, optional
        What the model was fitted on, as given to `PatchCore.fit`; only the images that the picture
        shows are read. Without them the origin of the nearest patch is given in words.
    mask : array-like of bool or int, shape (h, w), optional
        Nonzero where the defect is; outlined on the map. As `Dataset.read_masks` gives it.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        `mask` has another shape than the map, or `train_images` are too few to be the model's.
    ImageError
        A training image cannot be read.
    """
    truth = None if mask is None else np.asarray(mask).astype(bool)
    if truth is not None and truth.shape != trace.map.shape:
        raise ValueError(
            f"mask must have the shape of the map, {trace.map.shape}, got {truth.shape}"
        )
    remembered = None if train_images is None else _Remembered(trace, train_images)

    page = Page()
    _pixels_to_patches(page, trace)
    _search(page, trace, truth)
    _decision(page, trace, remembered)
    return page.figure


class _Remembered:
    """The training images, prepared when one is looked at."""

    def __init__(self, trace: Trace, train_images: Any) -> None:
        self.images = as_images(train_images)
        self.preprocessing = trace.preprocessing
        last = int(max(trace.origins[..., 0].max(), trace.neighbour_origins[:, 0].max()))
        if last >= len(self.images):
            raise ValueError(
                f"train_images must be those that the model was fitted on: it remembers image "
                f"{last}, and these are {len(self.images)}"
            )

    def __getitem__(self, i: int) -> Array:
        return view(self.images[i], self.preprocessing)


# ------------------------------------------------------------------- first row


def _pixels_to_patches(page: Page, trace: Trace) -> None:
    page.heading(0, "From pixels to patches")
    height, width = trace.map.shape
    axes = page.panel(0, 0, "image", f"{height} × {width} pixels")
    axes.imshow(trace.image, aspect="auto")
    _frame(axes, trace.window, ANOMALOUS)
    page.arrow(0, 0)

    layers = list(trace.feature_maps.items())
    shown = layers if len(layers) <= 2 else [layers[0], layers[-1]]
    for k, (layer, phi) in enumerate(shown):
        c, h, w = phi.shape
        column = 1.0 + k if len(shown) == 2 else 1.5
        axes = page.panel(0, column, f"feature map, {layer}", f"φ: {h} × {w} × {c} channels")
        axes.imshow(feature_colours(phi.transpose(1, 2, 0)), aspect="auto")
    if len(shown) == 2:
        page.arrow(0, 1)
    page.arrow(0, 2)

    h, w, D = trace.patches.shape
    axes = page.panel(0, 3, "patch features", f"eq 1–3: {h} × {w} × {D}")
    axes.imshow(feature_colours(trace.patches), aspect="auto")


# ------------------------------------------------------------------ second row


def _search(page: Page, trace: Trace, truth: Array | None) -> None:
    page.heading(1, "Every patch looks for its like")
    h, w = trace.patch_scores.shape
    l = len(trace.memory_bank)
    reach = _top(trace.s_star, trace.threshold)

    axes = page.panel(
        1, 0, "memory bank", f"eq 4–6: each patch above the nearest of {l:,} remembered ones", 2
    )
    _bank(axes, trace, reach)
    page.arrow(1, 1)

    low = float(trace.patch_scores.min())
    detail = f"eq 6: {h} × {w}, {_short(low)} to {_short(trace.s_star)}"
    axes = page.panel(1, 2, "distance to the nearest", detail)
    axes.imshow(trace.patch_scores, cmap=HEAT, vmin=0, vmax=reach, aspect="auto")
    row, column = trace.position
    axes.add_patch(Box((column - 0.5, row - 0.5), 1, 1, fill=False, ec=ANOMALOUS, lw=1.6))
    page.arrow(1, 2)

    height, width = trace.map.shape
    outlined = truth is not None and truth.any()
    detail = f"{height} × {width}" + ("; truth outlined" if outlined else "")
    axes = page.panel(1, 3, "anomaly map", detail)
    scale = Normalize(trace.map.min(), _top(trace.map.max(), trace.map_threshold))
    axes.imshow(overlay(trace.image / np.float32(255), scale(trace.map)), aspect="auto")
    if outlined:
        axes.contour(truth, levels=[0.5], colors=TRUTH, linewidths=1.2)


def _top(largest: float, threshold: float | None) -> float:
    """End a scale where a good image keeps to its lower part, and nothing divides by zero."""
    return max(float(largest), 1.5 * (threshold or 0.0), 1e-12)


def _bank(axes: Axes, trace: Trace, reach: float) -> None:
    """Draw the bank as a floor, and each patch above its nearest row, as high as it is far."""
    bank = trace.memory_bank.astype(float)
    floor = bank @ principal_axes(bank, 2)
    floor -= floor.min(axis=0)
    floor /= np.maximum(floor.max(axis=0), 1e-12)
    floor[:, 1] *= DEPTH
    heights = trace.patch_scores.ravel() / reach
    x, ground = floor[trace.nearest.ravel()].T
    top = ground + heights

    axes.scatter(floor[:, 0], floor[:, 1], s=2.2, color=PALE, linewidths=0)
    order = np.argsort(heights, kind="stable")  # the strangest are drawn last, in front
    stems = np.stack([x, ground, x, top], axis=1)[order].reshape(-1, 2, 2)
    colours = HEAT(heights[order])
    axes.add_collection(LineCollection(list(stems), colors=colours, linewidths=0.4, alpha=0.3))
    axes.scatter(x[order], top[order], s=4.5, c=colours, linewidths=0)

    deciding = heights.argmax()
    at, low, high = x[deciding], ground[deciding], top[deciding]
    near = floor[trace.neighbours]
    axes.scatter(near[:, 0], near[:, 1], s=9, color=GOOD, linewidths=0, zorder=3)
    axes.plot([at, at], [low, high], color=INK, lw=1.1, zorder=3)
    axes.plot([at, at], [-BELOW / 2, low], color=GOOD, lw=0.6, zorder=3)
    ring: Any = {"s": 40, "facecolors": "white", "linewidths": 1.8, "zorder": 4}
    axes.scatter(at, high, edgecolors=ANOMALOUS, **ring)
    axes.scatter(at, low, edgecolors=GOOD, **ring)
    axes.set(xlim=(-0.02, 1.02), ylim=(-BELOW, max(top.max(), DEPTH) + ABOVE))
    # Words go to the side that has more room.
    right = at < 0.5
    halo = [withStroke(linewidth=2, foreground="white")]
    for y, words, colour in (
        (high, "the patch that decides", ANOMALOUS),
        (high - 0.25 * (high - low), f"s* = {_short(trace.s_star)}", INK),
        (-0.6 * BELOW, "m*, the nearest, and its neighbours", GOOD),
    ):
        axes.annotate(words, (at, y), (7 if right else -7, 0), textcoords="offset points",
                      ha="left" if right else "right", va="center", color=colour, size=SMALL,
                      zorder=5, path_effects=halo)  # fmt: skip


# ------------------------------------------------------------------- third row


def _decision(page: Page, trace: Trace, remembered: _Remembered | None) -> None:
    page.heading(2, "The strangest patch decides")
    row, column = trace.position
    axes = page.panel(2, 0, "the patch that decides", f"eq 6: at ({row}, {column}) of the grid")
    _surroundings(axes, trace.image, trace.cell, trace.window, ANOMALOUS)
    page.arrow(2, 0)

    image, row, column = trace.origin
    detail = f"good image {image}, ({row}, {column})"
    axes = page.panel(2, 1, "its nearest neighbour, m*", detail)
    if remembered is None:
        h, w = trace.patch_scores.shape
        axes.imshow(np.ones((h, w, 3)) * 0.92, aspect="auto")
        axes.add_patch(Box((column - 0.5, row - 0.5), 1, 1, color=GOOD, lw=0))
    else:
        _surroundings(axes, remembered[image], trace.origin_cell, trace.origin_window, GOOD)
    page.arrow(2, 1)
    _bars(page, trace, remembered)


def _surroundings(axes: Axes, image: Array, cell: Edges, window: Edges, colour: str) -> None:
    """Show a patch and what lies around it, its neighbourhood framed and its own cell within."""
    ends = []
    for low, high, size in zip(cell[:2], cell[2:], image.shape, strict=False):
        reach = min((high - low) * (2 * SURROUNDINGS + 1), size)
        first = min(max((low + high - reach) // 2, 0), size - reach)
        ends.append((first, first + reach))
    (top, bottom), (left, right) = ends
    _look(axes, image, (top, left, bottom, right))
    _frame(axes, window, colour, lw=2)
    _frame(axes, cell, colour, lw=0.8)


def _look(axes: Axes, image: Array, part: Edges) -> None:
    """Show a part of an image; what lies outside the image stays empty."""
    axes.imshow(image, aspect="auto")
    top, left, bottom, right = part
    axes.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))


def _bars(page: Page, trace: Trace, remembered: _Remembered | None) -> None:
    """Equation 7: the distances that the weight is made of, and the score."""
    b = len(trace.neighbours)
    detail = f"eq 7: distances to m* and its neighbours, {b} in all"
    room = page.panel(2, 2, "weight and score", detail, 2)
    room.set_axis_off()
    x, y, wide = page.left(2), page.top(2), 2 * CELL + GAP
    pitch = wide / b
    thumb = min(pitch * 0.86, 0.32) if remembered is not None and b <= THUMBNAILS else 0.0
    tall = CELL - 0.62 - thumb
    axes = page.axes(x, y, wide, tall)
    colours = [GOOD] + ["#8DBEDD"] * (b - 1)
    distances = trace.neighbour_distances
    axes.bar(np.arange(b), distances, width=0.86, color=colours)
    axes.set(xlim=(-0.5, b - 0.5), ylim=(0, max(distances.max(), 1e-12) * 1.22))
    if b <= THUMBNAILS:
        for i, distance in enumerate(distances):
            axes.annotate(_short(distance), (i, distance), (0, 2), textcoords="offset points",
                          ha="center", size=SMALL)  # fmt: skip
    if thumb and remembered is not None:
        for i, (image, row, column) in enumerate(trace.neighbour_origins.tolist()):
            small = page.axes(x + i * pitch + (pitch - thumb) / 2, y + tall + 0.04, thumb, thumb)
            _look(small, remembered[image], trace.window_at(row, column))
    line = y + tall + thumb + 0.2
    share, weight = trace.softmax[0], trace.weight
    words = f"weight = 1 − exp({_short(distances[0])}) / Σ exp = 1 − {share:.3f} = {weight:.3f}"
    if b == 1:
        words = "this model leaves equation 7 out"
    page.text(x, line, words, size=SMALL)
    words = f"s = {weight:.3f} × {_short(trace.s_star)} = {_short(trace.s)}"
    page.text(x, line + 0.24, words, weight="bold", size=10)
    if trace.threshold is not None:
        bad = trace.s > trace.threshold
        words = f"{'>' if bad else '≤'} {_short(trace.threshold)}: {'anomalous' if bad else 'good'}"
        page.text(x + wide, line + 0.24, words, ha="right", color=ANOMALOUS if bad else GOOD)


def _frame(axes: Axes, box: Edges, colour: str, lw: float = 1.4) -> None:
    top, left, bottom, right = box
    corner = (left - 0.5, top - 0.5)
    axes.add_patch(Box(corner, right - left, bottom - top, fill=False, ec=colour, lw=lw))


def _short(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")  # 2.60, and 260 without a point
