"""Largest errors of float32 distances, compared with those of `minicore.equations`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from minicore.equations.distance import squared_distance
from minicore.runtime.kernels import parallel

__all__ = [
    "HUGE",
    "RoundingErrors",
    "inner",
    "rounding_errors",
    "squared_distance",
    "squared_norms",
]

EPS = 2.0**-24  # unit roundoff of float32
TINY = 2.0**-126  # smallest normal float32: smaller results lose bits, or become zero
HUGE = 2.0**120  # float32 distances may overflow where squared norms exceed this


class RoundingErrors(NamedTuple):
    """Largest errors of float32 squared distances; `rounding_errors` derives them.

    Attributes
    ----------
    product : float
        Error of ‖x‖² + ‖y‖² − 2⟨x, y⟩, per unit of ‖x‖² + ‖y‖².
    margin : float
        Factor, slightly above 1, that covers the error of Σ (x_c − y_c)².
    floor : float
        Additional error of both, from values below `TINY`.
    """

    product: float
    margin: float
    floor: float


def rounding_errors(d: int) -> RoundingErrors:
    """Compute the largest errors of float32 squared distances between vectors of length `d`.

    Parameters
    ----------
    d : int
        Number of coordinates, at most a million.

    Returns
    -------
    RoundingErrors
    """
    # Let u = 2⁻²⁴, δ = ‖x − y‖² and n = ‖x‖² + ‖y‖². n < 2 HUGE, so nothing overflows. A chain of
    # k roundings has a relative error of at most γ_k = k u / (1 − k u) (Higham, Accuracy and
    # Stability of Numerical Algorithms, section 3.1). This holds for a sum in any order.
    #
    # product.  Every term of ⟨x, y⟩ passes at most d roundings: one product and d − 1 sums. So the
    #     computed ⟨x, y⟩ is off by at most γ_d Σ |x_c y_c| ≤ γ_d ‖x‖ ‖y‖ ≤ γ_d n / 2, and twice it
    #     by γ_d n. The rest has a fixed number of roundings, each at most u n: the two norms, the
    #     two sums, the product of the norm with this constant, and the limit that the result is
    #     compared with. Sixteen more than d roundings cover them, and the error of the literal
    #     arithmetic, which is 2²⁹ times smaller.
    # margin.  Every term of the rough r = Σ (x_c − y_c)² passes at most d + 2 roundings: the
    #     difference, which counts twice as it is squared, the square, and d − 1 sums. So
    #     |r − δ| ≤ γ_{d+2} δ. The literal value of δ is in float64: its error is far below u δ.
    #     Hence r ≤ (1 + γ_{d+3}) literal, and literal ≤ r / (1 − γ_{d+3}). Both factors are below
    #     1 + 4 (d + 8) u, as (d + 8) u < ¼.
    # floor.  A product, a square or a sum below TINY may become zero, and a denormal term of a sum
    #     may count as zero: at most TINY each. ⟨x, y⟩ and r have at most 2 d of these operations,
    #     and ⟨x, y⟩ counts twice: 4 d TINY.
    #
    # If `bound` is at least the literal distance of the nearest row, then a row is not nearer
    #     if r > (bound + floor) · margin, or if n − 2⟨x, y⟩ − product · n > bound + floor,
    # and r · margin + floor is such a bound, for the r of any row.
    product = (d + 16) * EPS / (1 - (d + 16) * EPS)
    return RoundingErrors(product, margin=1 + 4 * (d + 8) * EPS, floor=4 * d * TINY)


def inner(**options):
    """Compile a function that only other kernels call; this takes a tenth less time."""
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(**options)


def squared_norms(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Compute the squared norm of each row, (n,) float64, to 1e-12: for bounds, and to find NaN."""
    norms = np.empty(len(rows), np.float64)
    _squared_norms(len(rows), rows, norms)
    return norms


# Sums may be reordered for vector instructions. NaN and infinity must keep their meaning.
@parallel(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _squared_norms(first, end, rows, norms):
    for r in range(first, end):
        total = 0.0
        for c in range(rows.shape[1]):
            total += np.float64(rows[r, c]) * np.float64(rows[r, c])
        norms[r] = total
