r"""Equation 6: exact nearest neighbours, most distances never computed.

Three filters, each cheaper than the next and each *certain*: a row is skipped only if even the
largest error that rounding can have made would not make it as near as the best known.

1. **Principal axes.** Let $x_k$ be the first $k$ coordinates of $x - \mu$ along the bank's
   principal axes and $x_r$ the length of the rest. Whatever direction the rests have,
   $\lVert x - y \rVert^2 \ge \lVert x_k - y_k \rVert^2 + (x_r - y_r)^2$: the squared distance of
   two short vectors, which for a tile of queries and a tile of the bank is one small matrix
   product. Features of real parts lie near few axes: one or two rows in a hundred survive 64.
2. **float32.** The survivors are measured coordinate by coordinate in float32. (Where too many
   survive, as of random vectors, the tile is done again as a matrix product of the whole vectors.)
3. **The literal arithmetic** of `equations.nearest`: float64, in the order of the coordinates. Only
   these measurements are compared with each other and returned.

Indices and ties are therefore those of the literal version, on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from minicore import threads

QUERIES, ROWS = 112, 512  # tile of a matrix product: 0.2 MB of results, read back from cache
EPS = 2.0**-24  # unit roundoff of float32
TINY = 2.0**-126  # below it float32 products lose bits or are flushed to zero
HUGE = 2.0**120  # squared norms above it may overflow in the products
AXES = 64  # principal axes of the first filter
WORTH_ROWS, WORTH_DIMENSIONS = 1024, 4 * AXES  # from which on finding the axes pays
CROWD = 1 / 8  # of a tile's pairs: from so many survivors on a matrix product is cheaper
ORTHONORMAL = 1e-10  # largest error of the axes' inner products
STATE = ("mean", "axes")
AXES_BOUND = 2e-5  # of the first filter, per unit of the norms' sum; see `_PrincipalAxes`


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


@njit(fastmath=True, cache=True)
def _rough_squared_distance(x, y):
    """float32, in whatever order is fastest; relative error at most (d + 2) EPS."""
    squared = np.float32(0)
    for c in range(x.shape[0]):
        difference = x[c] - y[c]
        squared += difference * difference
    return squared


@njit(cache=True)
def lower_bounds(products, query_norms, bank_norms, bound, floor, nearest):
    """Turn inner products into what is certain of each distance, in place, and find the least."""
    for q in range(products.shape[0]):
        least = np.float32(np.inf)
        for r in range(products.shape[1]):
            norms = query_norms[q] + bank_norms[r]
            lower = norms - 2 * products[q, r] - bound * norms - floor
            products[q, r] = lower
            least = min(least, lower)
        nearest[q] = least


@njit(parallel=True, cache=True)
def _search(whole, short, bounds, best, who):
    """Fill `best` (squared distances) and `who` (rows), both (n, k), for every query.

    `whole` and `short` hold queries, their squared norms, bank and its squared norms: of the
    vectors themselves, and of the short ones (of no columns, if there are none). `bounds` are the
    largest errors of their squared distances by inner products, per unit of the norms' sum.
    """
    queries, query_norms, bank, bank_norms = whole
    short_queries, short_query_norms, short_bank, short_bank_norms = short
    bound, short_bound = bounds
    n, d = queries.shape
    N, k = bank.shape[0], best.shape[1]
    floor = np.float32(d * TINY)
    rough = np.float32(1 - 2 * (d + 8) * EPS)
    shorten = short_bank.shape[1] > 0

    for tile in prange((n + QUERIES - 1) // QUERIES):
        q0, q1 = tile * QUERIES, min((tile + 1) * QUERIES, n)
        nearest = np.empty(q1 - q0, np.float32)
        likeliest = np.empty(q1 - q0, np.int64)
        for r0 in range(0, N, ROWS):
            r1 = min(r0 + ROWS, N)
            if shorten:
                lower = np.dot(short_queries[q0:q1], short_bank[r0:r1].T)
                query_part, bank_part = short_query_norms[q0:q1], short_bank_norms[r0:r1]
                lower_bounds(lower, query_part, bank_part, short_bound, floor, nearest)
            else:
                lower = np.dot(queries[q0:q1], bank[r0:r1].T)
                query_part, bank_part = query_norms[q0:q1], bank_norms[r0:r1]
                lower_bounds(lower, query_part, bank_part, bound, floor, nearest)

            # The likeliest row first: it lowers the bar for all the others.
            survivors = 0
            for q in range(q1 - q0):
                likeliest[q] = -1
                if nearest[q] > best[q0 + q, k - 1]:
                    continue
                for r in range(r1 - r0):
                    if lower[q, r] == nearest[q]:
                        likeliest[q] = r
                        break
                row = r0 + likeliest[q]
                squared = squared_distance(queries[q0 + q], bank[row])
                _insert(squared, row, best[q0 + q], who[q0 + q])
                bar = best[q0 + q, k - 1]
                for r in range(r1 - r0):
                    survivors += lower[q, r] <= bar
            if shorten and survivors > CROWD * (q1 - q0) * (r1 - r0):
                lower = np.dot(queries[q0:q1], bank[r0:r1].T)
                query_part, bank_part = query_norms[q0:q1], bank_norms[r0:r1]
                lower_bounds(lower, query_part, bank_part, bound, floor, nearest)

            for q in range(q1 - q0):
                if likeliest[q] < 0:
                    continue
                for r in range(r1 - r0):
                    bar = best[q0 + q, k - 1]
                    if lower[q, r] > bar or r == likeliest[q]:
                        continue
                    x, y = queries[q0 + q], bank[r0 + r]
                    if _rough_squared_distance(x, y) * rough - floor > bar:
                        continue
                    _insert(squared_distance(x, y), r0 + r, best[q0 + q], who[q0 + q])


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


@njit(parallel=True, cache=True)
def _shorten(rows, mean, axes):
    """Coordinates along the axes and the length of the rest, (n, axes + 1) float32."""
    n, d = rows.shape
    k = axes.shape[1]
    short = np.empty((n, k + 1), np.float32)
    for tile in prange((n + ROWS - 1) // ROWS):
        first, end = tile * ROWS, min((tile + 1) * ROWS, n)
        centred = np.empty((end - first, d))
        for i in range(end - first):
            for c in range(d):
                centred[i, c] = np.float64(rows[first + i, c]) - mean[c]
        along = np.dot(centred, axes)
        for i in range(end - first):
            rest = 0.0
            for c in range(d):
                rest += centred[i, c] * centred[i, c]
            for c in range(k):
                rest -= along[i, c] * along[i, c]
                short[first + i, c] = along[i, c]
            short[first + i, k] = np.sqrt(max(rest, 0.0))
    return short


class _PrincipalAxes:
    """The first filter's short vectors.

    They are computed in float64, to about 1e-13 of the square, so the rest's length is off by at
    most 3e-7 of the vector's, and rounded to float32, 6e-8 of it: the distance of two short vectors
    is off by E <= 5e-7 (|x| + |y|). For any t, (d - E)^2 >= (1 - t) d^2 - E^2 / t; with t = 1e-6
    that and the rounding of a product of 65 terms are below ``AXES_BOUND`` (|x|^2 + |y|^2).
    """

    def __init__(self, bank):
        from scipy.linalg import eigh

        D = bank.shape[1]
        self.mean, self.axes = np.zeros(D), np.zeros((D, 0))
        if len(bank) >= WORTH_ROWS and D >= WORTH_DIMENSIONS:
            sample = bank[:: -(-len(bank) // 4096)].astype(np.float64)
            self.mean = sample.mean(axis=0)
            sample -= self.mean
            last = D - 1
            self.axes = np.ascontiguousarray(
                eigh(sample.T @ sample, subset_by_index=(last - AXES + 1, last))[1]
            )

    @classmethod
    def from_state(cls, state, D):
        """Take over what `Nearest.state` gave, if the bounds hold for it."""
        try:
            mean, axes = (np.ascontiguousarray(state[name], np.float64) for name in STATE)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must hold the arrays {', '.join(STATE)}: {error!r}") from error
        if mean.shape != (D,) or axes.ndim != 2 or axes.shape[0] != D or axes.shape[1] > D:
            raise ValueError(
                f"state must have a mean ({D},) and axes ({D}, up to {D}) for a bank of {D} "
                f"columns, got {mean.shape} and {axes.shape}; leave state out to find them again"
            )
        off = np.abs(axes.T @ axes - np.eye(axes.shape[1])).max(initial=0.0)
        if not (off <= ORTHONORMAL and mean @ mean < HUGE):
            raise ValueError(
                "state must have a mean of reasonable size and orthonormal axes; leave state out "
                "to find them again"
            )
        self = cls.__new__(cls)
        self.mean, self.axes = mean, axes
        return self

    def shorten(self, rows):
        """Short vectors (n, axes + 1) and their squared norms; no columns if it does not pay."""
        if self.axes.shape[1] == 0:
            return np.empty((len(rows), 0), np.float32), np.empty(len(rows), np.float32)
        short = _shorten(rows, self.mean, self.axes)
        return short, squared_norms(short).astype(np.float32)


class Nearest:
    """A bank prepared for many searches.

    Parameters
    ----------
    bank : (N, D) float
        The memory bank; kept as float32.
    state : dict of str to array, optional
        What `state` gave for this bank, to be spared the search for the axes.

    Attributes
    ----------
    bank : (N, D) float32
        The memory bank.

    Raises
    ------
    ValueError
        If `bank` is empty or not finite, or `state` is of another shape or its axes are not
        orthonormal.

    Notes
    -----
    No state changes a result. The bounds hold for any centre and any orthonormal axes, and that
    they are orthonormal is checked; the bank's coordinates along them, which have to be right, are
    not taken from the state but computed anew, at a tenth of what the axes cost. Axes of another
    bank only make the search slower.
    """

    def __init__(self, bank, state=None):
        self.bank = _as_rows(bank, "bank")
        if len(self.bank) == 0:
            raise ValueError("bank has no rows")
        self._norms = squared_norms(self.bank)
        if not np.isfinite(self._norms).all():
            raise ValueError("bank must be finite: found NaN or infinity")
        with threads.single_threaded_blas():  # several threads take thirty times as long in eigh
            if state is not None:
                self._axes = _PrincipalAxes.from_state(state, self.bank.shape[1])
            else:
                usable = self._norms.max() < HUGE
                self._axes = _PrincipalAxes(self.bank if usable else self.bank[:1])
            self._short = self._axes.shorten(self.bank)

    def state(self):
        """Give what was found out about the bank, to be stored beside it.

        Returns
        -------
        state : dict
            ``"mean"`` (D,) float64, the bank's centre, and ``"axes"`` (D, k) float64, its first
            principal axes as columns; k is 0 where the bank is too small for them to pay.
        """
        return {name: getattr(self._axes, name) for name in STATE}

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
            if not np.isfinite(norms).all():
                raise ValueError("queries must be finite: found NaN or infinity")
            largest = max(norms.max(), self._norms.max())
            with threads.single_threaded_blas():
                if largest < HUGE:
                    bank_norms = self._norms.astype(np.float32)
                    whole = queries, norms.astype(np.float32), self.bank, bank_norms
                    short = *self._axes.shorten(queries), *self._short
                    bounds = np.float32(rounding_bound(D)), np.float32(AXES_BOUND)
                    _search(whole, short, bounds, best, who)
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
