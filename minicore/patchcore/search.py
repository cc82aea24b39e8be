"""Equations 6 and 7 against one memory bank, by either engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    name : str
        Name of the bank in the error message.
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
        name: str = "memory bank",
        state: dict[str, np.ndarray] | None = None,
        score: Score = "max",
    ) -> None:
        if b is not None and b > len(bank):
            raise ValueError(
                f"b must be at most the {len(bank)} rows of the {name}, got {b}; "
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
        n, height, width, D = patches.shape
        P = patches.reshape(n, height * width, D)

        # min_{m ∈ M} ‖m_test − m‖₂ and its arg min, for every m_test ∈ P(x_test)
        distances, rows = self.nearest(P.reshape(-1, D), 1, engine)
        distances, rows = distances.astype(np.float32).reshape(n, -1), rows.reshape(n, -1)
        s, s_star = self.score_images(P, distances, rows, self.b, engine)
        return s, s_star, distances.reshape(n, height, width)

    def score_images(
        self, P: np.ndarray, distances: np.ndarray, rows: np.ndarray, b: int | None, engine: Engine
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score images whose patches are searched already.

        Parameters
        ----------
        P : (n, h' w', D) float32
            Their patch features.
        distances : (n, h' w') float32
            Distance of each patch to its nearest row of the bank.
        rows : (n, h' w') int64
            These rows.
        b : int or None
            As for `Search`.
        engine : {"fast", "equations"}

        Returns
        -------
        s, s_star : (n,) float64
            The score, and equation 6.
        """
        # m_test* and m* (arg max), s* = ‖m_test* − m*‖₂
        images, test_star = np.arange(len(P)), distances.argmax(axis=1)
        m_star = rows[images, test_star]
        s_star = distances[images, test_star].astype(float)
        if self._score == "top":
            return mean_of_top(distances), s_star
        if b is None:
            return s_star, s_star

        # s, from the neighbourhood N_b(m*)
        _, around = self.nearest(self.bank[m_star], b, engine)
        s = [
            equations.reweighted_distance(P[i, test_star[i]], self.bank[around[i]]) for i in images
        ]
        return np.array(s), s_star


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
