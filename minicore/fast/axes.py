r"""Principal axes of a bank: short vectors whose distances are lower bounds.

Let $x_k$ be the first $k$ coordinates of $x - \mu$ along the axes and $x_r$ the length of the rest.
Whatever direction the rests have,

$$\lVert x - y \rVert^2 \ge \lVert x_k - y_k \rVert^2 + (x_r - y_r)^2,$$

the squared distance of two vectors of $k + 1$ coordinates. This holds for any $\mu$ and any
orthonormal axes; the bank's principal ones make the bound tight.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minicore.fast.arithmetic import HUGE
from minicore.runtime.kernels import parallel

AXES = 96
COARSE = 24  # of them in the product that looks at every pair; the others look at what it leaves
SAMPLE = 2048  # rows of the bank that the axes are taken from
WORTH_ROWS = 1024  # from which on finding the axes pays,
WORTH_DIMENSIONS = 4  # where there are so many dimensions an axis
ORTHONORMAL = 1e-10  # largest error of the axes' inner products
STATE = ("mean", "axes")
TILE = 64

# Largest error of the bound, per unit of the norms' sum. Coordinates are computed in float64, to
# about 1e-13 of the square, so the rest's length is off by at most 3e-7 of the vector's, and
# rounded to float32, 6e-8 of it: the distance of two short vectors is off by
# E <= 5e-7 (|x| + |y|). For any t, (d - E)^2 >= (1 - t) d^2 - E^2 / t; with t = 1e-6 that and the
# rounding of a sum of 98 terms, squares or products, are below this times (|x|^2 + |y|^2).
AXES_BOUND = 2e-5


def principal_axes(bank):
    """Find the mean and the first axes by subspace iteration; no axes where they would not pay.

    Returns
    -------
    mean : (D,) float64
    axes : (D, k) float64
        Orthonormal columns.
    """
    D = bank.shape[1]
    k = next((k for k in (AXES, COARSE) if WORTH_DIMENSIONS * k <= D), 0)
    if len(bank) < WORTH_ROWS or k == 0:
        return np.zeros(D), np.zeros((D, 0))
    sample = bank[:: -(-len(bank) // SAMPLE)]
    mean = sample.mean(axis=0, dtype=np.float64)
    sample = sample - mean.astype(np.float32)
    sample /= max(np.abs(sample).max(), np.float32(1e-30))  # so that no product overflows
    # A few directions more than are kept, so that the last one kept is found as well as the first.
    basis = np.random.default_rng(0).standard_normal((D, k + 16)).astype(np.float32)
    for _ in range(3):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    along = (sample @ basis).astype(np.float64)
    rotation = np.linalg.eigh(along.T @ along)[1][:, : -k - 1 : -1]
    return mean, np.ascontiguousarray(np.linalg.qr(basis.astype(np.float64) @ rotation)[0])


def checked_axes(state, D):
    """Take the mean and the axes out of `Nearest.state`, if the bounds hold for them.

    Raises
    ------
    ValueError
        If something is missing, of another shape, or not orthonormal.
    """
    try:
        mean, axes = (np.ascontiguousarray(state[name], np.float64) for name in STATE)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"state must hold the arrays {', '.join(STATE)}: {error!r}") from error
    most = min(AXES, D)  # the bound's error grows with their number
    if mean.shape != (D,) or axes.ndim != 2 or axes.shape[0] != D or axes.shape[1] > most:
        raise ValueError(
            f"state must have a mean ({D},) and axes ({D}, up to {most}) for a bank of {D} "
            f"columns, got {mean.shape} and {axes.shape}; leave state out to find them again"
        )
    off = np.abs(axes.T @ axes - np.eye(axes.shape[1])).max(initial=0.0)
    if not (off <= ORTHONORMAL and mean @ mean < HUGE):
        raise ValueError(
            "state must have a mean of reasonable size and orthonormal axes; leave state out "
            "to find them again"
        )
    return mean, axes


@parallel(cache=True, fastmath={"reassoc", "contract", "nsz"})
def short_vectors(rows, mean, axes):
    r"""Give coordinates along the axes and the length of the rest: of a few axes, and of all.

    Returns
    -------
    coarse : (n, c + 2) float32
        Coordinates along the first c = `COARSE` axes, the length of the rest, and a column to fill.
    fine : (n, k + 1) float32
        The same for all k axes; no columns where that are no more.
    norms : (n,) float32
        Squared norms of both.
    """
    n, d = rows.shape
    k = axes.shape[1]
    c = min(COARSE, k)
    coarse = np.empty((n, c + 2), np.float32)
    fine = np.empty((n, k + 1 if k > c else 0), np.float32)
    norms = np.empty(n, np.float32)
    for tile in prange((n + TILE - 1) // TILE):
        first, end = tile * TILE, min((tile + 1) * TILE, n)
        centred = np.empty((end - first, d))
        squares = np.empty(end - first)
        for i in range(end - first):
            square = 0.0
            for j in range(d):
                x = np.float64(rows[first + i, j]) - mean[j]
                centred[i, j] = x
                square += x * x
            squares[i] = square
        along = np.empty((end - first, k))
        np.dot(centred, axes, along)
        for i in range(end - first):
            rest = squares[i]
            for j in range(c):
                coarse[first + i, j] = along[i, j]
                rest -= along[i, j] * along[i, j]
            coarse[first + i, c] = np.sqrt(max(rest, 0.0))
            if k > c:
                for j in range(k):
                    fine[first + i, j] = along[i, j]
                for j in range(c, k):
                    rest -= along[i, j] * along[i, j]
                fine[first + i, k] = np.sqrt(max(rest, 0.0))
            norms[first + i] = squares[i]
    return coarse, fine, norms
