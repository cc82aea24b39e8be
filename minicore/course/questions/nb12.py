"""Question of notebook 12: whitening and the mean of the highest distances together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import backbone, parts
from minicore.patchcore.estimator import PatchCore

TRAIN, EVERY = 12, 4  # training gears; every fourth test gear


@functools.lru_cache(maxsize=4)
def _scores(seed: int, **setting: Any) -> tuple[Array, Array]:
    """Return the scores of the good and of the defective gears."""
    gear = parts("gear", 40, 40, 40, seed)
    model = PatchCore(
        backbone(),
        coreset_ratio=0.02,
        seed=0,
        false_positive_rate=None,
        progress=False,
        **setting,
    ).fit(gear.train[:TRAIN])
    scores, labels = model.anomaly_score(gear.test[::EVERY]), gear.labels[::EVERY]
    return scores[labels == 0], scores[labels == 1]


def _ratio(seed: int, summary: Callable[..., Any] = np.mean, **setting: Any) -> float:
    good, bad = _scores(seed, **setting)
    return float(summary(bad) / summary(good))


def plain_and_both(seed: int) -> Array:
    """Return the ratio of the default model, and with whiten=True and score="top"."""
    return np.array([_ratio(seed), _ratio(seed, whiten=True, score="top")])


BOTH = Question(
    name="12.2",
    title="Both at once",
    question="Fit 12 gears with coreset_ratio=0.02, seed=0, and score every fourth test gear. "
    "Divide the mean score of the defective gears by that of the good ones: for the default "
    'settings, and with whiten=True and score="top".',
    returns="2 numbers: default settings, whitened and top",
    compute=plain_and_both,
    mistakes=(
        mistake(
            "equation-6",
            "You left equation 7 out of the default model. The notebook does this, but the default "
            "is b = 9.",
            lambda seed: np.array([_ratio(seed, b=None), plain_and_both(seed)[1]]),
        ),
        mistake(
            "whitened-only",
            'You whiten, but the score is the maximum. Also set score="top".',
            lambda seed: np.array([plain_and_both(seed)[0], _ratio(seed, whiten=True)]),
            lambda seed: np.array([plain_and_both(seed)[0], _ratio(seed, whiten=True, b=None)]),
        ),
        mistake(
            "top-only",
            "You take the mean of the highest distances, but you do not whiten.",
            lambda seed: np.array([plain_and_both(seed)[0], _ratio(seed, score="top")]),
        ),
        mistake(
            "inverted",
            "You divide the good gears by the defective ones. Divide the other way round.",
            lambda seed: 1 / plain_and_both(seed),
        ),
        mistake(
            "median",
            "You take the median of the scores. Take the mean.",
            lambda seed: np.array(
                [_ratio(seed, np.median), _ratio(seed, np.median, whiten=True, score="top")]
            ),
        ),
    ),
)

ALL = (BOTH,)
