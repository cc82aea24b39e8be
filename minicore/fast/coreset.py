r"""Equation 5 and Algorithm 1: the same picks, most of the work never done.

The distance of a row to its nearest pick only falls as picks are added. A value computed some picks
ago is therefore an *upper bound* of today's, and a row whose bound is below another row's true
distance cannot be the next pick. So almost every row can wait:

* **Candidates.** The few thousand rows with the largest distances are kept exactly up to date, side
  by side. While the farthest of them is farther than every bound outside, it is the next pick, and
  the rest of the bank is not touched.
* **Refresh.** When that fails, the rows with the largest bounds catch up on the picks they have
  missed, many rows at a time, and new candidates are drawn from them.

To catch up is to search the picks missed for one that is nearer: `minicore.fast.sieve` does it, and
its first filter, lower bounds from a few principal axes, also spares most candidates the literal
arithmetic at each pick. Filters only rule out; all values that are compared are those of the
literal arithmetic of `equations.greedy_coreset`, hence the same indices, ties included, on any
number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from minicore.equations.eq5_coreset import projection
from minicore.fast.arithmetic import (
    HUGE,
    TINY,
    inner,
    rounding_bound,
    squared_distance,
    squared_norms,
)
from minicore.fast.axes import AXES_BOUND, principal_axes
from minicore.fast.rows import as_queries, bank_rows
from minicore.fast.sieve import search
from minicore.runtime import threads
from minicore.runtime.kernels import parallel
from minicore.runtime.progress import bar as progress_bar

__all__ = ["greedy_coreset", "project", "projection"]

CANDIDATES = 8192  # rows that catch up together; the farthest are kept up to date at every pick
ENOUGH = 256  # so many of them ahead of all others are worth picking from
LANES = 256  # candidates whose bounds are computed side by side, in the first-level cache
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


@parallel(cache=True)
def _project(M, psi, projected):
    tile = 1024  # of a fixed shape, so that its rounding is fixed too
    for t in prange((M.shape[0] + tile - 1) // tile):
        rows = slice(t * tile, min((t + 1) * tile, M.shape[0]))
        np.dot(M[rows], psi, projected[rows])


@inner(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _inner_products(lanes, first, end, x, products):
    """Fill `products` with those of `x` and the columns `first` to `end` of `lanes`."""
    products[: end - first] = 0
    for k in range(lanes.shape[0]):
        part, factor = lanes[k, first:end], x[k]
        for c in range(part.shape[0]):
            products[c] += factor * part[c]


@njit(cache=True)
def _pick(
    M, lanes, norms, bound, rows, to_nearest, outside, outside_row, picks, radii, radius, i, l
):
    """Pick from the candidates while they are ahead of all others, until `radius` is reached.

    Return how many picks there are, and whether that was the last.

    `lanes` (k, n) holds the candidates' vectors, whole or short, `norms` (n,) their squared norms,
    and `bound` the largest error of a squared distance by inner products, per unit of the norms'
    sum; `rows` (n,) are their row numbers in increasing order, `to_nearest` (n,) their squared
    distances, -1 where picked. The largest bound of all other rows is `outside`, first at row
    `outside_row`.
    """
    n = rows.shape[0]
    floor = 4 * M.shape[1] * TINY
    products = np.empty(LANES, np.float32)
    m = 0
    for c in range(1, n):
        if to_nearest[c] > to_nearest[m]:
            m = c
    while i < l:
        farthest = to_nearest[m]
        if farthest < outside or (farthest == outside and rows[m] > outside_row) or farthest < 0:
            break
        radii[i - 1] = np.sqrt(farthest)
        if radii[i - 1] <= radius:
            return i, True
        pick = rows[m]
        picks[i] = pick
        i += 1
        x, norm = lanes[:, m].copy(), norms[m]
        to_nearest[m] = -1.0
        m = 0
        for first in range(0, n, LANES):
            end = min(first + LANES, n)
            _inner_products(lanes, first, end, x, products)
            for c in range(first, end):
                both = (1 - bound) * (norm + norms[c]) - floor
                if both - 2 * np.float64(products[c - first]) <= to_nearest[c]:
                    squared = squared_distance(M[rows[c]], M[pick])
                    if squared < to_nearest[c]:
                        to_nearest[c] = squared
                if to_nearest[c] > to_nearest[m]:
                    m = c
    return i, False


def greedy_coreset(M, l, start=0, *, radius=None, return_radii=False, progress=False):
    r"""Algorithm 1: pick rows greedily, each the farthest from those before it.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$: the memory bank, already projected.
    l : int or None
        Number of rows to choose, between 1 and `N`. With a `radius`, the largest number; None means
        `N`.
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
    N = len(M)
    if l is None and radius is None:
        raise ValueError("give the size l of the coreset, or a radius, or both")
    if l is not None and not 1 <= l <= N:
        raise ValueError(f"coreset size l must be between 1 and the {N} rows of M, got {l}")
    if not 0 <= start < N:
        raise ValueError(f"start must be one of the {N} rows of M, got {start}")
    if radius is not None and not radius >= 0:
        raise ValueError(f"radius must be at least 0, got {radius}")
    l = N if l is None else l
    reach = -1.0 if radius is None else float(radius)
    norms = squared_norms(M)
    if not np.isfinite(norms.max()):
        raise ValueError("M must be finite: found NaN or infinity")
    literal = norms.max() >= HUGE

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
        mean, axes = principal_axes(M[:1] if literal else M)
        bank = bank_rows(M, norms, mean, axes, step=0.0)
        while not enough and i < l + asked:
            candidates, outside, outside_row = _refresh(bank, picks[:i], seen, to_nearest, literal)
            distances = to_nearest[candidates]
            if i == l:
                radii[-1] = np.sqrt(distances.max())
                break
            lanes, lane_norms, bound = _lanes(bank, candidates, literal)
            ahead = True
            while ahead and not enough and i < l:
                before, end = i, min(i + STEP, l)
                i, enough = _pick(
                    M, lanes, lane_norms, bound, candidates, distances, outside, outside_row,
                    picks, radii, reach, i, end,
                )  # fmt: skip
                bar.update(i - before)
                ahead = i == end
            to_nearest[candidates] = distances
            seen[candidates] = i
    return (picks[:i], radii[:i]) if return_radii else picks[:i]


def _lanes(bank, candidates, literal):
    """Give what bounds the candidates' distances from each other: lanes, norms and error."""
    if literal:  # nothing is certain but the literal arithmetic
        return np.zeros((1, len(candidates)), np.float32), np.zeros(len(candidates)), 0.0
    if bank.coarse.shape[1]:
        vectors, norms, bound = bank.coarse[candidates, :-1], bank.centred_norms, AXES_BOUND
    else:
        vectors, norms = bank.whole[candidates], bank.norms
        bound = rounding_bound(bank.whole.shape[1])
    return np.ascontiguousarray(vectors.T), norms[candidates].astype(np.float64), bound


def _catch_up(bank, rows, picked, seen, to_nearest, literal):
    """Bring `to_nearest` of `rows` (ordered by `seen`) up to date with all that is `picked`."""
    nearest = to_nearest[rows][:, None]
    who = np.zeros((len(rows), 1), np.int64)
    search(as_queries(bank.take(rows)), picked, seen[rows], nearest, who, literal=literal)
    to_nearest[rows] = nearest[:, 0]
    seen[rows] = len(picked.whole)


def _refresh(bank, picks, seen, to_nearest, literal):
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
    N, picked = len(bank.whole), bank.take(picks)
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
            _catch_up(bank, behind, picked, seen, to_nearest, literal)
        ahead = (to_nearest[top] > outside) | ((to_nearest[top] == outside) & (top < outside_row))
        if len(behind) == 0 or np.count_nonzero(ahead) >= ENOUGH:
            return (
                np.sort(top[(to_nearest[top] >= outside) & (to_nearest[top] >= 0)]),
                outside,
                outside_row,
            )
