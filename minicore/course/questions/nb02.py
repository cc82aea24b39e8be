"""Question of notebook 02: another aggregation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicore import fast
from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import largest, levels, parts

P = 3
SIZES = 16, 12, 18  # training gears, good and defective test gears
Summary = Callable[..., Any]


@functools.lru_cache(maxsize=1)
def _levels(seed: int) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    gear = parts("gear", *SIZES, seed)
    return levels(gear.train), levels(gear.test)


def _windows(maps: Array) -> Array:
    """Return the P × P neighbourhood of each position, (n, h*, w*, c, P, P)."""
    padded = np.pad(maps, ((0, 0), (0, 0), (P // 2, P // 2), (P // 2, P // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (P, P), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5)


@functools.lru_cache(maxsize=8)
def _largest(seed: int, aggregation: Summary | None, both: bool = False) -> Array:
    """Return the largest distance of each test gear; None is the mean of equation 2."""
    train, test = _levels(seed)
    if aggregation is None:
        count = 2 if both else 1
        stored, queries = (fast.patch_features(maps[:count], P) for maps in (train, test))
    else:
        stored, queries = (aggregation(_windows(maps[0]), axis=(4, 5)) for maps in (train, test))
    return largest(queries, stored.reshape(-1, stored.shape[-1]))


def _ratio(distances: Array, summary: Summary = np.mean) -> float:
    """Return the mean of the defective gears divided by that of the good gears."""
    good = SIZES[1]
    return float(summary(distances[good:]) / summary(distances[:good]))


def two_ratios(seed: int) -> Array:
    """Return the ratio of defective to good with the mean, and with the maximum."""
    return np.array([_ratio(_largest(seed, None)), _ratio(_largest(seed, np.max))])


def _of(seed: int, ratio: Callable[[Array], float]) -> Array:
    return np.array([ratio(_largest(seed, None)), ratio(_largest(seed, np.max))])


AGGREGATION = Question(
    name="02.3",
    title="Another aggregation",
    question="Divide the mean largest distance of the defective gears by that of the good gears, "
    "with layer2 and p = 3: first with the mean of equation 2, then with the maximum.",
    returns="2 numbers: with the mean, with the maximum",
    compute=two_ratios,
    mistakes=(
        mistake(
            "both-levels",
            "This is the ratio with both levels, from the chart above. Use layer2 only.",
            lambda seed: np.array([_ratio(_largest(seed, None, both=True)), two_ratios(seed)[1]]),
        ),
        mistake(
            "inverted",
            "You divide the good gears by the defective ones. Divide the other way round.",
            lambda seed: 1 / two_ratios(seed),
        ),
        mistake(
            "largest-image",
            "You take the largest distance of all images of a group. Take the mean over them.",
            lambda seed: _of(seed, lambda distances: _ratio(distances, np.max)),
        ),
        mistake(
            "median",
            "You take the median over the images. Take the mean, as in the text above.",
            lambda seed: _of(seed, lambda distances: _ratio(distances, np.median)),
        ),
        mistake(
            "minimum",
            "You aggregate with the minimum. Use the maximum.",
            lambda seed: np.array([two_ratios(seed)[0], _ratio(_largest(seed, np.min))]),
        ),
        mistake(
            "difference",
            "You subtract the two means. Distances with the maximum are larger, so divide them.",
            lambda seed: _of(
                seed, lambda found: found[SIZES[1] :].mean() - found[: SIZES[1]].mean()
            ),
        ),
    ),
)

ALL = (AGGREGATION,)
