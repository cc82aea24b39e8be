"""Exercises on equation 2: aggregate a neighbourhood into one feature."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicore import equations
from minicore.course.exercise import Array, Case, Exercise, Hint, mistake


def aggregate(phi: Array, h: int, w: int, p: int) -> Array:
    """Return equation 2, with the mean of each channel as aggregation."""
    return np.asarray(equations.aggregate(phi, h, w, p, phi.shape[0]))


def _window(phi: Array, h: int, w: int, p: int, **padding: Any) -> Array:
    """Return a p × p neighbourhood of a padded map, (c, p, p)."""
    r = p // 2
    padded = np.pad(phi.astype(float), ((0, 0), (r, r), (r, r)), **padding)
    return padded[:, h : h + 2 * r + 1, w : w + 2 * r + 1]


def _inside(phi: Array, h: int, w: int, p: int) -> Array:
    """Return the part of a neighbourhood that lies on the map."""
    r = p // 2
    part: Array = phi[:, max(h - r, 0) : h + r + 1, max(w - r, 0) : w + r + 1]
    return part.astype(float)


def _unchecked(phi: Array, h: int, w: int, p: int) -> Array:
    """Return the mean without a check for negative indices, which NumPy reads from the end."""
    around = np.arange(-(p // 2), p // 2 + 1)
    rows, columns = h + around, w + around
    rows, columns = rows[rows < phi.shape[1]], columns[columns < phi.shape[2]]
    total: Array = phi[:, rows][:, :, columns].astype(float).sum(axis=(1, 2))
    return total / p**2


def _mean(members: Array) -> Array:
    return np.asarray(members.mean(axis=(1, 2)))


EQ2 = Exercise(
    name="eq2",
    title="Aggregation",
    question="Return one vector per neighbourhood: the mean of each channel over the p × p "
    "positions around (h, w). Positions outside the map are zeros and count too. p is odd here.",
    goal="compute the mean of a neighbourhood, with the zeros outside the map",
    minutes=15,
    returns="(c,) array of float",
    reference=aggregate,
    make=lambda draw: (
        Case("a position inside", (draw.random(1, 3, 6, 7), 2, 3, 3)),
        Case("p = 1", (draw.random(2, 3, 6, 7), 4, 1, 1)),
        Case("a wide neighbourhood", (draw.random(3, 2, 8, 7), 3, 3, 5)),
        Case("the upper left corner", (draw.random(4, 3, 6, 7), 0, 0, 3)),
        Case("the lower right corner", (draw.random(5, 3, 6, 7), 5, 6, 3)),
        Case("the right border", (draw.random(6, 4, 6, 7), 2, 6, 5)),
        Case("a map smaller than the neighbourhood", (draw.random(7, 2, 2, 3), 1, 1, 5)),
    ),
    mistakes=(
        mistake(
            "zeros-not-counted",
            "Your values are right inside the map, but too large at the border. There you divide "
            "by the number of positions on the map. The zeros outside the map count too.",
            lambda phi, h, w, p: _mean(_inside(phi, h, w, p)),
        ),
        mistake(
            "border-repeated",
            "Your values are right inside the map, but wrong at the border. Values outside the "
            "map are zeros, not copies of other values.",
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="edge")),
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="reflect")),
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="symmetric")),
        ),
        mistake(
            "wrapped",
            "Your values are right inside the map, but wrong at the border. A negative index "
            "reads from the opposite side of the map.",
            lambda phi, h, w, p: _mean(_window(phi, h, w, p, mode="wrap")),
            _unchecked,
        ),
        mistake(
            "negative-slice",
            "At the upper and left border your slice is empty. A slice with a negative start "
            "begins near the other end of the axis.",
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
            "This is the sum over the neighbourhood. Return the mean.",
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)),
        ),
        mistake(
            "divisor",
            "The sum is right, but the divisor is wrong. How many positions does a p × p "
            "neighbourhood have?",
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)) / p,
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)) / (p // 2 * 2) ** 2,
            lambda phi, h, w, p: _window(phi, h, w, p).sum(axis=(1, 2)) / (p**2 - 1),
        ),
        mistake(
            "max",
            "This is the maximum of each channel. Return the mean.",
            lambda phi, h, w, p: _window(phi, h, w, p).max(axis=(1, 2)),
        ),
        mistake(
            "centre-only",
            "This is only the feature at (h, w). The mean includes the features of its neighbours.",
            lambda phi, h, w, p: phi[:, h, w],
        ),
        mistake(
            "off-by-one",
            "One row and one column of the neighbourhood are missing. Does your range include its "
            "last value?",
            lambda phi, h, w, p: _mean(_window(phi, h, w, p)[:, :-1, :-1]),
            lambda phi, h, w, p: _window(phi, h, w, p)[:, :-1, :-1].sum(axis=(1, 2)) / p**2,
            lambda phi, h, w, p: _mean(_window(phi, h, w, p)[:, 1:, 1:]),
        ),
        mistake(
            "radius",
            "The neighbourhood is too large. Its whole width is p positions, not p positions on "
            "each side.",
            lambda phi, h, w, p: _mean(_window(phi, h, w, 2 * p)),
        ),
        mistake(
            "axes",
            "Rows and columns are exchanged. The axes of phi are (channel, row, column), and h is "
            "a row.",
            lambda phi, h, w, p: _mean(_window(np.swapaxes(phi, 1, 2), h, w, p)),
            lambda phi, h, w, p: _mean(_window(np.pad(phi, ((0, 0), (0, 9), (0, 9))), w, h, p)),
        ),
        mistake(
            "channels-mixed",
            "You take the mean over the channels. Return a separate mean for each channel.",
            lambda phi, h, w, p: _window(phi, h, w, p).mean(),
            lambda phi, h, w, p: _window(phi, h, w, p).mean(axis=0),
        ),
    ),
)


def adaptive_average_pool(v: Array, d: int) -> Array:
    """Return f_agg of equation 2."""
    return np.asarray(equations.adaptive_average_pool(v, d))


def _ends(v: Array, d: int) -> tuple[Array, Array]:
    """Return the first index of each segment, and the index after its last, (d,) each."""
    i, L = np.arange(d), len(v)
    return i * L // d, -(-(i + 1) * L // d)


def _pooled(v: Array, first: Array, end: Array, reduce: Callable[..., Any] = np.mean) -> Array:
    return np.array([reduce(v[a:e].astype(float)) for a, e in zip(first, end, strict=True)])


def _over_segments(v: Array, d: int, reduce: Callable[..., Any]) -> Array:
    """Return another reduction over the right segments."""
    return _pooled(v, *_ends(v, d), reduce)


_UNEVEN = Hint(
    "segments",
    "Your result is right if d divides the length. Otherwise, compare where your segments begin "
    "and end with the question: its two brackets are different.",
)

POOL = Exercise(
    name="pool",
    title="Adaptive average pooling",
    question="Split a vector of L values into d segments and return the mean of each segment. "
    "Segment i begins at ⌊i L/d⌋ and ends before ⌈(i+1) L/d⌉.",
    goal="divide a vector into segments that may share values",
    minutes=15,
    returns="(d,) array of float",
    reference=adaptive_average_pool,
    make=lambda draw: (
        Case("d divides L", (draw.random(11, 12), 4)),
        Case("as many segments as values", (draw.random(12, 5), 5)),
        Case("one segment", (draw.random(13, 7), 1)),
        Case("d does not divide L", (draw.random(14, 10), 4), _UNEVEN),
        Case("d does not divide L", (draw.random(15, 9), 2), _UNEVEN),
        Case("more segments than values", (draw.random(16, 3), 7), _UNEVEN),
    ),
    mistakes=(
        mistake(
            "floored-end",
            "Your result is right if d divides the length. Otherwise your segments end too early. "
            "Look at the second bracket of the question.",
            lambda v, d: _pooled(v, _ends(v, d)[0], np.arange(1, d + 1) * len(v) // d),
        ),
        mistake(
            "ceiled-start",
            "Your result is right if d divides the length. Otherwise your segments begin too "
            "late. Look at the first bracket of the question.",
            lambda v, d: _pooled(v, -(-np.arange(d) * len(v) // d), _ends(v, d)[1]),
        ),
        mistake(
            "split",
            "Your segments have no common values, and the first segments are the longest. In the "
            "question, two neighbouring segments may have one value in common.",
            lambda v, d: np.array([part.astype(float).mean() for part in np.array_split(v, d)]),
        ),
        mistake(
            "remainder-dropped",
            "If d does not divide the length, you never use the last values.",
            lambda v, d: v[: len(v) // d * d].reshape(d, -1).astype(float).mean(axis=1),
        ),
        mistake(
            "off-by-one",
            "Each segment has one value too many or too few at its end. The value at the end index "
            "does not belong to the segment.",
            lambda v, d: _pooled(v, _ends(v, d)[0], _ends(v, d)[1] + 1),
            lambda v, d: _pooled(v, _ends(v, d)[0], _ends(v, d)[1] - 1),
        ),
        mistake(
            "sum",
            "These are sums over the segments. Return the means.",
            lambda v, d: _over_segments(v, d, np.sum),
        ),
        mistake(
            "divisor",
            "You divide each sum by the same number. Segments may have different lengths.",
            lambda v, d: _over_segments(v, d, np.sum) * d / len(v),
            lambda v, d: _over_segments(v, d, np.sum) / -(-len(v) // d),
            lambda v, d: _over_segments(v, d, np.sum) / max(len(v) // d, 1),
        ),
        mistake(
            "max",
            "These are the maxima of the segments. Return the means.",
            lambda v, d: _over_segments(v, d, np.max),
        ),
        mistake(
            "picked",
            "You take one value of each segment, or interpolate between values. Return the mean of "
            "each segment.",
            lambda v, d: v[_ends(v, d)[0]],
            lambda v, d: np.interp(np.linspace(0, len(v) - 1, d), np.arange(len(v)), v),
        ),
    ),
)


ALL = (
    EQ2,
    POOL,
)
