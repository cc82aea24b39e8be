"""Equations 6 and 7 against one memory bank, by either engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore import equations, fast
from minicore.patchcore.config import Engine, Score
from minicore.runtime import threads

TOP = 0.01  # share of the patches whose distances score="top" averages
PART = 1024  # rows of a part of `GrowingSearch`; a part with more rows does not grow


@dataclass(frozen=True)
class Detection:
    """Scores and maps of some images, from one pass.

    Attributes
    ----------
    scores : (n,) float64
        $s$, equation 7, or the score "top"; higher is more anomalous. Each baseline defines its own
        score.
    distances : (n,) float64
        $s^*$, equation 6: the largest patch distance, without the weight. Each baseline defines
        its own; by default `scores`.
    patch_scores : (n, h', w') float32 or None
        Distance of each patch to its nearest neighbour in the memory bank; each baseline defines
        its own patch score. None if the method scores whole images only.
    maps : (n, h, w) float32 or None
        The anomaly maps, on the grid of the prepared images. None if there are no patch scores.
    """

    scores: np.ndarray
    distances: np.ndarray
    patch_scores: np.ndarray | None
    maps: np.ndarray | None

    @staticmethod
    def join(parts: list[Detection]) -> Detection:
        """Concatenate the detections of several batches."""

        def joined(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return Detection(*map(joined, ("scores", "distances", "patch_scores", "maps")))

    def take(self, rows: list[int]) -> Detection:
        """Return the detections of some images."""
        return Detection(*(array[rows] for array in vars(self).values()))

    def read_only(self) -> Detection:
        """Make the arrays read-only, because the result is cached. Return this object."""
        for array in vars(self).values():
            if array is not None:
                array.setflags(write=False)
        return self


class Search:
    """Equations 6 and 7 against one memory bank.

    Parameters
    ----------
    bank : (l, D) float32
        The coreset.
    b : int or None
        Size of the neighbourhood in equation 7; None leaves equation 7 out.
    state : dict of str to array, optional
        The result of `state` for this bank. It saves time and changes no result.
    score : {"max", "top"}, default "max"
        The score of an image; see `minicore.PatchCore`.

    Raises
    ------
    ValueError
        If the bank has fewer than `b` rows, or the state does not fit the bank.
    """

    def __init__(
        self,
        bank: np.ndarray,
        b: int | None,
        state: dict[str, np.ndarray] | None = None,
        score: Score = "max",
    ) -> None:
        if b is not None and b > len(bank):
            raise ValueError(
                f"b must be at most the {len(bank)} rows of the memory bank, got {b}; "
                f"lower b or raise coreset_ratio"
            )
        self.bank, self.b, self._score = bank, b, score
        self._index = None if state is None else fast.Nearest(bank, state=state)

    def prepare(self, engine: Engine) -> None:
        """Compute what the engine needs for this bank, unless that is done already."""
        if engine == "fast" and self._index is None:
            self._index = fast.Nearest(self.bank)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `prepare` computed, for a saved model; empty if it computed nothing."""
        return {} if self._index is None else self._index.state()

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of the bank with these numbers."""
        return self.bank[rows]

    def nearest(self, queries: np.ndarray, k: int, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest rows of the bank for each query, (n, k) distances and indices."""
        if engine == "equations":
            return equations.nearest(queries, self.bank, k)
        self.prepare(engine)
        assert self._index is not None
        return self._index.query(queries, k)

    def score(
        self, patches: np.ndarray, engine: Engine
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score a batch of images.

        Parameters
        ----------
        patches : (n, h', w', D) float32
            Their patch features.
        engine : {"fast", "equations"}

        Returns
        -------
        s, s_star : (n,) float64
            The score, and equation 6.
        distances : (n, h', w') float32
            Distance of each patch to its nearest row of the bank.
        """
        found, rows = self.nearest(patches.reshape(-1, patches.shape[3]), 1, engine)
        return self.decide(patches, found, rows, engine)

    def decide(
        self, patches: np.ndarray, found: np.ndarray, rows: np.ndarray, engine: Engine
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score a batch of images after the search.

        Parameters
        ----------
        patches, engine
            As for `score`.
        found, rows : (n * h' * w', 1)
            Distance to the nearest row of the bank, and this row, for each patch.

        Returns
        -------
        s, s_star, distances
            As `score`.
        """
        n, height, width, D = patches.shape
        P = patches.reshape(n, height * width, D)

        # min_{m ∈ M} ‖m_test − m‖₂ and its arg min, for every m_test ∈ P(x_test)
        distances, rows = found.astype(np.float32).reshape(n, -1), rows.reshape(n, -1)

        # m_test* and m* (arg max), s* = ‖m_test* − m*‖₂
        images, test_star = np.arange(n), distances.argmax(axis=1)
        m_star = rows[images, test_star]
        s = s_star = distances[images, test_star].astype(float)
        if self._score == "top":
            s = mean_of_top(distances)

        # s, from the neighbourhood N_b(m*)
        if self.b is not None:
            _, around = self.nearest(self.take(m_star), self.b, engine)
            s = np.array(
                [
                    equations.reweighted_distance(P[i, test_star[i]], self.take(around[i]))
                    for i in images
                ]
            )
        return s, s_star, distances.reshape(n, height, width)


def top_patches(patches: int) -> int:
    """Return the number of patches whose distances the score "top" averages: 1 %, at least one."""
    return max(1, round(TOP * patches))


def mean_of_top(distances: np.ndarray) -> np.ndarray:
    """Return the mean of the largest 1 % of the patch distances of each image, the score "top".

    Parameters
    ----------
    distances : (n, h' w') float32

    Returns
    -------
    (n,) float64
    """
    top = np.sort(distances, axis=1)[:, -top_patches(distances.shape[1]) :]
    return np.asarray(top.mean(axis=1, dtype=np.float64))


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
        if len(self._parts) > 1 and len(last.bank) < PART:
            rows = np.concatenate([self._parts.pop().bank, rows])
        self._parts.append(Search(rows, None))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows with these numbers."""
        found = np.empty((len(rows), self.bank.shape[1]), np.float32)
        for first, part in self._numbered():
            own = (rows >= first) & (rows < first + len(part.bank))
            found[own] = part.bank[rows[own] - first]
        return found

    def nearest(self, queries: np.ndarray, k: int, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest rows for each of a few queries, (n, k) distances and indices."""
        distances, indices = [], []
        for first, part in self._numbered():
            with threads.limit(1):
                found, rows = part.nearest(queries, min(k, len(part.bank)), engine)
            distances.append(found)
            indices.append(rows + first)
        both = np.concatenate(distances, axis=1), np.concatenate(indices, axis=1)
        order = np.argsort(both[0], axis=1, kind="stable")[:, :k]  # ties: the lowest row
        return np.take_along_axis(both[0], order, 1), np.take_along_axis(both[1], order, 1)

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
        for first, part in list(self._numbered())[1:]:
            with threads.limit(1 if len(part.bank) < PART else None):
                found, own = part.nearest(queries, 1, engine)
            rows = np.where(found < distances, own + first, rows)  # ties: the lowest row
            distances = np.minimum(found, distances)
        return distances, rows

    def _numbered(self) -> Iterator[tuple[int, Search]]:
        """Yield the parts, each with the number of its first row."""
        first = 0
        for part in self._parts:
            yield first, part
            first += len(part.bank)
