"""Equations 6 and 7 against one memory bank, by either engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore import equations, fast


@dataclass(frozen=True)
class Detection:
    """What a detector has to say about some images; everything comes from one pass.

    Attributes
    ----------
    scores : (n,) float64
        $s$, equation 7; higher is more anomalous. Of the baselines what their papers define.
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
    """Equations 6 and 7 for images against one memory bank.

    Parameters
    ----------
    bank : (l, D) float32
        The coreset.
    b : int
        Size of the neighbourhood in equation 7; 1 leaves the weight out, so $s = s^*$.
    what : str
        Name of the bank in the error message.
    state : dict of str to array, optional
        The result of `state` for this bank. It saves time and changes no result.

    Raises
    ------
    ValueError
        If the bank has fewer than `b` rows, or the state does not fit it.
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
        self._index = None if state is None else fast.Nearest(bank, state=state)

    def prepare(self, engine: str) -> None:
        """Compute what the engine needs to know about the bank, if it is not known yet."""
        if engine == "fast" and self._index is None:
            self._index = fast.Nearest(self.bank)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fast` has computed about the bank, for a saved model; empty if nothing."""
        return {} if self._index is None else self._index.state()

    def nearest(self, queries: np.ndarray, k: int, engine: str) -> tuple[np.ndarray, np.ndarray]:
        """Find the `k` nearest rows of the bank for each query, (n, k) distances and indices."""
        if engine == "equations":
            return equations.nearest(queries, self.bank, k)
        self.prepare(engine)
        assert self._index is not None
        return self._index.query(queries, k)

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
            Distance of each patch to its nearest row of the bank.
        """
        n, height, width, D = patches.shape
        P = patches.reshape(n, height * width, D)

        # m_test*, m* = arg max_{m_test ∈ P(x_test)} arg min_{m ∈ M} ‖m_test − m‖₂
        distances, rows = self.nearest(P.reshape(-1, D), 1, engine)
        distances, rows = distances.astype(np.float32).reshape(n, -1), rows.reshape(n, -1)
        images, test_star = np.arange(n), distances.argmax(axis=1)
        m_star = rows[images, test_star]

        # s* = ‖m_test* − m*‖₂
        s = s_star = distances[images, test_star].astype(float)
        if self.b > 1:
            # N_b(m*), then ‖m_test* − m‖₂ of every m ∈ N_b(m*)
            _, around = self.nearest(self.bank[m_star], self.b, engine)
            s = np.empty(n)
            for i in images:
                m_test_star = P[i, test_star[i]]
                to_around = np.array(
                    [equations.distance(m_test_star, self.bank[m]) for m in around[i]]
                )
                s[i] = equations.reweight(to_around.min(), to_around)  # s* in float64
        return s, s_star, distances.reshape(n, height, width)
