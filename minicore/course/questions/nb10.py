"""Question of notebook 10: distances that the triangle inequality saves."""

from __future__ import annotations

import functools

import numpy as np

from minicore import equations, fast
from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import parts, patches

EVERY, PART = 8, 20  # of the rows of the bank; the coreset keeps 1/20 of them


@functools.lru_cache(maxsize=1)
def _rows(seed: int) -> Array:
    """Return every eighth row of the bank after ψ."""
    circuit = parts("circuit", 24, 0, 0, seed)
    M = equations.memory_bank(patches(circuit.train))
    psi = equations.projection(M.shape[1], 128, seed=0)
    return fast.project(M, psi)[::EVERY].astype(float)


@functools.lru_cache(maxsize=4)
def _skipped(seed: int, factor: float = 2, power: int = 1) -> float:
    """Return the share of the N · l distances that are skipped."""
    X = _rows(seed)
    N, l = len(X), len(X) // PART
    picks = fast.greedy_coreset(X.astype(np.float32), l)
    to_nearest = np.linalg.norm(X - X[picks[0]], axis=1) ** power
    pick = np.zeros(N, int)  # number of the nearest pick of each row
    skipped = 0
    for i in range(1, l):
        between = np.linalg.norm(X[picks[:i]] - X[picks[i]], axis=1) ** power
        skipped += int((between[pick] >= factor * to_nearest).sum())
        distances = np.linalg.norm(X - X[picks[i]], axis=1) ** power
        pick[distances < to_nearest] = i
        to_nearest = np.minimum(to_nearest, distances)
    return skipped / (N * l)


def saved(seed: int) -> float:
    """Return the share of the distances that need not be computed."""
    return _skipped(seed)


SKIP = Question(
    name="10.2",
    title="Skip by the triangle inequality",
    question="Algorithm 1 on every eighth row, rows = psi_M[::8], with l = len(rows) // 20 picks: "
    "which share of the N · l distances between a row and a pick can be skipped?",
    returns="1 number: skipped distances / (N · l)",
    compute=saved,
    mistakes=(
        mistake(
            "computed",
            "This is the share of the distances that are still computed.",
            lambda seed: 1 - _skipped(seed),
        ),
        mistake(
            "one-radius",
            "You skip a distance if the new pick is at least r away. Then the result is wrong: the "
            "new pick can be nearer to m. Use 2 r.",
            lambda seed: _skipped(seed, factor=1),
        ),
        mistake(
            "squared",
            "You compare squared distances, but the inequality is about distances. What is the "
            "square of 2 r?",
            lambda seed: _skipped(seed, factor=2, power=2),
        ),
        mistake(
            "first-pick",
            "You divide by the distances after the first pick. Divide by all N · l distances.",
            lambda seed: (
                _skipped(seed) * (len(_rows(seed)) // PART) / (len(_rows(seed)) // PART - 1)
            ),
        ),
    ),
)

ALL = (SKIP,)
