"""From which score on an image is called anomalous: split conformal prediction.

Some good images are held out, a trial model is made from the rest, and the held-out scores say how
high a good image it has never seen may score. The final model then learns from all images; it knows
more than the trial did, so good images score no higher, and the promise holds all the better.

Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005; Papadopoulos et al. 2002.
"""

from __future__ import annotations

import numpy as np

from minicore import fast
from minicore.bank import MemoryBank
from minicore.config import Config
from minicore.search import Search
from minicore.selection import pick, project

HELD_OUT = 0.2  # share of the good images
TOGETHER = 8  # held-out images that are searched for at once


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
    held = max(1, round(HELD_OUT * n))
    return np.sort(order[:held]), np.sort(order[held:])


def conformal_threshold(scores: np.ndarray, alpha: float) -> float:
    """Give the smallest of n scores that another good one exceeds with probability <= alpha.

    If the n scores and the new one come in random order, the new one is above the k-th smallest
    with probability at most 1 - k / (n + 1). For too small an n the largest is taken, and the
    probability is 1 / (n + 1).

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
        Of all good images, at least two.
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
    held_out, kept = split(M.n, config.seed)
    patches = np.arange(len(M)).reshape(M.n, -1)
    rows = patches[kept].ravel()
    trial = rows[pick(project(M, config, rows), config, progress)[0]]
    search = Search(M[trial], config.b, "memory bank without the held-out images")
    scores, peaks = [], []
    for first in range(0, len(held_out), TOGETHER):
        batch = M[patches[held_out[first : first + TOGETHER]].ravel()]
        s, _, distances = search.score(batch.reshape(-1, *grid, M.shape[1]), config.engine)
        scores.append(s)
        maps = fast.anomaly_map(distances, *size, config.sigma, config.stride, cell)
        peaks.append(maps.max(axis=(1, 2)))
    return np.concatenate(scores), np.concatenate(peaks).astype(float)
