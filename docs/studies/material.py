"""Patch features of the data sets that the studies compare methods on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicore import PatchCore, datasets
from minicore.backbones import open_backbone
from minicore.patchcore.features import embed

REAL = ("bottle", "screw", "pill")  # of MVTec AD
DRAWN = datasets.SYNTHETIC
N_DRAWN = 100  # good training images, good test images and defective test images of a drawn part


class Material(NamedTuple):
    """Patch features of one data set.

    Attributes
    ----------
    train, good, bad : (n, P, D) float32
        Good training images, good test images, defective test images.
    """

    train: np.ndarray
    good: np.ndarray
    bad: np.ndarray


def material(name: str, data: Path) -> Material:
    """Compute the patch features of a data set with the default network and settings.

    Parameters
    ----------
    name : str
        One of `REAL` or `DRAWN`.
    data : Path
        The folder of MVTec AD.
    """
    if name in DRAWN:
        parts = datasets.synthetic(name, n_train=N_DRAWN, n_good=N_DRAWN, n_defective=N_DRAWN)
    else:
        parts = datasets.mvtec(data, name)
    good, bad = (
        [x for x, y in zip(parts.test, parts.labels, strict=True) if y == label] for label in (0, 1)
    )
    network = open_backbone(None)
    model = PatchCore()
    model.backbone_ = network
    config = model._configure(model.backbone_)
    found = []
    for images in (list(parts.train), good, bad):
        batches = network.feature_maps(images, network.preprocessing, 8)
        features = np.concatenate([embed(maps, config, "fast").features for maps in batches])
        found.append(features.reshape(len(features), -1, features.shape[3]))
    return Material(*found)
