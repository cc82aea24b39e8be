"""Exercise on equation 1: the neighbourhood of a position."""

from collections.abc import Iterable

import numpy as np

from minicore import equations
from minicore.course.exercise import Array, Case, Exercise, mistake


def neighbourhood(h: int, w: int, p: int) -> Array:
    """Return the positions of equation 1."""
    return np.asarray(equations.neighbourhood(h, w, p))


def _square(h: int, w: int, offsets: Iterable[int]) -> Array:
    """Return the positions (h + i, w + j) for all offsets i and j, row by row."""
    offsets = list(offsets)
    return np.array([(h + i, w + j) for i in offsets for j in offsets]).reshape(-1, 2)


def _reach(p: int) -> range:
    """Return the offsets of equation 1: from −⌊p/2⌋ to ⌊p/2⌋."""
    return range(-(p // 2), p // 2 + 1)


EQ1 = Exercise(
    name="eq1",
    title="Neighbourhood",
    question="Return all positions (a, b) in the square of patchsize p around (h, w). Go row by "
    "row. Keep positions outside the map.",
    goal="list the positions of a neighbourhood, also at the border and for an even p",
    minutes=10,
    returns="(k, 2) array of int",
    reference=neighbourhood,
    make=lambda draw: (
        Case("a position inside", (draw.whole(1, 4), draw.whole(2, 5), 3)),
        Case("a larger square", (draw.whole(3, 5), draw.whole(4, 3), 5)),
        Case("p = 1", (draw.whole(5, 2), draw.whole(6, 7), 1)),
        Case("a corner of the map", (0, 0, 3)),
        Case("the upper border", (1, draw.whole(7, 9), 5)),
        Case("an even p", (draw.whole(8, 6), draw.whole(9, 6), 2)),
        Case("an even p", (draw.whole(10, 4), draw.whole(11, 8), 4)),
    ),
    mistakes=(
        mistake(
            "clipped",
            "Positions outside the map are missing or changed. Equation 1 keeps them, so that "
            "every neighbourhood has the same size. (Equation 2 reads zeros there.)",
            lambda h, w, p: np.array([q for q in _square(h, w, _reach(p)) if min(q) >= 0]),
            lambda h, w, p: np.maximum(_square(h, w, _reach(p)), 0),
        ),
        mistake(
            "even-p",
            "Your result is right for odd p, but not for even p. The equation has the same limit "
            "on *both* sides of (h, w). What is the floor of p/2? Is the square symmetric?",
            lambda h, w, p: _square(h, w, range(-((p - 1) // 2), p - (p - 1) // 2)),
            lambda h, w, p: _square(h, w, range(-(p // 2), p - p // 2)),
            lambda h, w, p: _square(h, w, range(-((p - 1) // 2), (p - 1) // 2 + 1)),
        ),
        mistake(
            "off-by-one",
            "One row and one column are missing. Does your range include its last value?",
            lambda h, w, p: _square(h, w, _reach(p)[:-1]),
            lambda h, w, p: _square(h, w, _reach(p)[1:]),
        ),
        mistake(
            "radius",
            "The square is too large. Its whole width is about p positions, not p positions on "
            "each side.",
            lambda h, w, p: _square(h, w, range(-p, p + 1)),
            lambda h, w, p: _square(h, w, range(-p, p)),
            lambda h, w, p: _square(h, w, range(-(p // 2) - 1, p // 2 + 2)),
        ),
        mistake(
            "no-centre",
            "The position (h, w) is missing. It belongs to its own neighbourhood.",
            lambda h, w, p: np.array(
                [q for q in _square(h, w, _reach(p)).tolist() if q != [h, w]]
            ).reshape(-1, 2),
        ),
        mistake(
            "relative",
            "These are offsets from the centre (h, w). Return positions on the map.",
            lambda h, w, p: _square(0, 0, _reach(p)),
        ),
        mistake(
            "axes",
            "Rows and columns are exchanged. In each pair, the row (h) comes first.",
            lambda h, w, p: _square(h, w, _reach(p))[:, ::-1],
            lambda h, w, p: _square(w, h, _reach(p)),
        ),
        mistake(
            "order",
            "The positions are right, but their order is wrong. Go row by row: a changes slowest.",
            lambda h, w, p: _square(w, h, _reach(p))[:, ::-1],
            lambda h, w, p: _square(h, w, _reach(p)[::-1]),
        ),
        mistake(
            "cross",
            "Only positions in the row and in the column of (h, w) are here. The neighbourhood is "
            "a full square with corners.",
            lambda h, w, p: np.array(
                [q for q in _square(h, w, _reach(p)) if q[0] == h or q[1] == w]
            ),
        ),
    ),
)


ALL = (EQ1,)
