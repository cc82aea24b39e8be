"""Equations 6 and 7 against one memory bank, by either engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicore import equations, fast
from minicore.patchcore.config import Engine, Score

TOP = 0.01  # share of the patches whose distances score="top" averages


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
    first : int, default 0
        The number of the first row, if these rows are a part of a larger bank.

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
        first: int = 0,
    ) -> None:
        if b is not None and b > len(bank):
            raise ValueError(
                f"b must be at most the {len(bank)} rows of the memory bank, got {b}; "
                f"lower b or raise coreset_ratio"
            )
        self.bank, self.b, self._score, self.first = bank, b, score, first
        self._index = None if state is None else fast.Nearest(bank, state=state)

    def prepare(self, engine: Engine) -> None:
        """Compute what the engine needs for this bank, unless that is done already."""
        if engine == "fast" and self._index is None:
            self._index = fast.Nearest(self.bank)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `prepare` computed, for a saved model; empty if it computed nothing."""
        return {} if self._index is None else self._index.state()

    def contains(self, rows: np.ndarray) -> np.ndarray:
        """Return whether each number is that of a row of this bank, (n,) bool."""
        return (rows >= self.first) & (rows < self.first + len(self.bank))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of the bank with these numbers."""
        return self.bank[rows - self.first]

    def nearest(self, queries: np.ndarray, k: int, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest rows of the bank for each query, (n, k) distances and numbers."""
        if engine == "equations":
            distances, rows = equations.nearest(queries, self.bank, k)
        else:
            self.prepare(engine)
            assert self._index is not None
            distances, rows = self._index.query(queries, k)
        return distances, rows + self.first

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
        n, height, width, _ = patches.shape
        chosen = Deciding.of(patches, found, rows)
        around = None
        if self.b is not None:
            _, near = self.nearest(self.take(chosen.rows), self.b, engine)
            around = [self.take(own) for own in near]
        s, s_star = chosen.score(around, self._score)
        return s, s_star, chosen.distances.reshape(n, height, width)


class Deciding(NamedTuple):
    r"""The patches of a batch of images that decide the scores (equation 6).

    Attributes
    ----------
    distances : (n, h' * w') float32
        Distance of each patch to its nearest row of the bank.
    patches : (n, D) float32
        $m^{test,*}$ of each image.
    rows : (n,) int64
        $m^*$ of each image, a row of the bank.
    """

    distances: np.ndarray
    patches: np.ndarray
    rows: np.ndarray

    @staticmethod
    def of(patches: np.ndarray, found: np.ndarray, rows: np.ndarray) -> Deciding:
        """Choose the patches after a search.

        Parameters
        ----------
        patches : (n, h', w', D) float32
        found, rows : (n * h' * w', 1)
            Distance to the nearest row of the bank, and this row, for each patch.
        """
        n, height, width, D = patches.shape
        P = patches.reshape(n, height * width, D)

        # min_{m ∈ M} ‖m_test − m‖₂ and its arg min, for every m_test ∈ P(x_test)
        distances = found.astype(np.float32).reshape(n, height * width)

        # m_test* and m* (arg max)
        images, test_star = np.arange(n), distances.argmax(axis=1)
        m_star = rows.reshape(n, height * width)[images, test_star]
        return Deciding(distances, P[images, test_star], m_star)

    def score(
        self, around: Sequence[np.ndarray] | None, score: Score
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the score and equation 6 of each image, (n,) float64.

        Parameters
        ----------
        around : sequence of (b, D) float32, or None
            N_b(m*) of each image. None leaves equation 7 out.
        score : {"max", "top"}
        """
        # s* = ‖m_test* − m*‖₂
        s = s_star = self.distances.max(axis=1).astype(float)
        if score == "top":
            s = mean_of_top(self.distances)

        # s, from the neighbourhood N_b(m*)
        if around is not None:
            pairs = zip(self.patches, around, strict=True)
            s = np.array([equations.reweighted_distance(m, near) for m, near in pairs])
        return s, s_star


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
