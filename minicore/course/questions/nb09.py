"""Question of notebook 09: equation 9.1 for a ResNet18."""

from __future__ import annotations

import numpy as np

from minicore.course.exercise import Array, mistake
from minicore.course.question import Question

CHANNELS, P, D = 128, 3, 1024  # layer2 of a ResNet18, pooled to 1024 twice
FEATURE = 5


def _weights(feature: int = FEATURE, round_up: bool = True, segments: int = 2) -> Array:
    """Return the weights of the P × P values of one channel in a feature of layer2."""
    L = CHANNELS * P * P
    weights = np.zeros(L)
    for i in range(segments * feature, segments * (feature + 1)):
        first, end = i * L // D, -(-(i + 1) * L // D) if round_up else (i + 1) * L // D
        weights[first:end] += 1 / (end - first) / segments
    channel = int(np.flatnonzero(weights)[0]) // (P * P)
    return weights.reshape(CHANNELS, P, P)[channel]


def resnet18(seed: int) -> Array:
    """Return the 3 × 3 weights of feature 5."""
    return _weights()


def _wide() -> Array:
    window = np.full((P, P), 0.1)
    window[1, 1] = 0.2
    return window


POOLED = Question(
    name="09.2",
    title="Equation 9.1 for a ResNet18",
    question="Which weights do the 3 × 3 values of a channel have in feature 5, if layer2 with 128 "
    "channels is pooled to 1024, and then together with layer3 to 1024?",
    returns="an array of shape (3, 3)",
    compute=resnet18,
    mistakes=(
        mistake(
            "wide-network",
            "These are the weights of the paper's network, which has 512 channels in layer2.",
            lambda seed: _wide(),
        ),
        mistake(
            "plain-mean",
            "This is the mean of all nine values. How many values has a segment?",
            lambda seed: np.full((P, P), 1 / P**2),
        ),
        mistake(
            "one-pooling",
            "This is a feature after the first pooling. The second pooling joins two of them.",
            lambda seed: _weights(segments=1),
        ),
        mistake(
            "no-overlap",
            "Your segments do not overlap. The end of a segment is rounded in the other direction "
            "than its beginning.",
            lambda seed: _weights(round_up=False),
        ),
        mistake(
            "sum",
            "The weights of a mean have the sum 1.",
            lambda seed: 2 * _weights(),
            lambda seed: 4 * _weights(),
        ),
        mistake(
            "columns-first",
            "The nine values go row by row through the neighbourhood, not column by column.",
            lambda seed: _weights().T,
        ),
        mistake(
            "other-feature",
            "These are the weights of another feature. Features are counted from 0.",
            lambda seed: _weights(FEATURE - 1),
            lambda seed: _weights(FEATURE + 1),
        ),
    ),
)

ALL = (POOLED,)
