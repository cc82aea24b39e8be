"""From which score on an image is called anomalous: split conformal prediction.

Some good images are held out, a trial model is made from the rest, and the threshold is taken from
the scores of the held-out images.

Proved: if the held-out images and a new good image are exchangeable (any order of them is equally
likely), the trial model scores the new one above the threshold with at most the probability asked
for. Not proved: the same for the final model, which is made from all images. Its scores are
different: most good images score lower under it than under the trial model, and some score higher.
For the final model the probability is therefore an estimate.

Copies of an image are not exchangeable with new images: a copy in the trial model makes the
held-out image score about 0. So copies stay on one side of the split and count as one image.

Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005; Papadopoulos et al. 2002.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from math import ceil

import numpy as np

from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.config import Config
from minicore.patchcore.features import engine_functions
from minicore.patchcore.search import Search
from minicore.patchcore.selection import pick, project

HELD_OUT = 0.2  # share of the good images
TOGETHER = 8  # held-out images that are searched for at once
PROBED = 8  # patches of an image by which most different images are told apart


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


def first_copies(M: MemoryBank) -> np.ndarray:
    """Find images that are copies of each other: all their patch features are equal.

    A few patches of each image are compared first. Only of images that agree in these, all patch
    features are read.

    Parameters
    ----------
    M : MemoryBank

    Returns
    -------
    (n,) int64
        For each image the number of the first image that is equal to it; its own, if none before
        it is.
    """
    P = len(M) // M.n
    places = np.linspace(0, P - 1, min(P, PROBED)).astype(np.int64)
    probes = [M[i * P + places].tobytes() for i in range(M.n)]
    shared = Counter(probes)
    first: dict[bytes, int] = {}
    found = np.arange(M.n)
    for i, probe in enumerate(probes):
        if shared[probe] > 1:
            rows = np.ascontiguousarray(M[i * P : (i + 1) * P])
            found[i] = first.setdefault(hashlib.blake2b(rows.data.cast("B")).digest(), i)
    return found


def hold_out(first: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose which images to hold out, if some are copies.

    Parameters
    ----------
    first : (n,) int64
        What `first_copies` returns, with at least two different images.
    seed : int

    Returns
    -------
    held_out : (m,) int64
        Images, increasing; each different one once. Without copies it is that of `split`.
    kept : int64
        Images, increasing; with all their copies.
    """
    different = np.unique(first)
    held_out, kept = split(len(different), seed)
    return different[held_out], np.flatnonzero(np.isin(first, different[kept]))


def conformal_threshold(scores: np.ndarray, alpha: float) -> float:
    """Return the smallest of n scores that another good one exceeds with probability <= alpha.

    If the n scores and the new one are exchangeable, the new one is above the k-th smallest with
    probability at most 1 - k / (n + 1). If n is too small, the largest is taken, and the
    probability is at most 1 / (n + 1). All n + 1 scores must come from one model that saw none of
    the images.

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
    grid: tuple[int, int],
    size: tuple[int, int],
    cell: tuple[float, float],
    config: Config,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Score images that a trial coreset has not seen.

    Parameters
    ----------
    M : MemoryBank
        Of all good images.
    held_out, kept : int64
        Images to score, and images to make the trial coreset of (`hold_out`).
    grid : (int, int)
        Patches of an image, h' and w'.
    size : (int, int)
        (h, w) of the prepared images in pixels.
    cell : (float, float)
        Rows and columns of pixels that a cell of the finest feature map covers.
    config : Config
    progress : bool
        Show a bar.

    Returns
    -------
    scores : (n,) float64
        Equation 7 of each held-out image.
    peaks : (n,) float64
        The largest value of its map.

    Raises
    ------
    ValueError
        If the trial coreset is too small for `config.b`.
    """
    patches = np.arange(len(M)).reshape(M.n, -1)
    rows = patches[kept].ravel()
    trial = rows[pick(project(M, config, rows), config, progress)[0]]
    search = Search(M[trial], config.b, "memory bank without the held-out images")
    engine = engine_functions(config.engine)
    scores, peaks = [], []
    for first in range(0, len(held_out), TOGETHER):
        batch = M[patches[held_out[first : first + TOGETHER]].ravel()]
        s, _, distances = search.score(batch.reshape(-1, *grid, M.shape[1]), config.engine)
        scores.append(s)
        maps = engine.anomaly_map(distances, *size, config.sigma, config.stride, cell)
        peaks.append(maps.max(axis=(1, 2)))
    return np.concatenate(scores), np.concatenate(peaks).astype(float)
