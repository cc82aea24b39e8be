"""Exercise on equation 10.2: a lower bound of a squared distance from a few coordinates."""

import numpy as np

from minicore.course.exercise import Array, Case, Draw, Exercise, Hint, mistake


def lower_bounds(x: Array, y: Array, k: int) -> Array:
    """Return equation 10.2 for each pair, (n, N): k coordinates, and the length of the others."""
    return _along(x, y, k) + (_rest(x, k)[:, None] - _rest(y, k)) ** 2


def _along(x: Array, y: Array, k: int | None) -> Array:
    """Return the squared distances along the first k coordinates."""
    difference = x[:, None, :k].astype(np.float64) - y[None, :, :k]
    squared: Array = (difference**2).sum(axis=2)
    return squared


def _rest(x: Array, k: int) -> Array:
    """Return the length of the vector of the other coordinates."""
    length: Array = np.linalg.norm(x[:, k:].astype(np.float64), axis=1)
    return length


def _rows(draw: Draw, key: int, n: int, D: int) -> Array:
    """Return rows along principal axes: the first coordinates vary most, (n, D) float32."""
    strength = 3.0 / np.arange(1, D + 1)
    return (strength * draw.generator(key).standard_normal((n, D))).astype(np.float32)


_ALL_AXES = Hint(
    "no-rest",
    "If k is the number of all coordinates, no other coordinate is left, and its length is 0.",
)

BOUND = Exercise(
    name="bound",
    title="Lower bound",
    question="Return the right-hand side of equation 10.2 for each pair of a query x and a row y. "
    "The columns are coordinates along the principal axes, largest variance first.",
    goal="compute a lower bound of a squared distance from a few coordinates",
    minutes=15,
    returns="(n, N) array of float",
    reference=lower_bounds,
    make=lambda draw: (
        Case("two of six axes", (_rows(draw, 1, 3, 6), _rows(draw, 2, 5, 6), 2)),
        Case("one axis", (_rows(draw, 3, 2, 4), _rows(draw, 4, 3, 4), 1)),
        Case("many rows", (_rows(draw, 5, 8, 12), _rows(draw, 6, 40, 12), 4)),
        Case("all axes", (_rows(draw, 7, 3, 5), _rows(draw, 8, 4, 5), 5), _ALL_AXES),
    ),
    mistakes=(
        mistake(
            "rest-ignored",
            "You use only the first k coordinates. This is a lower bound too, but a smaller one. "
            "Use the lengths of the other coordinates.",
            lambda x, y, k: _along(x, y, k),
        ),
        mistake(
            "exact",
            "This is the squared distance itself, which needs all coordinates of each pair. The "
            "bound uses only one number for all coordinates after the first k.",
            lambda x, y, k: _along(x, y, None),
        ),
        mistake(
            "lengths-added",
            "You add the two lengths. Then the result is an upper bound.",
            lambda x, y, k: _along(x, y, k) + (_rest(x, k)[:, None] + _rest(y, k)) ** 2,
        ),
        mistake(
            "squared-lengths",
            "You subtract the squared lengths. The square comes after the difference.",
            lambda x, y, k: _along(x, y, k) + np.abs(_rest(x, k)[:, None] ** 2 - _rest(y, k) ** 2),
            lambda x, y, k: _along(x, y, k) + _rest(x, k)[:, None] ** 2 - _rest(y, k) ** 2,
            lambda x, y, k: _along(x, y, k) + (_rest(x, k)[:, None] ** 2 - _rest(y, k) ** 2) ** 2,
        ),
        mistake(
            "not-squared",
            "You add the difference of the lengths without its square.",
            lambda x, y, k: _along(x, y, k) + np.abs(_rest(x, k)[:, None] - _rest(y, k)),
            lambda x, y, k: _along(x, y, k) + _rest(x, k)[:, None] - _rest(y, k),
        ),
        mistake(
            "whole-length",
            "You use the length of the whole vector. Use the length of the coordinates that are "
            "not among the first k.",
            lambda x, y, k: _along(x, y, k) + (_rest(x, 0)[:, None] - _rest(y, 0)) ** 2,
        ),
        mistake(
            "root",
            "This is the root of the bound. Equation 10.2 is about squared distances.",
            lambda x, y, k: np.sqrt(lower_bounds(x, y, k)),
        ),
        mistake(
            "last-axes",
            "You use the last k coordinates. The first ones have the largest variance.",
            lambda x, y, k: lower_bounds(x[:, ::-1], y[:, ::-1], k),
        ),
        mistake(
            "other-count",
            "You use k + 1 or k − 1 coordinates and the length of the others.",
            lambda x, y, k: lower_bounds(x, y, k + 1),
            lambda x, y, k: lower_bounds(x, y, k - 1),
        ),
    ),
)


ALL = (BOUND,)
