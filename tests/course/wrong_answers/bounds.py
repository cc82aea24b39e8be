"""Wrong answers on equation 10.2."""

import numpy as np

from wrong_answers.collection import wrong


def loops(term):
    """Return a function that adds a term of all coordinates to the first k squared differences."""

    def bounds(x, y, k):
        result = np.empty((len(x), len(y)))
        for i, a in enumerate(x.astype(float)):
            for j, b in enumerate(y.astype(float)):
                squared = sum((a[c] - b[c]) ** 2 for c in range(k))
                result[i, j] = squared + term(a, b, k)
        return result

    return bounds


def length(vector):
    return np.sqrt(vector @ vector)


wrong("bound", "rest-ignored")(loops(lambda a, b, k: 0))
wrong("bound", "exact")(loops(lambda a, b, k: ((a[k:] - b[k:]) ** 2).sum()))
wrong("bound", "lengths-added")(loops(lambda a, b, k: (length(a[k:]) + length(b[k:])) ** 2))
wrong("bound", "squared-lengths")(loops(lambda a, b, k: abs(a[k:] @ a[k:] - b[k:] @ b[k:])))
wrong("bound", "not-squared")(loops(lambda a, b, k: abs(length(a[k:]) - length(b[k:]))))
wrong("bound", "whole-length")(loops(lambda a, b, k: (length(a) - length(b)) ** 2))


@wrong("bound", "root")
def _(x, y, k):
    return np.sqrt(loops(lambda a, b, k: (length(a[k:]) - length(b[k:])) ** 2)(x, y, k))


@wrong("bound", "other-count")
def _(x, y, k):
    return loops(lambda a, b, k: (length(a[k:]) - length(b[k:])) ** 2)(x, y, k - 1)


@wrong("bound", "transposed")
def _(x, y, k):
    return loops(lambda a, b, k: (length(a[k:]) - length(b[k:])) ** 2)(x, y, k).T


@wrong("bound", "no-rest")
def _(x, y, k):
    def rest(a, b, k):
        return (length(a[k:]) - length(b[k:])) ** 2 if k < len(a) else np.nan

    return loops(rest)(x, y, k)
