r"""Equation 7 and the anomaly map.

Equation 7 costs nothing: one distance a neighbour, one image at a time; the literal `reweight` is
used as it is. The map's two steps, bilinear upsampling and Gaussian smoothing, are linear and act
on rows and columns apart, so they are one small matrix $A$ a side: $A_h \, S \, A_w^\top$.
"""

from __future__ import annotations

import functools

import numpy as np

from minicore import threads
from minicore.equations.eq7_score import reweight
from minicore.fast.arithmetic import squared_distance
from minicore.fast.nearest import Nearest
from minicore.fast.patches import interpolation


@functools.lru_cache(maxsize=16)
def _smooth_upsampling(coarse: int, fine: int, sigma: float, s: int, t: float | None) -> np.ndarray:
    """Matrix (fine, coarse) that upsamples bilinearly and smooths, along one axis."""
    from scipy.ndimage import gaussian_filter1d

    low, high, share = interpolation(coarse, fine, None if t is None else s * t, s)
    A = np.zeros((fine, coarse))
    np.add.at(A, (np.arange(fine), low), 1 - share)
    np.add.at(A, (np.arange(fine), high), share)
    # The columns of a linear map are what it does to unit vectors: smooth them.
    return gaussian_filter1d(A, sigma, axis=0, mode="reflect", truncate=4.0) if sigma > 0 else A


def anomaly_map(patch_scores, height, width, sigma=4.0, s=1, cell=None):
    r"""Bring patch scores to the image's size and smooth them.

    Parameters
    ----------
    patch_scores : (n, h', w') float
        Distance of each patch to its nearest neighbour (equation 6 without the outer arg max).
    height, width : int
        Size of the images.
    sigma : float, default 4.0
        Standard deviation of the Gaussian in pixels; 0 leaves it out.
    s : int, default 1
        Stride of the patches, equation 3.
    cell : (float, float), optional
        $t$, rows and columns of pixels that a cell of the finest feature map covers, as for
        `equations.anomaly_map`.

    Returns
    -------
    maps : (n, height, width) float32
        The anomaly maps.

    Raises
    ------
    ValueError
        If `sigma` is negative, `s` less than 1, or `cell` missing for an `s` above 1.

    Notes
    -----
    Section 3.3 of Roth et al., CVPR 2022; equal to `equations.anomaly_map` to 1e-5.
    """
    if sigma < 0:
        raise ValueError(f"sigma must be at least 0, got {sigma}")
    if s < 1:
        raise ValueError(f"stride s must be at least 1, got {s}")
    if s > 1 and cell is None:
        raise ValueError(f"a stride s of {s} needs cell, the pixels that one cell covers")
    t_h, t_w = (None, None) if cell is None else map(float, cell)
    rows = _smooth_upsampling(patch_scores.shape[1], height, float(sigma), s, t_h)
    columns = _smooth_upsampling(patch_scores.shape[2], width, float(sigma), s, t_w)
    maps = np.empty((len(patch_scores), height, width), np.float32)
    with threads.single_threaded_blas():
        for i, scores in enumerate(patch_scores):
            maps[i] = rows @ scores.astype(np.float64) @ columns.T
    return maps


def reweighted(patches, distances, indices, bank, query, b):
    r"""Score images from their patches' nearest neighbours: the end of equation 6, equation 7.

    Parameters
    ----------
    patches : (n, P, D) float32
        The patch features of each image.
    distances, indices : (n, P) float32 and int64
        Of each patch's nearest neighbour in the bank.
    bank : (N, D) float32
        The memory bank.
    query : callable
        ``query(rows, k)`` gives distances and indices of the `k` nearest rows of the bank.
    b : int
        Size of the neighbourhood of $m^*$, at least 2.

    Returns
    -------
    s : (n,) float64
        The anomaly scores.
    """
    image = np.arange(len(patches))
    deciding = distances.argmax(axis=1)
    m_star = indices[image, deciding]
    neighbours = query(bank[m_star], b)[1]
    s = np.empty(len(patches))
    for i in image:
        m_test = patches[i, deciding[i]]
        squared = [squared_distance(m_test, bank[m]) for m in neighbours[i]]
        to_neighbours = np.sqrt(squared)
        s[i] = reweight(to_neighbours.min(), to_neighbours)
    return s


def anomaly_score(patches, bank, b=9):
    r"""Score one image: equations 6 and 7 from its patch features.

    Parameters
    ----------
    patches : (n, D) float32
        $\mathcal{P}(x^{test})$, the patch features of the image.
    bank : (N, D) float32
        $\mathcal{M}$, in practice the coreset.
    b : int, default 9
        Size of the neighbourhood of $m^*$, between 2 and `N`.

    Returns
    -------
    s : float
        The anomaly score; higher is more anomalous.

    Raises
    ------
    ValueError
        If `b` is out of range, the dimensions differ, or a value is not finite.

    Notes
    -----
    Equations 6 and 7 of Roth et al., CVPR 2022; equal to `equations.anomaly_score` to 1e-5.
    """
    if len(patches) == 0:
        raise ValueError("an image needs at least one patch")
    index = Nearest(bank)
    patches = np.ascontiguousarray(patches, np.float32)
    distances, indices = index.query(patches)
    return float(reweighted(patches[None], distances.T, indices.T, index.bank, index.query, b)[0])
