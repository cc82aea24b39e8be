r"""Equation 6: exact nearest neighbours, most distances never computed.

Filters, each cheaper than the next and each *certain*: a row is skipped only if even the largest
error that rounding can have made would not make it as near as one already measured.

1. **Principal axes** (`minicore.fast.axes`). For a tile of queries and a tile of the bank, lower
   bounds of all distances are one small matrix product. Features of real parts lie near few axes:
   less than one row in a hundred survives 64. The survivor with the smallest bound is measured at
   once: the nearer it is, the fewer survive in the tiles to come. (Where too many survive, as of
   random vectors, tiles are done as matrix products of the whole vectors instead.)
2. **Bytes** (`minicore.fast.codes`). When the whole bank has been sifted, what still survives is
   looked at with eight bits a coordinate: a row is in main memory, and it is reading it that costs.
3. **float32**, coordinate by coordinate.
4. **The literal arithmetic** of `equations.nearest`: float64, in the order of the coordinates. Only
   these measurements are compared with each other and returned.

Indices and ties are therefore those of the literal version, on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from minicore import threads
from minicore.fast.arithmetic import (
    EPS,
    HUGE,
    TINY,
    rounding_bound,
    squared_distance,
    squared_norms,
)
from minicore.fast.axes import AXES_BOUND, STATE, checked_axes, principal_axes, short_vectors
from minicore.fast.codes import code_distance, encode, step_of

QUERIES, ROWS = 196, 512  # tile of a matrix product: 0.4 MB of results, read back from cache
LANES = 64  # products looked at together
KEPT = 2 * ROWS  # survivors of a query that can wait to be measured
CROWD = 1 / 8  # of a tile's pairs: from so many survivors on a matrix product is cheaper,
PATIENCE = 15  # and the next tiles are not tried otherwise


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
def _insert_bound(bound, nearest):
    rank = nearest.shape[0] - 1
    if bound >= nearest[rank]:
        return
    while rank > 0 and bound < nearest[rank - 1]:
        nearest[rank] = nearest[rank - 1]
        rank -= 1
    nearest[rank] = bound


@njit(cache=True)
def _find_peaks(products, peaks):
    """Fill `peaks` (m, LANES) with the largest of every LANES-th product: vectors, no branches."""
    for q in range(products.shape[0]):
        row, peak = products[q], peaks[q]
        n = row.shape[0]
        peak[:] = -np.inf
        for first in range(0, n - LANES + 1, LANES):
            for lane in range(LANES):
                peak[lane] = max(peak[lane], row[first + lane])
        for r in range(n - n % LANES, n):
            peak[r % LANES] = max(peak[r % LANES], row[r])


@njit(cache=True)
def _reaches(values, bar):
    n = 0
    for i in range(values.shape[0]):
        n += values[i] >= bar
    return n


@njit(cache=True)
def _lower_bar(products, peak, bar, first_row, query, bank, margin, floor, nearest):
    """Measure the likeliest row of a tile; `nearest` holds upper bounds of the k least distances.

    Only a row whose product reaches `bar` is worth it.
    """
    k = nearest.shape[0]
    if k > 1 and nearest[k - 1] == np.inf:  # not k rows yet: take them all
        for r in range(products.shape[0]):
            rough = _rough_squared_distance(query, bank[first_row + r])
            _insert_bound(rough * margin + floor, nearest)
    elif _reaches(peak, bar) > 0:
        lane = peak.argmax()
        for r in range(lane, products.shape[0], LANES):
            if products[r] == peak[lane]:
                rough = _rough_squared_distance(query, bank[first_row + r])
                _insert_bound(rough * margin + floor, nearest)
                return


@njit(cache=True)
def _keep(products, peak, bar, base, first_row, rows, lower, n):
    """Append the rows that reach `bar` and their lower bounds; return how many there are now."""
    for lane in range(LANES):
        if peak[lane] >= bar:
            for r in range(lane, products.shape[0], LANES):
                if products[r] >= bar:
                    rows[n] = first_row + r
                    lower[n] = base - products[r]
                    n += 1
    return n


@njit(cache=True)
def _measure(q, whole, coded, rows, lower, nearest, margin, floor, best, who):
    """Measure those of the rows kept for query `q` that can be among the nearest."""
    queries, _, bank, _ = whole
    query_codes, query_rest, bank_codes, bank_rest, step = coded
    k = best.shape[0]
    bar, length = -1.0, 0.0
    for i in range(rows.shape[0]):
        if min(best[k - 1], nearest[k - 1]) + floor != bar:
            bar = min(best[k - 1], nearest[k - 1]) + floor
            length = np.sqrt(bar) * (1 + 1e-9)
        if lower[i] > bar:
            continue
        row = rows[i]
        if step > 0:
            enough = (length + query_rest[q] + bank_rest[row]) / step * (1 + 1e-9)
            if code_distance(query_codes[q], bank_codes[row]) > enough * enough:
                continue
        if _rough_squared_distance(queries[q], bank[row]) > bar * margin:
            continue
        _insert(squared_distance(queries[q], bank[row]), row, best, who)


@njit(cache=True)
def _settle(q0, whole, coded, rows, lower, kept, nearest, margin, floor, best, who):
    """Measure what is kept for a tile of queries, and forget it.

    The likeliest of each query first, then part by part of the bank: the rows that one query has
    brought from memory are in the cache for those after it.
    """
    m = kept.shape[0]
    queries, _, bank, _ = whole
    done = np.zeros(m, np.int64)
    last = 0
    for q in range(m):
        if kept[q] > 0:
            c = lower[q, : kept[q]].argmin()
            row = rows[q, c]
            _insert(squared_distance(queries[q0 + q], bank[row]), row, best[q0 + q], who[q0 + q])
            lower[q, c] = np.inf
            last = max(last, rows[q, kept[q] - 1] + ROWS)
    for part in range(ROWS, last + ROWS, ROWS):
        for q in range(m):
            first, end = done[q], done[q]
            while end < kept[q] and rows[q, end] < part:
                end += 1
            if end > first:
                done[q] = end
                _measure(
                    q0 + q, whole, coded, rows[q, first:end], lower[q, first:end], nearest[q],
                    margin, floor, best[q0 + q], who[q0 + q],
                )  # fmt: skip
    kept[:] = 0


@njit(parallel=True, cache=True)
def _search(whole, short, coded, bounds, best, who):
    """Fill `best` (squared distances) and `who` (rows), both (n, k), for every query.

    `whole` and `short` hold queries, their squared norms, bank and its squared norms: of the
    vectors themselves, and of the short ones (of no columns, if there are none). `bounds` are the
    largest errors of their squared distances by inner products, per unit of the norms' sum. The
    short bank's last column is minus its squared norms less their error, the short queries are
    doubled and end in 1, so that their product says all but what depends on the query alone.
    `coded` holds the codes of queries and bank, the lengths of their rests, and the step.
    """
    queries, query_norms, bank, bank_norms = whole
    short_queries, short_query_norms, short_bank = short
    bound, short_bound = bounds
    n, d = queries.shape
    N, k = bank.shape[0], best.shape[1]
    floor = 4 * d * TINY
    margin = 1 + 4 * (d + 8) * EPS
    shorten = short_bank.shape[1] > 0

    for tile in prange((n + QUERIES - 1) // QUERIES):
        q0, q1 = tile * QUERIES, min((tile + 1) * QUERIES, n)
        m = q1 - q0
        nearest = np.full((m, k), np.inf)
        rows = np.empty((m, KEPT), np.int32)
        lower = np.empty((m, KEPT), np.float32)
        kept = np.zeros(m, np.int64)
        bars = np.empty(m, np.float32)
        peaks = np.empty((m, LANES), np.float32)
        base = np.empty(m)
        patience = 0
        for r0 in range(0, N, ROWS):
            r1 = min(r0 + ROWS, N)
            by_axes = shorten and patience == 0
            patience = max(patience - 1, 0)
            for attempt in range(2):
                if by_axes:
                    products = np.dot(short_queries[q0:q1], short_bank[r0:r1].T)
                else:
                    products = np.dot(queries[q0:q1], bank[r0:r1].T)
                    for q in range(m):
                        for r in range(r1 - r0):
                            less = bank_norms[r0 + r] - bound * bank_norms[r0 + r]
                            products[q, r] = 2 * products[q, r] - less
                _find_peaks(products, peaks)
                hits, most = 0, 0
                for q in range(m):
                    if by_axes:
                        base[q] = (1 - np.float64(short_bound)) * short_query_norms[q0 + q]
                    else:
                        base[q] = (1 - np.float64(bound)) * query_norms[q0 + q]
                    if attempt == 0:
                        bar = np.float32(base[q] - nearest[q, k - 1] - floor)
                        x, near = queries[q0 + q], nearest[q]
                        _lower_bar(products[q], peaks[q], bar, r0, x, bank, margin, floor, near)
                    bars[q] = base[q] - min(nearest[q, k - 1], best[q0 + q, k - 1]) - floor
                    mine = _reaches(products[q], bars[q])
                    hits += mine
                    most = max(most, kept[q] + mine)
                if not by_axes or hits <= CROWD * m * (r1 - r0):
                    break
                by_axes, patience = False, PATIENCE
            if most > KEPT:
                _settle(q0, whole, coded, rows, lower, kept, nearest, margin, floor, best, who)
            for q in range(m):
                kept[q] = _keep(
                    products[q], peaks[q], bars[q], base[q], r0, rows[q], lower[q], kept[q]
                )
        _settle(q0, whole, coded, rows, lower, kept, nearest, margin, floor, best, who)


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
    not taken from the state but computed anew. Axes of another bank only make the search slower.
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
                self._mean, self._axes = checked_axes(state, self.bank.shape[1])
            else:
                usable = self._norms.max() < HUGE
                self._mean, self._axes = principal_axes(self.bank if usable else self.bank[:1])
            self._short, norms = self._shorten(self.bank, 1.0)
            self._short[:, -1:] = -(1 - AXES_BOUND) * norms[:, None]
        has_axes = self._axes.shape[1] > 0  # without them almost nothing is left to look at
        self._step = step_of(self.bank, self._mean) if has_axes else 0.0
        self._codes = self._encode(self.bank)

    def _encode(self, rows):
        """Codes and the lengths of the rests; of no columns if codes are of no use."""
        if self._step == 0:
            return np.empty((len(rows), 0), np.int8), np.zeros(len(rows))
        return encode(rows, self._mean, self._step)

    def _shorten(self, rows, factor):
        """Short vectors and their squared norms; no columns if there are no axes."""
        if self._axes.shape[1] == 0:
            return np.empty((len(rows), 0), np.float32), np.zeros(len(rows))
        return short_vectors(rows, self._mean, self._axes, factor)

    def state(self):
        """Give what was found out about the bank, to be stored beside it.

        Returns
        -------
        state : dict
            ``"mean"`` (D,) float64, the bank's centre, and ``"axes"`` (D, k) float64, its first
            principal axes as columns; k is 0 where the bank is too small for them to pay.
        """
        return dict(zip(STATE, (self._mean, self._axes), strict=True))

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
                    short, short_norms = self._shorten(queries, 2.0)
                    short[:, -1:] = 1
                    whole = queries, norms, self.bank, self._norms.astype(np.float32)
                    bounds = np.float32(rounding_bound(D)), np.float32(AXES_BOUND)
                    coded = *self._encode(queries), *self._codes, self._step
                    _search(whole, (short, short_norms, self._short), coded, bounds, best, who)
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
