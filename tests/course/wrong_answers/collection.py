"""The collection of wrong answers."""

import numpy as np

WRONG: dict[str, list] = {}


def wrong(exercise, keyword):
    """Add a function as a wrong answer that must get the hint with this keyword."""

    def add(function):
        WRONG.setdefault(exercise, []).append((keyword, function))
        return function

    return add


def distance(x, y):
    return np.sqrt(np.sum((np.float64(x) - np.float64(y)) ** 2))
