"""Everything that decides the outcome of a fit, in a frozen record; and what may stand in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
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
from minicore.errors import wrong
from minicore.images import Preprocessing
from minicore.patchcore.bank import Storage

Embedding = Literal["concat", "paper"]
Engine = Literal["fast", "equations"]
Selection = Literal["greedy", "random", "kmeans"]


@dataclass(frozen=True)
class Features:
    r"""What decides an image's patch features (equations 1 to 3), whichever method judges them.

    Parameters
    ----------
    backbone : str or tuple of str
        Name of the network, or the file it was read from; of each, if there are several.
    backbone_sha256 : str
        Its checksum: a model scores with no other network.
    layers : tuple of str
        Hierarchy levels $j$, finest first; ``0.layer2`` is layer2 of the first of several networks.
    resize, crop : int, (int, int) or None
        Size of the images in pixels (`minicore.images.Preprocessing`).
    mean, std : (float, float, float)
        Normalisation of the pixels.
    embedding : {"concat", "paper"}
        How the levels become one vector a patch (equations 2 and 3).
    dimension : (int, int)
        With ``"paper"``: of each level, and of the whole.
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
    dimension: tuple[int, int]
    patchsize: int
    stride: int

    def __post_init__(self) -> None:
        require_choice(self, "embedding", Embedding)
        for name in ("patchsize", "stride"):
            require_whole(self, name, 1)
        require(
            self,
            "dimension",
            len(self.dimension) == 2 and all(is_whole(d, 1) for d in self.dimension),
            "one or two whole numbers of at least 1",
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to each image before the network sees it."""
        return Preprocessing(self.resize, self.crop, self.mean, self.std)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return asdict(self)


@dataclass(frozen=True)
class Config(Features):
    r"""What a model was fitted with; stored in the saved model, printed by ``minicore info``.

    Parameters
    ----------
    backbone … stride
        As for `Features`.
    coreset_ratio : float
        Share of the memory bank that is kept (equation 5).
    projection_dim : int
        $d^*$ of the random projection $\psi$; features no wider than that are not projected.
    b : int
        Neighbours of equation 7; 1 leaves the score as it is in equation 6.
    sigma : float
        Standard deviation of the map's smoothing in pixels.
    false_positive_rate : float or None
        What the decision threshold was asked to allow; for the final model an estimate.
    seed : int
        Of the projection, the first pick, and the choice of held-out images.
    engine : {"fast", "equations"}
        Which of the two made the model. They give the same coreset.
    coreset_radius : float or None
        Distance in the projection $\psi$ at which the coreset covers enough; None: no such end.
    bank_storage : {"float32", "float16", "disk"}
        How the whole memory bank was kept while the coreset was taken from it. Models from before
        there was a choice do not say: it was float32.
    selection : {"greedy", "random", "kmeans"}
        How the rows to keep were picked (`selection`); "greedy" is the paper's coreset.
    """

    coreset_ratio: float
    projection_dim: int
    b: int
    sigma: float
    false_positive_rate: float | None
    seed: int
    engine: Engine
    bank_storage: Storage = "float32"
    coreset_radius: float | None = None
    selection: Selection = "greedy"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, "engine", Engine)
        require_choice(self, "bank_storage", Storage)
        require_choice(self, "selection", Selection)
        for name in ("projection_dim", "b"):
            require_whole(self, name, 1)
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

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Config:
        """Restore it: the lists of JSON become tuples again."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Made:
    """From what and when a model was made; stored in the saved model, changes no result.

    Parameters
    ----------
    images : int
        How many it was fitted on.
    copies : int
        How many of these are equal to another one before them.
    folder : str or None
        The absolute path of the folder that holds them all; None if they were arrays.
    when : str
        Time of the fit, UTC, as ISO 8601: ``2026-01-31T12:00:00Z``. The environment variable
        ``SOURCE_DATE_EPOCH`` (seconds since 1970), if set, is used instead of the clock; then the
        same fit writes the same bytes.
    version : str
        Of minicore.
    """

    images: int
    copies: int
    folder: str | None
    when: str
    version: str

    def __post_init__(self) -> None:
        require_whole(self, "images", 1)
        require_whole(self, "copies", 0)
        for name in ("folder", "when", "version"):
            value = getattr(self, name)
            text = isinstance(value, str) or (name == "folder" and value is None)
            require(self, name, text, "text")

    @classmethod
    def of(cls, images: Sequence[Any], copies: int = 0) -> Made:
        """Return the record of a fit that ends now.

        Parameters
        ----------
        images : sequence of paths and arrays
            At least one.
        copies : int

        Raises
        ------
        ValueError
            If ``SOURCE_DATE_EPOCH`` is not a time.
        """
        folder = None
        if all(isinstance(image, (str, Path)) for image in images):
            folders = {Path(image).parent for image in images}
            with contextlib.suppress(ValueError):  # on two drives of Windows
                folder = os.path.commonpath([f.resolve() for f in folders])
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        try:
            when = datetime.fromtimestamp(int(epoch) if epoch else int(time.time()), timezone.utc)
        except (ValueError, OverflowError, OSError):
            raise wrong("SOURCE_DATE_EPOCH", "seconds since 1970", epoch) from None
        text = when.isoformat().replace("+00:00", "Z")
        return cls(len(images), copies, folder, text, __version__)


def require_running(model: Any) -> None:
    """Refuse what changes no result and is in no `Config`: how a model is to be run.

    Parameters
    ----------
    model : Detector
        With `batch_size` and `n_threads`, and of a PatchCore `engine`.

    Raises
    ------
    ValueError
        If one of them cannot be; names it.
    """
    require_whole(model, "batch_size", 1)
    require_threads(model, "n_threads")
    if hasattr(model, "engine"):
        require_choice(model, "engine", Engine)
