"""Equations 6 and 7 against one memory bank, by either engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore import equations, fast
from minicore.fast.score import reweighted


@dataclass(frozen=True)
class Detection:
    """What a detector has to say about some images; everything comes from one pass.

    Attributes
    ----------
    scores : (n,) float64
        $s$, equation 7; higher is more anomalous. Of `minicore.baselines` what their papers define.
    distances : (n,) float64
        $s^*$, equation 6: the largest patch distance, not re-weighted. Of a method that re-weights
        nothing, the scores.
    patch_scores : (n, h', w') float32 or None
        Distance of each patch to its nearest neighbour in the memory bank, or whatever else the
        method judges patches by. None of a method that judges whole images only.
    maps : (n, h, w) float32 or None
        The anomaly maps on the grid of the prepared images.
    """

    scores: np.ndarray
    distances: np.ndarray
    patch_scores: np.ndarray | None
    maps: np.ndarray | None

    @staticmethod
    def join(parts: list[Detection]) -> Detection:
        """Put the detections of several batches one after the other."""

        def joined(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return Detection(*map(joined, ("scores", "distances", "patch_scores", "maps")))

    def take(self, rows: list[int]) -> Detection:
        """Keep the detections of some images."""
        return Detection(*(array[rows] for array in vars(self).values()))

    def read_only(self) -> Detection:
        """Lock the arrays: who changed them in place would change every later answer."""
        for array in vars(self).values():
            if array is not None:
                array.setflags(write=False)
        return self


class Search:
    """A memory bank, ready to score images.

    Parameters
    ----------
    bank : (l, D) float32
        The coreset.
    b : int
        Neighbours of equation 7; 1 leaves it out.
    what : str
        What to call the bank, should it be too small for `b`.
    state : dict of str to array, optional
        What `state` gave for this bank: saves finding its principal axes again, changes no result.

    Raises
    ------
    ValueError
        If the bank is too small for `b`, or the state is of no use to it.
    """

    def __init__(
        self,
        bank: np.ndarray,
        b: int,
        what: str = "memory bank",
        state: dict[str, np.ndarray] | None = None,
    ) -> None:
        if b > len(bank):
            raise ValueError(
                f"b must be at most the {len(bank)} rows of the {what}, got {b}; "
                f"lower b or raise coreset_ratio"
            )
        self.bank, self.b = bank, b
        self._index = fast.Nearest(bank, state=state)

    def state(self) -> dict[str, np.ndarray]:
        """Give what was found out about the bank, to be stored with it."""
        return self._index.state()

    def score(self, patches: np.ndarray, engine: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score a batch of images.

        Parameters
        ----------
        patches : (n, h', w', D) float32
            Their patch features.
        engine : {"fast", "equations"}

        Returns
        -------
        s, s_star : (n,) float64
            Equations 7 and 6.
        distances : (n, h', w') float32
            Of each patch to its nearest neighbour.
        """
        n, height, width, D = patches.shape
        rows = patches.reshape(n, height * width, D)

        def query(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            return self.query(queries, k, engine)

        found, indices = query(rows.reshape(-1, D), 1)
        distances, indices = found.reshape(n, -1), indices.reshape(n, -1)
        s = s_star = distances.max(axis=1)
        if self.b > 1:
            s = reweighted(rows, distances, indices, self.bank, query, self.b)
        return s.astype(float), s_star.astype(float), distances.reshape(n, height, width)

    def query(self, queries: np.ndarray, k: int, engine: str) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest rows of the bank, as `fast.Nearest.query` does, by either engine."""
        if engine == "equations":
            return equations.nearest(queries, self.bank, k)
        return self._index.query(queries, k)
