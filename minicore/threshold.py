"""From which score on an image is called anomalous: split conformal prediction.

Some good images are held out, a trial model is made from the rest, and the held-out scores say how
high a good image it has never seen may score. The final model then learns from all images; it knows
more than the trial did, so good images score no higher, and the promise holds all the better.

Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005; Papadopoulos et al. 2002.
"""

from __future__ import annotations

import numpy as np

HELD_OUT = 0.2  # share of the good images


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
