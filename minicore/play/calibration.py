"""The thresholds for any coreset, b and sigma, as `PatchCore.fit` computes them for its own.

A smaller coreset makes all scores larger. So a score can only be compared with the threshold of the
same coreset and the same b.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minicore import fast
from minicore.equations import reweighted_distance
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.config import Config
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Search
from minicore.patchcore.selection import pick, project
from minicore.patchcore.threshold import conformal_threshold, hold_out
from minicore.patchcore.training import first_copies


class Thresholds(NamedTuple):
    """Scores of held-out good images, and the thresholds that follow from them.

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


FIRST = 0.1  # share of the first picture
NONE = Thresholds(None, None, np.empty(0))
LATEST = 8  # coresets of which the distances are kept


class Calibration:
    """Scores of held-out images under the beginning of one trial coreset.

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
        self._trial: tuple[np.ndarray, np.ndarray, int] | None = None
        self._picked = 0.0  # share of the rows that the trial coreset has
        self._found: dict[tuple[int, int | None, float], Thresholds] = {}
        self._distances: dict[int, tuple[np.ndarray, np.ndarray, Search]] = {}

    def thresholds(self, config: Config) -> Thresholds:
        """Return the thresholds for `config.coreset_ratio`, `config.b` and `config.sigma`.

        They have no numbers if the trial coreset has fewer than `config.b` rows.
        """
        largest = self._model.config_.coreset_ratio
        ratio = min(config.coreset_ratio, largest)
        if self._trial is None or ratio > self._picked:
            # Picking all rows takes five times as long as a tenth, so it waits until it is needed.
            self._picked = min(FIRST, largest) if ratio <= FIRST else largest
            self._trial = self._pick(self._picked)
        patches, bank, N = self._trial
        rows = min(max(1, round(ratio * N)), len(bank))
        key = rows, config.b, config.sigma
        if config.b is not None and config.b > rows:
            return NONE
        if key not in self._found:
            self._found[key] = self._score(patches, bank, rows, config)
        return self._found[key]

    def _pick(self, ratio: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Return held-out patches (n, P, D), the trial coreset, and the rows it is picked from."""
        M, config = self._M, replace(self._model.config_, coreset_ratio=ratio)
        held_out, kept = hold_out(first_copies(M), config.seed)
        rows = M.rows[kept].ravel()
        trial = rows[pick(project(M, config, rows), config)[0]]
        patches = M[M.rows[held_out, 0].ravel()].reshape(len(held_out), -1, M.shape[1])
        return patches, M[trial], len(rows)

    def _score(
        self, patches: np.ndarray, bank: np.ndarray, rows: int, config: Config
    ) -> Thresholds:
        if rows not in self._distances:
            while len(self._distances) >= LATEST:
                del self._distances[next(iter(self._distances))]
            search = Search(bank[:rows], None)
            found, nearest = search.nearest(patches.reshape(-1, patches.shape[2]), 1, "fast")
            n = len(patches)
            self._distances[rows] = (
                found.astype(np.float32).reshape(n, -1), nearest.reshape(n, -1), search,
            )  # fmt: skip
        distances, nearest, search = self._distances[rows]
        images, star = np.arange(len(patches)), distances.argmax(axis=1)
        scores = distances[images, star].astype(float)
        if config.b is not None:
            m_star = search.bank[nearest[images, star]]
            around = search.nearest(m_star, config.b, "fast")[1]
            scores = np.array(
                [reweighted_distance(patches[i, star[i]], search.bank[around[i]]) for i in images]
            )
        grid = distances.reshape(-1, *self._model.grid_)
        size, stride = self._model.input_size_, config.stride
        maps = fast.anomaly_map(grid, *size, config.sigma, stride, self._cell)
        peaks = maps.max(axis=(1, 2)).astype(float)
        by_score, by_peak = (conformal_threshold(each, self._rate) for each in (scores, peaks))
        return Thresholds(by_score, by_peak, scores)
