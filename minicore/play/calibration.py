"""The thresholds for any coreset, b and sigma, as `PatchCore.fit` computes them for its own.

A smaller coreset makes all scores larger. So a score can only be compared with the threshold of the
same coreset and the same b.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.config import Config
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.leave_one_out import LeaveOneOut, leave_one_out
from minicore.patchcore.search import Search
from minicore.patchcore.selection import covering_radius, project
from minicore.patchcore.threshold import p_values, threshold
from minicore.patchcore.training import first_copies


class Thresholds(NamedTuple):
    """Scores of good images, and the thresholds that follow from them.

    Attributes
    ----------
    score, map : float or None
        As `PatchCore.threshold_` and `PatchCore.map_threshold_`.
    good_scores : (n,) float64
        As `PatchCore.calibration_scores_`.
    """

    score: float | None
    map: float | None
    good_scores: np.ndarray

    def p_value(self, score: float) -> float | None:
        """Return the p-value of an image with this score; None without threshold."""
        if self.score is None:
            return None
        return float(p_values(np.array([score]), self.good_scores)[0])


NONE = Thresholds(None, None, np.empty(0))
LATEST = 8  # coresets of which the distances are kept


class Calibration:
    """Scores of the training images under any beginning of a coreset.

    Parameters
    ----------
    model : PatchCore
        Fitted, with a greedy or random coreset.
    rate : float
        Share of good images that the thresholds may call anomalous.
    M : MemoryBank
        The patches of all its training images.
    cell : (float, float)
        Rows and columns of pixels that a cell of the finest feature map covers.
    """

    def __init__(
        self, model: PatchCore, rate: float, M: MemoryBank, cell: tuple[float, float]
    ) -> None:
        self._model, self._rate, self._M, self._cell = model, rate, M, cell
        self._psi_M: np.ndarray | None = None
        self._first = first_copies(M)
        self._left_out: dict[int, LeaveOneOut] = {}
        self._found: dict[tuple[int, int | None, float], Thresholds] = {}

    def thresholds(self, search: Search, config: Config) -> Thresholds:
        """Return the thresholds for a beginning of the coreset, `config.b` and `config.sigma`.

        They have no numbers if this coreset without one image has fewer than `config.b` rows.
        """
        key = len(search.bank), config.b, config.sigma
        if key not in self._found:
            left_out = self._leave_one_out(search)
            try:
                scores = left_out.scores(config)
            except ValueError:
                return NONE
            peaks = left_out.peaks(self._model.input_size_, self._cell, config)
            by_score, by_peak = (threshold(each, self._rate) for each in (scores, peaks))
            self._found[key] = Thresholds(by_score, by_peak, scores)
        return self._found[key]

    def _leave_one_out(self, search: Search) -> LeaveOneOut:
        rows = len(search.bank)
        if rows not in self._left_out:
            while len(self._left_out) >= LATEST:
                del self._left_out[next(iter(self._left_out))]
            if self._psi_M is None:
                self._psi_M = project(self._M, self._model.config_)
            model, psi_M = self._model, self._psi_M
            picks, radii = model.coreset_indices_[:rows], model.coreset_radii_[:rows]
            radius = covering_radius(psi_M, picks, radii, model.config_)
            self._left_out[rows] = leave_one_out(
                self._M, psi_M, picks, radius, self._first, search, "fast"
            )
        return self._left_out[rows]
