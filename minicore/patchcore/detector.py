"""Base class of all detectors: the methods of scikit-learn, computed from scores and maps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from minicore.backbones import Backbone, JointBackbone
from minicore.backbones.feature_maps import FeatureMaps
from minicore.errors import ImageError
from minicore.images import ImageLike, Preprocessing, as_images
from minicore.images.listing import fingerprint
from minicore.patchcore.config import Engine, Features, require_running
from minicore.patchcore.features import Patches, embed
from minicore.patchcore.search import Detection
from minicore.patchcore.threshold import p_values
from minicore.runtime import threads
from minicore.runtime.clock import Seconds
from minicore.runtime.distribution import require
from minicore.runtime.progress import bar as progress_bar

if TYPE_CHECKING:
    from distributed import Client


class Detector(OutlierMixin, BaseEstimator):
    """Base of `minicore.PatchCore`, `minicore.Ensemble` and the baselines.

    A subclass implements `fit` and `_detections`. `fit` calls `_forget` first and sets `threshold_`
    last, so that an interrupted fit leaves no fitted model.
    """

    batch_size: int
    n_threads: int | None
    progress: bool
    engine: Engine = "fast"
    config_: Features
    backbone_: Backbone | JointBackbone
    scales_: tuple[float, ...] = (1.0,)
    whitening_: np.ndarray | None = None
    seconds_: Seconds
    threshold_: float | None
    map_threshold_: float | None
    calibration_scores_: np.ndarray
    input_size_: tuple[int, int]
    # The latest result: a key of the images, the configurations of the models, the detections.
    _last: tuple[Any, list[Any], Detection] | None = None

    @property
    def members_(self) -> list[Any]:
        """The models that compute the scores: this model, or the members of an ensemble."""
        check_is_fitted(self)
        return [self]

    @property
    def network_files_(self) -> list[Path]:
        """The files of the networks."""
        networks = [n for member in self.members_ for n in member.backbone_.networks]
        return [file for network in networks for file in network.files]

    @property
    def preprocessing_(self) -> Preprocessing:
        """How each image is prepared for the network."""
        return self.members_[0].config_.preprocessing

    @property
    def bank_rows_(self) -> int | None:
        """Number of stored patch features; None if the method stores none."""
        return None

    def _detections(
        self,
        images: Sequence[ImageLike],
        *,
        skipped: dict[int, ImageError] | None = None,
        progress: bool = False,
    ) -> Iterator[Detection]:
        """Yield the detections of images, a batch at a time; see `stream`."""
        raise NotImplementedError

    def _patches(
        self,
        images: Sequence[ImageLike],
        description: str,
        *,
        progress: bool,
        pixels: tuple[int, int] | None = None,
        skipped: dict[int, ImageError] | None = None,
        digests: list[bytes] | None = None,
        angles: Sequence[float] = (0.0,),
    ) -> Iterator[Patches]:
        """Run the network and equations 1 to 3 on images, a batch at a time.

        Parameters
        ----------
        images : sequence of paths and arrays
        description : str
            Text of the progress bar.
        progress : bool
            Whether to show the progress bar.
        pixels, skipped, digests, angles
            As for `minicore.images.batches`.

        Yields
        ------
        Patches
        """
        batches = self.backbone_.feature_maps(
            images,
            self.config_.preprocessing,
            self.batch_size,
            pixels=pixels,
            skipped=skipped,
            digests=digests,
            seconds=self.seconds_,
            angles=angles,
        )
        turned = len(images) * len(angles)
        with (
            contextlib.closing(batches),
            progress_bar(turned, description, "image", show=progress) as bar,
        ):
            for feature_maps in batches:
                with self.seconds_.of("patches (eq 1–3)"):
                    patches = self._embed(feature_maps, self.engine)
                yield patches
                bar.update(len(patches.features))

    def _embed(self, maps: FeatureMaps, engine: Engine) -> Patches:
        """Compute the patch features of this model from feature maps; see `features.embed`."""
        return embed(maps, self.config_, engine, self.scales_, self.whitening_)

    def _forget(self) -> None:
        """Reset to the unfitted state."""
        self.__dict__.pop("threshold_", None)
        self._last = None

    def __sklearn_is_fitted__(self) -> bool:
        return "threshold_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images, or the paths of files
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def stream(
        self,
        X: Any,
        *,
        skipped: dict[int, ImageError] | None = None,
        client: Client | None = None,
        shards: int | None = None,
    ) -> Iterator[Detection]:
        """Score images in batches. The memory does not depend on the number of images.

        Parameters
        ----------
        X : images
            As for `fit`.
        skipped : dict, optional
            If given, unusable images are left out, and the position and the error of each are
            stored here, as in `minicore.images.batches`.
        client : distributed.Client, optional
            Score on the workers of its Dask cluster, one task on each of their threads. The results
            are the same. Each worker gets the model once, or again if all workers that had it died.
            The workers need the same versions of all packages. They read images that are given as
            paths from the same paths, and the network from the same file.
        shards : int, optional
            With `client`, for a `PatchCore` whose memory bank is too large for a worker: divide the
            rows of the bank into so many parts. Each worker holds one, or several if there are more
            parts than workers. This process still holds the whole bank. If the model was loaded or
            saved, and the workers can read this file, they read their rows from it. Otherwise this
            process sends them. All patch features are sent to every part, so do not divide a bank
            that a worker can hold.

        Yields
        ------
        Detection
            Of up to `batch_size` images, in order.

        Raises
        ------
        ImageError
            If an image cannot be used and `skipped` is None.
        BackboneError
            If a worker does not have the network.
        MinicoreError
            If the extra ``cluster`` is not installed.
        ValueError
            If a parameter is out of range.
        """
        for member in self.members_:  # parameters may have changed since `fit`
            require_running(member)
        if client is not None:
            require("client", "cluster", "distributed")
            from minicore.patchcore.over_cluster import (
                cluster_score,  # imports Dask, and this class
            )

            yield from cluster_score.stream(
                self, as_images(X), client, shards=shards, skipped=skipped
            )
            return
        if shards is not None:
            raise ValueError(f"shards must be None without a client, got {shards!r}")
        batches = self._detections(as_images(X), skipped=skipped, progress=self.progress)
        while True:
            with threads.limit(self.n_threads):  # not while the caller works between two batches
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def detect(self, X: Any) -> Detection:
        """Score images and compute their maps, in one pass.

        The result for the latest images is cached: to get scores and then maps, the network runs
        once. Files are compared by their content. The arrays are read-only: copy an array to change
        it.

        Parameters
        ----------
        X : images
            As for `fit`.

        Returns
        -------
        Detection

        Raises
        ------
        ImageError
            If an image cannot be used.
        ValueError
            If there is no image, or a parameter is out of range.
        """
        members = self.members_
        images = as_images(X)
        if not images:
            raise ValueError("expected at least one image, got none")
        for member in members:  # parameters may have changed since `fit`
            require_running(member)
        # Each fit makes a new configuration, so its id is part of the key: one member of an
        # ensemble can be fitted again by itself. The cache keeps the configurations, so no id is
        # reused.
        fits = [member.config_ for member in members]
        key = fingerprint(images), [id(config) for config in fits]
        last = self._last  # another thread may replace it meanwhile
        if last is None or last[0] != key:
            with threads.limit(self.n_threads):
                batches = list(self._detections(images, progress=self.progress))
            last = key, fits, Detection.join(batches).read_only()
            self._last = last
        return last[2]

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return the anomaly score of each image, (n,) float64; higher is more anomalous.

        By default equation 7; see `score` of `minicore.PatchCore`. Each baseline defines its own
        score.
        """
        return self.detect(X).scores

    def anomaly_map(self, X: Any) -> np.ndarray:
        """Return the anomaly map of each image, (n, h, w) float32, on the prepared image's grid.

        Raises
        ------
        ValueError
            If the method has no maps.
        """
        maps = self.detect(X).maps
        if maps is None:
            raise ValueError(f"{type(self).__name__} scores whole images and has no anomaly maps")
        return maps

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the negative `anomaly_score`: higher is more normal, as in scikit-learn."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return threshold minus score, (n,) float64: negative is anomalous.

        Raises
        ------
        ValueError
            If the model has no threshold.
        """
        return self._require_threshold() - self.anomaly_score(X)

    def p_value(self, X: Any) -> np.ndarray:
        """Return the share of good images that score higher than each image, (n,) float64.

        A small value means that few good images look so unusual. It is an estimate from
        `calibration_scores_` (`minicore.patchcore.threshold`). It is not the probability that the
        part is good, which also depends on how many parts are defective. `predict` returns -1 where
        it is below the false-positive rate of the fit.

        Raises
        ------
        ValueError
            If the model has no threshold.
        """
        self._require_threshold()
        return p_values(self.anomaly_score(X), self.calibration_scores_)

    def _require_threshold(self) -> float:
        """Return the threshold, or raise an error if the model has none."""
        check_is_fitted(self)
        if self.threshold_ is None:
            has = hasattr(self, "false_positive_rate")
            fit = "fit it with false_positive_rate set, on two images or more, or " if has else ""
            raise ValueError(
                f"this model has no threshold: {fit}compare anomaly_score with a threshold of your "
                f"own"
            )
        return self.threshold_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for good and -1 for anomalous, (n,) int64."""
        return np.where(self.decision_function(X) >= 0, np.int64(1), np.int64(-1))
