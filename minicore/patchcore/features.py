"""From feature maps to patch features: equations 1 to 3, with the engine of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minicore import equations, fast
from minicore.backbones import Backbone, JointBackbone
from minicore.backbones.feature_maps import FeatureMaps
from minicore.patchcore.config import Engine, Features


class Patches(NamedTuple):
    """Patch features of one batch of images.

    Attributes
    ----------
    features : (n, h', w', D) float32
    size : (int, int)
        (h, w) of the prepared images in pixels.
    cell : (float, float)
        Rows and columns of pixels that one cell of the finest feature map covers.
    """

    features: np.ndarray
    size: tuple[int, int]
    cell: tuple[float, float]


def engine_functions(engine: Engine) -> ModuleType:
    """Return the module of an engine: `minicore.equations` or `minicore.fast`."""
    return equations if engine == "equations" else fast


def embed(
    maps: FeatureMaps,
    config: Features,
    engine: Engine,
    scales: Sequence[float] = (1.0,),
    W: np.ndarray | None = None,
) -> Patches:
    """Compute patch features from feature maps: equations 1 to 3.

    Parameters
    ----------
    maps : FeatureMaps
    config : Features
    engine : {"fast", "equations"}
    scales : sequence of float
        Factor of the patch features of each network.
    W : (D, k) float32, optional
        The matrix of `minicore.patchcore.whitening`: every patch feature x becomes x W.

    Returns
    -------
    Patches
        The features of several networks are concatenated.

    Raises
    ------
    ValueError
        If the patchsize or the stride is larger than the feature maps.
    """
    d, d_target = config.pooling
    p, s = config.patchsize, config.stride
    finest = maps.networks[0][0].shape[2:]
    _check_sizes(config, finest)
    blocks = []
    for levels, scale in zip(maps.networks, scales, strict=True):
        cells = tuple(cell(maps.size, phi.shape[2:]) for phi in levels)
        patch_features = engine_functions(engine).patch_features
        block = patch_features(levels, p, s, d, d_target, cells=cells)
        blocks.append(block if scale == 1 else block * np.float32(scale))
    features = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=3)
    if W is not None:
        rows = features.reshape(-1, features.shape[3])
        features = engine_functions(engine).project(rows, W).reshape(*features.shape[:3], -1)
    return Patches(features, maps.size, cell(maps.size, finest))


def cell(pixels: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """Return how many rows and columns of pixels one cell of a feature map covers.

    A network that halves its image several times, each time with padding, makes ⌈h/t⌉ rows from h
    rows of pixels, where t is a power of two. With two rows or more, at most one power of two fits.
    If none fits, the cells are assumed to cover the image evenly: t = h / h*.

    Parameters
    ----------
    pixels : (int, int)
        (h, w) of the prepared images.
    grid : (int, int)
        (h*, w*) of the feature map.

    Returns
    -------
    (float, float)
        t of the rows and t of the columns.
    """
    sides = []
    for side, cells in zip(pixels, grid, strict=True):
        t = 2.0 ** math.ceil(math.log2(side / cells))
        sides.append(t if math.ceil(side / t) == cells else side / cells)
    return sides[0], sides[1]


def columns_by_network(backbone: Backbone | JointBackbone, config: Features) -> list[int]:
    """Return the number of values of a patch feature that come from each network."""
    _, d_target = config.pooling
    if d_target is not None:
        return [d_target] * len(backbone.networks)
    return [sum(network.widths.values()) for network in backbone.networks]


def check_smoothing(sigma: float, pixels: tuple[int, int]) -> None:
    """Raise an error if the smoothing is wider than the map: all pixels would be almost equal.

    Parameters
    ----------
    sigma : float
        In pixels.
    pixels : (int, int)
        (h, w) of the prepared images.

    Raises
    ------
    ValueError
        If `sigma` is larger than both sides.
    """
    if sigma > max(pixels):
        raise ValueError(
            f"sigma must be at most {max(pixels)} for images of {pixels[0]} × {pixels[1]} pixels, "
            f"got {sigma!r}"
        )


def _check_sizes(config: Features, side: tuple[int, int]) -> None:
    """Raise an error if patchsize or stride is larger than the finest level, (h*, w*).

    With a neighbourhood more than twice as wide as the level, all patches are equal.
    """
    for name, largest in (("patchsize", 2 * max(side) + 1), ("stride", max(side))):
        value = getattr(config, name)
        if value > largest:
            raise ValueError(
                f"{name} must be at most {largest} for a feature map of {side[0]} × {side[1]}, "
                f"got {value!r}"
            )
