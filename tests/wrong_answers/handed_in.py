"""Where wrong answers are collected."""

import numpy as np

WRONG: dict[str, list] = {}


def wrong(exercise, keyword):
    """Keep a function as a wrong answer that deserves the hint of that keyword."""

    def keep(function):
        WRONG.setdefault(exercise, []).append((keyword, function))
        return function

    return keep


def distance(x, y):
    return np.sqrt(np.sum((np.float64(x) - np.float64(y)) ** 2))
