"""Equations 6 and 7 against one memory bank, by either engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicore import equations, fast
from minicore.fast.score import reweighted


@dataclass(frozen=True)
class Detection:
    """What PatchCore has to say about some images; everything comes from one pass.

    Attributes
    ----------
    scores : (n,) float64
        $s$, equation 7; higher is more anomalous.
    distances : (n,) float64
        $s^*$, equation 6: the largest patch distance, not re-weighted.
    patch_scores : (n, h', w') float32
        Distance of each patch to its nearest neighbour in the memory bank.
    maps : (n, h, w) float32
        The anomaly maps on the grid of the prepared images.
    """

    scores: np.ndarray
    distances: np.ndarray
    patch_scores: np.ndarray
    maps: np.ndarray

    @staticmethod
    def join(parts: list[Detection]) -> Detection:
        """Put the detections of several batches one after the other."""
        names = ("scores", "distances", "patch_scores", "maps")
        return Detection(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


class Search:
    """A memory bank, ready to score images.

    Parameters
    ----------
    bank : (l, D) float32
        The coreset.
    b : int
        Neighbours of equation 7; 1 leaves it out.
    engine : {"fast", "equations"}
    """

    def __init__(self, bank: np.ndarray, b: int, engine: str) -> None:
        if b > len(bank):
            raise ValueError(
                f"b must be at most the {len(bank)} rows of the memory bank, got {b}; "
                f"lower b or raise coreset_ratio"
            )
        self.bank, self.b, self.engine = bank, b, engine
        self._index = fast.Nearest(bank)

    def score(self, patches: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Score one image.

        Parameters
        ----------
        patches : (n, D) float32
            Its patch features.

        Returns
        -------
        s, s_star : float
            Equations 7 and 6.
        distances : (n,) float32
            Of each patch to its nearest neighbour.
        """
        if self.engine == "equations":
            distances = equations.nearest(patches, self.bank)[0][:, 0]
            s_star = float(equations.deciding_patch(distances)[1])
            s = equations.anomaly_score(patches, self.bank, self.b) if self.b > 1 else s_star
        else:
            found, indices = self._index.query(patches)
            distances = found[:, 0]
            s_star = float(distances.max())
            s = s_star
            if self.b > 1:
                s = reweighted(patches, distances, indices[:, 0], self._index, self.b)
        return float(s), s_star, distances
