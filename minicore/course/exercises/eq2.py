"""Exercises on equation 2: one feature of a neighbourhood."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, Hint, mistake, random


def aggregate(phi, h, w, p):
    """Equation 2 with the mean of each channel."""
    return equations.aggregate(phi, h, w, p, phi.shape[0])


def _window(phi, h, w, p, **padding):
    """Cut a p × p neighbourhood out of a padded map, (c, p, p)."""
    r = p // 2
    padded = np.pad(phi.astype(float), ((0, 0), (r, r), (r, r)), **padding)
    return padded[:, h : h + 2 * r + 1, w : w + 2 * r + 1]


def _inside(phi, h, w, p):
    r = p // 2
    return phi[:, max(h - r, 0) : h + r + 1, max(w - r, 0) : w + r + 1].astype(float)


def _unchecked(phi, h, w, p):
    """Average by a loop that minds the lower end of each index no more than NumPy does."""
    around = np.arange(-(p // 2), p // 2 + 1)
    rows, columns = h + around, w + around
    rows, columns = rows[rows < phi.shape[1]], columns[columns < phi.shape[2]]
    return phi[:, rows][:, :, columns].astype(float).sum(axis=(1, 2)) / p**2


def _mean(members):
    return members.mean(axis=(1, 2))


EQ2 = Exercise(
    name="eq2",
    title="Aggregation",
    question="One vector of a neighbourhood: the mean of each channel over the p × p positions "
    "around (h, w). Outside the map are zeros, and they count. p is odd here.",
    returns="(c,) array of float",
    reference=aggregate,
    cases=(
        Case("a position inside", (random(1, 3, 6, 7), 2, 3, 3)),
        Case("p = 1", (random(2, 3, 6, 7), 4, 1, 1)),
        Case("a wide neighbourhood", (random(3, 2, 8, 7), 3, 3, 5)),
        Case("the upper left corner", (random(4, 3, 6, 7), 0, 0, 3)),
        Case("the lower right corner", (random(5, 3, 6, 7), 5, 6, 3)),
        Case("the right border", (random(6, 4, 6, 7), 2, 6, 5)),
        Case("a map smaller than the neighbourhood", (random(7, 2, 2, 3), 1, 1, 5)),
    ),
    mistakes=(
        mistake(
            "zeros-not-counted",
            "Right inside, too large at the border: there you divide by the number of positions "
            "on the map. The zeros outside count too, so the divisor does not shrink.",
            lambda phi, h, w, p: _mean(_inside(phi, h, w, p)),
        ),
        mistake(
            "border-repeated",
            "Right inside, wrong at the border: outside the map are zeros, not copies of the "
            "values nearby.",
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="edge")),
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="reflect")),
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="symmetric")),
        ),
        mistake(
            "wrapped",
            "Right inside, wrong at the border: a negative index reads from the opposite side of "
            "the map.",
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="wrap")),
            _unchecked,
        ),
        mistake(
            "negative-slice",
            "A slice that begins at a negative index begins near the other end of the axis: at "
            "the upper and left border yours is empty.",
            lambda phi, h, w, p: _mean(
                phi[:, h - p // 2 : h + p // 2 + 1, w - p // 2 : w + p // 2 + 1].astype(float)
            ),
            lambda phi, h, w, p: (
                phi[:, h - p // 2 : h + p // 2 + 1, w - p // 2 : w + p // 2 + 1].sum(axis=(1, 2))
                / p**2
            ),
        ),
        mistake(
            "sum",
            "This is the sum over the neighbourhood; the mean is asked for.",
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)),
        ),
        mistake(
            "divisor",
            "The sum is right, the divisor is not: how many positions has a p × p neighbourhood?",
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)) / p,
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)) / (p // 2 * 2) ** 2,
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)) / (p**2 - 1),
        ),
        mistake(
            "max",
            "This is the largest value of each channel; the mean is asked for.",
            lambda phi, h, w, p: _window(phi, h, w, p).max(axis=(1, 2)),
        ),
        mistake(
            "centre-only",
            "This is the feature of (h, w) alone. Its neighbours have a say too.",
            lambda phi, h, w, p: phi[:, h, w],
        ),
        mistake(
            "off-by-one",
            "A row and a column of the neighbourhood are missing: does your range include its "
            "last value?",
            lambda phi, h, w, p: _mean(_window(phi, h, w, p)[:, :-1, :-1]),
            lambda phi, h, w, p: _window(phi, h, w, p)[:, :-1, :-1].sum(axis=(1, 2)) / p**2,
            lambda phi, h, w, p: _mean(_window(phi, h, w, p)[:, 1:, 1:]),
        ),
        mistake(
            "radius",
            "The neighbourhood is too large: p positions wide altogether, not p to each side.",
            lambda phi, h, w, p: _mean(_window(phi, h, w, 2 * p)),
        ),
        mistake(
            "axes",
            "Rows and columns are exchanged: phi is (channel, row, column), and h is a row.",
            lambda phi, h, w, p: _mean(_window(np.swapaxes(phi, 1, 2), h, w, p)),
            lambda phi, h, w, p: _mean(_window(np.pad(phi, ((0, 0), (0, 9), (0, 9))), w, h, p)),
        ),
        mistake(
            "channels-mixed",
            "The channels are averaged with each other. Each keeps its own mean.",
            lambda phi, h, w, p: _window(phi, h, w, p).mean(),
            lambda phi, h, w, p: _window(phi, h, w, p).mean(axis=0),
        ),
    ),
)


def adaptive_average_pool(v, d):
    """f_agg of equation 2."""
    return equations.adaptive_average_pool(v, d)


def _ends(v, d):
    i, L = np.arange(d), len(v)
    return i * L // d, -(-(i + 1) * L // d)


def _pooled(v, first, end, reduce=np.mean):
    return np.array([reduce(v[a:e].astype(float)) for a, e in zip(first, end, strict=True)])


def _asked_for(v, d, reduce):
    first, end = _ends(v, d)
    return _pooled(v, first, end, reduce)


_UNEVEN = Hint(
    "segments",
    "Right when d divides the length. When it does not, compare where your segments begin and end "
    "with the question: its two brackets are different.",
)

POOL = Exercise(
    name="pool",
    title="Adaptive average pooling",
    question="Average a vector of L values in d consecutive segments of nearly equal length: "
    "segment i is ⌊i L/d⌋ … ⌈(i+1) L/d⌉, its end exclusive.",
    returns="(d,) array of float",
    reference=adaptive_average_pool,
    cases=(
        Case("d divides L", (random(11, 12), 4)),
        Case("as many segments as values", (random(12, 5), 5)),
        Case("one segment", (random(13, 7), 1)),
        Case("d does not divide L", (random(14, 10), 4), _UNEVEN),
        Case("d does not divide L", (random(15, 9), 2), _UNEVEN),
        Case("more segments than values", (random(16, 3), 7), _UNEVEN),
    ),
    mistakes=(
        mistake(
            "floored-end",
            "Right when d divides the length. When it does not, your segments end too early: look "
            "at the second bracket of the question.",
            lambda v, d: _pooled(v, _ends(v, d)[0], np.arange(1, d + 1) * len(v) // d),
        ),
        mistake(
            "ceiled-start",
            "Right when d divides the length. When it does not, your segments begin too late: "
            "look at the first bracket of the question.",
            lambda v, d: _pooled(v, -(-np.arange(d) * len(v) // d), _ends(v, d)[1]),
        ),
        mistake(
            "split",
            "Your segments share no value, and the first ones are the longest. In the question, "
            "neighbouring segments may share a value.",
            lambda v, d: np.array([part.astype(float).mean() for part in np.array_split(v, d)]),
        ),
        mistake(
            "remainder-dropped",
            "The last values are never used when d does not divide the length.",
            lambda v, d: v[: len(v) // d * d].reshape(d, -1).astype(float).mean(axis=1),
        ),
        mistake(
            "off-by-one",
            "Each segment has one value too many or too few at its end: an end is exclusive.",
            lambda v, d: _pooled(v, _ends(v, d)[0], _ends(v, d)[1] + 1),
            lambda v, d: _pooled(v, _ends(v, d)[0], _ends(v, d)[1] - 1),
        ),
        mistake(
            "sum",
            "These are sums over the segments; the means are asked for.",
            lambda v, d: _asked_for(v, d, np.sum),
        ),
        mistake(
            "divisor",
            "Each sum is divided by the same number. Segments may differ in length.",
            lambda v, d: _asked_for(v, d, np.sum) * d / len(v),
            lambda v, d: _asked_for(v, d, np.sum) / -(-len(v) // d),
            lambda v, d: _asked_for(v, d, np.sum) / max(len(v) // d, 1),
        ),
        mistake(
            "max",
            "These are the largest values of the segments; the means are asked for.",
            lambda v, d: _asked_for(v, d, np.max),
        ),
        mistake(
            "picked",
            "This takes one value of each segment, or interpolates between values; the mean over "
            "each segment is asked for.",
            lambda v, d: v[_ends(v, d)[0]],
            lambda v, d: np.interp(np.linspace(0, len(v) - 1, d), np.arange(len(v)), v),
        ),
    ),
)


ALL = (
    EQ2,
    POOL,
)
