r"""Nearest rows by sieving: most distances never computed, none of them wrong.

Filters, each cheaper than the next and each *certain*: a row is skipped only if even the largest
error that rounding can have made would not make it as near as one already measured.

1. **A few principal axes** (`minicore.fast.axes`). For a tile of queries and a tile of the bank,
   lower bounds of all distances are one small matrix product. Features of real parts lie near few
   axes: about one row in a hundred survives 24. (Where too many survive, as of random vectors,
   tiles are done as matrix products of the whole vectors instead.)
2. **More axes**, pair by pair, while the tile is in the cache: of these one in five survives 96.
3. **Bytes** (`minicore.fast.codes`): eight bits a coordinate. A row is in main memory, and it is
   reading it that costs.
4. **float32**, coordinate by coordinate, the likeliest row of a tile first: the nearer what has
   been measured, the fewer survive in the tiles to come.
5. **The literal arithmetic** of `equations.nearest`: float64, in the order of the coordinates. When
   the whole bank has been sifted it measures the one or two rows that can still be the nearest.
   Only these measurements are compared with each other and returned.

`minicore.fast.nearest` searches the memory bank this way, and `minicore.fast.coreset` the picks
that rows of the bank have missed. Indices and ties are therefore those of the literal versions, on
any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from minicore.fast.arithmetic import EPS, TINY, inner, rounding_bound, squared_distance
from minicore.fast.axes import AXES_BOUND
from minicore.fast.codes import code_distance
from minicore.fast.rows import Rows
from minicore.runtime import threads
from minicore.runtime.kernels import parallel

QUERIES, ROWS = 196, 512  # tile of a matrix product: 0.4 MB of results, read back from cache
BLOCK = 16  # products whose largest is found at once
CROWD = 1 / 8  # of a tile's pairs: if more survive, a product of the whole vectors is cheaper,
PATIENCE = 16  # and the next tile is not tried otherwise; then two, four, up to so many
FOUND = 64  # rows of a query that can wait to be measured in the literal arithmetic


@inner(cache=True)
def insert(squared, row, best, who):
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


# Arrays and the numbers of rows, not rows: to take a row out of an array that several threads use
# costs more than to compare two short ones.
@inner(fastmath=True, cache=True)
def rough_squared_distance(x, i, y, j):
    """float32, in whatever order is fastest; relative error at most (d + 2) EPS."""
    squared = np.float32(0)
    for c in range(x.shape[1]):
        difference = x[i, c] - y[j, c]
        squared += difference * difference
    return squared


@inner(cache=True)
def _insert_bound(bound, nearest):
    rank = nearest.shape[0] - 1
    if bound >= nearest[rank]:
        return
    while rank > 0 and bound < nearest[rank - 1]:
        nearest[rank] = nearest[rank - 1]
        rank -= 1
    nearest[rank] = bound


# The products are finite, and which zero is the larger does not matter: so these are vectors.
@inner(cache=True, fastmath={"nnan", "nsz"})
def _find_peaks(products, peaks):
    """Fill `peaks` with the largest of every `BLOCK` products: the rest is seldom looked at."""
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
    return whole + (n % BLOCK > 0)


@inner(cache=True)
def _bounds_of_whole(products, bank_norms, bound):
    """Turn inner products into all that the bounds say but for what depends on the query alone."""
    for q in range(products.shape[0]):
        for r in range(products.shape[1]):
            products[q, r] = 2 * products[q, r] - (bank_norms[r] - bound * bank_norms[r])


class _Found(NamedTuple):
    """What is known so far of a tile of m queries."""

    nearest: np.ndarray  # (m, k) upper bounds of the k least squared distances, increasing
    begun: np.ndarray  # (m,) the part of the bank that all of these are from
    rows: np.ndarray  # (m, FOUND) rows that can be among the nearest,
    rough: np.ndarray  # (m, FOUND) their squared distances in float32
    found: np.ndarray  # (m,) how many there are
    best: np.ndarray  # (m, k) literal squared distances of the nearest, increasing
    who: np.ndarray  # (m, k) their rows


@inner(cache=True)
def _begin(products, r0, q, x, bank, margin, floor, nearest):
    """Fill `nearest[q]` from a part of the bank: with the likeliest row, or with all if k > 1."""
    if nearest.shape[1] == 1:
        likeliest = 0
        for r in range(1, products.shape[0]):
            if products[r] > products[likeliest]:
                likeliest = r
        rough = rough_squared_distance(x, q, bank, r0 + likeliest)
        nearest[q, 0] = rough * margin + floor
        return
    for r in range(products.shape[0]):
        rough = rough_squared_distance(x, q, bank, r0 + r)
        _insert_bound(rough * margin + floor, nearest[q])


@inner(cache=True)
def _reach(products, peaks, q, bar, hits):
    """Find the products of query `q` that reach `bar`; return how many there are."""
    n = 0
    for b in range(peaks.shape[1]):
        if peaks[q, b] >= bar:
            for r in range(b * BLOCK, min((b + 1) * BLOCK, products.shape[1])):
                hits[n] = r
                n += products[q, r] >= bar
    return n


@inner(cache=True)
def _look_closer(q, x, x_norms, bank, bank_norms, r0, limit, hits, bounds, n):
    """Keep those of the rows hit that are not farther than `limit` along more axes, and how far."""
    kept = 0
    for i in range(n):
        row = r0 + hits[i]
        slack = AXES_BOUND * (np.float64(x_norms[q]) + bank_norms[row])
        bound = rough_squared_distance(x, q, bank, row) - slack
        if bound <= limit:
            hits[kept] = hits[i]
            bounds[kept] = bound
            kept += 1
    return kept


@inner(cache=True)
def _settle(q, x, bank, margin, floor, so_far):
    """Measure the rows found for query `q` that can be among the nearest, and forget them."""
    k = so_far.best.shape[1]
    for i in range(so_far.found[q]):
        limit = min(so_far.best[q, k - 1], so_far.nearest[q, k - 1]) + floor
        if so_far.rough[q, i] <= limit * margin:
            row = so_far.rows[q, i]
            insert(squared_distance(x[q], bank[row]), row, so_far.best[q], so_far.who[q])
    so_far.found[q] = 0


@inner(cache=True)
def _sift(first, by_axes, products, peaks, r0, queries, bank, step, bound, so_far, hits, bounds):
    """Sift a part of the bank, from row `r0` on, for a tile's queries from `first` on.

    Return the query before which it stopped, because there was a crowd: else their number.
    """
    m, d = queries.whole.shape
    k = so_far.best.shape[1]
    floor = 4 * d * TINY
    margin = 1 + 4 * (d + 8) * EPS
    finer = by_axes and bank.fine.shape[1] > 0
    allowed = CROWD * products.size if by_axes else np.inf
    nearest, begun, rows, rough, found, best, _ = so_far

    for q in range(first, m):
        if allowed < 0:
            return q
        p = q - first
        if by_axes:
            base = (1 - AXES_BOUND) * np.float64(queries.centred_norms[q])
        else:
            base = (1 - np.float64(bound)) * queries.norms[q]
        if min(nearest[q, k - 1], best[q, k - 1]) == np.inf:
            _begin(products[p], r0, q, queries.whole, bank.whole, margin, floor, nearest)
            begun[q] = r0
        limit = min(nearest[q, k - 1], best[q, k - 1]) + floor
        n = _reach(products, peaks, p, np.float32(base - limit), hits)
        allowed -= n
        if finer:
            n = _look_closer(
                q, queries.fine, queries.centred_norms, bank.fine, bank.centred_norms, r0, limit,
                hits, bounds, n,
            )  # fmt: skip
        else:
            for i in range(n):
                bounds[i] = base - products[p, hits[i]]

        likeliest = 0
        for i in range(1, n):
            if bounds[i] < bounds[likeliest]:
                likeliest = i
        for i in range(n):
            h = likeliest if i == 0 else (0 if i == likeliest else i)  # it lowers the bar: first
            if bounds[h] > limit:
                continue
            row = r0 + hits[h]
            if step > 0:
                length = np.sqrt(limit) + queries.rests[q] + bank.rests[row]
                enough = length / step * (1 + 2e-9)
                if code_distance(queries.codes, q, bank.codes, row) > enough * enough:
                    continue
            about = rough_squared_distance(queries.whole, q, bank.whole, row)
            if about > limit * margin:
                continue
            if found[q] == FOUND:
                _settle(q, queries.whole, bank.whole, margin, floor, so_far)
            rows[q, found[q]] = row
            rough[q, found[q]] = about
            found[q] += 1
            if begun[q] != r0:  # it is in there already
                _insert_bound(about * margin + floor, nearest[q])
            limit = min(nearest[q, k - 1], best[q, k - 1]) + floor
    return m


@inner(cache=True)
def _search_tile(q0, queries, bank, step, bound, since, best, who):
    """Search for the queries from `q0` on, as many as are in a tile."""
    N, d = bank.whole.shape
    n, k = best.shape
    shorten = bank.coarse.shape[1] > 0
    q1 = min(q0 + QUERIES, n)
    m = q1 - q0
    tile = Rows(
        queries.whole[q0:q1], queries.norms[q0:q1], queries.coarse[q0:q1],
        queries.fine[q0:q1], queries.centred_norms[q0:q1], queries.codes[q0:q1],
        queries.rests[q0:q1],
    )  # fmt: skip
    so_far = _Found(
        np.full((m, k), np.inf), np.full(m, -1), np.empty((m, FOUND), np.int32),
        np.empty((m, FOUND)), np.zeros(m, np.int64), best[q0:q1], who[q0:q1],
    )  # fmt: skip
    space = np.empty(m * ROWS, np.float32)
    maxima = np.empty((m, (ROWS + BLOCK - 1) // BLOCK), np.float32)
    hits, bounds = np.empty(ROWS, np.int32), np.empty(ROWS)
    patience, wait = 0, 1
    for r0 in range(since[q0], N, ROWS):
        r1 = min(r0 + ROWS, N)
        by_axes = shorten and patience == 0
        patience = max(patience - 1, 0)
        q = np.int64(0)  # a bare 0 would have _sift compiled for it a second time
        while q < m:
            products = space[: (m - q) * (r1 - r0)].reshape(m - q, r1 - r0)
            if by_axes:
                np.dot(tile.coarse[q:], bank.coarse[r0:r1].T, products)
            else:
                np.dot(tile.whole[q:], bank.whole[r0:r1].T, products)
                _bounds_of_whole(products, bank.norms[r0:r1], bound)
            peaks = maxima[:, : _find_peaks(products, maxima)]
            q = _sift(
                q, by_axes, products, peaks, r0, tile, bank, step, bound, so_far, hits, bounds
            )
            if q < m:  # the other queries, and the next tiles, by the whole vectors
                by_axes, patience, wait = False, wait, min(2 * wait, PATIENCE)
    for i in range(m):
        _settle(i, tile.whole, bank.whole, 1 + 4 * (d + 8) * EPS, 4 * d * TINY, so_far)


@parallel(cache=True)
def _search(queries, bank, step, bound, since, best, who, n_threads):
    n = best.shape[0]
    # Each thread takes every other tile, not half of them in one piece: parts of an image differ.
    turns = (n + QUERIES * n_threads - 1) // (QUERIES * n_threads)
    for task in prange(turns * n_threads):
        q0 = (task % turns * n_threads + task // turns) * QUERIES
        if q0 < n:
            _search_tile(q0, queries, bank, step, bound, since, best, who)


@parallel(cache=True)
def _search_literally(queries, bank, since, best, who):
    for q in prange(queries.shape[0]):
        for row in range(since[q], bank.shape[0]):
            insert(squared_distance(queries[q], bank[row]), row, best[q], who[q])


def search(queries, bank, since, best, who, step=0.0, literal=False):
    """Put rows of the bank among the nearest of each query, if they are nearer.

    Parameters
    ----------
    queries, bank : Rows
        From `as_queries` and `bank_rows`.
    since : (n,) int64, increasing
        The row of the bank to begin with, or an earlier one.
    best : (n, k) float64
        Squared distances, increasing; changed.
    who : (n, k) int64
        Rows; changed.
    step : float
        Of the codes.
    literal : bool
        Without matrix products, for norms that float32 products cannot hold.
    """
    if literal:
        _search_literally(queries.whole, bank.whole, since, best, who)
    else:
        bound = np.float32(rounding_bound(queries.whole.shape[1]))
        _search(queries, bank, step, bound, since, best, who, threads.count())
