"""Exercises on equation 5 and Algorithm 1: the few rows that stand for all."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, Hint, mistake, points, random


def covering_radius(M, indices):
    """Measure what equation 5 minimises, for the coreset M[indices]."""
    return float(equations.nearest(M, M[indices], 1)[0].max())


def _table(M, indices, squared=False, order=2):
    """Distance of every row of M to every chosen one, (N, l)."""
    difference = M[:, None].astype(float) - M[None, indices].astype(float)
    distances = np.linalg.norm(difference, ord=order, axis=2)
    return distances**2 if squared else distances


EQ5 = Exercise(
    name="eq5",
    title="Covering radius",
    question="How good is a coreset? Compute what equation 5 minimises: the largest distance of a "
    "row of M to its nearest row among M[indices]. (Algorithm 1, which finds a coreset, is the "
    'exercise "algorithm1".)',
    returns="float",
    reference=covering_radius,
    cases=(
        Case("three of twelve rows", (random(51, 12, 3), np.array([0, 4, 7]))),
        Case("one row", (random(52, 9, 2), np.array([5]))),
        Case("many rows", (random(53, 40, 4), np.arange(0, 40, 5))),
        Case("points on a line", (points([0], [1], [2], [9], [10]), np.array([1, 3]))),
        Case("all rows chosen", (random(54, 6, 3), np.arange(6))),
    ),
    mistakes=(
        mistake(
            "squared",
            "This is the squared distance. The bars in the equation mean the Euclidean one.",
            lambda M, indices: _table(M, indices, squared=True).min(axis=1).max(),
        ),
        mistake(
            "mean",
            "The mean over the rows of M instead of the worst of them: a coreset is as good as "
            "the row it serves worst.",
            lambda M, indices: _table(M, indices).min(axis=1).mean(),
            lambda M, indices: _table(M, indices).min(axis=1).sum(),
        ),
        mistake(
            "max-for-min",
            "Each row is measured to its *farthest* chosen row. It needs only one nearby.",
            lambda M, indices: _table(M, indices).max(),
        ),
        mistake(
            "order-exchanged",
            "Maximum and minimum are in the wrong order: first, for each row of M, the nearest "
            "chosen row; then the worst of these.",
            lambda M, indices: _table(M, indices).max(axis=0).min(),
            lambda M, indices: _table(M, indices).max(axis=1).min(),
        ),
        mistake(
            "min-for-max",
            "Nearly nothing is far away here: you take the smallest of the distances, or measure "
            "the chosen rows, each of which is in M. Measure every row of M, keep the largest.",
            lambda M, indices: _table(M, indices).min(),
        ),
        mistake(
            "within-coreset",
            "You measure among the chosen rows. The question is how far the *others* are from "
            "them.",
            lambda M, indices: _table(M[indices], np.arange(len(indices))).max(),
            lambda M, indices: (
                (_table(M[indices], np.arange(len(indices))) + np.diag([np.inf] * len(indices)))
                .min(axis=1)
                .max()
            ),
        ),
        mistake(
            "not-euclidean",
            "The sum (or the largest) of the coordinates' differences: the bars with the 2 mean "
            "the Euclidean distance.",
            lambda M, indices: _table(M, indices, order=1).min(axis=1).max(),
            lambda M, indices: _table(M, indices, order=np.inf).min(axis=1).max(),
        ),
        mistake(
            "not-reduced",
            "One distance per row: the largest of them is asked for.",
            lambda M, indices: _table(M, indices).min(axis=1),
        ),
        mistake(
            "index",
            "This is the index of a row. The question asks how far that row is, not which row it "
            "is.",
            lambda M, indices: _table(M, indices).min(axis=1).argmax(),
            lambda M, indices: _table(M, indices).max(axis=1).argmax(),
            lambda M, indices: _table(M, indices).max(axis=1).argmin(),
        ),
    ),
)


def greedy_coreset(M, l, start):
    """Algorithm 1."""
    return equations.greedy_coreset(M, l, start)


def _greedy(M, l, start, *, join=np.minimum, far=True, last=False, again=False):
    """Algorithm 1 with the mistakes that its loop invites."""
    picked, known = [start], None
    while len(picked) < l:
        new = ((M.astype(float) - M[picked[-1]].astype(float)) ** 2).sum(axis=1)
        new = new if join is not np.add else np.sqrt(new)
        known = new if known is None else join(known, new)
        masked = known.copy() if far else -known
        if not again:
            masked[picked] = -np.inf
        picked.append(int(len(M) - 1 - masked[::-1].argmax()) if last else int(masked.argmax()))
    return np.array(picked)


_ORIGINAL = random(61, 14, 3)
_TIES = points([0, 0], [2, 0], [0, 2], [-2, 0], [0, -2], [1, 1], [-1, -1], [2, 2])
_PAIRS = points([0, 0], [4, 0], [0, 0], [4, 0], [0, 3], [0, 3])

ALGORITHM1 = Exercise(
    name="algorithm1",
    title="Algorithm 1, the greedy coreset",
    question="Pick l rows of M: the first is `start`; then, again and again, the row farthest from "
    "its nearest picked one. Never a row twice; ties go to the lowest row.",
    returns="(l,) array of int, in the order picked",
    reference=greedy_coreset,
    cases=(
        Case("five of fourteen rows", (_ORIGINAL, 5, 0)),
        Case("another first pick", (_ORIGINAL, 6, 9)),
        Case("only the first pick", (random(62, 7, 2), 1, 3)),
        Case("many picks", (random(63, 40, 4), 25, 11)),
        Case(
            "distances that tie",
            (_TIES, 6, 0),
            Hint(
                "ties",
                "Right until two rows are equally far away: then the lowest row is asked for.",
            ),
        ),
        Case(
            "rows that occur twice, all of them picked",
            (_PAIRS, 6, 0),
            Hint(
                "repeats",
                "Right until only copies of picked rows remain: the maximum is over the rows not "
                "picked yet, even at distance 0.",
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
            "A row is picked twice: the maximum is over the rows not picked yet, even when all "
            "that remains lies at distance 0.",
            lambda M, l, start: _greedy(M, l, start, again=True),
            lambda M, l, start: _greedy(M, l, start, again=True, join=np.maximum),
            lambda M, l, start: _greedy(M, l, start, again=True, join=np.add),
        ),
        mistake(
            "ties",
            "Right until two rows are equally far away: then the lowest row is asked for.",
            lambda M, l, start: _greedy(M, l, start, last=True),
        ),
        mistake(
            "max-for-min",
            "Each row remembers the *farthest* picked row. What counts is the nearest one: a row "
            "is well served as soon as one pick is close.",
            lambda M, l, start: _greedy(M, l, start, join=np.maximum),
        ),
        mistake(
            "sum-for-min",
            "Each row adds up its distances to all picks. What counts is the nearest one.",
            lambda M, l, start: _greedy(M, l, start, join=np.add),
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: a + b),
        ),
        mistake(
            "last-only",
            "Only the latest pick is measured from; the earlier ones are forgotten. Keep for each "
            "row its distance to the nearest of *all* picks.",
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: b),
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: b, again=True),
        ),
        mistake(
            "first-only",
            "Only the first pick is measured from. After each pick the distances have to be "
            "brought up to date.",
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: a),
            lambda M, l, start: _greedy(M, l, start, join=lambda a, b: a, again=True),
        ),
        mistake(
            "nearest-first",
            "You pick the row that is nearest to what is picked; the farthest is asked for.",
            lambda M, l, start: _greedy(M, l, start, far=False),
            lambda M, l, start: _greedy(M, l, start, far=False, again=True),
        ),
        mistake(
            "start-missing",
            "The row `start` itself is missing from the picks: it is the first of the l.",
            lambda M, l, start: _greedy(M, l + 1, start)[1:],
            lambda M, l, start: _greedy(M, l, start)[1:],
        ),
        mistake(
            "count",
            "One pick too many: `start` is the first of the l.",
            lambda M, l, start: _greedy(M, l + 1, start) if l < len(M) else _greedy(M, l, start),
        ),
        mistake(
            "sorted",
            "The right rows, but sorted: they are asked for in the order picked.",
            lambda M, l, start: np.sort(_greedy(M, l, start)),
        ),
        mistake(
            "rows",
            "These are the rows themselves; their indices are asked for.",
            lambda M, l, start: M[_greedy(M, l, start)],
        ),
    ),
)


ALL = (
    EQ5,
    ALGORITHM1,
)
