"""The parts that the page offers: drawn parts, a saved model, or frames of a camera."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicore import datasets
from minicore.backbones import open_backbone
from minicore.errors import MinicoreError, MinicoreWarning
from minicore.images import ImageLike, list_images, view
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.saved import load
from minicore.play.message import Message
from minicore.play.scene import Scene, prepare

FIRST_PART = "gear"  # the page opens with it
SHARE = 0.1  # the largest coreset of a part with many patches
WHOLE = 40_000  # up to this number of patches all are picked: ten seconds at most
RATE = 0.05  # share of good images that the thresholds may call anomalous
OWN = "own"  # name of the part that the page learned from the user's images
FEWEST, MOST = 2, 200  # images to learn from
LATEST = 5  # scenes that are kept, of up to 250 MB


@dataclass(frozen=True, eq=False)
class Examples:
    """The images of one part.

    Attributes
    ----------
    training, good, defective : sequence of paths and arrays
    """

    training: Sequence[ImageLike]
    good: Sequence[ImageLike] = ()
    defective: Sequence[ImageLike] = ()


@dataclass(frozen=True, eq=False)
class Opened:
    """A part with one choice of settings, ready for the page."""

    number: int
    part: str
    scene: Scene
    examples: Examples

    def message(self) -> Message:
        """Return the message of the scene, with the number of the scene and of its images."""
        found, examples = self.scene.message(), self.examples
        images = {
            "training": len(self.scene.training) * len(self.scene.model.config_.turns),
            "good": len(examples.good),
            "defective": len(examples.defective),
        }
        own = {"part": self.part, "scene": self.number, "images": images}
        return Message(found.values | own, found.arrays)

    def image(self, kind: str, number: int) -> np.ndarray | None:
        """Return a prepared image, (h, w, 3) uint8; None if there is none.

        The numbers of training images count their turned copies, as `Scene.origins`.
        """
        config = self.scene.model.config_
        training = kind == "training"
        images = self.scene.training if training else getattr(self.examples, kind)
        angles = config.turns if training else (0.0,)
        image, turn = divmod(number, len(angles))
        if not 0 <= image < len(images):
            return None
        return view(images[image], config.preprocessing, angles[turn])


class Parts:
    """All parts of one run of the playground. Each is fitted when it is first opened.

    Parameters
    ----------
    model : Path, optional
        A saved model. Without it, the parts are the five drawn ones.
    backbone : str or list of str, optional
        The network; by default the one that ships with minicore, or that of the saved model.

    Raises
    ------
    ModelError, BackboneError
        If the model or the network cannot be used.
    """

    def __init__(self, model: Path | None = None, backbone: Any = None) -> None:
        self._backbone = backbone
        self._saved: PatchCore | None = None
        self._examples: dict[str, Examples] = {}
        self._opened: dict[Any, Opened] = {}
        self._count = 0
        self._fitting: PatchCore | None = None
        if model is None:
            self.names = sorted(datasets.SYNTHETIC, key=lambda name: name != FIRST_PART)
            return
        loaded = load(model, backbone)
        if not isinstance(loaded, PatchCore):
            raise MinicoreError(f"{model}: an ensemble; the playground shows one PatchCore model")
        self._saved, self.names = loaded, [model.stem]
        self._examples[model.stem] = Examples(_training_images(loaded))

    @property
    def settings(self) -> bool:
        """Whether levels, p and s can change: the training images are available."""
        if self._saved is None:
            return True
        return len(self._examples[self.names[0]].training) == self._saved.made_.images

    def contains(self, part: Any) -> bool:
        """Return whether `open` accepts this part."""
        return part in self.names or (part == OWN and OWN in self._examples)

    def open(
        self,
        part: str,
        layers: Sequence[str] | None = None,
        patchsize: int | None = None,
        stride: int | None = None,
    ) -> Opened:
        """Return a part, fitted with these settings.

        Parameters
        ----------
        part : str
            One of `names`, or `OWN` after `learn`.
        layers : sequence of str, optional
            Hierarchy levels, finest first; by default those of the network or the saved model.
        patchsize, stride : int, optional
            $p$ and $s$; by default 3 and 1, or those of the saved model.

        Returns
        -------
        Opened

        Raises
        ------
        KeyError
            If there is no such part.
        ValueError
            If a setting is out of range.
        """
        if not self.contains(part):
            raise KeyError(part)
        layers = None if layers is None else tuple(layers)
        key = part, layers, patchsize, stride
        if key not in self._opened:
            examples = self._examples.get(part) or drawn(part)
            self._examples[part] = examples
            scene = self._scene(part, examples, layers, patchsize, stride)
            self._keep(key, part, scene, examples)
        opened = self._opened[key]
        # The latest is the last. The dict is replaced: `find` reads it in another thread.
        self._opened = {k: each for k, each in self._opened.items() if k != key} | {key: opened}
        return opened

    def progress(self) -> list[str] | None:
        """Return the stages that the current fit has reached; None if there is no fit.

        Another thread may call it.
        """
        fitting = self._fitting
        return None if fitting is None else list(getattr(fitting, "seconds_", ()))

    def find(self, number: int | None) -> Opened | None:
        """Return the opened part with this number, or the latest; None if there is none."""
        opened = list(self._opened.values())
        if number is None:
            return opened[-1] if opened else None
        return next((each for each in opened if each.number == number), None)

    def learn(self, images: np.ndarray) -> Opened:
        """Fit a new part.

        Parameters
        ----------
        images : (n, h, w, 3) uint8
            Good images, already resized and cropped.

        Returns
        -------
        Opened
            Its name is `OWN`. It replaces an earlier part of this name.

        Raises
        ------
        ValueError
            If there are too few or too many images, or they cannot be used.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 images (n, h, w, 3), got {images.dtype} {images.shape}"
            )
        if not FEWEST <= len(images) <= MOST:
            raise ValueError(f"expected {FEWEST} to {MOST} images, got {len(images)}")
        examples = Examples(list(images))
        scene = self._scene(OWN, examples, None, None, None)
        self._opened = {key: one for key, one in self._opened.items() if one.part != OWN}
        self._examples[OWN] = examples
        return self._keep((OWN, None, None, None), OWN, scene, examples)

    def _scene(
        self,
        part: str,
        examples: Examples,
        layers: tuple[str, ...] | None,
        patchsize: int | None,
        stride: int | None,
    ) -> Scene:
        asked = {"layers": layers, "patchsize": patchsize, "stride": stride}
        settings: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
        if self._saved is not None and part != OWN:
            return self._refitted(self._saved, examples.training, settings)
        if part == OWN:
            settings |= {"resize": "none", "crop": "none"}
        ratio = self._share(examples.training, settings)
        # The scene computes the thresholds: of this coreset and of all smaller ones.
        rate = {"coreset_ratio": ratio, "false_positive_rate": None}
        model = self._fitted(examples.training, settings | rate)
        return prepare(model, examples.training, false_positive_rate=RATE)

    def _refitted(
        self, saved: PatchCore, training: Sequence[ImageLike], settings: dict[str, Any]
    ) -> Scene:
        """Return the scene of a saved model, or of one with other settings."""
        config = saved.config_
        if all(getattr(config, name) == value for name, value in settings.items()):
            return prepare(saved, training)
        if len(training) < saved.made_.images:
            raise ValueError("training images are missing, so the settings cannot change")
        names = (
            "embedding", "coreset_ratio", "seed", "layers", "patchsize", "stride",
            "projection_dim", "b", "sigma", "false_positive_rate", "selection", "whiten", "score",
            "augment", "angles",
        )  # fmt: skip
        stored: dict[str, Any] = {name: getattr(config, name) for name in names}
        stored |= {"resize": config.resize or "none", "crop": config.crop or "none"}
        stored["dimension"] = config.dimension or 1024
        return prepare(self._fitted(training, stored | settings), training)

    def _network(self) -> Any:
        """Return the network: the user's, that of the saved model, or None for the default."""
        if self._backbone is not None or self._saved is None:
            return self._backbone
        network = self._saved.config_.backbone
        return list(network) if isinstance(network, tuple) else network

    def _share(self, images: Sequence[ImageLike], settings: dict[str, Any]) -> float:
        """Return the share of patches to pick: all, unless that takes too long."""
        layers = settings.get("layers")
        backbone = open_backbone(self._network(), layers, threads=None, batch_size=1)
        size = backbone.preprocessing.override(settings.get("resize"), settings.get("crop"))
        maps = next(backbone.feature_maps([images[0]], size, 1))
        height, width = maps.networks[0][0].shape[2:]
        s = max(settings.get("stride", 1), 1)
        patches = len(images) * len(range(0, height, s)) * len(range(0, width, s))
        return 1.0 if patches <= WHOLE else SHARE

    def _fitted(self, images: Sequence[ImageLike], settings: dict[str, Any]) -> PatchCore:
        model = PatchCore(self._network(), progress=False, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MinicoreWarning)  # frames of a camera may be equal
            self._fitting = model
            try:
                return model.fit(images)
            finally:
                self._fitting = None

    def _keep(self, key: Any, part: str, scene: Scene, examples: Examples) -> Opened:
        while len(self._opened) >= LATEST:
            del self._opened[next(iter(self._opened))]
        self._count += 1
        self._opened[key] = Opened(self._count, part, scene, examples)
        return self._opened[key]


def drawn(part: str) -> Examples:
    """Return the images of a drawn part."""
    parts = datasets.synthetic(part)
    test: dict[int, list[ImageLike]] = {0: [], 1: []}
    for image, label in zip(parts.test, parts.labels, strict=True):
        test[int(label)].append(image)
    return Examples(list(parts.train), test[0], test[1])


def _training_images(model: PatchCore) -> Sequence[ImageLike]:
    """Return the images that a saved model has learned, if their folder still has as many.

    Images of an update are often in another folder. Then these are the images of the fit.
    """
    made = model.made_
    if made.folder is None:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MinicoreWarning)
            images = list_images(Path(made.folder))
    except (MinicoreError, OSError):
        return []
    return images if len(images) in (made.images, made.images - made.updated) else []
