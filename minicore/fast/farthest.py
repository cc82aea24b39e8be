r"""Rows and their distances to the nearest pick of Algorithm 1, each updated only when it matters.

The distance of a row to its nearest pick never increases when picks are added. So a value from some
picks ago is an *upper bound* of the current distance. Algorithm 1 needs the farthest row only. So a
row is compared with the picks that it has missed when its bound is among the largest, and not
before.

`minicore.fast.coreset` picks among the rows of one bank, `minicore.cluster` among rows on many
machines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import HUGE, squared_norms
from minicore.fast.axes import principal_axes
from minicore.fast.groups import consecutive
from minicore.fast.rows import Rows, as_queries, bank_rows
from minicore.fast.sieve import search
from minicore.runtime import threads

FEWEST = 1024  # rows that are compared with the picks together
BLOCK = 65536  # rows that are copied at a time to compare them with the picks


class Outside(NamedTuple):
    """The first of the rows outside the candidates, in the order of `farthest_first`.

    No row outside has a distance above `squared`. If one has exactly this distance, its number is
    `row` or higher.
    """

    squared: float  # largest bound of a squared distance; -1 if there are no rows outside
    row: int  # the lowest row that has it


NOTHING = Outside(-1.0, 0)


class Farthest:
    r"""Rows of $\psi(\mathcal{M})$, their distances to the picks so far, and which are farthest.

    The picks may be vectors from elsewhere.

    Parameters
    ----------
    bank : (N, d) float32, C-contiguous
        The rows.
    to_nearest : (N,) float64, optional
        Squared distances to the picks so far, in the arithmetic of `equations.greedy_coreset`. By
        default there are no picks yet.

    Attributes
    ----------
    rows : Rows
        The rows, prepared for the search.
    to_nearest : (N,) float64
        Squared distances to the picks that a row has been compared with: bounds of the distances to
        all picks. -1 for a row that is picked.

    Raises
    ------
    ValueError
        If a value is not finite.
    """

    def __init__(
        self, bank: npt.NDArray[np.float32], to_nearest: npt.NDArray[np.float64] | None = None
    ) -> None:
        N = len(bank)
        norms = squared_norms(bank)
        if not np.isfinite(norms.max(initial=0.0)):
            raise ValueError("M must be finite: found NaN or infinity")
        self.literal = bool(norms.max(initial=0.0) >= HUGE)  # compute every distance
        with threads.single_threaded_blas():
            self._mean, self._axes = principal_axes(bank[:1] if self.literal else bank)
            self.rows = bank_rows(bank, norms, self._mean, self._axes)
        self.to_nearest = np.full(N, np.inf) if to_nearest is None else to_nearest.copy()
        self._seen = np.zeros(N, np.int64)  # number of the picks that a row has been compared with
        self._picked = self.rows.take(np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.to_nearest)

    @property
    def picks(self) -> int:
        """Number of picks that were added."""
        return len(self._picked.whole)

    def remove(self, rows: npt.NDArray[np.int64]) -> None:
        """Exclude rows that are picked."""
        self.to_nearest[rows] = -1.0

    def add(self, vectors: npt.NDArray[np.float32]) -> None:
        """Add picks.

        Parameters
        ----------
        vectors : (k, d) float32, C-contiguous
            Their vectors, finite.
        """
        norms = squared_norms(vectors)
        self.literal = self.literal or bool(norms.max(initial=0.0) >= HUGE)
        with threads.single_threaded_blas():
            self._append(bank_rows(vectors, norms, self._mean, self._axes))

    def add_own(self, rows: npt.NDArray[np.int64]) -> None:
        """Add rows of this bank as picks. They are not excluded; see `remove`."""
        self._append(self.rows.take(rows))

    def store(self, rows: npt.NDArray[np.int64], to_nearest: npt.NDArray[np.float64]) -> None:
        """Store the squared distances of rows to all picks so far."""
        self.to_nearest[rows] = to_nearest
        self._seen[rows] = self.picks

    def candidates(self, n: int, enough: int) -> tuple[npt.NDArray[np.int64], Outside]:
        """Find rows whose distances are updated and above the bounds of all other rows.

        Parameters
        ----------
        n : int
            At most so many rows, at least 1.
        enough : int
            Stop when so many rows are found; with `enough` = `n`, they are the `n` farthest rows.

        Returns
        -------
        rows : (k,) int64
            Increasing. Empty only if all rows are picked.
        outside : Outside
            Of all other rows.
        """
        width = max(n, FEWEST)
        while True:
            top, outside = farthest_first(self.to_nearest, n)
            behind = top[self._seen[top] < self.picks]
            if len(behind):
                wide = top if width == n else farthest_first(self.to_nearest, width)[0]
                self._catch_up(wide[self._seen[wide] < self.picks])
                width *= 2  # the number of turns grows with the logarithm of the rows only
            squared = self.to_nearest[top]
            level = squared == outside.squared
            ahead = top[(squared > outside.squared) | (level & (top < outside.row))]
            if not len(behind) or len(ahead) >= enough:
                return np.sort(ahead), outside

    def _append(self, picked: Rows) -> None:
        both = zip(self._picked, picked, strict=True)
        self._picked = Rows(*(np.concatenate(arrays) for arrays in both))

    def _catch_up(self, rows: npt.NDArray[np.int64]) -> None:
        """Compare rows with the picks that they have missed."""
        rows = rows[np.argsort(self._seen[rows], kind="stable")]
        groups = consecutive(self._picked)
        for first in range(0, len(rows), BLOCK):
            block = rows[first : first + BLOCK]
            nearest, who = self.to_nearest[block][:, None], np.zeros((len(block), 1), np.int64)
            queries = as_queries(self.rows.take(block))
            with threads.single_threaded_blas():
                search(queries, self._picked, groups, self._seen[block], nearest, who, self.literal)
            self.store(block, nearest[:, 0])


def farthest_first(
    to_nearest: npt.NDArray[np.float64], n: int
) -> tuple[npt.NDArray[np.int64], Outside]:
    """Find the `n` rows with the largest distances; of equally far rows the lowest.

    Parameters
    ----------
    to_nearest : (N,) float64
        Squared distances or their bounds; -1 for a row that is picked.
    n : int
        At least 1.

    Returns
    -------
    top : (k,) int64
        In no order. Fewer than `n` if fewer are not picked.
    outside : Outside
        Of all other rows.
    """
    N = len(to_nearest)
    if n >= N:
        return np.flatnonzero(to_nearest >= 0), NOTHING
    least = np.partition(to_nearest, N - n)[N - n]  # the n-th largest
    if least < 0:
        return np.flatnonzero(to_nearest >= 0), NOTHING
    above, level = np.flatnonzero(to_nearest > least), np.flatnonzero(to_nearest == least)
    room = n - len(above)
    if room < len(level):
        outside = Outside(float(least), int(level[room]))
    else:
        squared = to_nearest[to_nearest < least].max()
        outside = Outside(float(squared), int(np.argmax(to_nearest == squared)))
    return np.concatenate([above, level[:room]]), outside
