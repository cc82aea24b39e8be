"""Question of notebook 05: random picks have a small mean, greedy picks a small radius."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicore import equations
from minicore.course.exercise import Array, distances, mistake
from minicore.course.question import Question

COUNT, DRAWS = 48, 300


@functools.cache
def _toy() -> Array:
    """Return the bank that the notebook draws."""
    rng = np.random.default_rng(3)
    angle = rng.uniform(0.1, 1.5, 60)
    arc = 4.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate(
        [
            rng.normal((0, 0), 0.45, (400, 2)),
            rng.normal((4.2, 0.6), 0.3, (80, 2)),
            arc + rng.normal((0, 0.8), 0.1, (60, 2)),
            [[-2.4, 2.2], [-1.6, 3.6], [2.0, -1.5], [5.6, 3.9], [-2.6, -1.2]],
        ]
    ).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _to_nearest(count: int) -> tuple[Array, Array]:
    """Return each row's distance to its nearest pick: greedy (N,), and random (draws, N)."""
    toy = _toy()
    table = distances(toy, toy)
    rng = np.random.default_rng(0)
    random = [
        table[:, rng.choice(len(toy), count, replace=False)].min(axis=1) for _ in range(DRAWS)
    ]
    return table[:, equations.greedy_coreset(toy, count)].min(axis=1), np.array(random)


def _share(count: int = COUNT, of: Callable[..., Any] = np.mean) -> float:
    """Return the share of draws with a smaller number than the greedy picks."""
    greedy, random = _to_nearest(count)
    return float(np.mean(of(random, axis=1) < of(greedy)))


def _radii(count: int = COUNT, of: Callable[..., Any] = np.median) -> float:
    """Return a typical radius of the random picks divided by the greedy radius."""
    greedy, random = _to_nearest(count)
    return float(of(random.max(axis=1)) / greedy.max())


def mean_and_radius(seed: int) -> tuple[float, float]:
    """Return the share of random draws with a smaller mean, and the quotient of the radii."""
    return _share(), _radii()


RANDOM = Question(
    name="05.3",
    title="When is random better?",
    question="With 48 picks: in what share of the 300 draws is the random mean smaller? Divide the "
    "median of the 300 random covering radii by the greedy radius.",
    returns="2 numbers: share of the draws, quotient of the radii",
    compute=mean_and_radius,
    mistakes=(
        mistake(
            "fourteen",
            "This is the answer for 14 picks. Set `count` to 48.",
            lambda seed: (_share(14), _radii(14)),
        ),
        mistake(
            "larger",
            "This is the share of draws in which the greedy mean is smaller.",
            lambda seed: (1 - _share(), _radii()),
        ),
        mistake(
            "radius-for-mean",
            "You compare the radii in both numbers. The first number compares the means.",
            lambda seed: (_share(of=np.max), _radii()),
        ),
        mistake(
            "inverted",
            "You divide the greedy radius by the random one. Divide the other way round.",
            lambda seed: (_share(), 1 / _radii()),
        ),
        mistake(
            "one-draw",
            "You use the smallest or the largest of the random radii. Use their median.",
            lambda seed: (_share(), _radii(of=np.min)),
            lambda seed: (_share(), _radii(of=np.max)),
        ),
        mistake(
            "mean-for-radius",
            "You compare the means in both numbers. The second number compares the radii.",
            lambda seed: (
                _share(),
                float(np.median(_to_nearest(COUNT)[1].mean(axis=1)) / _to_nearest(COUNT)[0].mean()),
            ),
        ),
        mistake(
            "not-divided",
            "This is a radius itself. Divide the two radii.",
            lambda seed: (_share(), _radii() * float(_to_nearest(COUNT)[0].max())),
        ),
    ),
)

ALL = (RANDOM,)
