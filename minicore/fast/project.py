r"""Section 3.2: the projection $\psi(\mathcal{M})$, with the sums of `equations.project`.

The product of two float32 numbers is exact in float64. So only the order of a sum determines its
rounding. Here it is the order of the literal loop: $k = 0, 1, \ldots$ Vector instructions work on
several columns at once, each with its own sum. So results are identical to the last bit, on any
number of threads. A BLAS adds in another order. Then Algorithm 1 can choose other rows if two
distances are almost equal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import prange

from minicore.fast.arithmetic import inner
from minicore.runtime.kernels import parallel

ROWS = 64  # computed by one task
DEPTH = 32  # terms added to the sums of all these rows at a time: psi stays in the cache
TERMS = 4  # added to a sum while it is in a register


def project(M: npt.NDArray[np.float32], psi: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    r"""Project every row of the memory bank, $\psi(\mathcal{M})$.

    Parameters
    ----------
    M : (N, D) float32
        The memory bank.
    psi : (D, d*) float32
        The projection, from `projection`.

    Returns
    -------
    projected : (N, d*) float32
        Identical to that of `equations.project`.
    """
    N, D = M.shape
    # Terms of zero change no sum.
    padded = np.zeros((-(-D // TERMS) * TERMS, psi.shape[1]))
    padded[:D] = psi
    projected = np.empty((N, psi.shape[1]), np.float32)
    _project(np.ascontiguousarray(M, np.float32), padded, projected)
    return projected


# A product and a sum may become one instruction: the product is exact with or without it.
@inner(cache=True, fastmath={"contract"})
def _add_terms(k, x, y, psi, x_sums, y_sums):
    """Add `TERMS` terms, from the k-th on, to all sums of two rows."""
    x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
    y0, y1, y2, y3 = y[k], y[k + 1], y[k + 2], y[k + 3]
    p0, p1, p2, p3 = psi[k], psi[k + 1], psi[k + 2], psi[k + 3]
    for j in range(psi.shape[1]):
        x_sums[j] = (((x_sums[j] + x0 * p0[j]) + x1 * p1[j]) + x2 * p2[j]) + x3 * p3[j]
        y_sums[j] = (((y_sums[j] + y0 * p0[j]) + y1 * p1[j]) + y2 * p2[j]) + y3 * p3[j]


@parallel(cache=True)
def _project(M, psi, projected):
    N, D = M.shape
    padded_D, d_star = psi.shape
    for task in prange((N + ROWS - 1) // ROWS):
        first = task * ROWS
        n = min(ROWS, N - first)
        rows, sums = np.zeros((ROWS, padded_D)), np.zeros((ROWS, d_star))
        for m in range(n):
            for k in range(D):
                rows[m, k] = M[first + m, k]
        for k0 in range(0, padded_D, DEPTH):
            for m in range(0, n, 2):
                for k in range(k0, min(k0 + DEPTH, padded_D), TERMS):
                    _add_terms(k, rows[m], rows[m + 1], psi, sums[m], sums[m + 1])
        for m in range(n):
            for j in range(d_star):
                projected[first + m, j] = sums[m, j]
