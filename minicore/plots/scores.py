"""Charts of scores and times: histogram, ROC curve, bars of seconds."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from minicore.evaluation.metrics import image_auroc, roc_curve
from minicore.plots.style import ANOMALOUS, DASHED, GOOD, GREY, INK, WIDTH, Figure, one_axes, styled


@styled
def histogram(
    labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float | None = None
) -> Figure:
    """Draw a histogram of the scores of good and anomalous images.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous; one class may be missing.
    scores : array-like of float, shape (n,)
        Higher is more anomalous.
    threshold : float, optional
        Drawn as a line: an image above it is anomalous. No bar crosses the line.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If shapes differ, if there are no scores, if a label is not 0 or 1, or if a score is not
        finite.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or values.ndim != 1 or not values.size:
        raise ValueError(
            "labels and scores must have the same shape (n,), n ≥ 1, "
            f"got {truth.shape} and {values.shape}"
        )
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be 0 (good) or 1 (anomalous)")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite, got NaN or infinity")
    figure, axes = one_axes(WIDTH * 0.75, 2.8)
    edges = _edges(values, threshold)
    for label, name, colour in ((0, "good", GOOD), (1, "anomalous", ANOMALOUS)):
        group = values[truth == label]
        if group.size:
            axes.hist(group, edges, color=colour, alpha=0.5, label=f"{name} ({group.size})")
            axes.hist(group, edges, color=colour, histtype="step", linewidth=1.2)
    if threshold is not None:
        words = f"threshold {threshold:.3g}"
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=DASHED, label=words)
    axes.set(xlabel="anomaly score of an image", ylabel="images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    # Above the frame, so that the legend hides no bar.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return figure


@styled
def roc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Figure:
    """Draw the ROC curve: the share of detected anomalies against the share of false alarms.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        0 good, 1 anomalous.
    scores : array-like of float, shape (n,)
        Higher is more anomalous.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        See `minicore.evaluation.metrics.image_auroc`.
    """
    area = image_auroc(labels, scores)
    x, y = roc_curve(labels, scores)
    figure, axes = one_axes(3.5, 3.5)
    axes.fill_between(x, y, color=GOOD, alpha=0.12, linewidth=0)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=DASHED)
    axes.text(0.55, 0.48, "random scores", color=GREY, rotation=45, ha="center", va="center")
    axes.plot(x, y, color=GOOD, linewidth=1.8, clip_on=False, zorder=3)  # in front of the frame
    axes.text(0.95, 0.06, f"AUROC {100 * area:.2f} %", ha="right", size=10)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    return figure


@styled
def timings(seconds: Mapping[str, float]) -> Figure:
    """Draw the time of each stage as bars on a logarithmic axis.

    Parameters
    ----------
    seconds : mapping of str to float
        Seconds per stage, drawn from top to bottom in this order.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no stage, or if a time is not positive and finite.
    """
    values = np.array(list(seconds.values()), dtype=np.float64)
    if not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"seconds must be positive and finite, got {dict(seconds)}")
    figure, axes = one_axes(WIDTH * 0.75, 0.6 + 0.27 * values.size)
    left = 10 ** np.floor(np.log10(values.min() / 2))  # the shortest bar is visible
    right = values.max() * (values.max() / left) ** 0.2  # space for the number of the longest bar
    axes.barh(list(seconds), values - left, left=left, height=0.62, color=GOOD)
    duration = EngFormatter("s", places=None)
    for row, value in enumerate(values):
        words = duration(float(f"{value:.3g}"))
        axes.annotate(words, (value, row), (4, 0), textcoords="offset points", va="center_baseline")
    axes.set(xscale="log", xlim=(left, right))
    axes.xaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_major_formatter(duration)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.invert_yaxis()
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _edges(values: npt.NDArray[np.float64], threshold: float | None) -> list[float]:
    """Return the edges of equal bins; the threshold is one of the edges."""
    edges = np.histogram_bin_edges(values, bins=int(np.clip(2 * values.size**0.5, 10, 40)))
    if threshold is not None and edges[0] < threshold < edges[-1]:
        width = edges[1] - edges[0]
        below = np.ceil((threshold - edges[0]) / width)
        edges = threshold + width * np.arange(-below, edges.size - below + 1)
        edges[0] = min(edges[0], values.min())  # the outermost values, despite rounding
        edges[-1] = max(edges[-1], values.max())
    return [float(edge) for edge in edges]
