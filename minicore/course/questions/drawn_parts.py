"""Drawn parts and their features, computed as in the notebooks and kept for the next check."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from minicore import fast
from minicore.backbones import Backbone
from minicore.course.exercise import Array
from minicore.datasets import synthetic
from minicore.images import prepare


@functools.cache
def backbone() -> Backbone:
    """Return the network that the notebooks use."""
    return Backbone()


@dataclass(frozen=True, eq=False)
class Parts:
    """Drawn parts.

    Attributes
    ----------
    train, test : (n, h, w, 3) uint8
    labels : (n,) int
        0 for a good test image, 1 for a defective one.
    kinds : (n,) str
        The kind of defect of each test image, or "good".
    """

    train: Array
    test: Array
    labels: Array
    kinds: Array

    def first(self, kind: str) -> int:
        """Return the first test image of this kind."""
        return int(np.flatnonzero(self.kinds == kind)[0])


@functools.lru_cache(maxsize=2)
def parts(category: str, n_train: int, n_good: int, n_defective: int, seed: int) -> Parts:
    """Draw the parts of a notebook."""
    data = synthetic(category, n_train=n_train, n_good=n_good, n_defective=n_defective, seed=seed)
    train, test = np.asarray(data.train), np.asarray(data.test)
    return Parts(train, test, data.labels, np.array(data.defects))


def levels(images: Array) -> tuple[Array, ...]:
    """Return the feature maps of images, the finest level first: (n, c, h*, w*) each."""
    network = backbone()
    return tuple(
        network(np.stack([prepare(image, network.preprocessing) for image in images])).values()
    )


def patches(images: Array) -> Array:
    """Return equations 1 to 3 of images, (n, 28, 28, 384)."""
    return fast.patch_features(levels(images))


def largest(queries: Array, bank: Array) -> Array:
    """Return the largest distance of each image's patches (n, ..., D) to the bank, (n,)."""
    distances, _ = fast.nearest(queries.reshape(-1, queries.shape[-1]), bank)
    found: Array = distances.reshape(len(queries), -1).max(axis=1)
    return found
