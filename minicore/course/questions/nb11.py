"""Question of notebook 11: how many alarms among ten good parts are too many."""

from __future__ import annotations

import math

from minicore.course.exercise import mistake
from minicore.course.question import Question

PARTS, ALPHA, MORNINGS = 10, 0.05, 500


def _exactly(k: int, alpha: float) -> float:
    """Return the probability of k alarms among good parts."""
    return math.comb(PARTS, k) * alpha**k * (1 - alpha) ** (PARTS - k)


def _at_least(k: int, alpha: float = ALPHA) -> float:
    return sum(_exactly(i, alpha) for i in range(k, PARTS + 1))


def smallest_alarms(seed: int, alpha: float = ALPHA, mornings: int = MORNINGS) -> int:
    """Return the smallest number of alarms that happens less than once in so many mornings."""
    return next(k for k in range(PARTS + 1) if _at_least(k, alpha) < 1 / mornings)


MONITORING = Question(
    name="11.2",
    title="Monitoring",
    question="Ten good parts each morning, each an alarm with probability 0.05 if nothing has "
    "changed. From which number of alarms on should the model be fitted again, if this may happen "
    "by chance in less than 1 of 500 mornings?",
    returns="1 whole number: smallest number of alarms",
    compute=smallest_alarms,
    mistakes=(
        mistake(
            "one-alarm",
            "One alarm is common: with ten good parts, it happens on many mornings by chance.",
            lambda seed: 1,
        ),
        mistake(
            "more-than",
            "So many alarms still happen too often. You computed the probability of *more* alarms.",
            lambda seed: smallest_alarms(seed) - 1,
        ),
        mistake(
            "one-later",
            "A smaller number of alarms is already rare enough.",
            lambda seed: smallest_alarms(seed) + 1,
        ),
        mistake(
            "expected-number",
            "Do not round the mean number of alarms. How often do so many alarms happen by chance?",
            lambda seed: round(PARTS * ALPHA),
        ),
    ),
)

ALL = (MONITORING,)
