"""Make the curves and the images of a category and row, the worst mistakes first."""

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


@dataclass(frozen=True)
class Picture:
    """An image on the page, with the lines that are drawn over it.

    Attributes
    ----------
    source : str
        A data URI.
    caption : str
        Text below the image.
    alternative : str
        Description for readers who cannot see the image.
    height, width : int
        Size in pixels of the coordinates of `truth` and `frame`.
    truth : str
        SVG path around the defects.
    frame : (int, int, int, int) or None
        A rectangle: top, left, bottom, right.
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
    """A test image on the page: its name, its numbers and its pictures."""

    name: str
    defect: str
    facts: list[tuple[str, str]]
    verdict: str
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
    """The colour scale of the maps of a unit. If there is a threshold, it is in the middle."""

    low: float
    high: float
    threshold: float | None

    @classmethod
    def of(cls, e: Evidence) -> Scale:
        """Return the scale of a unit. All its images share it."""
        low, threshold = map(float, e.map_limits)
        maps = e.maps if e.maps.size else np.zeros(1)
        low = low if np.isfinite(low) else float(maps.min())
        if np.isfinite(threshold) and threshold > low:
            return cls(low, 2 * threshold - low, threshold)
        return cls(low, max(float(maps.max()), low + 1e-6), None)


@dataclass(frozen=True)
class Ranked:
    """Ranks of the test images of a unit.

    Attributes
    ----------
    ranks : (n,) int64
        Rank of each image. Rank 1 is the most anomalous; equal scores share the better rank.
    threshold : float or None
        The threshold with the best F1. None if there is only one class.
    """

    ranks: np.ndarray
    threshold: float | None

    @classmethod
    def of(cls, e: Evidence) -> Ranked:
        """Rank the test images of a unit."""
        both = 0 < e.labels.sum() < len(e.labels)
        threshold = metrics.f1_threshold(e.labels, e.scores)[0] if both else None
        return cls(rankdata(-e.scores, method="min").astype(np.int64), threshold)

    def verdict(self, e: Evidence, i: int) -> str:
        """Return the verdict on image `i`: found, missed, false alarm or passed."""
        bad = bool(e.labels[i])
        if self.threshold is None:
            return "defective" if bad else "good"
        above = e.scores[i] >= self.threshold
        return ("found" if above else "missed") if bad else ("false alarm" if above else "passed")


@dataclass(frozen=True)
class Section:
    """The section of the page about one category and row."""

    row: str
    seed: int
    summary: str
    curves: list[Picture]
    scale: Scale | None
    cards: list[Card]
    seeds: Table
    stages: dict[str, float] = field(default_factory=dict)


def section(reading: Reading, key: Key) -> Section:
    """Return the section about a category and row. The pictures are those of the first seed.

    Parameters
    ----------
    reading : Reading
    key : (str, str)
        Category and row.

    Returns
    -------
    Section
    """
    unit = reading.load(key)
    e, ranked = unit.evidence, Ranked.of(unit.evidence)
    scale = Scale.of(e) if e.maps.size else None
    verdicts = [ranked.verdict(e, i) for i in range(len(e.names))]
    wrong = verdicts.count("missed") + verdicts.count("false alarm")
    auroc = unit.evaluation.image_auroc
    summary = (
        "only one class, so there is no AUROC"
        if auroc is None
        else f"image AUROC {100 * auroc:.2f} %"
    )
    if ranked.threshold is not None:
        summary += f", {wrong} of {len(e.names)} images wrong at the threshold with the best F1"
    return Section(
        row=unit.unit.row,
        seed=unit.unit.seed,
        summary=summary,
        curves=_curves(e, ranked, verdicts, f"{key[1]} on {key[0]}"),
        scale=scale,
        cards=[card(e, ranked, scale, k) for k in range(len(e.shown))],
        seeds=by_seed(reading, key),
        stages=unit.seconds,
    )


def card(e: Evidence, ranked: Ranked, scale: Scale | None, k: int) -> Card:
    """Return the card of the k-th shown image of a unit.

    Parameters
    ----------
    e : Evidence
    ranked : Ranked
    scale : Scale or None
        None if there are no maps.
    k : int

    Returns
    -------
    Card
        Its pictures are the image and, if the method has them, the anomaly map, the deciding patch,
        the nearest training patch, and the training image that contains it.
    """
    i = int(e.shown[k])
    name, defect = e.names[i], e.defects[i]
    result = f"score {e.scores[i]:.4g}, rank {ranked.ranks[i]} of {len(e.names)}"
    window = _box(e.windows[k]) if len(e.windows) else None
    truth = pictures.outline(e.masks[k]) if e.masks.size else ""
    shown = [
        _picture(
            e.images[k], "test image", f"Test image {name}, {defect}: {result}.", truth, window
        )
    ]
    if scale is not None:
        shown.append(heat(e, scale, k, "anomaly map", truth))
    if window is not None:
        origin, taken_from = _box(e.nearest_windows[k]), e.nearest[k]
        side = 3 * max(*_sides(window), *_sides(origin))
        distance = f"at the distance {e.distances[i]:.4g}"
        for pixels, box, caption, words in (
            (e.images[k], window, "deciding patch",
             f"The deciding patch of {name}, in the frame: {_at(window)}."),
            (e.nearest_images[k], origin, "nearest training patch",
             f"The nearest patch of the memory bank, in the frame, {distance}."),
        ):  # fmt: skip
            cut, frame = pictures.around(pixels, box, side)
            shown.append(_picture(cut, caption, words, "", frame))
        words = f"Training image {taken_from}; the frame shows the nearest patch: {_at(origin)}."
        shown.append(_picture(e.nearest_images[k], f"from {taken_from}", words, "", origin))
    facts = [("score", f"{e.scores[i]:.4g}"), ("rank", f"{ranked.ranks[i]} of {len(e.names)}")]
    if window is not None:
        facts.insert(1, ("distance (eq 6)", f"{e.distances[i]:.4g}"))
    return Card(name, defect, facts, ranked.verdict(e, i), shown)


def heat(e: Evidence, scale: Scale, k: int, caption: str, truth: str) -> Picture:
    """Return the picture of the anomaly map of the k-th shown image."""
    anomaly_map = e.maps[k]
    peak = np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape)
    words = (
        f"Anomaly map of {e.names[int(e.shown[k])]}: maximum {anomaly_map.max():.4g} at row "
        f"{peak[0]}, column {peak[1]}"
    )
    if scale.threshold is not None:
        above = anomaly_map >= scale.threshold
        words += f"; {above.mean():.1%} of the map is at or above {scale.threshold:.4g}"
        if e.masks.size and e.masks[k].any():
            words += f", and {above[e.masks[k]].mean():.0%} of the ground truth"
    window = _box(e.windows[k]) if len(e.windows) else None
    source = pictures.heat(e.images[k], anomaly_map, scale.low, scale.high)
    height, width = anomaly_map.shape
    return Picture(source, caption, f"{words}.", height, width, truth, window)


def _picture(
    pixels: np.ndarray, caption: str, words: str, truth: str, frame: Box | None
) -> Picture:
    source = pictures.photograph(pixels)
    height, width = pixels.shape[:2]
    return Picture(source, caption, words, height, width, truth, frame)


def _curves(e: Evidence, ranked: Ranked, verdicts: list[str], what: str) -> list[Picture]:
    """Draw the histogram of the scores and, if there are both classes, the ROC curve."""
    groups = []
    for label, name in ((0, "good"), (1, "defective")):
        scores = e.scores[e.labels == label]
        if scores.size:
            groups.append(f"{scores.size} {name} from {scores.min():.4g} to {scores.max():.4g}")
    words = f"Histogram of the scores of {what}: {', '.join(groups)}"
    drawn = []
    if ranked.threshold is not None:
        words += (
            f"; at the threshold with the best F1, {ranked.threshold:.4g}, there are "
            f"{verdicts.count('false alarm')} false alarms and {verdicts.count('missed')} missed "
            f"defects"
        )
        area = metrics.image_auroc(e.labels, e.scores)
        figure = plots.roc(e.labels, e.scores)
        alternative = f"ROC curve of {what}: the area under it is {100 * area:.2f} %."
        drawn.append(Picture(pictures.drawing(figure), "ROC", alternative, 350, 350))
    figure = plots.histogram(e.labels, e.scores, ranked.threshold)
    drawn.append(
        Picture(
            pictures.drawing(figure),
            "scores; the line is the threshold with the best F1",
            f"{words}.",
            280,
            540,
        )
    )
    return drawn


def _box(window: np.ndarray) -> Box:
    top, left, bottom, right = map(int, window)
    return top, left, bottom, right


def _sides(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _at(box: Box) -> str:
    return f"rows {box[0]} to {box[2] - 1}, columns {box[1]} to {box[3] - 1}"
