r"""Nearest rows by filters: most distances are never computed, and no result changes.

Each filter costs more per row than the filter before it and leaves fewer rows. A filter skips a row
only if the row is certainly not among the nearest, even with the largest possible rounding error.

1. **A few principal axes** (`minicore.fast.axes`). One small matrix product gives lower bounds of
   all distances between a tile of queries and a tile of the bank. Features of real parts lie near
   few axes, so about one row in a hundred is left. If too many are left, as for random vectors,
   the search uses matrix products of the whole vectors instead.
2. **float32**, coordinate by coordinate. The row with the smallest bound comes first: its distance
   excludes many of the other rows.
3. **The arithmetic of `equations.nearest`**: float64, in the order of the coordinates. Only one or
   two rows of the whole bank are left. Only these distances are compared with each other and
   returned.

`minicore.fast.nearest` searches the memory bank in this way. `minicore.fast.coreset` searches the
picks that rows of the bank have missed. So indices and ties are those of the literal versions, on
any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange

from minicore.fast.arithmetic import inner, rounding_errors, squared_distance
from minicore.fast.axes import AXES_BOUND
from minicore.fast.rows import Rows
from minicore.runtime import threads
from minicore.runtime.kernels import parallel

QUERIES, ROWS = 196, 512  # tile of a matrix product: 0.4 MB of results, which stay in the cache
BLOCK = 16  # products whose maximum is computed together
CROWD = 1 / 8  # if more pairs of a tile are left, products of whole vectors are faster
PATIENCE = 16  # largest number of tiles with whole vectors before axes are tried again
WAITING = 64  # rows of a query that can wait to be measured in the literal arithmetic


class _Bounds(NamedTuple):
    """Lower bounds of squared distances between m queries and n rows of the bank.

    The bound of query q and row r is ``of_query[q] - products[q, r]``.
    """

    first_row: int  # of the bank
    of_query: npt.NDArray[np.float64]  # (m,)
    products: npt.NDArray[np.float32]  # (m, n)
    peaks: npt.NDArray[np.float32]  # (m, ⌈n / BLOCK⌉) maximum of every `BLOCK` products


class _State(NamedTuple):
    """Intermediate results of the search for the m queries of a tile."""

    limits: npt.NDArray[np.float64]  # (m, k) upper bounds of the k smallest squared distances
    begun: npt.NDArray[np.int64]  # (m,) first row of the tile from which `limits` began, or -1
    rows: npt.NDArray[np.int32]  # (m, WAITING) rows that may be among the nearest
    rough: npt.NDArray[np.float64]  # (m, WAITING) their squared distances in float32
    waiting: npt.NDArray[np.int64]  # (m,) number of these rows
    best: npt.NDArray[np.float64]  # (m, k) literal squared distances of the nearest, increasing
    who: npt.NDArray[np.int64]  # (m, k) their rows
    hits: npt.NDArray[np.int32]  # (ROWS,) rows of a tile that the bounds do not exclude


@inner(cache=True)
def insert(squared, row, best, who):
    """Insert a row among the nearest so far, ordered by distance, then by row."""
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


@inner(cache=True)
def _insert_limit(limit, limits):
    rank = limits.shape[0] - 1
    if limit >= limits[rank]:
        return
    while rank > 0 and limit < limits[rank - 1]:
        limits[rank] = limits[rank - 1]
        rank -= 1
    limits[rank] = limit


# The arguments are arrays and row numbers, because to slice a row takes longer than to compare two
# short rows if several threads use the array.
@inner(fastmath=True, cache=True)
def rough_squared_distance(x, i, y, j):
    """Compute a squared distance in float32, in any order; `rounding_errors` bounds its error."""
    squared = np.float32(0)
    for c in range(x.shape[1]):
        difference = x[i, c] - y[j, c]
        squared += difference * difference
    return squared


# The products are finite, and the sign of a zero does not matter: with these two promises the
# compiler uses vector instructions.
@inner(cache=True, fastmath={"nnan", "nsz"})
def _find_peaks(products, peaks):
    """Fill `peaks` with the maximum of every `BLOCK` products."""
    m, n = products.shape
    whole = n // BLOCK
    for q in range(m):
        for b in range(whole):
            peak = np.float32(-np.inf)
            for i in range(BLOCK):
                peak = max(peak, products[q, np.uint64(b * BLOCK) + np.uint64(i)])
            peaks[q, b] = peak
        if n % BLOCK:
            peak = np.float32(-np.inf)
            for i in range(whole * BLOCK, n):
                peak = max(peak, products[q, i])
            peaks[q, whole] = peak


@inner(cache=True)
def _subtract_norms(products, bank_norms, error):
    """Convert inner products of whole vectors to bounds, without the part `of_query`."""
    error = np.float32(error)
    for q in range(products.shape[0]):
        for r in range(products.shape[1]):
            products[q, r] = 2 * products[q, r] - (bank_norms[r] - error * bank_norms[r])


@inner(cache=True)
def _limit(q, state, errors):
    """Return the squared distance above which a bound excludes a row for query `q`."""
    k = state.best.shape[1]
    return min(state.limits[q, k - 1], state.best[q, k - 1]) + errors.floor


@inner(cache=True)
def _begin(q, bounds, queries, bank, errors, state):
    """Fill the limits of query `q` from the row of a tile with the smallest bound; all if k > 1."""
    limits = state.limits[q]
    n = bounds.products.shape[1]
    if limits.shape[0] == 1:
        likeliest = 0
        for r in range(1, n):
            if bounds.products[q, r] > bounds.products[q, likeliest]:
                likeliest = r
        row = bounds.first_row + likeliest
        rough = rough_squared_distance(queries.whole, q, bank.whole, row)
        limits[0] = rough * errors.margin + errors.floor
    else:
        for r in range(n):
            row = bounds.first_row + r
            rough = rough_squared_distance(queries.whole, q, bank.whole, row)
            _insert_limit(rough * errors.margin + errors.floor, limits)
        state.begun[q] = bounds.first_row


@inner(cache=True)
def _find_hits(q, bounds, limit, hits):
    """Fill `hits` with the rows whose bound is at most `limit`, the smallest bound first.

    Return the number of these rows.
    """
    least = np.float32(bounds.of_query[q] - limit)
    products, peaks = bounds.products, bounds.peaks
    n = 0
    for b in range(peaks.shape[1]):
        if peaks[q, b] >= least:
            for r in range(b * BLOCK, min((b + 1) * BLOCK, products.shape[1])):
                hits[n] = r  # overwritten by the next one if it is not a hit
                n += products[q, r] >= least
    likeliest = 0
    for i in range(1, n):
        if products[q, hits[i]] > products[q, hits[likeliest]]:
            likeliest = i
    if n > 0:
        hits[0], hits[likeliest] = hits[likeliest], hits[0]
    return n


@inner(cache=True)
def _measure(q, queries, bank, errors, state):
    """Compute the literal distances of the waiting rows of query `q`, and empty the list."""
    for i in range(state.waiting[q]):
        if state.rough[q, i] <= _limit(q, state, errors) * errors.margin:
            row = state.rows[q, i]
            squared = squared_distance(queries.whole[q], bank.whole[row])
            insert(squared, row, state.best[q], state.who[q])
    state.waiting[q] = 0


@inner(cache=True)
def _sift(first, crowd, bounds, queries, bank, errors, state):
    """Filter one tile of the bank for the queries from `first` on.

    Stop when more than `crowd` rows are left in total. Return the first unfinished query, or the
    number of queries if all are finished.
    """
    m = queries.whole.shape[0]
    left = 0
    for q in range(first, m):
        if left > crowd:
            return q
        limit = _limit(q, state, errors)
        if limit == np.inf:
            _begin(q, bounds, queries, bank, errors, state)
            limit = _limit(q, state, errors)
        n = _find_hits(q, bounds, limit, state.hits)
        left += n
        for i in range(n):
            r = state.hits[i]
            if bounds.of_query[q] - bounds.products[q, r] > limit:  # the limit is lower now
                continue
            row = bounds.first_row + r
            rough = rough_squared_distance(queries.whole, q, bank.whole, row)
            if rough > limit * errors.margin:
                continue
            if state.waiting[q] == WAITING:
                _measure(q, queries, bank, errors, state)
            state.rows[q, state.waiting[q]] = row
            state.rough[q, state.waiting[q]] = rough
            state.waiting[q] += 1
            if state.begun[q] != bounds.first_row:  # otherwise the limits contain this row
                _insert_limit(rough * errors.margin + errors.floor, state.limits[q])
            limit = _limit(q, state, errors)
    return m


@inner(cache=True)
def _search_tile(q0, queries, bank, errors, since, best, who):
    """Search for one tile of queries, from `q0` on."""
    N = bank.whole.shape[0]
    n, k = best.shape
    q1 = min(q0 + QUERIES, n)
    m = q1 - q0
    tile = Rows(
        queries.whole[q0:q1], queries.norms[q0:q1], queries.short[q0:q1], queries.short_norms[q0:q1]
    )
    state = _State(
        np.full((m, k), np.inf), np.full(m, -1), np.empty((m, WAITING), np.int32),
        np.empty((m, WAITING)), np.zeros(m, np.int64), best[q0:q1], who[q0:q1],
        np.empty(ROWS, np.int32),
    )  # fmt: skip
    of_short = (1 - AXES_BOUND) * tile.short_norms.astype(np.float64)
    of_whole = (1 - errors.product) * tile.norms.astype(np.float64)
    product_space = np.empty(m * ROWS, np.float32)
    peak_space = np.empty(m * ((ROWS + BLOCK - 1) // BLOCK), np.float32)
    patience, wait = 0, 1
    for r0 in range(since[q0], N, ROWS):
        r1 = min(r0 + ROWS, N)
        blocks = (r1 - r0 + BLOCK - 1) // BLOCK
        products = product_space[: m * (r1 - r0)].reshape(m, r1 - r0)
        peaks = peak_space[: m * blocks].reshape(m, blocks)
        by_axes = bank.short.shape[1] > 0 and patience == 0
        patience = max(patience - 1, 0)
        q = np.int64(0)  # with a plain 0, Numba would compile _sift a second time
        while q < m:
            if by_axes:
                of_query, crowd = of_short, CROWD * products.size
                np.dot(tile.short[q:], bank.short[r0:r1].T, products[q:])
            else:
                of_query, crowd = of_whole, np.inf
                np.dot(tile.whole[q:], bank.whole[r0:r1].T, products[q:])
                _subtract_norms(products[q:], bank.norms[r0:r1], errors.product)
            _find_peaks(products[q:], peaks[q:])
            bounds = _Bounds(r0, of_query, products, peaks)
            q = _sift(q, crowd, bounds, tile, bank, errors, state)
            if q < m:  # whole vectors for the other queries, and for the next tiles
                by_axes, patience, wait = False, wait, min(2 * wait, PATIENCE)
    for i in range(m):
        _measure(i, tile, bank, errors, state)


@parallel(cache=True)
def _search(queries, bank, errors, since, best, who, n_threads):
    n = best.shape[0]
    # Parts of an image take different times. So each thread takes every n_threads-th tile, not one
    # contiguous share of them.
    turns = (n + QUERIES * n_threads - 1) // (QUERIES * n_threads)
    for task in prange(turns * n_threads):
        q0 = (task % turns * n_threads + task // turns) * QUERIES
        if q0 < n:
            _search_tile(q0, queries, bank, errors, since, best, who)


@parallel(cache=True)
def _search_literally(queries, bank, since, best, who):
    for q in prange(queries.shape[0]):
        for row in range(since[q], bank.shape[0]):
            insert(squared_distance(queries[q], bank[row]), row, best[q], who[q])


def search(
    queries: Rows,
    bank: Rows,
    since: npt.NDArray[np.int64],
    best: npt.NDArray[np.float64],
    who: npt.NDArray[np.int64],
    literal: bool = False,
) -> None:
    """Update the nearest rows of each query with nearer rows of the bank.

    Parameters
    ----------
    queries, bank : Rows
        From `as_queries` and `bank_rows`.
    since : (n,) int64, increasing
        First row of the bank that each query needs; the search may begin at an earlier row.
    best : (n, k) float64
        Squared distances, increasing; changed in place.
    who : (n, k) int64
        Rows of the bank; changed in place.
    literal : bool, default False
        Compute all distances in the literal arithmetic. Necessary for norms above `HUGE`.
    """
    if literal:
        _search_literally(queries.whole, bank.whole, since, best, who)
    else:
        errors = rounding_errors(queries.whole.shape[1])
        _search(queries, bank, errors, since, best, who, threads.count())
