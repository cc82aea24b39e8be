r"""Algorithm 1: the rows of `equations.greedy_coreset`; most distances are never computed.

The distance of a row to its nearest pick never increases when picks are added. So a value from some
picks ago is an *upper bound* of the current distance. A row whose bound is below another row's
exact distance cannot be the next pick. So most rows need no update at a pick:

* **Candidates.** The distances of the few thousand farthest rows are updated at every pick. While
  the largest of them is above the bounds of all other rows, its row is the next pick, and the
  other rows are not read.
* **Refresh.** Otherwise the rows with the largest bounds are compared with the picks that they
  have missed, many rows at a time. New candidates are chosen from these rows.

`minicore.fast.sieve` searches the missed picks for a nearer one. Its lower bounds from a few
principal axes are also used at each pick, so most candidates need no distance. The bounds only
exclude rows. All distances that are compared have the arithmetic of `equations.greedy_coreset`. So
the picks are the same, including ties, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from numba import njit

from minicore.fast.arithmetic import (
    HUGE,
    inner,
    rounding_errors,
    squared_distance,
    squared_norms,
)
from minicore.fast.axes import AXES_BOUND, principal_axes
from minicore.fast.rows import Rows, as_queries, bank_rows
from minicore.fast.sieve import search
from minicore.runtime import threads

CANDIDATES = 8192  # rows that are updated together; the farthest are updated at every pick
ENOUGH = 256  # candidates that must be farther than all other rows before picking starts
LANES = 256  # candidates whose bounds are computed together, in the first-level cache
STEP = 256  # picks between two reports of progress, and between two checks for Ctrl-C


class _Candidates(NamedTuple):
    """Rows whose distances are updated at every pick.

    The squared distance of two of them is at least
    ``(1 - error) * (norms[a] + norms[b]) - floor - 2 * product`` of their columns of `lanes`.
    """

    rows: npt.NDArray[np.int64]  # (n,) row numbers, increasing
    to_nearest: npt.NDArray[np.float64]  # (n,) squared distances to the picks; -1 where picked
    outside: float  # largest bound of all other rows; -1 if there are none
    outside_row: int  # the lowest row that has it
    lanes: npt.NDArray[np.float32]  # (k, n) vectors of the candidates, whole or short
    norms: npt.NDArray[np.float64]  # (n,) their squared norms
    error: float
    floor: float


class _Picks(NamedTuple):
    """The picks so far."""

    rows: npt.NDArray[np.int64]  # (l,) in the order picked
    radii: npt.NDArray[np.float64]  # (l,) largest distance of any row, after each pick
    radius: float  # stop when it is reached; -1: never stop


@inner(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _inner_products(lanes, first, end, x, products):
    """Fill `products` with those of `x` and the columns `first` to `end` of `lanes`."""
    products[: end - first] = 0
    for k in range(lanes.shape[0]):
        part, factor = lanes[k, first:end], x[k]
        for c in range(part.shape[0]):
            products[c] += factor * part[c]


@njit(cache=True)
def _pick(M, candidates, picks, i, end):
    """Pick rows `i` to `end` from the candidates, while the farthest is ahead of all other rows.

    Return the number of picked rows, and whether the radius is reached.
    """
    rows, to_nearest, outside, outside_row, lanes, norms, error, floor = candidates
    n = rows.shape[0]
    products = np.empty(LANES, np.float32)
    m = 0
    for c in range(1, n):
        if to_nearest[c] > to_nearest[m]:
            m = c
    while i < end:
        farthest = to_nearest[m]
        if farthest < outside or (farthest == outside and rows[m] > outside_row) or farthest < 0:
            break
        picks.radii[i - 1] = np.sqrt(farthest)
        if picks.radii[i - 1] <= picks.radius:
            return i, True
        pick = rows[m]
        picks.rows[i] = pick
        i += 1
        x, norm = lanes[:, m].copy(), norms[m]
        to_nearest[m] = -1.0
        m = 0
        for first in range(0, n, LANES):
            last = min(first + LANES, n)
            _inner_products(lanes, first, last, x, products)
            for c in range(first, last):
                least = (1 - error) * (norm + norms[c]) - 2 * np.float64(products[c - first])
                if least - floor <= to_nearest[c]:
                    squared = squared_distance(M[rows[c]], M[pick])
                    if squared < to_nearest[c]:
                        to_nearest[c] = squared
                if to_nearest[c] > to_nearest[m]:
                    m = c
    return i, False


Progress = Callable[[int], object]


@overload
def greedy_coreset(
    M: npt.ArrayLike, l: int | None, start: int = 0, *, radius: float | None = None,
    return_radii: Literal[False] = False, progress: Progress | None = None,
) -> npt.NDArray[np.int64]: ...  # fmt: skip
@overload
def greedy_coreset(
    M: npt.ArrayLike, l: int | None, start: int = 0, *, radius: float | None = None,
    return_radii: Literal[True], progress: Progress | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]: ...  # fmt: skip
def greedy_coreset(
    M: npt.ArrayLike,
    l: int | None,
    start: int = 0,
    *,
    radius: float | None = None,
    return_radii: bool = False,
    progress: Progress | None = None,
) -> npt.NDArray[np.int64] | tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    r"""Choose `l` rows by Algorithm 1: each is the farthest from the rows before it.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$: the memory bank, already projected.
    l : int or None
        Number of rows to choose, between 1 and `N`. With a `radius` it is the largest number, and
        None means `N`.
    start : int, default 0
        The first row.
    radius : float, optional
        Stop as soon as no row is farther than this (Euclidean) from its nearest pick.
    return_radii : bool, default False
        Also return the radius after each pick.
    progress : callable, optional
        Called with the number of new picks, every few picks.

    Returns
    -------
    M_C : (l,) int64
        Row indices in the order picked, fewer if `radius` was reached; the same as from
        `equations.greedy_coreset`.
    radii : (l,) float64
        If `return_radii`: largest distance of any row to its nearest pick, after each pick.

    Raises
    ------
    ValueError
        If `l`, `start` or `radius` is out of range, neither `l` nor `radius` is given, or a value
        is not finite.

    Notes
    -----
    Algorithm 1 of Roth et al., CVPR 2022. Memory: a few vectors of length `N` beside `M`.
    """
    bank = np.ascontiguousarray(M, np.float32)
    if bank.ndim != 2 or bank.shape[1] < 1:
        raise ValueError(f"M must be a (rows, dimensions) array, got shape {bank.shape}")
    N = len(bank)
    if l is None and radius is None:
        raise ValueError("pass the size l of the coreset, or a radius, or both")
    if l is not None and not 1 <= l <= N:
        raise ValueError(f"coreset size l must be between 1 and the {N} rows of M, got {l}")
    if not 0 <= start < N:
        raise ValueError(f"start must be one of the {N} rows of M, got {start}")
    if radius is not None and not radius >= 0:
        raise ValueError(f"radius must be at least 0, got {radius}")
    l = N if l is None else l
    norms = squared_norms(bank)
    if not np.isfinite(norms.max()):
        raise ValueError("M must be finite: found NaN or infinity")
    literal = bool(norms.max() >= HUGE)

    to_nearest = np.full(N, np.inf)  # squared, to the picks seen so far; -1 where picked
    seen = np.zeros(N, np.int64)  # number of these picks
    # If all rows are picked, the last radius stays 0.
    picks = _Picks(np.empty(l, np.int64), np.zeros(l), -1.0 if radius is None else float(radius))
    picks.rows[0] = start
    to_nearest[start] = -1.0
    i, reached = 1, False
    # The radius after the last pick is the distance of the next pick.
    one_more = (return_radii or radius is not None) and l < N

    with threads.single_threaded_blas():
        mean, axes = principal_axes(bank[:1] if literal else bank)
        rows = bank_rows(bank, norms, mean, axes)
        while not reached and i < l + one_more:
            candidates = _refresh(rows, picks.rows[:i], seen, to_nearest, literal)
            if i == l:
                picks.radii[-1] = np.sqrt(candidates.to_nearest.max())
                break
            ahead = True
            while ahead and not reached and i < l:
                before, end = i, min(i + STEP, l)
                i, reached = _pick(bank, candidates, picks, i, end)
                if progress is not None:
                    progress(i - before)
                ahead = i == end
            to_nearest[candidates.rows] = candidates.to_nearest
            seen[candidates.rows] = i
    return (picks.rows[:i], picks.radii[:i]) if return_radii else picks.rows[:i]


def _candidates(
    bank: Rows,
    rows: npt.NDArray[np.int64],
    to_nearest: npt.NDArray[np.float64],
    outside: tuple[float, int],
    literal: bool,
) -> _Candidates:
    """Prepare the bounds of the candidates' distances from each other."""
    d = bank.whole.shape[1]
    errors = rounding_errors(d)
    if literal:  # every bound is -floor, so every distance is computed
        n = len(rows)
        lanes, norms, error = np.zeros((n, 1), np.float32), np.zeros(n, np.float32), 0.0
    elif bank.short.shape[1]:
        lanes, norms, error = bank.short[rows, :-1], bank.short_norms[rows], AXES_BOUND
    else:
        lanes, norms, error = bank.whole[rows], bank.norms[rows], errors.product
    return _Candidates(
        rows, to_nearest[rows], float(outside[0]), int(outside[1]),
        np.ascontiguousarray(lanes.T), norms.astype(np.float64), error, errors.floor,
    )  # fmt: skip


def _catch_up(
    bank: Rows,
    rows: npt.NDArray[np.int64],
    picked: Rows,
    seen: npt.NDArray[np.int64],
    to_nearest: npt.NDArray[np.float64],
    literal: bool,
) -> None:
    """Update `to_nearest` of `rows` (ordered by `seen`) with all picks."""
    nearest = to_nearest[rows][:, None]
    who = np.zeros((len(rows), 1), np.int64)
    search(as_queries(bank.take(rows)), picked, seen[rows], nearest, who, literal)
    to_nearest[rows] = nearest[:, 0]
    seen[rows] = len(picked.whole)


def _refresh(
    bank: Rows,
    picks: npt.NDArray[np.int64],
    seen: npt.NDArray[np.int64],
    to_nearest: npt.NDArray[np.float64],
    literal: bool,
) -> _Candidates:
    """Choose candidates: rows with exact distances above the bounds of all other rows."""
    N, picked = len(bank.whole), bank.take(picks)
    while True:
        if N > 2 * CANDIDATES:
            order = np.argpartition(to_nearest, N - CANDIDATES)
            top, rest = order[N - CANDIDATES :], order[: N - CANDIDATES]
            # Several rows may have the largest bound outside. The lowest of them come first, so
            # they become candidates.
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
            rows = np.sort(top[(to_nearest[top] >= outside) & (to_nearest[top] >= 0)])
            return _candidates(bank, rows, to_nearest, (outside, outside_row), literal)
