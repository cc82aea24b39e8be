r"""Principal axes of a bank: short vectors whose distances are lower bounds.

Let $x_k$ be the first $k$ coordinates of $x - \mu$ along the axes and $x_r$ the length of the rest.
For any directions of the two rests,

$$\lVert x - y \rVert^2 \ge \lVert x_k - y_k \rVert^2 + (x_r - y_r)^2,$$

the squared distance of two vectors of $k + 1$ coordinates. This holds for any $\mu$ and any
orthonormal axes; the bank's principal ones make the bound tight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import HUGE
from minicore.runtime.kernels import parallel

# More axes rule out more rows, but make the product with the short vectors longer. On coresets of
# real parts 20 to 32 axes were equally fast for 384 dimensions, and 64 to 96 for 1024.
AXES = 24
WIDE = 768  # dimensions from which `AXES_OF_WIDE` axes are used
AXES_OF_WIDE = 64
SAMPLE = 2048  # rows of the bank that the axes are computed from
WORTH_ROWS = 1024  # smaller banks are searched faster without axes
WORTH_DIMENSIONS = 4 * AXES  # shorter vectors are searched faster without axes
ORTHONORMAL = 1e-10  # largest error of the axes' inner products
STATE = ("mean", "axes")
TILE = 64

# Largest error of the bound, per unit of n = |x|² + |y|², where |x| is the length of x − μ.
# Coordinates are computed in float64. The error of the square of the rest is about 1e-13 |x|², so
# that of its length is at most 3e-7 |x|. Rounding to float32 adds 6e-8 |x|. So the computed
# distance d of two short vectors differs from the true distance by at most E ≤ 5e-7 (|x| + |y|).
# The true distance, squared, is at least (d − E)² ≥ (1 − t) d² − E²/t for any t in (0, 1). For
# t = 1e-6:
#     t d² ≤ 2e-6 n,    E²/t ≤ 2 · 2.5e-13 n / 1e-6 = 5e-7 n.
# The product of at most 66 terms and 16 further roundings (see `rounding_errors`) add
# 82 · 6e-8 n < 5e-6 n. The sum of these three is below 8e-6 n. A distance to a box has fewer terms.
AXES_BOUND = 2e-5


def principal_axes(
    bank: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute the mean and the first axes by subspace iteration. A small bank has no axes.

    Parameters
    ----------
    bank : (N, D) float32

    Returns
    -------
    mean : (D,) float64
    axes : (D, k) float64
        Orthonormal columns.
    """
    N, D = bank.shape
    if N < WORTH_ROWS or D < WORTH_DIMENSIONS:
        return np.zeros(D), np.zeros((D, 0))
    k = AXES if D < WIDE else AXES_OF_WIDE
    sample = bank[:: -(-N // SAMPLE)]
    mean = sample.mean(axis=0, dtype=np.float64)
    sample = sample - mean.astype(np.float32)
    sample /= max(np.abs(sample).max(), np.float32(1e-30))  # so that no product overflows
    # With 16 more directions than we keep, the last axes are found as well as the first.
    basis = np.random.default_rng(0).standard_normal((D, k + 16)).astype(np.float32)
    for _ in range(3):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    along = (sample @ basis).astype(np.float64)
    rotation = np.linalg.eigh(along.T @ along)[1][:, : -k - 1 : -1]
    return mean, np.ascontiguousarray(np.linalg.qr(basis.astype(np.float64) @ rotation)[0])


def checked_axes(
    state: Mapping[str, npt.ArrayLike], D: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean and the axes of `Nearest.state` after checking that the bounds hold for them.

    Parameters
    ----------
    state : dict of str to array
    D : int
        Number of columns of the bank.

    Returns
    -------
    mean : (D,) float64
    axes : (D, k) float64

    Raises
    ------
    ValueError
        If an array is missing or has another shape, or if the axes are not orthonormal.
    """
    try:
        mean, axes = (np.ascontiguousarray(state[name], np.float64) for name in STATE)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"state must hold the arrays {', '.join(STATE)}: {error!r}") from error
    most = min(AXES_OF_WIDE, D)  # the bound's error grows with their number
    if mean.shape != (D,) or axes.ndim != 2 or axes.shape[0] != D or axes.shape[1] > most:
        raise ValueError(
            f"state must have a mean ({D},) and axes ({D}, up to {most}) for a bank of {D} "
            f"columns, got {mean.shape} and {axes.shape}; leave state out to compute them again"
        )
    off = np.abs(axes.T @ axes - np.eye(axes.shape[1])).max(initial=0.0)
    if not (off <= ORTHONORMAL and mean @ mean < HUGE):
        raise ValueError(
            "state must have a mean of reasonable size and orthonormal axes; leave state out "
            "to compute them again"
        )
    return mean, axes


def short_vectors(
    rows: npt.NDArray[np.float32], mean: npt.NDArray[np.float64], axes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    r"""Compute the coordinates of rows along the axes, and the length of the rest.

    Parameters
    ----------
    rows : (n, D) float32
    mean : (D,) float64
    axes : (D, k) float64

    Returns
    -------
    short : (n, k + 2) float32
        The k coordinates, the length of the rest, and a column for the caller to fill.
    norms : (n,) float32
        $\lVert x - \mu \rVert^2$, which is the squared norm of the first k + 1 columns.
    """
    n = len(rows)
    short = np.empty((n, axes.shape[1] + 2), np.float32)
    norms = np.empty(n, np.float32)
    _short_vectors(-(-n // TILE), rows, mean, axes, short, norms)
    return short, norms


@parallel(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _short_vectors(first, end, rows, mean, axes, short, norms):
    n, d = rows.shape
    k = axes.shape[1]
    for tile in range(first, end):
        r0, r1 = tile * TILE, min((tile + 1) * TILE, n)
        centred = np.empty((r1 - r0, d))
        squares = np.empty(r1 - r0)
        for i in range(r1 - r0):
            square = 0.0
            for j in range(d):
                x = np.float64(rows[r0 + i, j]) - mean[j]
                centred[i, j] = x
                square += x * x
            squares[i] = square
        along = np.empty((r1 - r0, k))
        np.dot(centred, axes, along)
        for i in range(r1 - r0):
            rest = squares[i]
            for j in range(k):
                short[r0 + i, j] = along[i, j]
                rest -= along[i, j] * along[i, j]
            short[r0 + i, k] = np.sqrt(max(rest, 0.0))
            norms[r0 + i] = squares[i]
