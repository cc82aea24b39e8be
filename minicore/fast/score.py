r"""Equation 7 and the anomaly map.

Equation 7 takes almost no time: it needs one distance per neighbour and image, so
`equations.reweight` is used. The two steps of the map, bilinear upsampling and Gaussian smoothing,
are linear and act on rows and columns separately. So each side needs one small matrix $A$, and the
map is $A_h \, S \, A_w^\top$.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from minicore.equations.eq7_score import reweighted_distance
from minicore.fast.nearest import Nearest, nearest
from minicore.fast.patches import interpolation
from minicore.runtime import threads


@functools.lru_cache(maxsize=16)
def upsampling_matrix(
    coarse: int, fine: int, sigma: float = 0.0, s: int = 1, t: float | None = None
) -> npt.NDArray[np.float64]:
    """Return the matrix that upsamples bilinearly, and then smooths, along one axis.

    Parameters
    ----------
    coarse, fine : int
        Number of positions before and after.
    sigma : float, default 0.0
        Standard deviation of the Gaussian; 0 for no smoothing.
    s : int, default 1
        Stride of the patches.
    t : float, optional
        Fine positions for each cell; by default the outer edges of both grids coincide. Then s
        must be 1.

    Returns
    -------
    (fine, coarse) float64
    """
    from scipy.ndimage import gaussian_filter1d

    low, high, share = interpolation(coarse, fine, None if t is None else s * t, s)
    A = np.zeros((fine, coarse))
    np.add.at(A, (np.arange(fine), low), 1 - share)
    np.add.at(A, (np.arange(fine), high), share)
    # Smoothing is linear, so its product with A is A with smoothed columns.
    return gaussian_filter1d(A, sigma, axis=0, mode="reflect", truncate=4.0) if sigma > 0 else A


def anomaly_map(
    patch_scores: npt.NDArray[np.floating],
    height: int,
    width: int,
    sigma: float = 4.0,
    s: int = 1,
    cell: tuple[float, float] | None = None,
) -> npt.NDArray[np.float32]:
    r"""Upsample patch scores to the image's size and smooth them.

    Parameters
    ----------
    patch_scores : (n, h', w') float
        Distance of each patch to its nearest neighbour (equation 6 without the outer arg max).
    height, width : int
        Size of the images.
    sigma : float, default 4.0
        Standard deviation of the Gaussian in pixels; 0 for no smoothing.
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
    rows = upsampling_matrix(patch_scores.shape[1], height, float(sigma), s, t_h)
    columns = upsampling_matrix(patch_scores.shape[2], width, float(sigma), s, t_w)
    maps = np.empty((len(patch_scores), height, width), np.float32)
    with threads.single_threaded_blas():
        for i, scores in enumerate(patch_scores):
            maps[i] = rows @ scores.astype(np.float64) @ columns.T
    return maps


def deciding_patch(
    patches: npt.NDArray[np.float32], bank: npt.NDArray[np.float32]
) -> tuple[int, int, float]:
    r"""Find the patch that is farthest from the memory bank (equation 6).

    Parameters, results and errors are those of `equations.deciding_patch`.
    """
    if len(patches) == 0:
        raise ValueError("an image needs at least one patch")
    distances, rows = nearest(patches, bank)
    test_star = int(distances[:, 0].argmax())
    return test_star, int(rows[test_star, 0]), float(distances[test_star, 0])


def neighbours(
    m: npt.NDArray[np.float32], M: npt.NDArray[np.float32], b: int
) -> npt.NDArray[np.int64]:
    r"""Find $\mathcal{N}_b(m)$: the `b` rows of the memory bank nearest to its row `m`.

    Parameters, results and errors are those of `equations.neighbours`.
    """
    return nearest(m[None], M, b)[1][0]


def anomaly_score(
    patches: npt.NDArray[np.float32], bank: npt.NDArray[np.float32], b: int = 9
) -> float:
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
    distances, rows = index.query(patches)
    test_star = int(distances[:, 0].argmax())
    m_star = index.bank[rows[test_star]]
    around = index.query(m_star, b)[1][0]
    return float(reweighted_distance(patches[test_star], index.bank[around]))
