r"""Learn more good images: continue Algorithm 1 with the patches of new images.

After a fit, every row of the memory bank $\mathcal{M}$ is within the covering radius r of a row of
the coreset, in the projection $\psi$ (equation 5). An update keeps this promise for new images too:

    for each new image:
        while a patch is farther than r from the bank:
            bank ← bank ∪ {the patch that is farthest from it}

The rows that an image adds are those that no earlier image could replace. A bank that has seen
everything that good parts can look like does not grow any more.

`find_growth` computes what would be added, and changes nothing. `grow` adds it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minicore.errors import MinicoreWarning, ParameterError
from minicore.images import ImageLike, as_images, image_size
from minicore.images.batching import DIGEST
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.bank_parts import GrowingSearch
from minicore.patchcore.config import Config, require_running
from minicore.patchcore.features import Patches, engine_functions
from minicore.patchcore.search import Search
from minicore.patchcore.selection import continue_coreset, project
from minicore.patchcore.threshold import threshold

if TYPE_CHECKING:
    from minicore.patchcore.estimator import PatchCore

FREE = ("engine", "backbone")  # may differ from the fit: a checksum identifies the network


@dataclass(frozen=True, eq=False, repr=False)
class Growth:
    r"""What an update adds to a model.

    Attributes
    ----------
    new_images : sequence of paths and arrays
        All images given, also copies.
    copies : (n,) bool
        Images that are skipped, because the model has learned an equal image.
    rows : (n,) int64
        Number of rows that each image adds.
    features : (m, D) float32
        The added rows of the memory bank, in order.
    origins : (m, 2) int64
        The image of each added row, and the number of the patch in this image.
    squares : (m, 4) float64
        The cell of each added row in its prepared image: top, left, height, width in pixels.
    distances : (m,) float64
        Distance of each added row to the rows before it; Euclidean, in the projection $\psi$.
    scores, peaks : (n,) float64
        Equation 7 of each image, and the largest value of its map, by the model as it was before
        this image was learned. NaN for copies, and if the model has no false-positive rate.
    digests : (n, 16) uint8
        As `PatchCore.image_digests_`.
    image_size : (int, int) or None
        As `Made.image_size`, of all images of the model.
    """

    new_images: Sequence[ImageLike]
    copies: np.ndarray
    rows: np.ndarray
    features: np.ndarray
    origins: np.ndarray
    squares: np.ndarray
    distances: np.ndarray
    scores: np.ndarray
    peaks: np.ndarray
    digests: np.ndarray
    image_size: tuple[int, int] | None


class _Learned(NamedTuple):
    """What a batch of images adds; see `Growth`."""

    picks: list[np.ndarray]  # patch numbers, an array for each image
    distances: list[np.ndarray]
    features: list[np.ndarray]
    scores: np.ndarray
    peaks: np.ndarray


def find_growth(model: PatchCore, X: Any) -> Growth:
    """Compute which rows new images add to a model. The model is not changed.

    Parameters
    ----------
    model : PatchCore
    X : images
        As for `PatchCore.update`.

    Returns
    -------
    Growth

    Raises
    ------
    ValueError, ImageError, BackboneError
        As `PatchCore.update`.
    """
    images = as_images(X)
    _require_updatable(model)
    if not images:
        raise ValueError("update needs at least one image, got none")
    size = _common_size(images, model.made_.image_size)
    bank = _GrowingBank(model)
    known = {digest.tobytes() for digest in model.image_digests_}
    digests: list[bytes] = []
    copies: list[bool] = []
    batches: list[_Learned] = []
    for batch in model._patches(
        images, "update", progress=model.progress, pixels=model.input_size_, digests=digests
    ):
        before = len(copies)
        for digest in digests[before:]:
            copies.append(digest in known)
            known.add(digest)
        batches.append(bank.learn(batch, copies[before:]))
    skipped = np.array(copies)
    _warn_of_copies(images, skipped)
    picks = [one for each in batches for one in each.picks]
    rows = np.array([len(one) for one in picks], np.int64)
    patches = np.concatenate(picks)
    corners = np.stack(np.divmod(patches, model.grid_[1]), axis=1) * model.config_.stride
    cells = np.broadcast_to(batch.cell, corners.shape)
    return Growth(
        new_images=images,
        copies=skipped,
        rows=rows,
        features=np.concatenate([one for each in batches for one in each.features]),
        origins=np.stack([np.repeat(np.arange(len(images)), rows), patches], axis=1),
        squares=np.concatenate([corners * cells, cells], axis=1),
        distances=np.concatenate([one for each in batches for one in each.distances]),
        scores=np.concatenate([each.scores for each in batches]),
        peaks=np.concatenate([each.peaks for each in batches]),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST),
        image_size=size,
    )


def grow(model: PatchCore, growth: Growth) -> None:
    """Add to a model what `find_growth` has computed for it: all of it, or nothing after an error.

    Parameters
    ----------
    model : PatchCore
    growth : Growth
    """
    new, made, alpha = ~growth.copies, model.made_, model.config_.false_positive_rate
    height, width = model.grid_
    # The numbers of the learned images continue those of the fit; copies have no number.
    number = made.images + np.cumsum(new, dtype=np.int64) - 1
    indices = number[growth.origins[:, 0]] * height * width + growth.origins[:, 1]
    bank = np.concatenate([model.memory_bank_, growth.features])
    search = Search(bank, model.config_.b, score=model.config_.score)
    with model.seconds_.of("axes of the coreset (eq 6)"):
        search.prepare(model.engine)
    state: dict[str, Any] = {
        "memory_bank_": bank,
        "coreset_indices_": np.concatenate([model.coreset_indices_, indices]),
        "image_digests_": np.concatenate([model.image_digests_, growth.digests[new]]),
        "made_": replace(
            made,
            images=made.images + int(new.sum()),
            updated=made.updated + int(new.sum()),
            image_size=growth.image_size,
        ),
        # A new object: results that were cached for the old one, here or in an ensemble, are void.
        "config_": replace(model.config_),
        "_search": search,
        "_last": None,
    }
    if alpha is not None and new.any():
        for name, old, found in (
            ("threshold_", "calibration_scores_", growth.scores),
            ("map_threshold_", "calibration_peaks_", growth.peaks),
        ):
            state[old] = np.concatenate([getattr(model, old), found[new]])
            state[name] = threshold(state[old], alpha) if len(state[old]) > 1 else None
    model.__dict__.update(state)  # one step, which Ctrl-C cannot divide


class _GrowingBank:
    r"""The memory bank of a model, and its projection, while images are learned one after another.

    Parameters
    ----------
    model : PatchCore
        It is not changed.
    """

    def __init__(self, model: PatchCore) -> None:
        self._engine, self._seconds = model.engine, model.seconds_
        self._config = replace(model.config_, engine=model.engine)
        self._scored = self._config.false_positive_rate is not None
        self._radius = float(model.coreset_radii_[-1])
        with self._seconds.of("projection (eq 5)"):
            psi_M = project(model.memory_bank_, self._config)
        self._bank = GrowingSearch(model._search)
        self._psi_bank = GrowingSearch(Search(psi_M, None))

    def learn(self, batch: Patches, copies: Sequence[bool]) -> _Learned:
        """Score each image of a batch, and then add its patches that are farther than the radius.

        Parameters
        ----------
        batch : Patches
        copies : sequence of bool
            Images that are skipped.
        """
        n, height, width, D = batch.features.shape
        P, P_stored = batch.features.reshape(-1, D), _as_stored(batch.features, self._config)
        with self._seconds.of("projection (eq 5)"):
            psi_P = project(P_stored, self._config)
        # The search in the rows that the model begins with is the same for all images.
        with self._seconds.of("coreset (eq 5)"):
            psi_near = self._psi_bank.begin(psi_P, self._engine)
        if self._scored:
            with self._seconds.of("threshold"):
                near = self._bank.begin(P, self._engine)
        scores, grids = np.full(n, np.nan), np.zeros((n, height, width), np.float32)
        picks, distances = [np.empty(0, np.int64)] * n, [np.empty(0)] * n
        for i in range(n):
            own = slice(i * height * width, (i + 1) * height * width)
            if copies[i]:
                continue
            if self._scored:
                with self._seconds.of("threshold"):
                    found = self._bank.finish(P[own], _take(near, own), self._engine)
                    image = batch.features[i : i + 1]
                    s, _, grids[i : i + 1] = self._bank.decide(image, *found, self._engine)
                    scores[i] = s[0]
            with self._seconds.of("coreset (eq 5)"):
                found = self._psi_bank.finish(psi_P[own], _take(psi_near, own), self._engine)
                picks[i], distances[i] = continue_coreset(psi_P[own], found[0][:, 0], self._radius)
                self._bank.append(P_stored[own][picks[i]])
                self._psi_bank.append(psi_P[own][picks[i]])
        features = [P_stored[i * height * width + picks[i]] for i in range(n)]
        return _Learned(picks, distances, features, scores, self._peaks(grids, batch, scores))

    def _peaks(self, grids: np.ndarray, batch: Patches, scores: np.ndarray) -> np.ndarray:
        """Return the largest value of the map of each image that has a score; NaN for others."""
        if not self._scored:
            return scores
        anomaly_map = engine_functions(self._engine).anomaly_map
        sigma, stride = self._config.sigma, self._config.stride
        with self._seconds.of("threshold"):
            maps = anomaly_map(grids, *batch.size, sigma, stride, batch.cell)
        return np.where(np.isnan(scores), np.nan, maps.max(axis=(1, 2)).astype(float))


def _take(found: tuple[np.ndarray, np.ndarray], own: slice) -> tuple[np.ndarray, np.ndarray]:
    return found[0][own], found[1][own]


def _as_stored(features: np.ndarray, config: Config) -> np.ndarray:
    """Return patch features of some images as a fit stores them, (N, D): float16 is rounded."""
    half = config.bank_storage == "float16"
    with MemoryBank(len(features), "float16" if half else "float32") as M:
        M.append(features)
        return M[:]


# ------------------------------------------------------------------- checks


def _require_updatable(model: PatchCore) -> None:
    """Raise an error if the update would make another model than the parameters describe."""
    check_is_fitted(model)
    require_running(model)
    config = model.config_
    if config.selection != "greedy":
        raise ValueError(
            f"a coreset selected by {config.selection!r} has no radius, so its model cannot be "
            f"updated; fit it again on all images"
        )
    if config.augment is not None:
        raise ValueError(
            "a model with turned copies (augment) cannot be updated; fit it again on all images"
        )
    now = model._configure(model._open_backbone())
    names = [name for name in model._get_param_names() if hasattr(config, name)]
    for name in [name for name in names if name not in FREE]:
        fitted, value = getattr(config, name), getattr(now, name)
        if value != fitted:
            raise ParameterError(
                name, f"{fitted!r}, as in the fit (to change it, fit again on all images)", value
            )
    if now.backbone_sha256 != config.backbone_sha256:
        raise ParameterError("backbone", "the network of the fit", model.backbone)


def _common_size(
    images: Sequence[ImageLike], fitted: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return the size of all images of the model, or warn about a new size; None if they differ."""
    for i, image in enumerate(images):
        size = image_size(image)
        if fitted is not None and size != fitted:
            name = image if isinstance(image, Path) else f"image {i}"
            warnings.warn(
                f"{name} has {size[0]} × {size[1]} pixels, and the images of the fit have "
                f"{fitted[0]} × {fitted[1]}; after resizing, parts may differ in scale: photograph "
                f"all parts at one size and distance",
                MinicoreWarning,
                stacklevel=4,
            )
            return None
    return fitted


def _warn_of_copies(images: Sequence[ImageLike], copies: np.ndarray) -> None:
    """Warn if images are skipped."""
    if copies.any():
        first = int(copies.argmax())
        name = images[first] if isinstance(images[first], Path) else f"image {first}"
        n = int(copies.sum())
        warnings.warn(
            f"{n} of {len(images)} images {'is' if n == 1 else 'are'} skipped, for example {name}: "
            f"the model has already learned an equal image",
            MinicoreWarning,
            stacklevel=4,
        )
