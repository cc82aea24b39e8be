"""Several PatchCores, their scores averaged: the authors' ensemble mode, without its leak.

The authors scale each member's scores to 0..1 over the *test* images before averaging, so that one
image's score depends on the others it is tested with. Here a member speaks in units of its own
threshold, which held-out good images have set: a score above 1 is anomalous to that member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from minicore import equations
from minicore.errors import ImageError, ModelError, wrong
from minicore.images import ImageLike, Lenient, as_images
from minicore.patchcore import modelfile
from minicore.patchcore.config import require_running
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Detection
from minicore.patchcore.threshold import conformal_threshold
from minicore.runtime.files import identities
from minicore.runtime.progress import bar as progress_bar


class Ensemble(Detector):
    r"""The mean score of several models of the same part.

    Members may differ in network, layers, embedding, coreset and so on, but not in what they look
    at (size of the images) nor in which images they hold out (seed, false_positive_rate).

    Parameters
    ----------
    models : sequence of PatchCore
        Not fitted themselves: `fit` works on copies.
    progress : bool, default True
        Show progress bars, where there is a terminal.

    Attributes
    ----------
    models_ : list of PatchCore
        The fitted members.
    threshold_, map_threshold_ : float
        Scores and pixels above are anomalous, by the mean over the members for the images that all
        of them held out. A map's largest value is taken to be the mean of the members' largest,
        which it cannot exceed.

    Notes
    -----
    The rate of false positives is an estimate: the units come from the same held-out images as the
    threshold, and, as for `PatchCore`, the final members are not those that scored them.
    ``PatchCore([network, network])`` joins features instead. Pickles are as for `PatchCore`.
    """

    n_threads = None  # each member has its own

    def __init__(self, models: Sequence[PatchCore], *, progress: bool = True) -> None:
        self.models = models
        self.progress = progress

    def fit(self, X: Any, y: None = None) -> Ensemble:
        """Fit every member on the same good images.

        Parameters
        ----------
        X : images
            At least two, as for `PatchCore.fit`.
        y : None
            Not used; here for scikit-learn.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If members differ in what they must share, or all images are equal.
        ImageError, BackboneError
            If an image or a network cannot be used.
        """
        images = as_images(X)
        _check(self.models, len(images))
        self._forget()
        self.models_ = [clone(model).fit(images) for model in self.models]
        if any(model.threshold_ is None for model in self.models_):
            raise ValueError(
                f"an Ensemble needs at least two different images, to hold one out; all "
                f"{len(images)} are equal"
            )
        held_out = [model._held_out for model in self.models_]
        if not all(np.array_equal(held_out[0], its) for its in held_out):
            raise ValueError(
                "members of an Ensemble must hold out the same images, but some images are equal "
                "to one member and different to another; remove images that show the same"
            )
        self._compare()
        return self

    @property
    def members_(self) -> list[PatchCore]:
        """The fitted members."""
        check_is_fitted(self)
        return self.models_

    @property
    def bank_rows_(self) -> int:
        """Rows of all coresets together."""
        return sum(member.bank_rows_ for member in self.members_)

    def _compare(self) -> None:
        """Put the fitted members on one scale, and the thresholds on it."""
        sizes = {model.input_size_ for model in self.models_}
        if len(sizes) > 1:
            raise ValueError(
                f"members look at images of different sizes, {sorted(sizes)}; set resize and crop"
            )
        self.input_size_ = self.models_[0].input_size_
        alpha = self.models_[0].config_.false_positive_rate
        assert alpha is not None  # _check
        scores = np.mean([m.held_out_scores_ / _unit(m.threshold_) for m in self.models_], axis=0)
        peaks = np.mean([m.held_out_peaks_ / _unit(m.map_threshold_) for m in self.models_], axis=0)
        self.map_threshold_ = conformal_threshold(peaks, alpha)
        self.threshold_ = conformal_threshold(scores, alpha)

    def _detections(self, images: Any) -> Iterator[Detection]:
        step = self.models_[0].batch_size
        with progress_bar(len(images), "score", "image", show=self.progress) as bar:
            for first in range(0, len(images), step):
                some = images[first : first + step]
                skipped: dict[int, ImageError] | None = {} if isinstance(images, Lenient) else None
                parts = _of_all(self.models_, some, skipped)
                if skipped:
                    images.skipped.update((first + i, error) for i, error in skipped.items())
                if parts:
                    yield _mean(parts)
                bar.update(len(some))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all members to one safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or Path
        overwrite : bool, default False
            Whether to replace a file that minicore did not make. The file of a network of the model
            is never replaced.

        Returns
        -------
        Path

        Raises
        ------
        OutputError
            If the file cannot be written, or must not be replaced.
        """
        check_is_fitted(self)
        members = [model._stored() for model in self.models_]
        arrays = {
            f"{k}.{name}": array
            for k, (its, _) in enumerate(members)
            for name, array in its.items()
        }
        header = {"members": [its for _, its in members]}
        inputs = identities(self.network_files_)
        return modelfile.write(path, arrays, header, inputs=inputs, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path, backbone: Any = None, **options: Any) -> Ensemble:
        """Read an ensemble.

        Parameters
        ----------
        path : str or Path
            What `save` wrote.
        backbone : sequence, optional
            The members' networks in order, if they are not found where they were then.
        **options
            As for `PatchCore.load`.

        Returns
        -------
        Ensemble

        Raises
        ------
        ModelError
            If the file is damaged, or a network is another than its member was fitted with.
        """
        ensemble = load(path, backbone, **options)
        if not isinstance(ensemble, cls):
            raise ModelError(f"{path}: a single model; read it with minicore.load")
        return ensemble


def load(path: str | Path, backbone: Any = None, **options: Any) -> PatchCore | Ensemble:
    """Read a model, whether it is one `PatchCore` or an `Ensemble`.

    Parameters
    ----------
    path : str or Path
        What `save` wrote.
    backbone : optional
        The network it was fitted with, if it is not found where it was then; of an ensemble a list,
        member by member.
    **options
        As for `PatchCore.load`.

    Returns
    -------
    PatchCore or Ensemble

    Raises
    ------
    ModelError
        If the file is damaged, or `backbone` is another network than the model was fitted with.
    """
    arrays, header = modelfile.read(path)
    if "members" not in header:
        return PatchCore._restored(path, arrays, header, backbone, options)
    headers = header["members"]
    if not isinstance(headers, list) or not headers:
        raise ModelError(f"{path}: damaged: members {str(headers)[:200]}")
    networks = [None] * len(headers) if backbone is None else backbone
    if not isinstance(networks, (list, tuple)) or len(networks) != len(headers):
        raise ModelError(f"{path}: an ensemble of {len(headers)}; give a network for each")
    models = [
        PatchCore._restored(path, _of_member(arrays, k), its, networks[k], options)
        for k, its in enumerate(headers)
    ]
    ensemble = Ensemble(models, progress=options.get("progress", True))
    ensemble._forget()
    ensemble.models_ = models
    held = {(len(model.held_out_scores_), len(model.held_out_peaks_)) for model in models}
    promised = {(model.config_.seed, model.config_.false_positive_rate) for model in models}
    if len(held) > 1 or held == {(0, 0)} or len(promised) > 1 or None in next(iter(promised)):
        raise ModelError(f"{path}: damaged: its members held out different images, or none")
    try:
        ensemble._compare()
    except ValueError as error:
        raise ModelError(f"{path}: damaged: {error}") from error
    return ensemble


def _of_member(arrays: dict[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
    start = f"{k}."
    return {n.removeprefix(start): array for n, array in arrays.items() if n.startswith(start)}


def _check(models: Sequence[PatchCore], n: int) -> None:
    """Refuse members that cannot be compared, before any of them works for minutes."""
    if not isinstance(models, (list, tuple)):
        raise wrong("models", "a list of PatchCore", models)
    if not models:
        raise ValueError("an Ensemble needs at least one model, got none")
    for model in models:
        if not isinstance(model, PatchCore):
            raise wrong("models", "a list of PatchCore", model)
        require_running(model)
    if n < 2:
        raise ValueError(f"an Ensemble needs at least two images, to hold one out; got {n}")
    shared = {(model.seed, model.false_positive_rate) for model in models}
    if len(shared) > 1 or None in next(iter(shared)):
        raise ValueError(
            "members of an Ensemble must share seed and false_positive_rate, which may not be "
            f"None: their units come from the images they hold out; got {sorted(shared, key=str)}"
        )


def _unit(threshold: float | None) -> float:
    """Give what a member's scores are divided by; 1 if no held-out image differs from the bank."""
    return threshold or 1.0


def _of_all(
    models: Sequence[PatchCore], images: Sequence[ImageLike], skipped: dict[int, ImageError] | None
) -> list[Detection]:
    """Ask each member about the images that all of them can use; [] if there is none."""
    parts: list[Detection] = []
    left = list(range(len(images)))
    for model in models:
        its: dict[int, ImageError] | None = None if skipped is None else {}
        found = _in_units(model, [images[i] for i in left], its)
        if skipped is not None and its:
            rows = [row for row in range(len(left)) if row not in its]
            skipped.update((left[row], error) for row, error in its.items())
            parts, left = [part.take(rows) for part in parts], [left[row] for row in rows]
        if found is None:
            return []
        parts.append(found)
    return parts


def _in_units(
    model: PatchCore, images: Sequence[ImageLike], skipped: dict[int, ImageError] | None
) -> Detection | None:
    """Ask one member, and put its answer, if there is any, in units of its thresholds."""
    shown, model.progress = model.progress, False  # the ensemble has a bar of its own
    try:
        batches = list(model.stream(images, skipped=skipped))
    finally:
        model.progress = shown
    if not batches:
        return None
    found = Detection.join(batches)
    score, pixel = _unit(model.threshold_), _unit(model.map_threshold_)
    assert found.patch_scores is not None and found.maps is not None  # a PatchCore gives both
    return Detection(
        found.scores / score,
        found.distances / score,
        found.patch_scores / np.float32(pixel),
        found.maps / np.float32(pixel),
    )


def _mean(parts: list[Detection]) -> Detection:
    """Average the members' answers; patch scores on the finest member's grid."""
    coarse = [part.patch_scores for part in parts if part.patch_scores is not None]  # all have some
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
