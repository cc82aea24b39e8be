r"""Algorithm 1: the rows of `equations.greedy_coreset`; most distances are never computed.

The distance of a row to its nearest pick never increases when picks are added. So a value from some
picks ago is an *upper bound* of the current distance. A row whose bound is below another row's
exact distance cannot be the next pick. So most rows need no update at a pick:

* **Candidates.** The distances of the few thousand farthest rows are updated at every pick. While
  the largest of them is above the bounds of all other rows, its row is the next pick, and the
  other rows are not read.
* **Refresh.** Otherwise the rows with the largest bounds are compared with the picks that they
  have missed, many rows at a time (`minicore.fast.farthest`). New candidates are chosen from these
  rows.

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

from minicore.fast.arithmetic import inner, rounding_errors, squared_distance
from minicore.fast.axes import AXES_BOUND
from minicore.fast.farthest import NOTHING, Farthest, Outside

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


class Picks(NamedTuple):
    """The picks, in the order picked."""

    rows: npt.NDArray[np.int64]  # (l,)
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
    l = check_picks(N, l, start, radius)
    remaining = Farthest(bank)
    # If all rows are picked, the last radius stays 0.
    picks = Picks(np.empty(l, np.int64), np.zeros(l), -1.0 if radius is None else float(radius))
    picks.rows[0] = start
    remaining.remove(picks.rows[:1])
    remaining.add_own(picks.rows[:1])
    i = pick_farthest(remaining, picks, 1, progress=progress)
    # The radius after the last pick is the distance of the next pick.
    if i == l < N and return_radii:
        picks.radii[-1] = largest(remaining)
    return (picks.rows[:i], picks.radii[:i]) if return_radii else picks.rows[:i]


def check_picks(N: int, l: int | None, start: int, radius: float | None) -> int:
    """Return the largest number of picks, or raise the errors of `greedy_coreset`."""
    if l is None and radius is None:
        raise ValueError("pass the size l of the coreset, or a radius, or both")
    if l is not None and not 1 <= l <= N:
        raise ValueError(f"coreset size l must be between 1 and the {N} rows of M, got {l}")
    if not 0 <= start < N:
        raise ValueError(f"start must be one of the {N} rows of M, got {start}")
    if radius is not None and not radius >= 0:
        raise ValueError(f"radius must be at least 0, got {radius}")
    return N if l is None else l


def largest(remaining: Farthest) -> float:
    """Return the largest distance of any row to its nearest pick; 0 if all rows are picked."""
    top = remaining.candidates(CANDIDATES, 1)[0]
    return float(np.sqrt(remaining.to_nearest[top].max(initial=0.0)))


def pick_farthest(
    remaining: Farthest,
    picks: Picks,
    i: int,
    beyond: Outside = NOTHING,
    progress: Progress | None = None,
) -> int:
    """Pick rows by Algorithm 1, while the farthest is ahead of all rows that are elsewhere.

    Parameters
    ----------
    remaining : Farthest
        The rows to pick from.
    picks : Picks
        Filled from row `i` on.
    i : int
        Number of rows that are picked already.
    beyond : Outside
        Of the rows that are elsewhere. By default there are none.
    progress : callable, optional
        As for `greedy_coreset`.

    Returns
    -------
    int
        Number of picked rows: all of `picks`, or fewer if the radius is reached, or if a row that
        is elsewhere may be farther.
    """
    l = len(picks.rows)
    n = CANDIDATES if len(remaining) > 2 * CANDIDATES else len(remaining)
    reached = False
    while i < l and not reached:
        rows, outside = remaining.candidates(n, min(ENOUGH, n))
        first = i
        candidates = _candidates(remaining, rows, max(outside, beyond, key=_key))
        ahead = len(rows) > 0
        while ahead and not reached and i < l:
            before, end = i, min(i + STEP, l)
            i, reached = _pick(remaining.rows.whole, candidates, picks, i, end)
            if progress is not None:
                progress(i - before)
            ahead = i == end
        remaining.add_own(picks.rows[first:i])
        remaining.store(rows, candidates.to_nearest)
        if _key(beyond) >= _key(outside):
            break
    return i


def _key(outside: Outside) -> tuple[float, int]:
    """Return a key that increases with the distance, then with the order of the picks."""
    return outside.squared, -outside.row


def _candidates(remaining: Farthest, rows: npt.NDArray[np.int64], outside: Outside) -> _Candidates:
    """Prepare the bounds of the candidates' distances from each other."""
    bank = remaining.rows
    errors = rounding_errors(bank.whole.shape[1])
    if remaining.literal:  # every bound is -floor, so every distance is computed
        n = len(rows)
        lanes, norms, error = np.zeros((n, 1), np.float32), np.zeros(n, np.float32), 0.0
    elif bank.short.shape[1]:
        lanes, norms, error = bank.short[rows, :-1], bank.short_norms[rows], AXES_BOUND
    else:
        lanes, norms, error = bank.whole[rows], bank.norms[rows], errors.product
    return _Candidates(
        rows, remaining.to_nearest[rows], outside.squared, outside.row,
        np.ascontiguousarray(lanes.T), norms.astype(np.float64), error, errors.floor,
    )  # fmt: skip
