"""Collect the images that explain the numbers of a unit: the worst mistakes and their maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minicore.datasets import Dataset
from minicore.evaluation.metrics import f1_threshold
from minicore.images import view
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Detection
from minicore.patchcore.trace import Rectangle, trace
from minicore.studies.reproduce.unit import Evidence

SHOWN = 8  # images per unit: a report of 15 categories with 6 rows stays below 30 MB


def collect_evidence(
    model: Detector,
    dataset: Dataset,
    detection: Detection,
    masks: np.ndarray | None,
    *,
    pictures: bool = True,
) -> Evidence:
    """Return the evidence of a unit.

    Parameters
    ----------
    model : Detector
        A fitted model.
    dataset : Dataset
    detection : Detection
        Result for the test images.
    masks : (n, h, w) bool or None
        Ground truth of the test images.
    pictures : bool
        Whether to include images. Otherwise only scores.

    Returns
    -------
    Evidence
    """
    scores = detection.scores
    shown = worst(dataset.labels, scores)[: SHOWN if pictures else 0]
    maps = np.empty((len(scores), 0, 0), np.float32) if detection.maps is None else detection.maps
    limits = np.array([maps.min() if maps.size else np.nan, np.nan])
    if maps.size and pictures and masks is not None and 0 < np.count_nonzero(masks) < masks.size:
        limits[1] = f1_threshold(masks, maps)[0]
    prepared = model.preprocessing_
    images = [view(dataset.test[i], prepared) for i in shown]
    size = model.input_size_
    evidence: dict[str, Any] = {
        "names": _names(dataset.test),
        "defects": tuple(dataset.defects),
        "labels": dataset.labels,
        "scores": scores,
        "distances": detection.distances,
        "shown": shown.astype(np.int64),
        "images": np.stack(images) if images else np.empty((0, *size, 3), np.uint8),
        "maps": maps[shown],
        "masks": np.empty((len(shown), 0, 0), bool) if masks is None else masks[shown],
        "map_limits": limits,
    }
    if isinstance(model, PatchCore) and len(shown):
        evidence |= _closest(model, dataset, shown)
    return Evidence(**evidence)


def worst(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the order of images by the error of their score, the largest error first.

    The error of a defective image is the share of good images that score at least as high. The
    error of a good image is the share of defective images that do not score higher. Up to ties, the
    mean error of either class is one minus the AUROC. Images with the same error are ordered by
    their distance to the scores of the other class, the smallest first.

    Parameters
    ----------
    labels : (n,) int
        0 good, 1 defective.
    scores : (n,) float

    Returns
    -------
    (n,) int64
        Indices of the images.
    """
    bad = labels == 1
    good_scores, bad_scores = np.sort(scores[~bad]), np.sort(scores[bad])
    above = len(good_scores) - np.searchsorted(good_scores, scores, "left")
    below = np.searchsorted(bad_scores, scores, "right")
    error = np.where(bad, above / max(len(good_scores), 1), below / max(len(bad_scores), 1))
    margin = np.where(bad, scores, -scores)
    if len(good_scores) and len(bad_scores):
        margin = np.where(bad, scores - good_scores[-1], bad_scores[0] - scores)
    return np.lexsort((margin, -error))


def _closest(model: PatchCore, dataset: Dataset, shown: np.ndarray) -> dict[str, Any]:
    """Return the deciding patch of each shown image, and the training patch nearest to it."""
    height, width = model.input_size_
    windows, nearest, images = [], [], []
    names: list[str] = []
    for i in shown:
        t = trace(model, dataset.test[i])
        source = dataset.train[t.origin.image]
        windows.append(_clipped(t.window, height, width))
        nearest.append(_clipped(t.origin_window, height, width))
        names += _names([source])
        images.append(view(source, model.preprocessing_, t.origin_angle))
    return {
        "windows": np.array(windows, np.int64),
        "nearest": tuple(names),
        "nearest_images": np.stack(images),
        "nearest_windows": np.array(nearest, np.int64),
    }


def _clipped(window: Rectangle, height: int, width: int) -> tuple[int, int, int, int]:
    """Return a window without the part outside the image."""
    top, left, bottom, right = window
    return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def _names(images: Any) -> tuple[str, ...]:
    """Return a name per image: the end of its path, such as test/broken_large/000.png.

    With slashes on every system: reports compare runs of different machines by these names.
    """
    return tuple(
        f"image {i}"
        if isinstance(image, np.ndarray)
        else os.fsencode(Path(*Path(image).parts[-3:]).as_posix()).decode(errors="replace")
        for i, image in enumerate(images)
    )
