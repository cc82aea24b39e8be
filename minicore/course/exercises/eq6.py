"""Exercises on equation 6: the nearest memory, and the patch that decides."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, Hint, distances, mistake, points, random


def nearest(queries, bank, k):
    """Search: the inner part of equation 6."""
    return equations.nearest(queries, bank, k)


def _nearest(queries, bank, k, *, sign=1, last=False, order=2):
    table = sign * distances(queries, bank, order)
    tie = -np.arange(len(bank)) if last else np.arange(len(bank))
    ranked = np.array([np.lexsort((tie, row)) for row in table])[:, :k]
    return sign * np.take_along_axis(table, ranked, axis=1), ranked


_FAR = random(73, 6, 8) + np.float32(3000)
_SQUARE = points([0, 0], [2, 0], [0, 2], [2, 2], [1, 1], [1, 1])
_CANCEL = Hint(
    "cancellation",
    "Right except for rounding. These rows lie far from the origin: ‖x‖² − 2 x·y + ‖y‖² subtracts "
    "large, nearly equal numbers there, and float32 keeps 7 digits.",
)
_TIE = Hint("ties", "Right until two rows are equally near: then the lowest row comes first.")

NEAREST = Exercise(
    name="nearest",
    title="Nearest neighbours",
    question="For each query its k nearest rows of the bank: Euclidean distances, increasing, and "
    "the rows' indices. Ties go to the lowest row.",
    returns="(n, k) array of float, (n, k) array of int",
    reference=nearest,
    cases=(
        Case("one neighbour", (random(71, 5, 3), random(72, 9, 3), 1)),
        Case("three neighbours", (random(74, 4, 3), random(75, 8, 3), 3)),
        Case("the whole bank", (random(76, 2, 2), random(77, 5, 2), 5)),
        Case("distances that tie", (points([1, 0], [1, 1], [0, 0]), _SQUARE, 4), _TIE),
        Case("rows far from the origin", (_FAR[:3] + np.float32(0.25), _FAR, 2), _CANCEL),
    ),
    mistakes=(
        mistake(
            "squared",
            "These are squared distances; the Euclidean ones are asked for. (The authors' code "
            "reports squared ones.)",
            lambda queries, bank, k: (
                _nearest(queries, bank, k)[0] ** 2,
                _nearest(queries, bank, k)[1],
            ),
        ),
        mistake(
            "ties",
            "Right until two rows are equally near: then the lowest row comes first.",
            lambda queries, bank, k: _nearest(queries, bank, k, last=True),
        ),
        mistake(
            "farthest",
            "These are the farthest rows; the nearest are asked for.",
            lambda queries, bank, k: _nearest(queries, bank, k, sign=-1),
        ),
        mistake(
            "order",
            "The right neighbours, in the wrong order: the nearest comes first.",
            lambda queries, bank, k: tuple(a[:, ::-1] for a in _nearest(queries, bank, k)),
        ),
        mistake(
            "k-ignored",
            "Only the nearest row, whatever k is.",
            lambda queries, bank, k: _nearest(queries, bank, 1),
            lambda queries, bank, k: tuple(a[:, 0] for a in _nearest(queries, bank, 1)),
        ),
        mistake(
            "one-skipped",
            "The nearest row itself is left out. (Of a bank that holds the queries one would do "
            "that; here it does not.)",
            lambda queries, bank, k: tuple(a[:, 1:] for a in _nearest(queries, bank, k + 1)),
        ),
        mistake(
            "exchanged",
            "The two results are exchanged: distances first, then indices.",
            lambda queries, bank, k: _nearest(queries, bank, k)[::-1],
        ),
        mistake(
            "roles",
            "You search the queries for each row of the bank; it is the other way round.",
            lambda queries, bank, k: _nearest(bank, queries, k),
        ),
        mistake(
            "transposed",
            "One query a column: rows and columns of both results are exchanged.",
            lambda queries, bank, k: tuple(a.T for a in _nearest(queries, bank, k)),
        ),
        mistake(
            "not-euclidean",
            "The sum (or the largest) of the coordinates' differences: the bars with the 2 mean "
            "the Euclidean distance.",
            lambda queries, bank, k: _nearest(queries, bank, k, order=1),
            lambda queries, bank, k: _nearest(queries, bank, k, order=np.inf),
        ),
    ),
)


def deciding_patch(patches, bank):
    """Equation 6, both parts."""
    test_star, m_star, s_star = equations.deciding_patch(patches, bank)
    return int(test_star), int(m_star), float(s_star)


def _decide(table, *, outer=np.argmax, inner=np.argmin):
    """Of a table of distances (n, N): patch, row of the bank, distance."""
    rows = inner(table, axis=1)
    found = table[np.arange(len(table)), rows]
    patch = int(outer(found))
    return patch, int(rows[patch]), float(found[patch])


def _last(choose):
    """Make argmin or argmax take the last of equals."""
    return lambda values, axis=-1: values.shape[axis] - 1 - choose(np.flip(values, axis), axis=axis)


EQ6 = Exercise(
    name="eq6",
    title="The patch that decides",
    question="Of all patches of a test image, which is farthest from its nearest row of the bank? "
    "Return that patch's index, the index of its nearest row, and their Euclidean distance s*. "
    "Ties go to the lowest index.",
    returns="int, int, float",
    reference=deciding_patch,
    cases=(
        Case("six patches", (random(81, 6, 3), random(82, 9, 3))),
        Case("many patches", (random(83, 30, 2), random(84, 7, 2))),
        Case("one patch", (random(85, 1, 4), random(86, 5, 4))),
        Case("one remembered row", (random(87, 5, 2), random(88, 1, 2))),
        Case("more dimensions", (random(89, 8, 20), random(90, 12, 20))),
        Case(
            "distances that tie",
            (points([0, 0], [1, 0], [3, 0], [-3, 0]), points([1, 0], [-1, 0], [1, 0], [0, 0])),
            Hint(
                "ties", "Right until two distances are equal: then the lowest index is asked for."
            ),
        ),
    ),
    mistakes=(
        mistake(
            "squared",
            "The indices are right; s* is squared. (The authors' code reports squared distances.)",
            lambda patches, bank: _decide(distances(patches, bank) ** 2),
        ),
        mistake(
            "ties",
            "Right until two distances are equal: then the lowest index is asked for.",
            lambda patches, bank: _decide(distances(patches, bank), outer=_last(np.argmax)),
            lambda patches, bank: _decide(distances(patches, bank), inner=_last(np.argmin)),
            lambda patches, bank: _decide(
                distances(patches, bank), outer=_last(np.argmax), inner=_last(np.argmin)
            ),
        ),
        mistake(
            "max-for-min",
            "You compare each patch with the row it is *least* like. A good patch needs one match "
            "in the bank, so the inner search is for the nearest row.",
            lambda patches, bank: _decide(distances(patches, bank), inner=np.argmax),
        ),
        mistake(
            "min-for-max",
            "You return the patch that is best known. The image is as anomalous as its *worst* "
            "patch: the outer search is for the largest distance.",
            lambda patches, bank: _decide(distances(patches, bank), outer=np.argmin),
        ),
        mistake(
            "roles",
            "You ask of each row of the bank whether the image holds something like it. That "
            "finds what is missing from the image, not what is strange in it.",
            lambda patches, bank: _exchange(_decide(distances(bank, patches))),
            lambda patches, bank: _decide(distances(bank, patches)),
        ),
        mistake(
            "exchanged",
            "The two indices are exchanged: first the patch, then the row of the bank.",
            lambda patches, bank: _exchange(_decide(distances(patches, bank))),
        ),
        mistake(
            "averaged",
            "The indices are right; s* is an average. It is the distance of that one pair.",
            lambda patches, bank: (
                *_decide(distances(patches, bank))[:2],
                float(distances(patches, bank).min(axis=1).mean()),
            ),
        ),
        mistake(
            "not-euclidean",
            "The sum (or the largest) of the coordinates' differences: the bars with the 2 mean "
            "the Euclidean distance.",
            lambda patches, bank: _decide(distances(patches, bank, 1)),
            lambda patches, bank: _decide(distances(patches, bank, np.inf)),
        ),
    ),
)


def _exchange(found):
    patch, row, distance = found
    return row, patch, distance


ALL = (
    NEAREST,
    EQ6,
)
