"""Metrics of how well scores separate good from anomalous: AUROC, average precision, F1 and PRO.

All metrics are computed from one short table. A curve over thresholds rises only at the score of an
anomalous sample. Therefore the table has one row per *distinct anomalous score*: the number of
anomalous samples with this score, and the numbers of good samples above it and at or above it.
These are counted with one sort of the good scores in their own dtype. Without bins or sampling,
ties are exact, and the results equal those of scikit-learn.

A pixel metric needs additional memory: 1.9 times the float32 maps if 5 % of the pixels are
defective, and 3.7 times if 20 % are defective. scikit-learn needs 16 times the float32 maps and
takes five times as long.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = [
    "average_precision",
    "f1_threshold",
    "image_auroc",
    "pixel_auroc",
    "pro",
    "roc_curve",
]

Array = npt.NDArray[Any]

# Pixels that touch by an edge or a corner belong to the same region, as in MVTec's evaluation.
EIGHT_CONNECTED = np.ones((3, 3), dtype=int)


def image_auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Compute the area under the ROC curve of image scores.

    It is the probability that an anomalous image has a higher score than a good one.

    Parameters
    ----------
    labels : array-like of int or bool, shape (n,)
        0 good, 1 anomalous.
    scores : array-like of float, shape (n,)
        Higher is more anomalous; any unit.

    Returns
    -------
    float
        In [0, 1]. A tie between a good and an anomalous image counts as one half.

    Raises
    ------
    ValueError
        If the shapes differ, a label is not 0 or 1, a score is not finite, or a class is missing.
    """
    return _mean_height(_table(*_checked(labels, scores, ndim=1)))


def pixel_auroc(masks: npt.ArrayLike, maps: npt.ArrayLike) -> float:
    """Compute the area under the ROC curve of all pixels of all images.

    Parameters
    ----------
    masks : array-like of int or bool, shape (n, h, w)
        0 good, 1 defective; all zeros for a good image.
    maps : array-like of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `image_auroc`.
    """
    return _mean_height(_table(*_checked(masks, maps, ndim=3)))


def pro(masks: npt.ArrayLike, maps: npt.ArrayLike, max_fpr: float = 0.3) -> float:
    r"""Compute the area under the per-region-overlap curve up to a false-positive rate.

    Let :math:`R_1, \dots, R_K` be the 8-connected components of the masks, and :math:`G` the good
    pixels of all images. The curve has one point for each threshold :math:`t`:

    .. math::
        \Bigl(\frac{|\{g \in G : s_g \ge t\}|}{|G|},\;
        \frac{1}{K} \sum_k \frac{|\{r \in R_k : s_r \ge t\}|}{|R_k|}\Bigr).

    A small defect has the same weight as a large one, unlike in `pixel_auroc`.

    Parameters
    ----------
    masks : array-like of int or bool, shape (n, h, w)
        0 good, 1 defective.
    maps : array-like of float, shape (n, h, w)
        Anomaly maps; higher is more anomalous.
    max_fpr : float
        The false-positive rate at which the area ends, in (0, 1]. The curve is interpolated there.

    Returns
    -------
    float
        The area divided by `max_fpr`, in [0, 1].

    Raises
    ------
    ValueError
        As `image_auroc`, or if `max_fpr` is not in (0, 1].

    References
    ----------
    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129, 2021, section 4.
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr must be in (0, 1], got {max_fpr}")
    defective, values = _checked(masks, maps, ndim=3)
    # The mean over regions weights each defective pixel by one over the area of its region.
    return _mean_height(_table(defective, values, _inverse_areas(defective)), max_fpr)


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    r"""Compute the area under the precision–recall curve: :math:`\sum P_t \Delta R_t`.

    The curve is not interpolated.

    Parameters
    ----------
    labels : array-like of int or bool, any shape
        0 good, 1 anomalous. Masks (n, h, w) are allowed too.
    scores : array-like of float, same shape
        Higher is more anomalous.

    Returns
    -------
    float
        In (0, 1]. Random scores reach the share of anomalous samples.

    Raises
    ------
    ValueError
        As `image_auroc`.
    """
    table = _table(*_checked(labels, scores))
    caught = np.cumsum(table.gain)
    return float(table.gain @ (caught / (caught + table.reached)) / caught[-1])


def f1_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[float, float]:
    """Return the threshold with the largest F1, and that F1; ``score >= threshold`` is anomalous.

    This threshold depends on the labels of the test data. Use it to compare methods, not to choose
    a threshold for new images.

    Parameters
    ----------
    labels : array-like of int or bool, any shape
        0 good, 1 anomalous. Masks (n, h, w) are allowed too.
    scores : array-like of float, same shape
        Higher is more anomalous.

    Returns
    -------
    threshold : float
        The score of an anomalous sample. If several thresholds have the same F1, the largest one,
        which has the fewest false alarms.
    f1 : float
        Harmonic mean of precision and recall at this threshold, in (0, 1].

    Raises
    ------
    ValueError
        As `image_auroc`.
    """
    table = _table(*_checked(labels, scores))
    caught = np.cumsum(table.gain)
    f1 = 2 * caught / (caught[-1] + caught + table.reached)
    best = int(np.argmax(f1))  # the first of equal values: the largest threshold
    return float(table.threshold[best]), float(f1[best])


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Array, Array]:
    """Compute the corners of the ROC curve from (0, 0) to (1, 1), which straight lines connect.

    Parameters
    ----------
    labels : array-like of int or bool, any shape
        0 good, 1 anomalous.
    scores : array-like of float, same shape
        Higher is more anomalous.

    Returns
    -------
    false_positive_rate, true_positive_rate : ndarray of float64, shape (2 k + 2,)
        For k distinct anomalous scores. Both arrays never decrease.

    Raises
    ------
    ValueError
        As `image_auroc`.
    """
    table = _table(*_checked(labels, scores))
    height = np.cumsum(table.gain) / np.sum(table.gain)
    x = np.column_stack([table.passed, table.reached]).ravel() / table.n_good
    y = np.column_stack([np.append(0, height[:-1]), height]).ravel()
    return np.concatenate([[0], x, [1]]), np.concatenate([[0], y, [1]])


class _Table(NamedTuple):
    """One row per distinct anomalous score, the highest first."""

    threshold: Array  # (k,) the score
    gain: Array  # (k,) anomalous samples with exactly this score, or their weight
    passed: Array  # (k,) int64, good samples above it
    reached: Array  # (k,) int64, good samples at or above it
    n_good: int


def _table(positive: Array, scores: Array, weight: Array | None = None) -> _Table:
    """Return the table. The order of `weight` is that of ``scores[positive]``."""
    good = scores[~positive]  # the one large copy
    good.sort()
    gain: Array
    if weight is None:
        threshold, gain = np.unique(scores[positive], return_counts=True)
    else:
        threshold, row = np.unique(scores[positive], return_inverse=True)
        gain = np.bincount(row, weight)
    passed = good.size - np.searchsorted(good, threshold, side="right")
    reached = good.size - np.searchsorted(good, threshold, side="left")
    return _Table(threshold[::-1], gain[::-1], passed[::-1], reached[::-1], good.size)


def _mean_height(table: _Table, max_fpr: float = 1.0) -> float:
    """Return the area under the curve from 0 to `max_fpr`, divided by `max_fpr`.

    The curve is a sum of ramps, one per row of the table. On the axis of good samples, a ramp is 0
    up to `passed`, rises to `gain` at `reached`, and stays there. Its area is that of a step at the
    middle of the rise.
    """
    end = max_fpr * table.n_good
    cover = 1 - (table.passed + table.reached) / (2 * end)
    cut = int(
        np.searchsorted(table.reached, end, side="right")
    )  # first ramp that is not complete at end
    cover[cut:] = 0
    if cut < cover.size and table.passed[cut] < end:  # it begins before the end: add its triangle
        risen = end - table.passed[cut]
        cover[cut] = risen**2 / (2 * end * (table.reached[cut] - table.passed[cut]))
    return float(np.average(cover, weights=table.gain))


def _inverse_areas(masks: Array) -> Array:
    """Return one over the area of the region of each pixel, in the order of ``masks[masks]``."""
    parts = []
    for mask in masks:
        if mask.any():
            regions, _ = ndimage.label(mask, structure=EIGHT_CONNECTED)
            parts.append(1 / np.bincount(regions.ravel())[regions[mask]])
    return np.concatenate(parts)


def _checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike, ndim: int | None = None
) -> tuple[Array, Array]:
    """Return labels as bool and scores unchanged, or raise a ValueError."""
    first, second = ("masks", "maps") if ndim == 3 else ("labels", "scores")
    truth, values = _array(labels, first), _array(scores, second)
    shape = {1: " (n,)", 3: " (n, h, w)", None: ""}[ndim]
    if truth.shape != values.shape or ndim not in (None, truth.ndim):
        raise ValueError(
            f"{first} and {second} must have the same shape{shape}, "
            f"got {truth.shape} and {values.shape}"
        )
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{second} must be real numbers, got dtype {values.dtype}")
    positive = truth == 1
    n = np.count_nonzero(positive)
    if np.count_nonzero(truth) != n:
        odd = truth[(truth != 0) & ~positive].flat[0]
        raise ValueError(f"{first} must be 0 (good) or 1 (anomalous), got {odd}")
    if n in (0, positive.size):
        raise ValueError(
            f"{first} must contain both 0 (good) and 1 (anomalous), "
            f"got {n} anomalous of {positive.size}"
        )
    # min and max return NaN if there is one, and need no temporary array as large as the maps.
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise ValueError(f"{second} must be finite, got NaN or infinity")
    return positive, values


def _array(values: npt.ArrayLike, name: str) -> Array:
    """Return one array, or raise a ValueError for a list of arrays with different shapes."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be one array, got parts of different shapes") from error
