"""The parameters that determine the result of a fit, as frozen and validated records."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minicore import __version__
from minicore.checks import (
    is_number,
    is_whole,
    require,
    require_choice,
    require_smoothing,
    require_threads,
    require_whole,
)
from minicore.errors import ParameterError
from minicore.images import Preprocessing
from minicore.patchcore.bank import Storage

Embedding = Literal["concat", "paper"]
Engine = Literal["fast", "equations"]
Selection = Literal["greedy", "random", "kmeans", "two-round"]
Score = Literal["max", "top"]
Augment = Literal["rotations"]

EVERY_45 = tuple(45.0 * k for k in range(8))  # degrees: the default of `angles`


@dataclass(frozen=True)
class Features:
    r"""Parameters of the patch features (equations 1 to 3), for PatchCore and baselines.

    Parameters
    ----------
    backbone : str or tuple of str
        Name or file of the network; a tuple for several networks.
    backbone_sha256 : str
        Checksum of the network. A saved model refuses any other network.
    layers : tuple of str
        Hierarchy levels $j$, finest first; ``0.layer2`` is layer2 of the first of several networks.
    resize, crop : int, (int, int) or None
        Size of the images in pixels (`minicore.images.Preprocessing`).
    mean, std : (float, float, float)
        Normalisation of the pixels.
    embedding : {"concat", "paper"}
        How the levels become one vector per patch (equations 2 and 3).
    dimension : (int, int) or None
        For ``"paper"``: values per level, and values of the whole vector.
    patchsize, stride : int
        $p$ and $s$ of equations 1 and 3.
    """

    backbone: str | tuple[str, ...]
    backbone_sha256: str
    layers: tuple[str, ...]
    resize: int | tuple[int, int] | None
    crop: int | tuple[int, int] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    embedding: Embedding
    dimension: tuple[int, int] | None
    patchsize: int
    stride: int

    def __post_init__(self) -> None:
        require_choice(self, "embedding", Embedding)
        for name in ("patchsize", "stride"):
            require_whole(self, name, 1)
        require(
            self,
            "dimension",
            self.embedding == "concat"
            if self.dimension is None
            else len(self.dimension) == 2 and all(is_whole(d, 1) for d in self.dimension),
            "one or two whole numbers of at least 1",
        )

    @property
    def pooling(self) -> tuple[int, int] | tuple[None, None]:
        """Arguments d and d_target of `patch_features`."""
        if self.embedding == "concat" or self.dimension is None:
            return None, None
        return self.dimension

    @property
    def preprocessing(self) -> Preprocessing:
        """How each image is prepared for the network."""
        return Preprocessing(self.resize, self.crop, self.mean, self.std)

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as a dict for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Config(Features):
    r"""Parameters of a fit; stored in the saved model and printed by ``minicore info``.

    Parameters
    ----------
    backbone … stride
        As for `Features`.
    coreset_ratio : float
        Share of the memory bank to keep (equation 5).
    projection_dim : int
        $d^*$ of the random projection $\psi$. Features of this width or less are not projected.
    b : int or None
        Number of neighbours in equation 7; None leaves equation 7 out. Always None if `score` is
        "top".
    sigma : float
        Standard deviation of the map's smoothing in pixels.
    false_positive_rate : float or None
        Share of good images that the threshold may call anomalous, an estimate.
    seed : int
        Seed of the projection and the first pick.
    engine : {"fast", "equations"}
        The engine of the fit. Both select the same coreset.
    coreset_radius : float or None
        Stop picking at this distance in the projection $\psi$. None: pick all rows of the share.
    bank_storage : {"float32", "float16", "disk"}
        How the whole memory bank was stored during the fit.
    selection : {"greedy", "random", "kmeans", "two-round"}
        How the rows are selected; "greedy" is the paper's coreset.
    whiten : bool
        Whether the patch features are whitened.
    score : {"max", "top"}
        How the distances of the patches become the score of an image.
    augment : {"rotations"} or None
        Whether turned copies of the training images are in the memory bank.
    angles : tuple of float, or None
        Degrees by which they are turned, increasing, from 0 up to 360, exclusive. The first is 0.
        None if `augment` is None.
    """

    coreset_ratio: float
    projection_dim: int
    b: int | None
    sigma: float
    false_positive_rate: float | None
    seed: int
    engine: Engine
    bank_storage: Storage
    coreset_radius: float | None
    selection: Selection
    whiten: bool
    score: Score
    augment: Augment | None
    angles: Sequence[float] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, "engine", Engine)
        require_choice(self, "bank_storage", Storage)
        require_choice(self, "selection", Selection)
        require_choice(self, "score", Score)
        require(self, "whiten", isinstance(self.whiten, bool), "True or False")
        require_whole(self, "projection_dim", 1)
        enough = self.b is None or is_whole(self.b, 2)
        require(self, "b", enough, "a whole number of at least 2, or None")
        require(self, "b", self.b is None or self.score == "max", "None if score is 'top'")
        require_whole(self, "seed", 0)
        require_smoothing(self)
        ratio, rate, radius = self.coreset_ratio, self.false_positive_rate, self.coreset_radius
        require(self, "coreset_ratio", is_number(ratio) and 0 < ratio <= 1, "above 0 and at most 1")
        require(
            self,
            "coreset_radius",
            radius is None or (is_number(radius) and 0 <= radius < np.inf),
            "a number of at least 0, or None",
        )
        greedy = self.selection == "greedy"
        require(
            self, "coreset_radius", radius is None or greedy, "None unless selection is 'greedy'"
        )
        require(
            self,
            "false_positive_rate",
            rate is None or (is_number(rate) and 0 < rate < 1),
            "between 0 and 1, or None",
        )
        if self.augment is None:
            require(self, "angles", self.angles is None, "None unless augment is 'rotations'")
        else:
            require_choice(self, "augment", Augment)
            object.__setattr__(self, "angles", _in_order(self.angles))

    @property
    def turns(self) -> tuple[float, ...]:
        """Angles at which each training image is in the memory bank; the first is 0."""
        return (0.0,) if self.angles is None else tuple(self.angles)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Config:
        """Return the parameters that `to_json` wrote: lists become tuples again."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()
        }
        return cls(**values)


def _in_order(angles: Any) -> tuple[float, ...]:
    """Return angles in degrees modulo 360, increasing.

    Raises
    ------
    ValueError
        If they are not distinct numbers, or 0 is missing: new images are not turned, so good images
        must be in the bank as they are.
    """
    several = tuple(angles) if isinstance(angles, Iterable) else ()
    if all(is_number(a) and np.isfinite(a) for a in several):
        ordered = sorted({float(a) % 360 % 360 for a in several})  # -1e-20 % 360 is 360.0
        if len(ordered) == len(several) and 0 in ordered:
            return tuple(ordered)
    raise ParameterError(
        "angles", "different numbers of degrees, with 0 because new images are not turned", angles
    )


@dataclass(frozen=True)
class Made:
    """Training images, time and version of a model. Stored in its file; it changes no result.

    Parameters
    ----------
    images : int
        Number of training images.
    copies : int
        Number of images that are copies of an earlier image.
    folder : str or None
        Absolute path of the folder that contains all images; None for arrays.
    when : str
        Time of the fit, UTC, as ISO 8601: ``2026-01-31T12:00:00Z``. The environment variable
        ``SOURCE_DATE_EPOCH`` (seconds since 1970), if set, is used instead of the clock; then the
        same fit writes the same bytes.
    version : str
        Version of minicore.
    image_size : (int, int) or None
        (h, w) of the training images in pixels. None if they have different sizes.
    updated : int
        How many of the images were learned after the fit, by `PatchCore.update`. `folder`, `when`
        and `version` describe the fit.
    """

    images: int
    copies: int
    folder: str | None
    when: str
    version: str
    image_size: tuple[int, int] | None = None
    updated: int = 0

    def __post_init__(self) -> None:
        for name, least in (("images", 1), ("copies", 0), ("updated", 0)):
            require_whole(self, name, least)
        require(self, "updated", self.updated < self.images, f"less than {self.images} images")
        for name in ("folder", "when", "version"):
            value = getattr(self, name)
            text = isinstance(value, str) or (name == "folder" and value is None)
            require(self, name, text, "text")
        size = self.image_size
        if size is not None:
            object.__setattr__(self, "image_size", tuple(size))  # JSON has lists
            good = len(size) == 2 and all(is_whole(side, 1) for side in size)
            require(self, "image_size", good, "(h, w) or None")

    @classmethod
    def of(
        cls, images: Sequence[Any], copies: int = 0, image_size: tuple[int, int] | None = None
    ) -> Made:
        """Return the record for a fit that ends now.

        Parameters
        ----------
        images : sequence of paths and arrays
            At least one.
        copies, image_size
            As for `Made`.

        Raises
        ------
        ValueError
            If ``SOURCE_DATE_EPOCH`` is not a time.
        """
        folder = None
        if all(isinstance(image, (str, Path)) for image in images):
            folders = {Path(image).parent for image in images}
            with contextlib.suppress(ValueError):  # the files are on different drives of Windows
                folder = os.path.commonpath([f.resolve() for f in folders])
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        try:
            when = datetime.fromtimestamp(int(epoch) if epoch else int(time.time()), timezone.utc)
        except (ValueError, OverflowError, OSError):
            raise ParameterError("SOURCE_DATE_EPOCH", "seconds since 1970", epoch) from None
        text = when.isoformat().replace("+00:00", "Z")
        return cls(len(images), copies, folder, text, __version__, image_size)


def require_running(model: Any) -> None:
    """Raise an error if `batch_size`, `n_threads` or `engine` is invalid.

    Parameters
    ----------
    model : Detector
        Has `batch_size` and `n_threads`; a PatchCore also has `engine`.

    Raises
    ------
    ValueError
        If one of them is invalid.
    """
    require_whole(model, "batch_size", 1)
    require_threads(model, "n_threads")
    if hasattr(model, "engine"):
        require_choice(model, "engine", Engine)
