"""Questions of notebook 08: how many good images, and how many alarms are real."""

from __future__ import annotations

import numpy as np

from minicore.course.exercise import Array, mistake
from minicore.course.question import Question

ALPHA, FIFTH = 0.01, 5
DEFECTIVE, RECALL, FALSE_ALARMS = 0.001, 0.88, 0.05


def smallest_number(alpha: float = ALPHA) -> int:
    """Return the smallest n with k = ⌈(1 − α)(n + 1)⌉ ≤ n."""
    n = 1
    while np.ceil(round((1 - alpha) * (n + 1), 9)) > n:  # (1 - 0.7) * 10 > 3 in floats
        n += 1
    return n


def images(seed: int) -> tuple[int, int]:
    """Return how many images are held out, and how many are collected in all."""
    return smallest_number(), FIFTH * smallest_number()


def precision(
    rate: float = FALSE_ALARMS, defective: float = DEFECTIVE, recall: float = RECALL
) -> float:
    """Return the share of the alarms that are real defects."""
    real = recall * defective
    return real / (real + rate * (1 - defective))


def _rate_for_half(defective: float = DEFECTIVE, recall: float = RECALL) -> float:
    """Return the false-alarm rate at which half of the alarms are real defects."""
    return recall * defective / (1 - defective)


def alarms(seed: int) -> Array:
    """Return the share of real alarms, and the rate at which it is one half."""
    return np.array([precision(), _rate_for_half()])


HOW_MANY = Question(
    name="08.2",
    title="How many images?",
    question="How many good images must be held out at least, so that equation 8.3 guarantees 1 "
    "false alarm in 100? How many good images are that in all, if a fifth is held out?",
    returns="2 whole numbers: held out, in all",
    compute=images,
    mistakes=(
        mistake(
            "one-too-many",
            "This number is enough, but a smaller one is too. How many intervals do n scores make?",
            lambda seed: (smallest_number() + 1, FIFTH * (smallest_number() + 1)),
        ),
        mistake(
            "a-fifth-more",
            "Your held-out images are not a fifth of all images. They are a fifth of the others.",
            lambda seed: (smallest_number(), (FIFTH + 1) * smallest_number()),
        ),
        mistake(
            "a-fifth-added",
            "You add a fifth. But the held-out images themselves are a fifth of all.",
            lambda seed: (smallest_number(), round(1.2 * smallest_number())),
            lambda seed: (smallest_number(), int(1.2 * smallest_number())),
            lambda seed: (smallest_number(), round(smallest_number() / 0.8)),
        ),
        mistake(
            "without-held-out",
            "These are the images that are left for the fit. Add the held-out images.",
            lambda seed: (smallest_number(), (FIFTH - 1) * smallest_number()),
        ),
        mistake(
            "five-per-cent",
            "This number guarantees 5 false alarms in 100.",
            lambda seed: (smallest_number(0.05), FIFTH * smallest_number(0.05)),
        ),
    ),
)

ONE_IN_A_THOUSAND = Question(
    name="08.3",
    title="One in a thousand",
    question="One part in 1,000 is defective, 88 % of the defects are found, and 5 % of the good "
    "parts cause an alarm. What share of the alarms are real defects? At which false-alarm rate is "
    "it one half?",
    returns="2 numbers: share of the alarms, false-alarm rate",
    compute=alarms,
    mistakes=(
        mistake(
            "balanced",
            "This is the share for a test set with as many defective parts as good ones.",
            lambda seed: np.array([precision(defective=0.5), _rate_for_half(defective=0.5)]),
        ),
        mistake(
            "recall",
            "This is the share of the defects that are found. How many alarms are there in all?",
            lambda seed: np.array([RECALL, alarms(seed)[1]]),
        ),
        mistake(
            "odds",
            "You divide real alarms by false alarms. Divide them by all alarms.",
            lambda seed: np.array(
                [RECALL * DEFECTIVE / (FALSE_ALARMS * (1 - DEFECTIVE)), alarms(seed)[1]]
            ),
        ),
        mistake(
            "recall-missing",
            "You count all defects as found. Recall is below 1.",
            lambda seed: np.array([precision(recall=1), _rate_for_half(recall=1)]),
        ),
        mistake(
            "false-share",
            "This is the share of the alarms that are false.",
            lambda seed: np.array([1 - precision(), alarms(seed)[1]]),
        ),
        mistake(
            "all-alarms",
            "This is the share of all parts that cause an alarm.",
            lambda seed: np.array(
                [RECALL * DEFECTIVE + FALSE_ALARMS * (1 - DEFECTIVE), alarms(seed)[1]]
            ),
        ),
        mistake(
            "half-the-rate",
            "Half of the false-alarm rate does not make half of the alarms real. Write the share "
            "of the alarms as a formula with the rate, and set it to one half.",
            lambda seed: np.array([alarms(seed)[0], FALSE_ALARMS / 2]),
        ),
    ),
)

ALL = (HOW_MANY, ONE_IN_A_THOUSAND)
