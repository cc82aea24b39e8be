"""Exercises on equation 6: the nearest rows of the bank, and the deciding patch."""

import numpy as np

from minicore import equations
from minicore.course.exercise import (
    NOT_EUCLIDEAN,
    Array,
    Case,
    Draw,
    Exercise,
    Function,
    Hint,
    Mistake,
    distances,
    mistake,
)


def nearest(queries: Array, bank: Array, k: int) -> tuple[Array, Array]:
    """Return the k nearest rows of each query: the inner part of equation 6."""
    distances, indices = equations.nearest(queries, bank, k)
    return distances, indices


def _nearest(
    queries: Array, bank: Array, k: int, *, sign: int = 1, last: bool = False, order: float = 2
) -> tuple[Array, Array]:
    """Return the nearest rows, or with sign = −1 the farthest."""
    table = sign * distances(queries, bank, order)
    tie = -np.arange(len(bank)) if last else np.arange(len(bank))
    ranked = np.array([np.lexsort((tie, row)) for row in table])[:, :k]
    return sign * np.take_along_axis(table, ranked, axis=1), ranked


_SQUARE = ([0, 0], [2, 0], [0, 2], [2, 2], [1, 1], [1, 1])
_CANCEL = Hint(
    "cancellation",
    "Your result is right except for rounding errors. These rows are far from the origin. There, "
    "the expression ‖x‖² − 2 x·y + ‖y‖² subtracts large and nearly equal numbers. float32 has "
    "only 7 digits.",
)
_TIE_NEAREST = Hint(
    "ties",
    "Your result is right except for equal distances. If two distances are equal, the row with the "
    "lowest index is first.",
)
_TIE_DECIDING = Hint(
    "ties",
    "Your result is right except for equal distances. If two distances are equal, return the "
    "lowest index.",
)


def _far(draw: Draw) -> Array:
    """Return rows far from the origin, (6, 8)."""
    return draw.random(73, 6, 8) + np.float32(3000)


NEAREST = Exercise(
    name="nearest",
    title="Nearest neighbours",
    question="For each query, find its k nearest rows of the bank. Return their Euclidean "
    "distances, smallest first, and their indices. If distances are equal, the row with the "
    "lowest index is first.",
    goal="search the nearest rows, also with equal distances and far from the origin",
    minutes=25,
    returns="(n, k) array of float, (n, k) array of int",
    reference=nearest,
    make=lambda draw: (
        Case("one neighbour", (draw.random(71, 5, 3), draw.random(72, 9, 3), 1)),
        Case("three neighbours", (draw.random(74, 4, 3), draw.random(75, 8, 3), 3)),
        Case("the whole bank", (draw.random(76, 2, 2), draw.random(77, 5, 2), 5)),
        Case(
            "equal distances",
            (draw.points([1, 0], [1, 1], [0, 0]), draw.points(*_SQUARE), 4),
            _TIE_NEAREST,
        ),
        Case(
            "rows far from the origin", (_far(draw)[:3] + np.float32(0.25), _far(draw), 2), _CANCEL
        ),
    ),
    mistakes=(
        mistake(
            "squared",
            "These are squared distances. Return Euclidean distances. (The authors' code returns "
            "squared distances.)",
            lambda queries, bank, k: (
                _nearest(queries, bank, k)[0] ** 2,
                _nearest(queries, bank, k)[1],
            ),
        ),
        Mistake(
            _TIE_NEAREST,
            (lambda queries, bank, k: _nearest(queries, bank, k, last=True),),
        ),
        mistake(
            "farthest",
            "These are the farthest rows. Return the nearest rows.",
            lambda queries, bank, k: _nearest(queries, bank, k, sign=-1),
        ),
        mistake(
            "order",
            "The neighbours are right, but their order is wrong. The nearest row is first.",
            lambda queries, bank, k: tuple(a[:, ::-1] for a in _nearest(queries, bank, k)),
        ),
        mistake(
            "k-ignored",
            "You return only one row per query. Return k rows per query.",
            lambda queries, bank, k: _nearest(queries, bank, 1),
            lambda queries, bank, k: tuple(a[:, 0] for a in _nearest(queries, bank, 1)),
        ),
        mistake(
            "one-skipped",
            "The nearest row is missing. (Leave it out only if the bank contains the queries. Here "
            "it does not.)",
            lambda queries, bank, k: tuple(a[:, 1:] for a in _nearest(queries, bank, k + 1)),
        ),
        mistake(
            "exchanged",
            "The two results are exchanged. Return the distances first, then the indices.",
            lambda queries, bank, k: _nearest(queries, bank, k)[::-1],
        ),
        mistake(
            "roles",
            "You search among the queries for each row of the bank. Search in the bank for each "
            "query.",
            lambda queries, bank, k: _nearest(bank, queries, k),
        ),
        mistake(
            "transposed",
            "Rows and columns of both results are exchanged. Use one row per query.",
            lambda queries, bank, k: tuple(a.T for a in _nearest(queries, bank, k)),
        ),
        mistake(
            "not-euclidean",
            NOT_EUCLIDEAN,
            lambda queries, bank, k: _nearest(queries, bank, k, order=1),
            lambda queries, bank, k: _nearest(queries, bank, k, order=np.inf),
        ),
    ),
)


def deciding_patch(patches: Array, bank: Array) -> tuple[int, int, float]:
    """Return both parts of equation 6: two indices and the distance s*."""
    test_star, m_star, s_star = equations.deciding_patch(patches, bank)
    return int(test_star), int(m_star), float(s_star)


def _decide(
    table: Array, *, outer: Function = np.argmax, inner: Function = np.argmin
) -> tuple[int, int, float]:
    """Return patch, row of the bank and distance, from a table of distances (n, N)."""
    rows = inner(table, axis=1)
    found = table[np.arange(len(table)), rows]
    patch = int(outer(found))
    return patch, int(rows[patch]), float(found[patch])


def _last(choose: Function) -> Function:
    """Return an argmin or argmax that returns the last of equal values."""
    return lambda values, axis=-1: values.shape[axis] - 1 - choose(np.flip(values, axis), axis=axis)


EQ6 = Exercise(
    name="eq6",
    title="The deciding patch",
    question="Which patch of a test image is farthest from its nearest row of the bank? Return the "
    "index of the patch, the index of its nearest row, and their Euclidean distance s*. If "
    "distances are equal, use the lowest index.",
    goal="find the patch that decides the score, and its nearest row",
    minutes=15,
    returns="int, int, float",
    reference=deciding_patch,
    make=lambda draw: (
        Case("six patches", (draw.random(81, 6, 3), draw.random(82, 9, 3))),
        Case("many patches", (draw.random(83, 30, 2), draw.random(84, 7, 2))),
        Case("one patch", (draw.random(85, 1, 4), draw.random(86, 5, 4))),
        Case("a bank with one row", (draw.random(87, 5, 2), draw.random(88, 1, 2))),
        Case("more dimensions", (draw.random(89, 8, 20), draw.random(90, 12, 20))),
        Case(
            "equal distances",
            (
                draw.points([0, 0], [1, 0], [3, 0], [-3, 0]),
                draw.points([1, 0], [-1, 0], [1, 0], [0, 0]),
            ),
            _TIE_DECIDING,
        ),
    ),
    mistakes=(
        mistake(
            "squared",
            "The indices are right, but s* is squared. (The authors' code returns squared "
            "distances.)",
            lambda patches, bank: _decide(distances(patches, bank) ** 2),
        ),
        Mistake(
            _TIE_DECIDING,
            (
                lambda patches, bank: _decide(distances(patches, bank), outer=_last(np.argmax)),
                lambda patches, bank: _decide(distances(patches, bank), inner=_last(np.argmin)),
                lambda patches, bank: _decide(
                    distances(patches, bank), outer=_last(np.argmax), inner=_last(np.argmin)
                ),
            ),
        ),
        mistake(
            "max-for-min",
            "You compare each patch with its *farthest* row of the bank. A good patch needs only "
            "one similar row, so search for the nearest row of each patch.",
            lambda patches, bank: _decide(distances(patches, bank), inner=np.argmax),
        ),
        mistake(
            "min-for-max",
            "You return the patch with the smallest distance. The patch with the *largest* "
            "distance decides about the image, so find the largest of the nearest distances.",
            lambda patches, bank: _decide(distances(patches, bank), outer=np.argmin),
        ),
        mistake(
            "roles",
            "You search in the image for each row of the bank. This finds what is missing in the "
            "image. Search in the bank for each patch, to find what is unusual in the image.",
            lambda patches, bank: _exchange(_decide(distances(bank, patches))),
            lambda patches, bank: _decide(distances(bank, patches)),
        ),
        mistake(
            "exchanged",
            "The two indices are exchanged. Return the patch first, then the row of the bank.",
            lambda patches, bank: _exchange(_decide(distances(patches, bank))),
        ),
        mistake(
            "averaged",
            "The indices are right, but s* is a mean. Return the distance between these two only.",
            lambda patches, bank: (
                *_decide(distances(patches, bank))[:2],
                float(distances(patches, bank).min(axis=1).mean()),
            ),
        ),
        mistake(
            "not-euclidean",
            NOT_EUCLIDEAN,
            lambda patches, bank: _decide(distances(patches, bank, 1)),
            lambda patches, bank: _decide(distances(patches, bank, np.inf)),
        ),
    ),
)


def _exchange(found: tuple[int, int, float]) -> tuple[int, int, float]:
    patch, row, distance = found
    return row, patch, distance


ALL = (
    NEAREST,
    EQ6,
)
