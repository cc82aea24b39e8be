"""All that the page shows of a fitted model: what does not depend on the painted image.

The memory bank and all patches lie in one fixed plane, and each hierarchy level has fixed colours,
so that two images can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minicore.backbones.feature_maps import FeatureMaps
from minicore.images import ImageLike
from minicore.patchcore.bank import MemoryBank, origins
from minicore.patchcore.config import Config
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.features import cell
from minicore.patchcore.search import Search, top_patches
from minicore.patchcore.selection import pick, project
from minicore.play.calibration import LATEST, NONE, Calibration, Thresholds
from minicore.play.message import Message
from minicore.play.plane import Colours, Plane, covering_radii
from minicore.play.receptive import receptive_fields
from minicore.runtime import threads

DRAWN = 4000  # patches in the picture of the memory bank
FIRST = 0.1  # share of the first picture
LARGEST = 100_000  # patches that are computed again; a large training set is cut
RANDOM_SHARES = 24  # numbers of random picks for which the covering radius is computed


class Scene:
    """A fitted model, its plane and its colours. `prepare` makes it.

    Attributes
    ----------
    model : PatchCore
    training : sequence of paths and arrays
        The training images; empty if they are not available.
    M : MemoryBank
        The patches of `training`, at most `LARGEST`.
    plane : Plane
        Two coordinates of a patch.
    colours : list of Colours
        One for each level. Without training images it is empty until the first image.
    levels : list of dict
        Name, channels, size and cell of each level.
    """

    def __init__(
        self,
        model: PatchCore,
        training: Sequence[ImageLike],
        M: MemoryBank,
        colours: list[Colours],
        levels: list[dict[str, Any]],
        false_positive_rate: float | None,
    ) -> None:
        self.model, self.training, self.M = model, training, M
        self.colours, self.levels = colours, levels
        rng = np.random.default_rng(model.config_.seed)
        drawn = min(DRAWN, len(M))
        self._sample = model.memory_bank_[:0]
        if drawn:
            self._sample = M[np.sort(rng.choice(len(M), drawn, replace=False))]
        self.plane = Plane.of(self._sample if drawn else model.memory_bank_, 2)
        self._calibration: Calibration | None = None
        several = model.made_.images - model.made_.copies > 1
        if false_positive_rate is not None and several and len(M) == self.all_rows:
            self._calibration = Calibration(model, false_positive_rate, M, levels[0]["cell"])
        self._message: Message | None = None
        self._searches: dict[int, Search] = {}

    @property
    def all_rows(self) -> int:
        r"""Number of rows of the whole memory bank $\mathcal{M}$."""
        height, width = self.model.grid_
        return self.model.made_.images * len(self.model.config_.turns) * height * width

    @property
    def share(self) -> float:
        """The largest share: that of the fitted coreset."""
        return len(self.model.memory_bank_) / self.all_rows

    @property
    def first_share(self) -> float:
        """The share with which the page begins: that of a saved model, or at most a tenth."""
        whole = len(self.model.memory_bank_) == self.all_rows
        return min(self.share, FIRST) if whole else self.share

    @property
    def origins(self) -> np.ndarray:
        """Turned copy, row and column of each row of the coreset, (l, 3) int32.

        The number of a copy counts all copies of all training images, in the order of the bank.
        """
        found = origins(self.model.coreset_indices_, self.model.grid_)
        return found[:, [0, 2, 3]].astype(np.int32)

    def search(self, share: float) -> Search:
        """Return the search in a coreset of a share of all patches.

        Greedy picks are nested: a smaller coreset is the beginning of a larger one.

        Parameters
        ----------
        share : float
            Above 0, at most 1. A share above the largest means the largest.

        Raises
        ------
        ValueError
            If the coreset was selected by k-means, and `share` is smaller than the largest.
        """
        bank = self.model.memory_bank_
        rows = min(max(1, round(share * self.all_rows)), len(bank))
        if rows == len(bank):
            return self.model._search
        if self.model.config_.selection == "kmeans":
            raise ValueError("a coreset of k-means has no smaller share: its rows have no order")
        if rows not in self._searches:
            while len(self._searches) >= LATEST:
                del self._searches[next(iter(self._searches))]
            self._searches[rows] = Search(bank[:rows], None)
        return self._searches[rows]

    def thresholds(self, config: Config) -> Thresholds:
        """Return the thresholds for other parameters than those of the fit.

        Parameters
        ----------
        config : Config
            The model's, with other `coreset_ratio`, `b` or `sigma`.

        Returns
        -------
        Thresholds
            Without numbers if the model has no threshold, training images are missing, or the
            coreset without one image has fewer than `config.b` rows.
        """
        model = self.model
        own = model.config_
        search = self.search(config.coreset_ratio)
        shown = len(search.bank), config.b, config.sigma
        fitted = shown == (len(model.memory_bank_), own.b, own.sigma)
        if fitted and model.threshold_ is not None:
            return Thresholds(model.threshold_, model.map_threshold_, model.calibration_scores_)
        if self._calibration is None:
            return NONE
        return self._calibration.thresholds(search, config)

    def message(self) -> Message:
        """Return what the page shows before the first image; see ``docs/reference/play.md``."""
        if self._message is None:
            self._message = self._describe()
        return self._message

    def _describe(self) -> Message:
        model, config = self.model, self.model.config_
        bank, t = model.memory_bank_, self.levels[0]["cell"][0]
        random = self._random_picks()
        thresholds = self.thresholds(replace(config, coreset_ratio=self.first_share))
        values = {
            "size": list(model.input_size_),
            "grid": list(model.grid_),
            "patchsize": config.patchsize,
            "stride": config.stride,
            "angles": list(config.turns),
            "layers": self.levels,
            "dimension": bank.shape[1],
            "rows": len(bank),
            "all_rows": self.all_rows,
            "share": self.share,
            "first_share": self.first_share,
            "threshold": thresholds.score,
            "map_threshold": thresholds.map,
            "good_scores": thresholds.good_scores.tolist(),
            "b": config.b,
            "sigma": config.sigma,
            "top": top_patches(math.prod(model.grid_)) if config.score == "top" else None,
            "whitened": config.whiten,
            "receptive": [t, t * (2 * (config.patchsize // 2) + 1)],
        }
        arrays = {
            "bank_xy": self.plane.coordinates(bank),
            "all_xy": self.plane.coordinates(self._sample),
            "radii": self._radii(),
            "origins": self.origins,
            **random,
        }
        return Message(values, arrays)

    def _radii(self) -> np.ndarray:
        """Return the covering radius of the fit's patches after each row of the coreset.

        The rows of an update do not change it.
        """
        radii = self.model.coreset_radii_.astype(np.float32)
        added = len(self.model.memory_bank_) - len(radii) if len(radii) else 0
        return np.pad(radii, (0, added), mode="edge") if added else radii

    def _random_picks(self) -> dict[str, np.ndarray]:
        """Return random picks in the plane, and their covering radii, for comparison."""
        config = replace(self.model.config_, selection="random", coreset_radius=None)
        if len(self.M) < self.all_rows:  # some training images are missing
            none = np.empty(0, np.float32)
            return {
                "random_xy": np.empty((0, 2), np.float32),
                "random_counts": none.astype(np.int32),
                "random_radii": none,
            }
        psi_M = project(self.M, config)
        picks, _ = pick(psi_M, replace(config, coreset_ratio=min(self.share, FIRST)))
        counts = np.unique(np.geomspace(1, len(picks), RANDOM_SHARES).round().astype(np.int32))
        return {
            "random_xy": self.plane.coordinates(self.M[picks]),
            "random_counts": counts,
            "random_radii": covering_radii(psi_M, psi_M[picks], counts),
        }


def prepare(
    model: PatchCore,
    training: Sequence[ImageLike] = (),
    *,
    false_positive_rate: float | None = None,
) -> Scene:
    """Compute what the page shows of a model.

    Parameters
    ----------
    model : PatchCore
        Fitted or loaded.
    training : sequence of paths and arrays
        The images of its fit, in the same order. Images that do not agree with the model's coreset
        are left out.
    false_positive_rate : float, optional
        For the thresholds, as `PatchCore`; by default that of the model. With a number here, the
        model can be fitted without thresholds, which saves time.

    Returns
    -------
    Scene

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ImageError
        If an image cannot be used.
    """
    check_is_fitted(model, "memory_bank_")
    with threads.limit(model.n_threads):
        height, width = model.grid_
        turns = len(model.config_.turns)
        known = list(training[: LARGEST // (turns * height * width)])
        M = MemoryBank(len(known), "float32", turns)
        first: FeatureMaps | None = None
        for maps in _feature_maps(model, known):
            first = first or maps
            M.append(model._embed(maps, "fast").features)
        if known and not _agree(model, M):
            training, M, first = (), MemoryBank(0, "float32"), None
        grey = np.full((*model.input_size_, 3), 128, np.uint8)
        plain = for_prepared_pixels(model)
        shown = first or next(model.backbone_.feature_maps([grey], plain, 1))
        phi = [level for network in shown.networks for level in network]
        levels = [
            {
                "name": name,
                "channels": level.shape[1],
                "size": list(level.shape[2:]),
                "cell": cell(shown.size, level.shape[2:]),
                "receptive": field,
            }
            for name, level, field in zip(
                model.backbone_.layers, phi, receptive_fields(model), strict=True
            )
        ]
        colours = [Colours.of(level) for level in phi] if first else []
        rate = model.config_.false_positive_rate
        rate = rate if false_positive_rate is None else false_positive_rate
        return Scene(model, training, M, colours, levels, rate)


def for_prepared_pixels(model: PatchCore) -> Any:
    """Return the preprocessing for pixels that are already resized and cropped."""
    return model.config_.preprocessing.override("none", "none")


def _feature_maps(model: PatchCore, images: Sequence[ImageLike]) -> Iterator[FeatureMaps]:
    if images:
        yield from model.backbone_.feature_maps(
            images, model.config_.preprocessing, model.batch_size,
            pixels=model.input_size_, angles=model.config_.turns,
        )  # fmt: skip


def _agree(model: PatchCore, M: MemoryBank) -> bool:
    """Return whether the patches are those of the fit: rows of the coreset are compared."""
    present = np.flatnonzero(model.coreset_indices_ < len(M))
    found = M[model.coreset_indices_[present]]
    return bool(np.allclose(found, model.memory_bank_[present], rtol=1e-3, atol=1e-3))
