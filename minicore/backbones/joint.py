"""Several networks, or one network with several sets of layers, as one source of features.

The patch features of all networks are concatenated. The features of each network are divided by
their spread over the training images, so that every network has the same influence on a distance.
Layers are named as in the authors' code: ``0.layer2`` is layer2 of the first network.
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
from minicore.errors import BackboneError, ParameterError
from minicore.images import Preprocessing

Source: TypeAlias = Backbone | str | Path


class JointBackbone(FeatureSource):
    """Several networks with the same input images; `PatchCore` makes one from a list of backbones.

    Parameters
    ----------
    networks : sequence of Backbone
        They need images of the same size. Each network gets images with its own mean and standard
        deviation.

    Attributes
    ----------
    networks : tuple of Backbone
    source : tuple of str
        The name or path of each network, as given.
    layers : tuple of str
        ``0.layer2``, ``0.layer3``, ``1.layer2`` …
    preprocessing : Preprocessing
        Preprocessing of the first network.

    Raises
    ------
    BackboneError
        If the networks need images of different sizes.
    """

    def __init__(self, networks: Sequence[Backbone]) -> None:
        self.networks = tuple(networks)
        self.preprocessing = self.networks[0].preprocessing
        sizes = [(n.preprocessing.resize, n.preprocessing.crop) for n in self.networks]
        if len(set(sizes)) > 1:
            each = ", ".join(f"{n.name} {size}" for n, size in zip(networks, sizes, strict=True))
            raise BackboneError(
                f"networks used together must agree on (resize, crop), got {each}; "
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
        """Run each network in turn. Return the feature maps of each, finest level first.

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
        """Return name, checksum and preprocessing, and a description of each network, for JSON."""
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
    """Open one network or several.

    Parameters
    ----------
    backbone : Backbone, str, Path, a list of them, or None
        None means the network that ships with minicore. A list results in a `JointBackbone`.
    layers : sequence of str, optional
        Hierarchy levels, finest first; with a list, ``0.layer2`` is layer2 of its first network.
        None means the default layers of each network.
    threads, batch_size
        As for `Backbone`, for networks that are not open yet.

    Raises
    ------
    BackboneError
        If a network cannot be used.
    ValueError
        If `layers` does not fit `backbone`.
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
        raise ParameterError("backbone", "a network, a file, a name, or a list of them", backbone)
    if not backbone:
        raise ValueError("backbone: expected at least one network, got an empty list")
    sets = layer_sets(layers, len(backbone))
    networks = [
        open_backbone(one, own_layers, threads=threads, batch_size=batch_size)
        for one, own_layers in zip(backbone, sets, strict=True)
    ]
    return JointBackbone([network for opened in networks for network in opened.networks])


def layer_sets(layers: Sequence[str] | None, n: int) -> list[tuple[str, ...] | None]:
    """Return the layers of each of `n` networks, from names such as ``0.layer2, 1.layer2``.

    Raises
    ------
    ValueError
        If a layer has another name, or a network has no layer.
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
    without = [k for k, names in enumerate(sets) if not names]
    if without:
        raise ValueError(f"layers: no layer of network {without[0]}, got {', '.join(layers)}")
    return [tuple(names) for names in sets]


class Spread:
    r"""Root mean square distance of patch features from their mean, for each network.

    Parameters
    ----------
    widths : sequence of int
        Number of columns of each network's patch features.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths, self.n = list(widths), 0
        self._sum, self._squares = np.zeros(sum(widths)), np.zeros(sum(widths))

    def add(self, rows: np.ndarray) -> None:
        """Add patch features, (n, D)."""
        self.n += len(rows)
        self._sum += rows.sum(axis=0, dtype=np.float64)
        self._squares += np.einsum("nd,nd->d", rows, rows, dtype=np.float64)

    def scales(self) -> tuple[float, ...]:
        """Return 1 / spread of each network's features; 1 if they are constant."""
        variance = np.maximum(self._squares / self.n - (self._sum / self.n) ** 2, 0)
        starts = np.cumsum([0, *self.widths[:-1]])
        spread = np.sqrt(np.add.reduceat(variance, starts))
        return tuple(float(1 / s) if s > 0 else 1.0 for s in spread)
