"""Several networks, or several layer sets of one, as one source of features.

The networks' patch features are concatenated, each network's in units of their own spread over the
training images: the distance between two patches then listens to all of them alike, however large
one's activations are. Layers are named as the authors' code names them, ``0.layer2`` being layer2
of the first network.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from minicore.backbones.feature_maps import FeatureSource, Levels
from minicore.backbones.session import Backbone, require_layers
from minicore.errors import BackboneError, wrong
from minicore.images import Preprocessing

Source: TypeAlias = Backbone | str | Path


class JointBackbone(FeatureSource):
    """Networks that look at the same images; what `PatchCore` makes of a list of backbones.

    Parameters
    ----------
    networks : sequence of Backbone
        They must agree on the size of the images. Each gets the mean and standard deviation it was
        trained with.

    Attributes
    ----------
    networks : tuple of Backbone
    source : tuple of str
        What was asked for, network by network.
    layers : tuple of str
        ``0.layer2``, ``0.layer3``, ``1.layer2`` …
    preprocessing : Preprocessing
        The first network's.

    Raises
    ------
    BackboneError
        If the networks want images of different sizes.
    """

    def __init__(self, networks: Sequence[Backbone]) -> None:
        self.networks = tuple(networks)
        self.preprocessing = self.networks[0].preprocessing
        sizes = [(n.preprocessing.resize, n.preprocessing.crop) for n in self.networks]
        if len(set(sizes)) > 1:
            each = ", ".join(f"{n.name} {size}" for n, size in zip(networks, sizes, strict=True))
            raise BackboneError(
                f"the networks of an ensemble must agree on (resize, crop), these want {each}; "
                f"open each as Backbone(..., resize=, crop=)"
            )
        self.source = tuple(n.source for n in self.networks)
        self.name = " + ".join(n.name for n in self.networks)
        self.layers = tuple(
            f"{k}.{layer}" for k, n in enumerate(self.networks) for layer in n.layers
        )

    def __repr__(self) -> str:
        return f"JointBackbone({list(self.networks)})"

    @functools.cached_property
    def sha256(self) -> str:
        """Checksum of the networks' checksums, in order: 64 hexadecimal digits."""
        return hashlib.sha256("".join(n.sha256 for n in self.networks).encode()).hexdigest()

    def levels(self, batch: np.ndarray) -> tuple[Levels, ...]:
        """Run the networks one after the other: for each its feature maps, finest level first.

        Raises
        ------
        BackboneError
            If their finest levels have different grids: patches cannot be joined.
        """
        mean, std = _columns(self.preprocessing)
        found: list[Levels] = []
        for network in self.networks:
            own_mean, own_std = _columns(network.preprocessing)
            same = network.preprocessing == self.preprocessing
            found += network.levels(batch if same else (batch * std + mean - own_mean) / own_std)
        grids = [levels[0].shape[2:] for levels in found]
        if len(set(grids)) > 1:
            sizes = ", ".join(
                f"{network.name} {h} × {w}"
                for network, (h, w) in zip(self.networks, grids, strict=True)
            )
            raise BackboneError(
                f"the networks' finest levels have different grids: {sizes}; choose layers of the "
                f"same stride as first layers, or average scores instead (minicore.Ensemble)"
            )
        return tuple(found)

    def describe(self) -> dict[str, Any]:
        """Return everything there is to know, for printing."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "preprocessing": asdict(self.preprocessing),
            "networks": [n.describe() for n in self.networks],
        }


def _columns(preprocessing: Preprocessing) -> list[np.ndarray]:
    both = preprocessing.mean, preprocessing.std
    return [np.asarray(values, np.float32).reshape(3, 1, 1) for values in both]


def open_backbone(
    backbone: Source | JointBackbone | Sequence[Source] | None,
    layers: Sequence[str] | None = None,
    *,
    threads: int | None = None,
    batch_size: int = 8,
) -> Backbone | JointBackbone:
    """Open what a caller asked for.

    Parameters
    ----------
    backbone : Backbone, str, Path, a list of them, or None
        None is the network that ships. Of a list of several, a `JointBackbone`.
    layers : sequence of str, optional
        Hierarchy levels, finest first; with a list, ``0.layer2`` is layer2 of its first network.
        By default each network's own choice.
    threads, batch_size
        As for `Backbone`, for those that are not open yet.

    Raises
    ------
    BackboneError
        If a network cannot be used.
    ValueError
        If `layers` does not go with `backbone`.
    """
    require_layers(layers)
    if backbone is None:
        backbone = "default"
    if isinstance(backbone, (str, Path)):
        return Backbone(backbone, layers=layers, threads=threads, batch_size=batch_size)
    if isinstance(backbone, (Backbone, JointBackbone)):
        if layers is not None and tuple(layers) != backbone.layers:
            raise ValueError(
                f"layers must be those of the Backbone given, {backbone.layers}, or None; "
                f"got {layers!r}"
            )
        return backbone
    if not isinstance(backbone, (list, tuple)):
        raise wrong("backbone", "a network, a file, a name, or a list of them", backbone)
    if not backbone:
        raise ValueError("backbone: expected at least one network, got an empty list")
    sets = layer_sets(layers, len(backbone))
    networks = [
        open_backbone(one, its, threads=threads, batch_size=batch_size)
        for one, its in zip(backbone, sets, strict=True)
    ]
    return JointBackbone([network for joint in networks for network in joint.networks])


def layer_sets(layers: Sequence[str] | None, n: int) -> list[tuple[str, ...] | None]:
    """Sort ``0.layer2, 0.layer3, 1.layer2`` by network: the layers of each of `n`.

    Raises
    ------
    ValueError
        If a layer is named otherwise, or a network has none.
    """
    if layers is None:
        return [None] * n
    sets: list[list[str]] = [[] for _ in range(n)]
    for layer in layers:
        number, _, name = layer.partition(".")
        if not (number.isdecimal() and int(number) < n and name):
            raise ValueError(
                f"layers of an ensemble are named 0.layer2, 1.layer2 …, by network; of {n} "
                f"networks got {layer!r}"
            )
        sets[int(number)].append(name)
    without = [k for k, its in enumerate(sets) if not its]
    if without:
        raise ValueError(f"layers: none of network {without[0]}, got {', '.join(layers)}")
    return [tuple(its) for its in sets]


class Spread:
    r"""Root mean square distance of patch features from their mean, block by block of columns.

    Parameters
    ----------
    widths : sequence of int
        Columns of each network's patch features.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths, self.n = list(widths), 0
        self._sum, self._squares = np.zeros(sum(widths)), np.zeros(sum(widths))

    def add(self, rows: np.ndarray) -> None:
        """Take some more patch features, (n, D), into account."""
        self.n += len(rows)
        self._sum += rows.sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("nd,nd->d", rows, rows, dtype=np.float64)

    def scales(self) -> tuple[float, ...]:
        """One over each block's spread; 1 for a block that is constant."""
        variance = np.maximum(self._squares / self.n - (self._sum / self.n) ** 2, 0)
        starts = np.cumsum([0, *self.widths[:-1]])
        spread = np.sqrt(np.add.reduceat(variance, starts))
        return tuple(float(1 / s) if s > 0 else 1.0 for s in spread)
