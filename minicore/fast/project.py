r"""Section 3.2: the projection $\psi(\mathcal{M})$, equal to `equations.project` to the last bit.

A matrix product adds in another order than the literal loop, and another order on another machine.
Algorithm 1 could then choose other rows where two are almost equally far. So a product in float64
only finds an interval that contains the literal sum. If both ends of the interval round to the same
float32, this is the result. If not (about one value in 10,000), the literal loop computes it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import inner
from minicore.runtime import threads
from minicore.runtime.kernels import parallel

ROWS = 256  # of a matrix product
EPS = float(np.finfo(np.float64).eps)


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
        Identical to that of `equations.project`, on any number of threads.
    """
    rows, columns = np.ascontiguousarray(M, np.float32), psi.astype(np.float64)
    projected = np.empty((len(rows), columns.shape[1]), np.float32)
    norms = np.sqrt((columns * columns).sum(axis=0))
    with threads.single_threaded_blas():
        _project(-(-len(rows) // ROWS), rows, columns, norms, projected)
    return projected


@inner(cache=True)
def _literal(x, psi, j):
    """Compute one value as `equations.project` does."""
    total = 0.0
    for k in range(x.shape[0]):
        total += x[k] * psi[k, j]
    return total


@parallel(cache=True)
def _project(first, end, M, psi, norms, projected):
    N, D = M.shape
    for tile in range(first, end):
        m0, m1 = tile * ROWS, min((tile + 1) * ROWS, N)
        rows = M[m0:m1].astype(np.float64)
        sums = np.empty((m1 - m0, psi.shape[1]))
        np.dot(rows, psi, sums)
        for m in range(m1 - m0):
            # The product of two float32 numbers is exact in float64. In any order of the terms, the
            # computed sum differs from Σ_k m_k ψ_kj by at most D · EPS/2 · Σ_k |m_k ψ_kj|, which is
            # at most D · EPS/2 · ‖m‖ ‖ψ_j‖. Two computed sums differ by at most twice as much; the
            # 8 is more than the rounding of the norms and of both ends of the interval.
            squared = 0.0
            for k in range(D):
                squared += rows[m, k] * rows[m, k]
            norm = np.sqrt(squared)
            for j in range(psi.shape[1]):
                error = (D + 8) * EPS * norm * norms[j]
                low, high = np.float32(sums[m, j] - error), np.float32(sums[m, j] + error)
                same = low == high
                projected[m0 + m, j] = low if same else _literal(rows[m], psi, j)
