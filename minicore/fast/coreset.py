r"""Equation 5 and Algorithm 1: the same picks, most of the work never done.

The distance of a row to its nearest pick only falls as picks are added. A value computed some picks
ago is therefore an *upper bound* of today's, and a row whose bound is below another row's true
distance cannot be the next pick. So almost every row can wait:

* **Candidates.** The few thousand rows with the largest distances are kept exactly up to date, in
  one contiguous, transposed array. While the farthest of them is farther than every bound outside,
  it is the next pick, and the rest of the bank is not touched.
* **Refresh.** When that fails, the rows with the largest bounds catch up on the picks they have
  missed, many rows and many picks at a time, and new candidates are drawn from them.

Catching up is a matrix product in float32, which is only used to rule picks out: those that the
rounding leaves in doubt are measured in the literal arithmetic of `equations.greedy_coreset`. All
values that are compared are literal ones, hence the same indices, ties included, on any number of
threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from minicore import threads
from minicore.equations.eq5_coreset import projection, stopping_rule
from minicore.fast.arithmetic import (
    HUGE,
    TINY,
    rounding_bound,
    squared_distance,
    squared_norms,
)
from minicore.progress import bar as progress_bar

__all__ = ["greedy_coreset", "project", "projection"]

CANDIDATES = 4096  # rows that catch up together; the farthest are kept up to date at every pick
ENOUGH = 512  # so many of them ahead of all others are worth picking from
ROWS, PICKS = 64, 512  # tile of a matrix product when catching up
LANES = 256  # candidates measured side by side: float64 sums that stay in the first-level cache
STEP = 256  # picks between two looks at the progress bar and the keyboard


def project(M, psi):
    r"""Project the memory bank, $\psi(\mathcal{M})$, the same on any number of threads.

    Parameters
    ----------
    M : (N, D) float32
        The memory bank.
    psi : (D, d*) float32
        The projection (`projection`).

    Returns
    -------
    projected : (N, d*) float32
    """
    projected = np.empty((len(M), psi.shape[1]), np.float32)
    with threads.single_threaded_blas():
        _project(np.ascontiguousarray(M, np.float32), psi, projected)
    return projected


@njit(parallel=True, cache=True)
def _project(M, psi, projected):
    tile = 1024  # of a fixed shape, so that its rounding is fixed too
    for t in prange((M.shape[0] + tile - 1) // tile):
        rows = slice(t * tile, min((t + 1) * tile, M.shape[0]))
        projected[rows] = np.dot(M[rows], psi)


@njit(cache=True, fastmath={"nnan", "nsz"})  # the least of many, with the processor's vectors
def _lower_bounds(products, row_norms, pick_norms, bound, floor, nearest):
    """Turn inner products into what is certain of each distance, in place, and find the least."""
    for i in range(products.shape[0]):
        least = np.float32(np.inf)
        for j in range(products.shape[1]):
            norms = row_norms[i] + pick_norms[j]
            lower = norms - 2 * products[i, j] - bound * norms - floor
            products[i, j] = lower
            least = min(least, lower)
        nearest[i] = least


@njit(parallel=True, cache=True)
def _catch_up(M, norms, rows, picks, seen, to_nearest, bound):
    """Bring `to_nearest` of `rows` (ordered by `seen`) up to date with all `picks`."""
    d = M.shape[1]
    t = picks.shape[0]
    pick_rows = M[picks]
    pick_norms = norms[picks]
    floor = np.float32(d * TINY)

    for tile in prange((rows.shape[0] + ROWS - 1) // ROWS):
        mine = rows[tile * ROWS : min((tile + 1) * ROWS, rows.shape[0])]
        block = np.empty((mine.shape[0], d), np.float32)
        for i in range(mine.shape[0]):
            block[i] = M[mine[i]]
        nearest = np.empty(mine.shape[0], np.float32)

        for p0 in range(seen[mine[0]], t, PICKS):
            p1 = min(p0 + PICKS, t)
            lower = np.dot(block, pick_rows[p0:p1].T)
            _lower_bounds(lower, norms[mine], pick_norms[p0:p1], bound, floor, nearest)
            for i in range(mine.shape[0]):
                row = mine[i]
                if nearest[i] >= to_nearest[row]:
                    continue
                for j in range(p1 - p0):  # the likeliest first: it lowers the bar for the rest
                    if lower[i, j] == nearest[i]:
                        squared = squared_distance(block[i], pick_rows[p0 + j])
                        to_nearest[row] = min(to_nearest[row], squared)
                        break
                for j in range(p1 - p0):
                    if lower[i, j] < to_nearest[row]:
                        squared = squared_distance(block[i], pick_rows[p0 + j])
                        to_nearest[row] = min(to_nearest[row], squared)
        for i in range(mine.shape[0]):
            seen[mine[i]] = t


@njit(parallel=True, cache=True)
def _catch_up_literally(M, rows, picks, seen, to_nearest):
    """Do the same without matrix products, for norms that float32 products cannot hold."""
    for i in prange(rows.shape[0]):
        row = rows[i]
        for p in range(seen[row], picks.shape[0]):
            squared = squared_distance(M[row], M[picks[p]])
            to_nearest[row] = min(to_nearest[row], squared)
        seen[row] = picks.shape[0]


@njit(cache=True)
def _pick(lanes, rows, to_nearest, outside, outside_row, picks, radii, radius, i, l):
    """Pick from the candidates while they are ahead of all others, until `radius` is reached.

    Return how many picks there are, and whether that was the last.

    `lanes` (d, n) holds the candidates' vectors, `rows` (n,) their row numbers in increasing order,
    `to_nearest` (n,) their squared distances, -1 where picked. The largest bound of all other rows
    is `outside`, first at row `outside_row`.
    """
    d, n = lanes.shape
    while i < l:
        m = 0
        for c in range(1, n):
            if to_nearest[c] > to_nearest[m]:
                m = c
        farthest = to_nearest[m]
        if farthest < outside or (farthest == outside and rows[m] > outside_row) or farthest < 0:
            break
        radii[i - 1] = np.sqrt(farthest)
        if radii[i - 1] <= radius:
            return i, True
        picks[i] = rows[m]
        i += 1
        pick = lanes[:, m].copy()
        for first in range(0, n, LANES):
            end = min(first + LANES, n)
            squared = np.zeros(LANES)
            for k in range(d):
                x = np.float64(pick[k])
                for c in range(end - first):
                    difference = np.float64(lanes[k, first + c]) - x
                    squared[c] += difference * difference
            for c in range(end - first):
                if squared[c] < to_nearest[first + c]:
                    to_nearest[first + c] = squared[c]
        to_nearest[m] = -1.0
    return i, False


def greedy_coreset(M, l=None, start=0, radius=None, return_radii=False, progress=False):
    r"""Algorithm 1: pick rows greedily, each the farthest from those before it.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$: the memory bank, already projected.
    l : int, optional
        How many rows to pick, between 1 and `N`; with a `radius`, at most so many (None: `N`).
    start : int, default 0
        The first pick.
    radius : float, optional
        Stop as soon as no row is farther than this (Euclidean) from its nearest pick.
    return_radii : bool, default False
        Return the radius after each pick too.
    progress : bool, default False
        Show how far it is.

    Returns
    -------
    M_C : (l,) int64
        Row indices in the order picked, fewer if `radius` was reached; the same as from
        `equations.greedy_coreset`.
    radii : (l,) float64
        If asked for: largest distance of any row to its nearest pick, after each pick.

    Raises
    ------
    ValueError
        If `l`, `start` or `radius` is out of range, neither `l` nor `radius` is given, or a value
        is not finite.

    Notes
    -----
    Algorithm 1 of Roth et al., CVPR 2022. Memory: a few vectors of length `N` beside `M`.
    """
    M = np.ascontiguousarray(M, np.float32)
    if M.ndim != 2 or M.shape[1] < 1:
        raise ValueError(f"M must be a (rows, dimensions) array, got shape {M.shape}")
    N, d = M.shape
    l, reach = stopping_rule(N, l, start, radius)
    norms = squared_norms(M)
    if not np.isfinite(norms.max()):
        raise ValueError("M must be finite: found NaN or infinity")
    literal = norms.max() >= HUGE
    norms = np.minimum(norms, HUGE).astype(np.float32)
    bound = np.float32(rounding_bound(d))

    to_nearest = np.full(N, np.inf)  # squared, to the picks seen so far; -1 where picked
    seen = np.zeros(N, np.int64)  # how many picks that is
    picks = np.empty(l, np.int64)
    radii = np.zeros(l)  # 0 when all rows are picked
    picks[0] = start
    to_nearest[start] = -1.0
    i, enough = 1, False
    # The radius is known when the next pick is: look for one more than is taken, if it is asked.
    asked = (return_radii or reach >= 0) and l < N

    with (
        progress_bar(l, "coreset", "row", show=progress, initial=1) as bar,
        threads.single_threaded_blas(),
    ):
        while not enough and i < l + asked:
            candidates, outside, outside_row = _refresh(
                M, norms, picks[:i], seen, to_nearest, bound, literal
            )
            distances = to_nearest[candidates]
            if i == l:
                radii[-1] = np.sqrt(distances.max())
                break
            lanes = np.ascontiguousarray(M[candidates].T)
            ahead = True
            while ahead and not enough and i < l:
                before, end = i, min(i + STEP, l)
                i, enough = _pick(
                    lanes, candidates, distances, outside, outside_row, picks, radii, reach, i, end
                )
                bar.update(i - before)
                ahead = i == end
            to_nearest[candidates] = distances
            seen[candidates] = i
    return (picks[:i], radii[:i]) if return_radii else picks[:i]


def _refresh(M, norms, picks, seen, to_nearest, bound, literal):
    """Choose candidates: rows exactly up to date, and farther than any bound outside them.

    Returns
    -------
    candidates : (n,) int64
        In increasing order.
    outside : float
        The largest bound of all other rows; -1 if there are none.
    outside_row : int
        The lowest row that has it.
    """
    N = len(M)
    while True:
        if N > 2 * CANDIDATES:
            order = np.argpartition(to_nearest, N - CANDIDATES)
            top, rest = order[N - CANDIDATES :], order[: N - CANDIDATES]
            # Of the rows level with the largest bound outside, the lowest go first: let them in.
            outside = to_nearest[rest].max()
            level = np.sort(rest[to_nearest[rest] == outside])
            top = np.concatenate([top, level[:CANDIDATES]])
            if len(level) > CANDIDATES:
                outside_row = level[CANDIDATES]
            else:
                rest = rest[to_nearest[rest] < outside]
                outside = to_nearest[rest].max(initial=-1.0)
                outside_row = rest[to_nearest[rest] == outside].min(initial=N)
        else:
            top, outside, outside_row = np.arange(N), -1.0, N

        behind = top[(seen[top] < len(picks)) & (to_nearest[top] >= 0)]
        if len(behind):
            behind = behind[np.argsort(seen[behind], kind="stable")]
            if literal:
                _catch_up_literally(M, behind, picks, seen, to_nearest)
            else:
                _catch_up(M, norms, behind, picks, seen, to_nearest, bound)
        ahead = (to_nearest[top] > outside) | ((to_nearest[top] == outside) & (top < outside_row))
        if len(behind) == 0 or np.count_nonzero(ahead) >= ENOUGH:
            return (
                np.sort(top[(to_nearest[top] >= outside) & (to_nearest[top] >= 0)]),
                outside,
                outside_row,
            )
