"""A memory bank in several parts: the nearest rows of each part, then the nearest of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicore.patchcore.config import Engine
from minicore.patchcore.search import Search
from minicore.runtime import threads

PART = 1024  # rows of a part of `GrowingSearch`; a part with more rows does not grow


def merge(parts: Sequence[tuple[np.ndarray, ...]], k: int) -> tuple[np.ndarray, ...]:
    """Return the `k` nearest rows of several parts of a bank.

    Parameters
    ----------
    parts : sequence of tuple of arrays
        For each part, in the order of the rows, the result of `Search.nearest`: distances (n, k')
        and numbers of the rows, (n, k'). More arrays that begin with these axes may follow.
    k : int

    Returns
    -------
    tuple of arrays
        The same for the whole bank. Ties go to the lowest row.
    """
    columns = [np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)]
    order = np.argsort(columns[0], axis=1, kind="stable")[:, :k]
    query = np.arange(len(order))[:, None]
    return tuple(column[query, order] for column in columns)


class GrowingSearch(Search):
    """A `Search` that accepts more rows. Its results are those of a `Search` in all its rows.

    The rows are kept in parts, and only the last part is prepared again when rows are added. A
    small part is searched in one thread: with several, the threads would mostly wait.

    Parameters
    ----------
    search : Search
        In the rows that it begins with. It is not changed.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(search.bank, search.b, score=search._score)
        self._parts = [search]

    def append(self, rows: np.ndarray) -> None:
        """Add rows, (n, D) float32, after all others."""
        if not len(rows):
            return
        last = self._parts[-1]
        first = last.first + len(last.bank)
        if len(self._parts) > 1 and len(last.bank) < PART:
            self._parts.pop()
            rows, first = np.concatenate([last.bank, rows]), last.first
        self._parts.append(Search(rows, None, first=first))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows with these numbers."""
        found = np.empty((len(rows), self.bank.shape[1]), np.float32)
        for part in self._parts:
            own = part.contains(rows)
            found[own] = part.take(rows[own])
        return found

    def nearest(self, queries: np.ndarray, k: int, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest rows for each of a few queries, (n, k) distances and numbers."""
        with threads.limit(1):
            found = [part.nearest(queries, min(k, len(part.bank)), engine) for part in self._parts]
        distances, rows = merge(found, k)
        return distances, rows

    def begin(self, queries: np.ndarray, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest of the rows that this object began with, (n, 1) distances and rows."""
        return self._parts[0].nearest(queries, 1, engine)

    def finish(
        self, queries: np.ndarray, begun: tuple[np.ndarray, np.ndarray], engine: Engine
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest of all rows, after `begin`.

        Parameters
        ----------
        queries : (n, D) float32
            Some queries of `begin`.
        begun : distances and rows, (n, 1)
            Their results.
        engine : {"fast", "equations"}

        Returns
        -------
        distances : (n, 1) float64
        rows : (n, 1) int64
        """
        distances, rows = begun
        for part in self._parts[1:]:
            with threads.limit(1 if len(part.bank) < PART else None):
                found, own = part.nearest(queries, 1, engine)
            rows = np.where(found < distances, own, rows)  # ties: the lowest row
            distances = np.minimum(found, distances)
        return distances, rows
