"""Base class of the baselines: images, network, patch features, maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from minicore import fast
from minicore.backbones import Backbone, JointBackbone, open_backbone
from minicore.backbones.joint import Source
from minicore.checks import require_smoothing, require_whole
from minicore.errors import ImageError
from minicore.images import ImageLike, Override, as_images
from minicore.patchcore.config import Features, require_running
from minicore.patchcore.detector import Detector
from minicore.patchcore.features import check_smoothing
from minicore.patchcore.search import Detection
from minicore.runtime import threads
from minicore.runtime.clock import Seconds

Self = TypeVar("Self", bound="Baseline")  # typing has one from Python 3.11 on


class Baseline(Detector):
    r"""A method on the patch features of equations 1 to 3.

    A subclass implements `_learn` and `_judge`; `_fewest` is the smallest number of images.

    Parameters
    ----------
    backbone : Backbone, str or Path, optional
        The network: an object, an ``.onnx`` file, or a known name. By default the network that
        ships with minicore.
    seed : int, default 0
        Seed of the method's random choices.
    layers : sequence of str, optional
        Hierarchy levels, finest first; by default those of the backbone (layer2, layer3). All
        channels of all levels are concatenated (the embedding ``"concat"`` of
        `minicore.PatchCore`).
    patchsize, stride : int
        $p$ and $s$ of equations 1 and 3.
    resize, crop : int, (int, int) or "none", optional
        Size of the images, as for `minicore.PatchCore`.
    sigma : float, default 4.0
        Smoothing of the maps in pixels.
    batch_size : int, default 8
        Images per batch.
    n_threads : int, optional
        By default the number of cores of the process. It does not change results.
    progress : bool, default True
        Whether to show progress bars.

    Attributes
    ----------
    backbone_ : Backbone
        The network.
    config_ : Features
        The parameters of the patch features.
    grid_ : (int, int)
        Size of the patch grid of an image, h' and w'.
    input_size_ : (int, int)
        (h, w) of the prepared images in pixels.
    threshold_, map_threshold_ : None
        The papers define none, so `predict` raises an error.
    seconds_ : Seconds
        Time of each stage since the model was fitted.
    """

    backbone_: Backbone

    _fewest = 1  # smallest number of training images

    def __init__(
        self,
        backbone: Source | None = None,
        seed: int = 0,
        *,
        layers: Sequence[str] | None = None,
        patchsize: int = 3,
        stride: int = 1,
        resize: Override = None,
        crop: Override = None,
        sigma: float = 4.0,
        batch_size: int = 8,
        n_threads: int | None = None,
        progress: bool = True,
    ) -> None:
        self.backbone = backbone
        self.seed = seed
        self.layers = layers
        self.patchsize = patchsize
        self.stride = stride
        self.resize = resize
        self.crop = crop
        self.sigma = sigma
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.progress = progress

    # ------------------------------------------------------------- each method

    def _check(self) -> None:
        """Raise a `ValueError` if a parameter of the method is out of range."""

    def _learn(self, images: Sequence[ImageLike]) -> None:
        """Learn from good images."""
        raise NotImplementedError

    def _judge(self, patches: np.ndarray) -> Detection:
        """Score a batch of images from their patch features, (n, h', w', D) float32."""
        raise NotImplementedError

    # ------------------------------------------------------------ all methods

    def fit(self: Self, X: Any, y: None = None) -> Self:
        """Learn from good images.

        Parameters
        ----------
        X : images
            Paths, a folder, or uint8 (n, h, w, 3); see `minicore.images.as_images`.
        y : None
            Not used; required by scikit-learn.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or there are too few images.
        ImageError, BackboneError
            If an image or the network cannot be used.
        """
        images = as_images(X)
        if len(images) < self._fewest:
            least = f"at least {self._fewest} image{'s' * (self._fewest > 1)}"
            raise ValueError(f"{type(self).__name__} needs {least} to fit, got {len(images)}")
        self._forget()
        self.seconds_ = Seconds()
        require_running(self)
        require_whole(self, "seed", 0)
        require_smoothing(self)
        self._check()
        with threads.limit(self.n_threads):
            self.backbone_ = self._open_backbone()
            self.config_ = self._configure()
            self._learn(images)
        self.map_threshold_ = None
        self.threshold_ = None
        return self

    def _open_backbone(self) -> Backbone:
        network = open_backbone(
            self.backbone, self.layers, threads=self.n_threads, batch_size=self.batch_size
        )
        if isinstance(network, JointBackbone):
            raise ValueError(
                f"backbone must be one network, got {len(network.networks)}: only PatchCore joins "
                f"several"
            )
        return network

    def _configure(self) -> Features:
        asked = self.backbone_.preprocessing.override(self.resize, self.crop)
        return Features(
            backbone=self.backbone_.source,
            backbone_sha256=self.backbone_.sha256,
            layers=self.backbone_.layers,
            resize=asked.resize,
            crop=asked.crop,
            mean=asked.mean,
            std=asked.std,
            embedding="concat",
            dimension=None,
            patchsize=self.patchsize,
            stride=self.stride,
        )

    def _good_patches(self, images: Sequence[ImageLike]) -> Iterator[np.ndarray]:
        """Yield the patch features of good images, (n, h', w', D) float32, and note their grid."""
        for batch in self._patches(images, "fit", progress=self.progress):
            check_smoothing(self.sigma, batch.size)
            self.input_size_, self._cell = batch.size, batch.cell
            self.grid_ = batch.features.shape[1:3]
            yield batch.features

    def _detections(
        self,
        images: Sequence[ImageLike],
        *,
        skipped: dict[int, ImageError] | None = None,
        progress: bool = False,
    ) -> Iterator[Detection]:
        for batch in self._patches(
            images, "score", progress=progress, pixels=self.input_size_, skipped=skipped
        ):
            with self.seconds_.of("judge"):
                found = self._judge(batch.features)
            yield found

    def _map(self, patch_scores: np.ndarray) -> np.ndarray:
        """Upsample and smooth patch scores as PatchCore does (section 3.3 of its paper)."""
        return fast.anomaly_map(
            patch_scores, *self.input_size_, self.sigma, self.stride, self._cell
        )
