"""Everything that decides the outcome of a fit, in one frozen record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from minicore.bank import Storage
from minicore.images import Preprocessing

Embedding = Literal["concat", "paper"]
Engine = Literal["fast", "equations"]


@dataclass(frozen=True)
class Config:
    r"""What a model was fitted with; stored in the saved model, printed by ``minicore info``.

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
    coreset_ratio : float
        Share of the memory bank that is kept (equation 5).
    projection_dim : int
        $d^*$ of the random projection $\psi$; features no wider than that are not projected.
    b : int
        Neighbours of equation 7; 1 leaves the score as it is in equation 6.
    sigma : float
        Standard deviation of the map's smoothing in pixels.
    false_positive_rate : float or None
        What the decision threshold allows.
    seed : int
        Of the projection, the first pick, and the choice of held-out images.
    engine : {"fast", "equations"}
        Which of the two made the model. They give the same coreset.
    coreset_radius : float or None
        Distance in the projection $\psi$ at which the coreset covers enough; None: no such end.
    bank_storage : {"float32", "float16", "disk"}
        How the whole memory bank was kept while the coreset was taken from it. Models from before
        there was a choice do not say: it was float32.
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
    coreset_ratio: float
    projection_dim: int
    b: int
    sigma: float
    false_positive_rate: float | None
    seed: int
    engine: Engine
    bank_storage: Storage = "float32"
    coreset_radius: float | None = None

    def __post_init__(self) -> None:
        def require(name: str, ok: bool, expected: str) -> None:
            if not ok:
                raise ValueError(f"{name} must be {expected}, got {getattr(self, name)!r}")

        kinds = {"embedding": Embedding, "engine": Engine, "bank_storage": Storage}
        for name, kind in kinds.items():
            choices = get_args(kind)
            require(name, getattr(self, name) in choices, " or ".join(map(repr, choices)))
        for name in ("patchsize", "stride", "projection_dim", "b"):
            require(name, _whole(getattr(self, name), 1), "a whole number of at least 1")
        require("seed", _whole(self.seed, 0), "a whole number of at least 0")
        require(
            "dimension",
            len(self.dimension) == 2 and all(_whole(d, 1) for d in self.dimension),
            "one or two whole numbers of at least 1",
        )
        ratio, sigma, rate = self.coreset_ratio, self.sigma, self.false_positive_rate
        require("coreset_ratio", _number(ratio) and 0 < ratio <= 1, "above 0 and at most 1")
        require("sigma", _number(sigma) and 0 <= sigma < np.inf, "a number of at least 0")
        radius = self.coreset_radius
        require(
            "coreset_radius",
            radius is None or (_number(radius) and 0 <= radius < np.inf),
            "a number of at least 0, or None",
        )
        require(
            "false_positive_rate",
            rate is None or (_number(rate) and 0 < rate < 1),
            "between 0 and 1, or None",
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to each image before the network sees it."""
        return Preprocessing(self.resize, self.crop, self.mean, self.std)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Config:
        """Restore it: the lists of JSON become tuples again."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()
        }
        return cls(**values)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def _whole(value: Any, least: int) -> bool:
    return (
        isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least
    )
