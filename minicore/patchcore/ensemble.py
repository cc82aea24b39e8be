"""Several PatchCores whose scores are averaged: the authors' ensemble mode without test data.

The authors scale each member's scores to 0..1 over the *test* images before averaging. So the score
of an image depends on the other test images. Here each member's scores are divided by its own
threshold, which comes from good images: a score above 1 is anomalous for that member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from minicore import equations
from minicore.errors import ImageError, ParameterError
from minicore.images import ImageLike, as_images
from minicore.patchcore.config import require_running
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Detection
from minicore.patchcore.threshold import threshold
from minicore.runtime import threads
from minicore.runtime.progress import bar as progress_bar

if TYPE_CHECKING:
    from distributed import Client


class Ensemble(Detector):
    r"""The mean score of several models of the same part.

    Members may differ in network, layers, embedding, coreset, seed and so on. The size of their
    images and their false_positive_rate must be the same.

    Parameters
    ----------
    models : sequence of PatchCore
        `fit` fits copies of them.
    progress : bool, default True
        Whether to show progress bars.

    Attributes
    ----------
    models_ : list of PatchCore
        The fitted members.
    threshold_, map_threshold_ : float
        Larger scores and pixels are anomalous. The thresholds come from the means of the members'
        scores of the training images, each computed without the image's own rows. `map_threshold_`
        uses the mean of the members' largest map values, which is at least the largest value of the
        mean map.
    calibration_scores_, calibration_peaks_ : (n,) float64
        These means.

    Notes
    -----
    The false-positive rate is an estimate, as for `PatchCore`. ``PatchCore([network, network])``
    joins features instead.
    """

    n_threads = None  # each member has its own

    __metadata_request__fit = dict.fromkeys(("client",), UNUSED)

    def __init__(self, models: Sequence[PatchCore], *, progress: bool = True) -> None:
        self.models = models
        self.progress = progress

    def fit(self, X: Any, y: None = None, *, client: Client | None = None) -> Ensemble:
        """Fit every member on the same good images.

        Parameters
        ----------
        X : images
            At least two, as for `PatchCore.fit`.
        y : None
            Not used; required by scikit-learn.
        client : distributed.Client, optional
            As for `PatchCore.fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If members differ in false_positive_rate or image size, or all images are equal.
        ImageError, BackboneError
            If an image or a network cannot be used.
        """
        images = as_images(X)
        _check(self.models, len(images))
        self._forget()
        models = [clone(model).fit(images, client=client) for model in self.models]
        if any(model.threshold_ is None for model in models):
            raise ValueError(
                f"an Ensemble needs at least two different images for its threshold; all "
                f"{len(images)} are equal"
            )
        if not all(np.array_equal(models[0]._different, model._different) for model in models):
            raise ValueError(
                "some images are copies for one member of the Ensemble and different for another; "
                "remove these copies"
            )
        self._set_members(models)
        return self

    @property
    def members_(self) -> list[PatchCore]:
        """The fitted members."""
        check_is_fitted(self)
        return self.models_

    @property
    def bank_rows_(self) -> int:
        """Number of rows of all coresets together."""
        return sum(member.bank_rows_ for member in self.members_)

    def _set_members(self, models: list[PatchCore]) -> None:
        """Set the fitted members and compute the thresholds of their mean."""
        sizes = {model.input_size_ for model in models}
        if len(sizes) > 1:
            raise ValueError(
                f"members use images of different sizes, {sorted(sizes)}; set resize and crop"
            )
        self._forget()
        self.models_, self.input_size_ = models, models[0].input_size_
        alpha = models[0].config_.false_positive_rate
        assert alpha is not None  # `_check` refuses None
        scores = np.mean([m.calibration_scores_ / _unit(m.threshold_) for m in models], axis=0)
        peaks = np.mean([m.calibration_peaks_ / _unit(m.map_threshold_) for m in models], axis=0)
        self.calibration_scores_, self.calibration_peaks_ = scores, peaks
        self.map_threshold_ = threshold(peaks, alpha)
        self.threshold_ = threshold(scores, alpha)

    def _detections(
        self,
        images: Sequence[ImageLike],
        *,
        skipped: dict[int, ImageError] | None = None,
        progress: bool = False,
    ) -> Iterator[Detection]:
        step = self.models_[0].batch_size
        with progress_bar(len(images), "score", "image", show=progress) as bar:
            for first in range(0, len(images), step):
                some = images[first : first + step]
                errors: dict[int, ImageError] | None = None if skipped is None else {}
                parts = _member_detections(self.models_, some, errors)
                if skipped is not None and errors:
                    skipped.update((first + i, error) for i, error in errors.items())
                if parts:
                    yield _mean(parts)
                bar.update(len(some))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all members to one safetensors file. The file is complete or not written.

        Parameters, result and errors are those of `PatchCore.save`.
        """
        from minicore.patchcore import saved  # imports this class

        return saved.save(self, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path, backbone: Any = None, **options: Any) -> Ensemble:
        """Return the ensemble in a file.

        Parameters
        ----------
        path : str or Path
            A file that `save` wrote.
        backbone : sequence, optional
            The networks of the members in order, if their files were moved.
        **options
            As for `PatchCore.load`.

        Returns
        -------
        Ensemble

        Raises
        ------
        ModelError
            If the file is damaged, or a network is not the one of its member's fit.
        """
        from minicore.patchcore import saved  # imports this class

        return saved.load_ensemble(path, backbone, options)


def _check(models: Sequence[PatchCore], n: int) -> None:
    """Raise an error for members that cannot be averaged, before any of them is fitted."""
    if not isinstance(models, (list, tuple)):
        raise ParameterError("models", "a list of PatchCore", models)
    if not models:
        raise ValueError("an Ensemble needs at least one model, got none")
    for model in models:
        if not isinstance(model, PatchCore):
            raise ParameterError("models", "a list of PatchCore", model)
        require_running(model)
    if n < 2:
        raise ValueError(f"an Ensemble needs at least two images for its threshold; got {n}")
    rates = {model.false_positive_rate for model in models}
    if len(rates) > 1 or None in rates:
        raise ValueError(
            f"members of an Ensemble must have the same false_positive_rate, and not None; got "
            f"{sorted(rates, key=str)}"
        )


def _unit(limit: float | None) -> float:
    """Return the divisor of a member's scores: its threshold, or 1 if the threshold is 0."""
    return limit or 1.0


def _member_detections(
    models: Sequence[PatchCore], images: Sequence[ImageLike], skipped: dict[int, ImageError] | None
) -> list[Detection]:
    """Return each member's detections of the images that all members can use; [] if none can."""
    parts: list[Detection] = []
    left = list(range(len(images)))
    for model in models:
        errors: dict[int, ImageError] | None = None if skipped is None else {}
        found = _scaled(model, [images[i] for i in left], errors)
        if skipped is not None and errors:
            rows = [row for row in range(len(left)) if row not in errors]
            skipped.update((left[row], error) for row, error in errors.items())
            parts, left = [part.take(rows) for part in parts], [left[row] for row in rows]
        if found is None:
            return []
        parts.append(found)
    return parts


def _scaled(
    model: PatchCore, images: Sequence[ImageLike], skipped: dict[int, ImageError] | None
) -> Detection | None:
    """Return one member's detections, divided by its thresholds; None if no image can be used."""
    with threads.limit(model.n_threads):
        batches = list(model._detections(images, skipped=skipped))
    if not batches:
        return None
    found = Detection.join(batches)
    score, pixel = _unit(model.threshold_), _unit(model.map_threshold_)
    assert found.patch_scores is not None and found.maps is not None  # a PatchCore has both
    return Detection(
        found.scores / score,
        found.distances / score,
        found.patch_scores / np.float32(pixel),
        found.maps / np.float32(pixel),
    )


def _mean(parts: list[Detection]) -> Detection:
    """Return the mean of the members' detections; patch scores on the finest member's grid."""
    coarse = [part.patch_scores for part in parts if part.patch_scores is not None]
    height, width = max(scores.shape[1:] for scores in coarse)
    patch_scores = [
        equations.upsample(np.moveaxis(scores, 0, 2), height, width) for scores in coarse
    ]
    return Detection(
        np.mean([part.scores for part in parts], axis=0),
        np.mean([part.distances for part in parts], axis=0),
        np.moveaxis(np.mean(patch_scores, axis=0), 2, 0).astype(np.float32),
        np.mean([part.maps for part in parts if part.maps is not None], axis=0),
    )
