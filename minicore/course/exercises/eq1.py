"""Exercise on equation 1: which positions belong together."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, mistake


def neighbourhood(h, w, p):
    """Equation 1."""
    return equations.neighbourhood(h, w, p)


def _square(h, w, rows, columns=None):
    """Positions (h + i, w + j), row by row."""
    columns = rows if columns is None else columns
    return np.array([(h + i, w + j) for i in rows for j in columns]).reshape(-1, 2)


def _reach(p):
    return range(-(p // 2), p // 2 + 1)


EQ1 = Exercise(
    name="eq1",
    title="Neighbourhood",
    question="Which positions (a, b) lie in the square of patchsize p around (h, w)? Row by row, "
    "those outside the map too.",
    returns="(k, 2) array of int",
    reference=neighbourhood,
    cases=(
        Case("a position inside", (4, 5, 3)),
        Case("a larger square", (5, 3, 5)),
        Case("p = 1", (2, 7, 1)),
        Case("a corner of the map", (0, 0, 3)),
        Case("the upper border", (1, 9, 5)),
        Case("an even p", (6, 6, 2)),
        Case("an even p", (4, 8, 4)),
    ),
    mistakes=(
        mistake(
            "clipped",
            "Positions outside the map are missing. Equation 1 keeps them (equation 2 reads zeros "
            "there), so that every neighbourhood has the same number of members.",
            lambda h, w, p: np.array([q for q in _square(h, w, _reach(p)) if min(q) >= 0]),
            lambda h, w, p: np.maximum(_square(h, w, _reach(p)), 0),
        ),
        mistake(
            "even-p",
            "Right for odd p. For even p the equation says how far the square reaches on *either* "
            "side of (h, w): what is the floor of p/2, and is the square then symmetric?",
            lambda h, w, p: _square(h, w, range(-((p - 1) // 2), p - (p - 1) // 2)),
            lambda h, w, p: _square(h, w, range(-(p // 2), p - p // 2)),
            lambda h, w, p: _square(h, w, range(-((p - 1) // 2), (p - 1) // 2 + 1)),
        ),
        mistake(
            "off-by-one",
            "One row and one column are missing at an end: does your range include its last value?",
            lambda h, w, p: _square(h, w, _reach(p)[:-1]),
            lambda h, w, p: _square(h, w, _reach(p)[1:]),
        ),
        mistake(
            "radius",
            "The square is too large: it should be about p positions wide altogether, not p to "
            "each side.",
            lambda h, w, p: _square(h, w, range(-p, p + 1)),
            lambda h, w, p: _square(h, w, range(-p, p)),
            lambda h, w, p: _square(h, w, range(-(p // 2) - 1, p // 2 + 2)),
        ),
        mistake(
            "no-centre",
            "The position (h, w) itself is missing. It is a member of its own neighbourhood.",
            lambda h, w, p: np.array(
                [q for q in _square(h, w, _reach(p)).tolist() if q != [h, w]]
            ).reshape(-1, 2),
        ),
        mistake(
            "relative",
            "These are offsets from the centre; the equation asks for positions on the map.",
            lambda h, w, p: _square(0, 0, _reach(p)),
        ),
        mistake(
            "axes",
            "Rows and columns are exchanged: the first of each pair belongs to h.",
            lambda h, w, p: _square(h, w, _reach(p))[:, ::-1],
            lambda h, w, p: _square(w, h, _reach(p)),
        ),
        mistake(
            "order",
            "The right positions, but not row by row: a is to change slowest.",
            lambda h, w, p: _square(w, h, _reach(p))[:, ::-1],
            lambda h, w, p: _square(h, w, _reach(p)[::-1]),
        ),
        mistake(
            "cross",
            "Only positions in the row or the column of (h, w): the neighbourhood is a square, "
            "its corners included.",
            lambda h, w, p: np.array(
                [q for q in _square(h, w, _reach(p)) if q[0] == h or q[1] == w]
            ),
        ),
    ),
)


ALL = (EQ1,)
