"""What is shown of a category and row: its curves, and its images, the worst mistakes first."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata

from minicore import plots
from minicore.evaluation import metrics
from minicore.studies.report import pictures
from minicore.studies.report.pictures import Box
from minicore.studies.report.reading import Key, Reading
from minicore.studies.report.tables import Table, by_seed
from minicore.studies.reproduce import Evidence

SHOWN = 8  # images of a unit: fifteen categories of six rows stay below 30 MB


@dataclass(frozen=True)
class Picture:
    """An image on the page, with what is drawn over it.

    Attributes
    ----------
    source : str
        A data URI.
    caption, alternative : str
        Below it, and for who cannot see it.
    height, width : int
        Of the coordinates of what is drawn over it, in pixels.
    truth : str
        Data of an SVG path around the defects.
    frame : (int, int, int, int) or None
        Top, left, bottom, right.
    """

    source: str
    caption: str
    alternative: str
    height: int
    width: int
    truth: str = ""
    frame: Box | None = None


@dataclass(frozen=True)
class Card:
    """A test image: what is known of it, and its pictures."""

    name: str
    defect: str
    facts: list[tuple[str, str]]
    verdict: str  # as a class of the style sheet too
    pictures: list[Picture]

    @property
    def outlined(self) -> bool:
        """Whether the ground truth is drawn."""
        return any(picture.truth for picture in self.pictures)

    @property
    def framed(self) -> bool:
        """Whether a patch is framed."""
        return any(picture.frame for picture in self.pictures)


@dataclass(frozen=True)
class Scale:
    """The colours of a unit's maps: ends, and the threshold in the middle if there is one."""

    low: float
    high: float
    threshold: float | None

    @classmethod
    def of(cls, e: Evidence) -> Scale:
        """Take it from the limits of all maps, so that all images of a unit share it."""
        low, threshold = map(float, e.map_limits)
        maps = e.maps if e.maps.size else np.zeros(1)
        low = low if np.isfinite(low) else float(maps.min())
        if np.isfinite(threshold) and threshold > low:
            return cls(low, 2 * threshold - low, threshold)
        return cls(low, max(float(maps.max()), low + 1e-6), None)


@dataclass(frozen=True)
class Ranked:
    """The test images of a unit in the order of their scores.

    Attributes
    ----------
    ranks : (n,) int64
        1 for the most anomalous; equal scores share the better rank.
    threshold : float or None
        With the best F1; None where only one class is there.
    """

    ranks: np.ndarray
    threshold: float | None

    @classmethod
    def of(cls, e: Evidence) -> Ranked:
        """Rank them."""
        both = 0 < e.labels.sum() < len(e.labels)
        threshold = metrics.f1_threshold(e.labels, e.scores)[0] if both else None
        return cls(rankdata(-e.scores, method="min").astype(np.int64), threshold)

    def verdict(self, e: Evidence, i: int) -> str:
        """Say what the threshold makes of an image."""
        bad = bool(e.labels[i])
        if self.threshold is None:
            return "defective" if bad else "good"
        above = e.scores[i] >= self.threshold
        return ("found" if above else "missed") if bad else ("false alarm" if above else "passed")


@dataclass(frozen=True)
class Shown:
    """A category and row, as the page shows it."""

    row: str
    seed: int
    summary: str
    curves: list[Picture]
    scale: Scale | None
    cards: list[Card]
    seeds: Table
    stages: dict[str, float] = field(default_factory=dict)


def show(reading: Reading, key: Key) -> Shown:
    """Make what is shown of a category and row: of its first seed, for the pictures.

    Parameters
    ----------
    reading : Reading
    key : (str, str)
        Category and row.

    Returns
    -------
    Shown
    """
    one = reading.load(key)
    e, ranked = one.evidence, Ranked.of(one.evidence)
    scale = Scale.of(e) if e.maps.size else None
    verdicts = [ranked.verdict(e, i) for i in range(len(e.names))]
    wrong = verdicts.count("missed") + verdicts.count("false alarm")
    auroc = one.evaluation.image_auroc
    summary = "only one class: no ranking" if auroc is None else f"image AUROC {100 * auroc:.2f} %"
    if ranked.threshold is not None:
        summary += f", {wrong} of {len(e.names)} wrong at the best F1"
    return Shown(
        row=one.unit.row,
        seed=one.unit.seed,
        summary=summary,
        curves=_curves(e, ranked, verdicts, f"{key[1]} on {key[0]}"),
        scale=scale,
        cards=[card(e, ranked, scale, k) for k in range(min(len(e.shown), SHOWN))],
        seeds=by_seed(reading, key),
        stages=one.seconds,
    )


def card(e: Evidence, ranked: Ranked, scale: Scale | None, k: int) -> Card:
    """Make the card of the k-th image that a unit shows.

    Parameters
    ----------
    e : Evidence
    ranked : Ranked
    scale : Scale or None
        None where there are no maps.
    k : int

    Returns
    -------
    Card
        With the image; its map, if there is one; and where a patch decided, that patch, the nearest
        of the training patches, and the image that one is from.
    """
    i = int(e.shown[k])
    name, defect = e.names[i], e.defects[i]
    place = f"score {e.scores[i]:.4g}, rank {ranked.ranks[i]} of {len(e.names)}"
    window = _box(e.windows[k]) if len(e.windows) else None
    truth = pictures.outline(e.masks[k]) if e.masks.size else ""
    found = [
        _picture(e.images[k], "test image", f"Test image {name}, {defect}: {place}.", truth, window)
    ]
    if scale is not None:
        found.append(heat(e, scale, k, "anomaly map", truth))
    if window is not None:
        origin, taken_from = _box(e.nearest_windows[k]), e.nearest[k]
        side = 3 * max(*_sides(window), *_sides(origin))
        far = f"at the distance {e.distances[i]:.4g}"
        for pixels, box, caption, words in (
            (e.images[k], window, "deciding patch",
             f"The patch of {name} that decided, framed, {_at(window)}."),
            (e.nearest_images[k], origin, "nearest training patch",
             f"The nearest patch of the memory bank, framed, {far}."),
        ):  # fmt: skip
            cut, frame = pictures.around(pixels, box, side)
            found.append(_picture(cut, caption, words, "", frame))
        words = f"Training image {taken_from}; the nearest patch is framed, {_at(origin)}."
        found.append(_picture(e.nearest_images[k], f"from {taken_from}", words, "", origin))
    facts = [("score", f"{e.scores[i]:.4g}"), ("rank", f"{ranked.ranks[i]} of {len(e.names)}")]
    if window is not None:
        facts.insert(1, ("distance (eq 6)", f"{e.distances[i]:.4g}"))
    return Card(name, defect, facts, ranked.verdict(e, i), found)


def heat(e: Evidence, scale: Scale, k: int, caption: str, truth: str) -> Picture:
    """Make the picture of an anomaly map."""
    one = e.maps[k]
    peak = np.unravel_index(int(one.argmax()), one.shape)
    words = f"Anomaly map of {e.names[int(e.shown[k])]}: highest, {one.max():.4g}, at row " \
            f"{peak[0]}, column {peak[1]}"  # fmt: skip
    if scale.threshold is not None:
        words += f"; {(one >= scale.threshold).mean():.1%} of it at or above {scale.threshold:.4g}"
        if e.masks.size and e.masks[k].any():
            words += f", {(one >= scale.threshold)[e.masks[k]].mean():.0%} of the ground truth"
    window = _box(e.windows[k]) if len(e.windows) else None
    source = pictures.heat(e.images[k], one, scale.low, scale.high)
    height, width = one.shape
    return Picture(source, caption, f"{words}.", height, width, truth, window)


def _picture(
    pixels: np.ndarray, caption: str, words: str, truth: str, frame: Box | None
) -> Picture:
    source = pictures.photograph(pixels)
    height, width = pixels.shape[:2]
    return Picture(source, caption, words, height, width, truth, frame)


def _curves(e: Evidence, ranked: Ranked, verdicts: list[str], what: str) -> list[Picture]:
    """Draw the histogram, and where both classes are there the ROC."""
    groups = []
    for label, name in ((0, "good"), (1, "defective")):
        scores = e.scores[e.labels == label]
        if scores.size:
            groups.append(f"{scores.size} {name} from {scores.min():.4g} to {scores.max():.4g}")
    words = f"Histogram of the scores of {what}: {', '.join(groups)}"
    drawn = []
    if ranked.threshold is not None:
        words += (
            f"; the threshold of the best F1, {ranked.threshold:.4g}, gives "
            f"{verdicts.count('false alarm')} false alarms and misses {verdicts.count('missed')}"
        )
        area = metrics.image_auroc(e.labels, e.scores)
        figure = plots.roc(e.labels, e.scores)
        alternative = f"ROC curve of {what}: the area under it is {100 * area:.2f} %."
        drawn.append(Picture(pictures.drawing(figure), "ROC", alternative, 350, 350))
    figure = plots.histogram(e.labels, e.scores, ranked.threshold)
    drawn.append(
        Picture(pictures.drawing(figure), "scores; threshold of the best F1", f"{words}.", 280, 540)
    )
    return drawn


def _box(window: np.ndarray) -> Box:
    top, left, bottom, right = map(int, window)
    return top, left, bottom, right


def _sides(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _at(box: Box) -> str:
    return f"rows {box[0]} to {box[2] - 1}, columns {box[1]} to {box[3] - 1}"
