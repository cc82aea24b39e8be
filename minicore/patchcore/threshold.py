"""The score above which an image is called anomalous: split conformal prediction.

Some good images are held out, and a trial model is made from the others. The threshold is one of
the scores of the held-out images.

Proved: if the held-out images and a new good image are exchangeable (any order of them is equally
likely), the trial model scores the new image above the threshold with at most the requested
probability. Not proved: the same for the final model, which is made from all images. Its scores are
different: most good images score lower under it than under the trial model, and some score higher.
For the final model the probability is therefore an estimate.

Copies of an image are not exchangeable with new images: if the trial model contains a copy of a
held-out image, this image has a score of about 0. So all copies of an image are on the same side of
the split and count as one image.

Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005; Papadopoulos et al. 2002.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.config import Config
from minicore.patchcore.features import engine_functions
from minicore.patchcore.search import Search
from minicore.patchcore.selection import pick, project

HELD_OUT = 0.2  # share of the good images
BATCH = 8  # held-out images that are scored together


def split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose which of n images to hold out.

    Parameters
    ----------
    n : int
        At least 2.
    seed : int

    Returns
    -------
    held_out, kept : int64
        Indices, increasing.
    """
    order = np.random.default_rng([seed, n]).permutation(n)
    held = _held(n)
    return np.sort(order[:held]), np.sort(order[held:])


def _held(n: int) -> int:
    return max(1, round(HELD_OUT * n))


def images_needed(alpha: float) -> tuple[int, int]:
    """Return how many images `alpha` needs: n held-out scores allow no rate below 1 / (n + 1).

    Parameters
    ----------
    alpha : float
        The false-positive rate, between 0 and 1.

    Returns
    -------
    held_out, in_all : int
        The smallest numbers. About a fifth of all images are held out.
    """
    held_out = max(1, ceil(round(1 / alpha, 9)) - 1)
    in_all = max(2, ceil((held_out - 1) / HELD_OUT))  # n - 1 held out, and a few more images
    while _held(in_all) < held_out:
        in_all += 1
    return held_out, in_all


def hold_out(first: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose which images to hold out; all copies of an image are on the same side.

    Parameters
    ----------
    first : (n,) int64
        The result of `training.first_copies`, with at least two different images.
    seed : int

    Returns
    -------
    held_out : (m,) int64
        Image numbers, increasing; one number for an image and its copies. Without copies, this is
        the result of `split`.
    kept : int64
        Image numbers, increasing, including all copies.
    """
    different = np.unique(first)
    held_out, kept = split(len(different), seed)
    return different[held_out], np.flatnonzero(np.isin(first, different[kept]))


def conformal_threshold(scores: np.ndarray, alpha: float) -> float:
    """Return the smallest of n scores that a new good image exceeds with probability <= alpha.

    If the n scores and the new score are exchangeable, the new score is above the k-th smallest
    with probability at most 1 - k / (n + 1). If n is too small, the result is the largest score,
    and the probability is at most 1 / (n + 1). All n + 1 scores must come from one model that was
    fitted without these images.

    Parameters
    ----------
    scores : (n,) float
        Of held-out good images.
    alpha : float
        The false-positive rate allowed, between 0 and 1.

    Returns
    -------
    float
    """
    n = len(scores)
    k = min(int(np.ceil(round((1 - alpha) * (n + 1), 9))), n)  # (1 - 0.7) * 10 > 3 in floats
    return float(np.sort(scores)[k - 1])


def held_out_scores(
    M: MemoryBank,
    held_out: np.ndarray,
    kept: np.ndarray,
    size: tuple[int, int],
    cell: tuple[float, float],
    config: Config,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Score images with a trial coreset that was made without them.

    Parameters
    ----------
    M : MemoryBank
        The patch features of all good images.
    held_out, kept : int64
        Images to score, and images for the trial coreset (`hold_out`).
    size : (int, int)
        (h, w) of the prepared images in pixels.
    cell : (float, float)
        Rows and columns of pixels that a cell of the finest feature map covers.
    config : Config
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    scores : (n,) float64
        Equation 7 of each held-out image.
    peaks : (n,) float64
        The largest value of its map.

    Raises
    ------
    ValueError
        If the trial coreset has fewer than `config.b` rows.
    """
    rows = M.rows[kept].ravel()  # with the turned copies of these images
    trial = rows[pick(project(M, config, rows), config, progress)[0]]
    search = Search(M[trial], config.b, "memory bank without the held-out images")
    anomaly_map = engine_functions(config.engine).anomaly_map
    scores, peaks = [], []
    for first in range(0, len(held_out), BATCH):
        features = M[M.rows[held_out[first : first + BATCH], 0].ravel()]  # not turned
        s, _, distances = search.score(features.reshape(-1, *M.grid, M.shape[1]), config.engine)
        maps = anomaly_map(distances, *size, config.sigma, config.stride, cell)
        scores.append(s)
        peaks.append(maps.max(axis=(1, 2)))
    return np.concatenate(scores), np.concatenate(peaks).astype(float)
