r"""Nearest rows by filters: most distances are never computed, and no result changes.

Each filter costs more per row than the filter before it and leaves fewer rows. A filter skips a row
only if the row is certainly not among the nearest, even with the largest possible rounding error.

1. **Boxes** (`minicore.fast.groups`). The bank is in groups of near rows, each in a box. A query
   searches the group with the nearest box first. Then its distance to most of the other boxes is
   larger than that to the nearest row so far, and these groups are skipped.
2. **A few principal axes** (`minicore.fast.axes`). One small matrix product gives lower bounds of
   all distances between the rows of a group and the queries that need it. Features of real parts
   lie near few axes, so about one row in a hundred is left. If too many are left for a query, as
   for random vectors, it is searched by matrix products of the whole vectors instead.
3. **float32**, coordinate by coordinate. The row with the smallest bound comes first: its distance
   excludes many of the other rows.
4. **The arithmetic of `equations.nearest`**: float64, in the order of the coordinates. Only one or
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

from minicore.fast.arithmetic import inner, rounding_errors, squared_distance
from minicore.fast.axes import AXES_BOUND
from minicore.fast.bounds import BLOCK, Bounds, find_hits, find_peaks, subtract_norms
from minicore.fast.groups import TILE, Groups, box_bounds
from minicore.fast.rows import Rows
from minicore.runtime import threads
from minicore.runtime.kernels import parallel

QUERIES = 392  # largest tile of queries
CROWD = 1 / 8  # if a larger share of the rows is left, products of whole vectors are faster
EARLY = 1 / 4  # share of the bank that is added to the rows searched so far, for this comparison
WAITING = 64  # rows of a query that can wait to be measured in the literal arithmetic


class _State(NamedTuple):
    """Intermediate results of the search for the m queries of a tile."""

    limits: npt.NDArray[np.float64]  # (m, k) upper bounds of the k smallest squared distances
    left: npt.NDArray[np.int64]  # (m,) number of rows that the axes did not exclude
    crowded: npt.NDArray[np.bool_]  # (m,) whether these are too many
    rows: npt.NDArray[np.int32]  # (m, WAITING) rows that may be among the nearest
    rough: npt.NDArray[np.float64]  # (m, WAITING) their squared distances in float32
    waiting: npt.NDArray[np.int64]  # (m,) number of these rows
    best: npt.NDArray[np.float64]  # (m, k) literal squared distances of the nearest, increasing
    who: npt.NDArray[np.int64]  # (m, k) their rows
    hits: npt.NDArray[np.int32]  # (TILE,) rows that the bounds do not exclude
    products: npt.NDArray[np.float32]  # (m * TILE,) memory for `Bounds.products`
    peaks: npt.NDArray[np.float32]  # (m * TILE / BLOCK,) maximum of every `BLOCK` products


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


@inner(cache=True)
def _limit(q, state, errors):
    """Return the squared distance above which a bound excludes a row for query `q`."""
    k = state.best.shape[1]
    return min(state.limits[q, k - 1], state.best[q, k - 1]) + errors.floor


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
def _sift(crowd, bounds, queries, bank, errors, state):
    """Filter some rows for some queries. Stop with a query when more than `crowd` rows are left."""
    products = bounds.products
    peaks = _part_of(state.peaks, products.shape[0], (products.shape[1] + BLOCK - 1) // BLOCK)
    find_peaks(products, peaks)
    for i in range(products.shape[0]):
        q = bounds.queries[i]
        limit = _limit(q, state, errors)
        least = np.float32(bounds.of_query[q] - limit)
        n = find_hits(products[i], peaks[i], least, state.hits)
        for hit in range(n):
            r = state.hits[hit]
            if bounds.of_query[q] - products[i, r] > limit:  # the limit is lower now
                continue
            state.left[q] += 1
            if state.left[q] > crowd:
                state.crowded[q] = True
                break
            row = bounds.rows[r]
            rough = rough_squared_distance(queries.whole, q, bank.whole, row)
            if rough > limit * errors.margin:
                continue
            if state.waiting[q] == WAITING:
                _measure(q, queries, bank, errors, state)
            state.rows[q, state.waiting[q]] = row
            state.rough[q, state.waiting[q]] = rough
            state.waiting[q] += 1
            _insert_limit(rough * errors.margin + errors.floor, state.limits[q])
            limit = _limit(q, state, errors)


@inner(cache=True)
def _part_of(space, n, width):
    return space[: n * width].reshape(n, width)


@inner(cache=True)
def _take(rows, chosen):
    """Return a copy of the chosen rows."""
    taken = np.empty((chosen.shape[0], rows.shape[1]), np.float32)
    for i in range(chosen.shape[0]):
        for c in range(rows.shape[1]):
            taken[i, c] = rows[chosen[i], c]
    return taken


@inner(cache=True)
def _search_by_axes(begin, of_query, queries, bank, groups, errors, state):
    """Search the groups, from row `begin` of their order on. Leave out queries with a crowd."""
    m, N, G = queries.whole.shape[0], bank.whole.shape[0], groups.norms.shape[0]
    for q in range(m):
        of_query[q] = (1 - AXES_BOUND) * np.float64(queries.short_norms[q])
    boxes = box_bounds(queries, groups)
    home = np.zeros(m, np.int64)  # the group with the nearest box
    for q in range(m):
        for g in range(G):
            if boxes[q, g] < boxes[q, home[q]]:
                home[q] = g
    chosen = np.empty(m, np.int64)
    for at_home in (True, False):  # first, every query searches its home: this lowers its limit
        for g in range(G):
            r0, r1 = max(groups.first[g], begin), groups.first[g + 1]
            n = 0
            for q in range(m):
                if (home[q] == g) == at_home and not state.crowded[q]:
                    chosen[n] = q  # overwritten by the next one if the box is too far
                    n += boxes[q, g] <= _limit(q, state, errors)
            if n == 0 or r0 >= r1:
                continue
            products = _part_of(state.products, n, r1 - r0)
            np.dot(_take(queries.short, chosen[:n]), groups.short[r0:r1].T, products)
            bounds = Bounds(chosen[:n], groups.order[r0:r1], of_query, products)
            crowd = CROWD * (EARLY * (N - begin) + r1 - begin)
            _sift(crowd, bounds, queries, bank, errors, state)


@inner(cache=True)
def _search_whole(chosen, begin, of_query, queries, bank, errors, state):
    """Search the bank from row `begin` on by products of whole vectors."""
    N, n = bank.whole.shape[0], chosen.shape[0]
    for q in chosen:
        of_query[q] = (1 - errors.product) * np.float64(queries.norms[q])
    vectors = _take(queries.whole, chosen)
    rows = np.empty(TILE, np.int32)
    for r0 in range(begin, N, TILE):
        r1 = min(r0 + TILE, N)
        products = _part_of(state.products, n, r1 - r0)
        np.dot(vectors, bank.whole[r0:r1].T, products)
        subtract_norms(products, bank.norms[r0:r1], errors.product)
        for r in range(r0, r1):
            rows[r - r0] = r
        bounds = Bounds(chosen, rows[: r1 - r0], of_query, products)
        _sift(np.inf, bounds, queries, bank, errors, state)


@parallel(cache=True)
def _search(first, end, size, queries, bank, groups, errors, since, best, who):
    """Search for tiles of `size` queries."""
    k = best.shape[1]
    for q0 in range(first * size, min(end * size, best.shape[0]), size):
        q1 = min(q0 + size, best.shape[0])
        m, begin = q1 - q0, since[q0]
        tile = Rows(
            queries.whole[q0:q1], queries.norms[q0:q1],
            queries.short[q0:q1], queries.short_norms[q0:q1],
        )  # fmt: skip
        state = _State(
            np.full((m, k), np.inf), np.zeros(m, np.int64), np.zeros(m, np.bool_),
            np.empty((m, WAITING), np.int32), np.empty((m, WAITING)), np.zeros(m, np.int64),
            best[q0:q1].copy(), who[q0:q1].copy(), np.empty(TILE, np.int32),
            np.empty(m * TILE, np.float32), np.empty(m * -(-TILE // BLOCK), np.float32),
        )  # fmt: skip
        of_query = np.empty(m, np.float64)
        by_axes = queries.short.shape[1] > 0
        if by_axes:
            _search_by_axes(begin, of_query, tile, bank, groups, errors, state)
        again, n = np.empty(m, np.int64), 0
        for q in range(m):
            if state.crowded[q] or not by_axes:  # begins again, but the largest limit stays
                again[n] = q
                n += 1
                state.waiting[q] = 0
                for i in range(k):
                    state.limits[q, i] = state.limits[q, k - 1]
                    state.best[q, i], state.who[q, i] = best[q0 + q, i], who[q0 + q, i]
        if n:
            _search_whole(again[:n], begin, of_query, tile, bank, errors, state)
        for q in range(m):
            _measure(q, tile, bank, errors, state)
            for i in range(k):
                best[q0 + q, i], who[q0 + q, i] = state.best[q, i], state.who[q, i]


@parallel(cache=True)
def _search_literally(first, end, queries, bank, since, best, who):
    for q in range(first, end):
        for row in range(since[q], bank.shape[0]):
            insert(squared_distance(queries[q], bank[row]), row, best[q], who[q])


def search(
    queries: Rows,
    bank: Rows,
    groups: Groups,
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
    groups : Groups
        The groups of the bank.
    since : (n,) int64, increasing
        First row of the bank that each query needs; the search may begin at an earlier row. Above 0
        only if the groups are `consecutive`.
    best : (n, k) float64
        Squared distances, increasing; changed in place.
    who : (n, k) int64
        Rows of the bank; changed in place.
    literal : bool, default False
        Compute all distances in the literal arithmetic. Necessary for norms above `HUGE`.
    """
    if literal:
        _search_literally(len(best), queries.whole, bank.whole, since, best, who)
        return
    errors = rounding_errors(queries.whole.shape[1])
    size = max(1, min(QUERIES, -(-len(best) // threads.count())))
    tiles = -(-len(best) // size)
    _search(tiles, size, queries, bank, groups, errors, since, best, who)
