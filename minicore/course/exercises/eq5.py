"""Exercises on equation 5 and Algorithm 1: the coreset."""

from typing import Any

import numpy as np

from minicore import equations
from minicore.course.exercise import (
    NOT_EUCLIDEAN,
    Array,
    Case,
    Exercise,
    Function,
    Hint,
    Mistake,
    distances,
    mistake,
)


def covering_radius(M: Array, indices: Array) -> float:
    """Return the distance that equation 5 minimises, for the coreset M[indices]."""
    return float(equations.nearest(M, M[indices], 1)[0].max())


def _table(M: Array, indices: Array, order: float = 2) -> Array:
    """Return the distance from each row of M to each row of the coreset, (N, l)."""
    return distances(M, M[indices], order)


EQ5 = Exercise(
    name="eq5",
    title="Covering radius",
    question="How good is a coreset? Return what equation 5 minimises: the largest distance from a "
    "row of M to its nearest row among M[indices]. (Algorithm 1 finds a coreset; see the exercise "
    '"algorithm1".)',
    goal="compute how well a coreset covers the bank",
    minutes=10,
    returns="float",
    reference=covering_radius,
    make=lambda draw: (
        Case("three of twelve rows", (draw.random(51, 12, 3), np.array([0, 4, 7]))),
        Case("one row", (draw.random(52, 9, 2), np.array([5]))),
        Case("many rows", (draw.random(53, 40, 4), np.arange(0, 40, 5))),
        Case("points on a line", (draw.points([0], [1], [2], [9], [10]), np.array([1, 3]))),
        Case("all rows chosen", (draw.random(54, 6, 3), np.arange(6))),
    ),
    mistakes=(
        mistake(
            "squared",
            "This is the squared distance. Return the Euclidean distance.",
            lambda M, indices: _table(M, indices).min(axis=1).max() ** 2,
        ),
        mistake(
            "mean",
            "You take the mean or the sum over the rows of M. Return the distance of the worst "
            "row: the one farthest from the coreset.",
            lambda M, indices: _table(M, indices).min(axis=1).mean(),
            lambda M, indices: _table(M, indices).min(axis=1).sum(),
        ),
        mistake(
            "max-for-min",
            "You use the distance from each row to its *farthest* coreset row. Use the nearest "
            "coreset row.",
            lambda M, indices: _table(M, indices).max(),
        ),
        mistake(
            "order-exchanged",
            "The maximum and the minimum are in the wrong order. First find the nearest coreset "
            "row of each row of M. Then take the largest of these distances.",
            lambda M, indices: _table(M, indices).max(axis=0).min(),
            lambda M, indices: _table(M, indices).max(axis=1).min(),
        ),
        mistake(
            "min-for-max",
            "You return the smallest distance, or you start from the coreset rows, which are all "
            "in M. Use the distance of each row of M to the coreset, and return the largest.",
            lambda M, indices: _table(M, indices).min(),
        ),
        mistake(
            "within-coreset",
            "You use distances between coreset rows. Use the distances from the *other* rows of M "
            "to the coreset.",
            lambda M, indices: _table(M[indices], np.arange(len(indices))).max(),
            lambda M, indices: (
                (_table(M[indices], np.arange(len(indices))) + np.diag([np.inf] * len(indices)))
                .min(axis=1)
                .max()
            ),
        ),
        mistake(
            "not-euclidean",
            NOT_EUCLIDEAN,
            lambda M, indices: _table(M, indices, order=1).min(axis=1).max(),
            lambda M, indices: _table(M, indices, order=np.inf).min(axis=1).max(),
        ),
        mistake(
            "not-reduced",
            "You return one distance per row. Return the largest of them.",
            lambda M, indices: _table(M, indices).min(axis=1),
        ),
        mistake(
            "index",
            "This is the index of a row. Return the distance of that row, not its index.",
            lambda M, indices: _table(M, indices).min(axis=1).argmax(),
            lambda M, indices: _table(M, indices).max(axis=1).argmax(),
            lambda M, indices: _table(M, indices).max(axis=1).argmin(),
        ),
    ),
)


def greedy_coreset(M: Array, l: int, start: int) -> Array:
    """Return the rows that Algorithm 1 picks."""
    return np.asarray(equations.greedy_coreset(M, l, start))


def _greedy(
    M: Array,
    l: int,
    start: int,
    *,
    join: Function = np.minimum,
    far: bool = True,
    last: bool = False,
    again: bool = False,
) -> Array:
    """Return Algorithm 1 with a mistake: `join` updates the distances, `again` allows repeats."""
    picked: list[int] = [start]
    to_nearest: Any = None
    while len(picked) < l:
        new = ((M.astype(float) - M[picked[-1]].astype(float)) ** 2).sum(axis=1)
        new = new if join is not np.add else np.sqrt(new)
        to_nearest = new if to_nearest is None else join(to_nearest, new)
        masked = to_nearest.copy() if far else -to_nearest
        if not again:
            masked[picked] = -np.inf
        picked.append(int(len(M) - 1 - masked[::-1].argmax()) if last else int(masked.argmax()))
    return np.array(picked)


_TIES = ([0, 0], [2, 0], [0, 2], [-2, 0], [0, -2], [1, 1], [-1, -1], [2, 2])
_PAIRS = ([0, 0], [4, 0], [0, 0], [4, 0], [0, 3], [0, 3])
_TIE = Hint(
    "ties",
    "Your picks are right until two distances are equal. Then pick the row with the lowest index.",
)

ALGORITHM1 = Exercise(
    name="algorithm1",
    title="Algorithm 1, the greedy coreset",
    question="Pick l rows of M. The first pick is `start`. Each next pick is the row with the "
    "largest distance to its nearest picked row. Pick no row twice. If distances are equal, pick "
    "the row with the lowest index.",
    goal="choose a coreset greedily, also with equal distances",
    minutes=25,
    returns="(l,) array of int, in the order of the picks",
    reference=greedy_coreset,
    make=lambda draw: (
        Case("five of fourteen rows", (draw.random(61, 14, 3), 5, 0)),
        Case("another first pick", (draw.random(61, 14, 3), 6, 9)),
        Case("only the first pick", (draw.random(62, 7, 2), 1, 3)),
        Case("many picks", (draw.random(63, 40, 4), 25, 11)),
        Case("equal distances", (draw.points(*_TIES), 6, 0), _TIE),
        Case(
            "duplicate rows, all picked",
            (draw.points(*_PAIRS), 6, 0),
            Hint(
                "repeats",
                "Your picks are right until only copies of picked rows remain. The maximum is over "
                "the rows that are not picked yet, even if their distance is 0.",
            ),
        ),
    ),
    mistakes=(
        mistake(
            "start-ignored",
            "The first pick is not `start`.",
            lambda M, l, start: _greedy(M, l, 0),
            lambda M, l, start: _greedy(M, l, int(np.linalg.norm(M, axis=1).argmax())),
            lambda M, l, start: _greedy(
                M, l, int(np.linalg.norm(M - M.mean(axis=0), axis=1).argmax())
            ),
            lambda M, l, start: _greedy(
                M, l, int(np.linalg.norm(M[:, None] - M[None], axis=2).sum(axis=1).argmax())
            ),
        ),
        mistake(
            "repeats",
            "You pick a row twice. The maximum is over the rows that are not picked yet, even if "
            "their distance is 0.",
            lambda M, l, start: _greedy(M, l, start, again=True),
            lambda M, l, start: _greedy(M, l, start, again=True, join=np.maximum),
            lambda M, l, start: _greedy(M, l, start, again=True, join=np.add),
        ),
        Mistake(_TIE, (lambda M, l, start: _greedy(M, l, start, last=True),)),
        mistake(
            "max-for-min",
            "You keep the distance from each row to its *farthest* picked row. Keep the distance "
            "to its nearest picked row.",
            lambda M, l, start: _greedy(M, l, start, join=np.maximum),
        ),
        mistake(
            "sum-for-min",
            "You add the distances from each row to all picks. Keep only the distance to the "
            "nearest pick.",
            lambda M, l, start: _greedy(M, l, start, join=np.add),
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: a + b),
        ),
        mistake(
            "last-only",
            "You use only the distances to the latest pick. For each row, keep the distance to the "
            "nearest of *all* picks.",
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: b),
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: b, again=True),
        ),
        mistake(
            "first-only",
            "You use only the distances to the first pick. Update the distances after each pick.",
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: a),
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: a, again=True),
        ),
        mistake(
            "nearest-first",
            "You pick the row nearest to the picked rows. Pick the farthest row.",
            lambda M, l, start: _greedy(M, l, start, far=False),
            lambda M, l, start: _greedy(M, l, start, far=False, again=True),
        ),
        mistake(
            "start-missing",
            "The row `start` is missing. It is the first of the l picks.",
            lambda M, l, start: _greedy(M, l + 1, start)[1:],
            lambda M, l, start: _greedy(M, l, start)[1:],
        ),
        mistake(
            "count",
            "You return one pick too many. `start` is the first of the l picks.",
            lambda M, l, start: _greedy(M, l + 1, start) if l < len(M) else _greedy(M, l, start),
        ),
        mistake(
            "sorted",
            "The rows are right, but you sorted them. Return them in the order of the picks.",
            lambda M, l, start: np.sort(_greedy(M, l, start)),
        ),
        mistake(
            "rows",
            "These are the rows. Return their indices.",
            lambda M, l, start: M[_greedy(M, l, start)],
        ),
    ),
)


ALL = (
    EQ5,
    ALGORITHM1,
)
