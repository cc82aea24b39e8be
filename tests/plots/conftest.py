"""Data for the tests of figures."""

import numpy as np
import pytest


@pytest.fixture
def scenes():
    """Two images (n, h, w, 3), their maps, and their masks: one good, one defective."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    masks = np.zeros((2, 32, 48), bool)
    masks[1, 8:20, 10:30] = True
    return images, (rng.random(masks.shape) + 2 * masks).astype(np.float32), masks


@pytest.fixture
def scored():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [40, 30])
    return labels, rng.normal(labels * 2, 1)


@pytest.fixture
def bank():
    """A memory bank (N, d), its greedy coreset and the covering radius."""
    features = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    picked = [0]
    distance = np.linalg.norm(features - features[0], axis=1)
    while len(picked) < 20:
        picked.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(features - features[picked[-1]], axis=1))
    return features, picked, distance.max()
