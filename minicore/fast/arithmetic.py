"""How far float32 can be from the literal arithmetic of `minicore.equations`."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from minicore.equations.distance import squared_distance
from minicore.runtime.kernels import parallel

__all__ = ["EPS", "HUGE", "TINY", "inner", "rounding_bound", "squared_distance", "squared_norms"]

EPS = 2.0**-24  # unit roundoff of float32
TINY = 2.0**-126  # below it float32 products lose bits or are flushed to zero
HUGE = 2.0**120  # squared norms above it may overflow in the products


def rounding_bound(d):
    """Largest error of a float32 squared distance by inner products, per unit of the norms' sum.

    The inner product of `d` terms errs by at most about ``d * EPS * |q| * |m|`` in whatever order
    it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and
    ``2 |q| |m| <= |q|**2 + |m|**2``; sixteen more roundings cover norms, sums and bound.
    """
    return (d + 16) * EPS / (1 - (d + 16) * EPS)


def inner(**options):
    """Compile what only other kernels call: without an entry from Python, in a tenth less time."""
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(**options)


# Sums may be reordered, to use the processor's vectors; NaN and infinity keep their meaning.
@parallel(cache=True, fastmath={"reassoc", "contract", "nsz"})
def squared_norms(rows):
    """Squared norm of each row, (n,) float64, to 1e-12: for bounds, and to find NaN."""
    norms = np.empty(rows.shape[0], np.float64)
    for r in prange(rows.shape[0]):
        total = 0.0
        for c in range(rows.shape[1]):
            total += np.float64(rows[r, c]) * np.float64(rows[r, c])
        norms[r] = total
    return norms
