r"""Equation 6: exact nearest neighbours at the speed of a matrix product.

Squared distances expand into $\lVert q \rVert^2 + \lVert m \rVert^2 - 2\, q \cdot m$, and all the
inner products of a tile of queries with a tile of the bank are one matrix product in float32. That
is fast but rounded, so it only *rules out*: a row whose distance, less the largest error the
rounding can have made, is no better than the best known is skipped. The few that remain are
measured in the literal arithmetic of `equations.nearest` (float64, in the order of the
coordinates), and only these measurements are compared and returned. Indices and ties are therefore
those of the literal version, on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from minicore import threads

QUERIES, ROWS = 112, 512  # tile of a matrix product: 0.2 MB of results, read back from cache
EPS = 2.0**-24  # unit roundoff of float32
TINY = 2.0**-126  # below it float32 products lose bits or are flushed to zero
HUGE = 2.0**120  # squared norms above it may overflow in the products


def rounding_bound(d):
    """Largest error of a float32 squared distance by inner products, per unit of the norms' sum.

    The inner product of `d` terms errs by at most about ``d * EPS * |q| * |m|`` in whatever order
    it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and
    ``2 |q| |m| <= |q|**2 + |m|**2``; eight more roundings cover norms, sum and bound.
    """
    return (d + 8) * EPS / (1 - (d + 8) * EPS)


@njit(cache=True)
def squared_distance(x, y):
    """Literal arithmetic: float64, in the order of the coordinates."""
    squared = 0.0
    for c in range(x.shape[0]):
        difference = np.float64(x[c]) - np.float64(y[c])
        squared += difference * difference
    return squared


@njit(parallel=True, cache=True)
def squared_norms(rows):
    """Squared norm of each row, (n,) float64."""
    norms = np.empty(rows.shape[0], np.float64)
    for r in prange(rows.shape[0]):
        total = 0.0
        for c in range(rows.shape[1]):
            total += np.float64(rows[r, c]) * np.float64(rows[r, c])
        norms[r] = total
    return norms


@njit(cache=True)
def _insert(squared, row, best, who):
    """Put a row among the nearest so far, ordered by distance, then by row."""
    k = best.shape[0]
    if squared > best[k - 1] or (squared == best[k - 1] and row > who[k - 1]):
        return
    rank = k - 1
    while rank > 0 and (
        squared < best[rank - 1] or (squared == best[rank - 1] and row < who[rank - 1])
    ):
        best[rank] = best[rank - 1]
        who[rank] = who[rank - 1]
        rank -= 1
    best[rank] = squared
    who[rank] = row


@njit(parallel=True, cache=True)
def _search(queries, query_norms, bank, bank_norms, bound, best, who):
    """Fill `best` (squared distances) and `who` (rows), both (n, k), for every query."""
    n, d = queries.shape
    N = bank.shape[0]
    k = best.shape[1]
    floor = np.float32(d * TINY)

    for tile in prange((n + QUERIES - 1) // QUERIES):
        q0, q1 = tile * QUERIES, min((tile + 1) * QUERIES, n)
        lower = np.empty(ROWS, np.float32)
        for r0 in range(0, N, ROWS):
            r1 = min(r0 + ROWS, N)
            products = np.dot(queries[q0:q1], bank[r0:r1].T)
            for q in range(q0, q1):
                # What is certain of each distance: lower <= literal squared distance.
                nearest = np.float32(np.inf)
                a = 0
                for r in range(r1 - r0):
                    norms = query_norms[q] + bank_norms[r0 + r]
                    lower[r] = norms - 2 * products[q - q0, r] - bound * norms - floor
                    nearest = min(nearest, lower[r])
                if nearest > best[q, k - 1]:
                    continue
                # The likeliest first: it lowers the bar for the rest of the tile.
                for r in range(r1 - r0):
                    if lower[r] == nearest:
                        a = r
                        break
                _insert(squared_distance(queries[q], bank[r0 + a]), r0 + a, best[q], who[q])
                for r in range(r1 - r0):
                    if lower[r] <= best[q, k - 1] and r != a:
                        squared = squared_distance(queries[q], bank[r0 + r])
                        _insert(squared, r0 + r, best[q], who[q])


@njit(parallel=True, cache=True)
def _search_literally(queries, bank, best, who):
    """Do the same without matrix products, for norms that float32 products cannot hold."""
    for q in prange(queries.shape[0]):
        for row in range(bank.shape[0]):
            _insert(squared_distance(queries[q], bank[row]), row, best[q], who[q])


def _as_rows(array, name):
    array = np.ascontiguousarray(array, np.float32)
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"{name} must be a (rows, dimensions) array, got shape {array.shape}")
    return array


class Nearest:
    """A bank prepared for many searches.

    Parameters
    ----------
    bank : (N, D) float
        The memory bank; kept as float32.

    Attributes
    ----------
    bank : (N, D) float32
        The memory bank.
    """

    def __init__(self, bank):
        self.bank = _as_rows(bank, "bank")
        if len(self.bank) == 0:
            raise ValueError("bank has no rows")
        self._norms = squared_norms(self.bank)

    def query(self, queries, k=1):
        """Find the `k` nearest rows of the bank for each query.

        Parameters
        ----------
        queries : (n, D) float
            Patch features; converted to float32.
        k : int, default 1
            How many neighbours, between 1 and `N`.

        Returns
        -------
        distances : (n, k) float32
            Euclidean, increasing.
        indices : (n, k) int64
            Rows of the bank; ties go to the lowest.

        Raises
        ------
        ValueError
            If `k` is out of range, the dimensions differ, or a value is not finite.
        """
        queries = _as_rows(queries, "queries")
        N, D = self.bank.shape
        if queries.shape[1] != D:
            raise ValueError(f"queries have {queries.shape[1]} columns, the bank has {D}")
        if not 1 <= k <= N:
            raise ValueError(f"k must be between 1 and the {N} rows of the bank, got {k}")

        best = np.full((len(queries), k), np.inf)
        who = np.full((len(queries), k), N, np.int64)
        if len(queries):
            norms = squared_norms(queries)
            largest = max(norms.max(), self._norms.max())
            if not np.isfinite(largest):
                raise ValueError("queries and bank must be finite: found NaN or infinity")
            with threads.single_threaded_blas():
                if largest < HUGE:
                    _search(
                        queries, norms.astype(np.float32),
                        self.bank, self._norms.astype(np.float32),
                        np.float32(rounding_bound(D)), best, who,
                    )  # fmt: skip
                else:
                    _search_literally(queries, self.bank, best, who)
        return np.sqrt(best).astype(np.float32), who


def nearest(queries, bank, k=1):
    """Find the `k` nearest rows of the bank for each query.

    One search; for many over the same bank build `Nearest` once. Parameters, results and errors are
    those of `Nearest` and `Nearest.query`.

    Notes
    -----
    Equation 6 of Roth et al., CVPR 2022; the same indices as `equations.nearest`.
    """
    return Nearest(bank).query(queries, k)
