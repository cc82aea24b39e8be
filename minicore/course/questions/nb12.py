"""Question of notebook 12: whitening and the mean of the highest distances together."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import backbone, parts
from minicore.patchcore.estimator import PatchCore

COUNT = 12  # the first gears of each kind: to train on, good and defective


@functools.lru_cache(maxsize=8)
def _scores(seed: int, **setting: Any) -> tuple[Array, Array]:
    """Return the scores of the good and of the defective gears."""
    gear = parts("gear", COUNT, COUNT, COUNT, seed)
    model = PatchCore(
        backbone(),
        coreset_ratio=0.02,
        seed=0,
        false_positive_rate=None,
        progress=False,
        **setting,
    ).fit(gear.train)
    scores = model.anomaly_score(gear.test)
    return scores[:COUNT], scores[COUNT:]


def _ratio(seed: int, **setting: Any) -> float:
    good, bad = _scores(seed, **setting)
    return float(bad.mean() / good.mean())


def plain_and_both(seed: int) -> Array:
    """Return the ratio of the default model, and with whiten=True and score="top"."""
    return np.array([_ratio(seed), _ratio(seed, whiten=True, score="top")])


BOTH = Question(
    name="12.2",
    title="Both at once",
    question="Fit 12 gears with coreset_ratio=0.02, seed=0, and score 12 good and 12 defective "
    "gears. Divide the mean score of the defective gears by that of the good ones: for the default "
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
    ),
)

ALL = (BOTH,)
