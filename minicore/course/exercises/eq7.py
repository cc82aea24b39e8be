"""Exercise on equation 7: the anomaly score."""

from typing import Any

import numpy as np

from minicore import equations
from minicore.course.exercise import (
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


def anomaly_score(m_test: Array, bank: Array, b: int) -> float:
    """Return equation 7 for the deciding patch."""
    return float(equations.anomaly_score(m_test[None], bank, b))


def _parts(
    m_test: Array,
    bank: Array,
    b: int,
    *,
    around: str = "m_star",
    skip: int = 0,
    nearest: Function = np.argmin,
    exponent: int = 1,
) -> tuple[Array, float, Array, Array]:
    """Return distances from m_test to the neighbours, s*, m*, and the neighbours' indices."""
    to_test = distances(m_test[None], bank)[0]
    star = int(nearest(to_test))
    centre = bank[star] if around == "m_star" else m_test
    ranked = np.argsort(distances(centre[None], bank)[0], kind="stable")
    neighbours = ranked[skip : b + skip]
    return to_test[neighbours] ** exponent, to_test[star], bank[star], neighbours


def _weighted(to_test: Array, own: float, s_star: float, sign: int = 1) -> float:
    """Return (1 − exp(own) / Σ exp(to_test)) s*, without overflow."""
    largest = max((sign * to_test).max(), sign * own)
    quotient = np.exp(sign * own - largest) / np.exp(sign * to_test - largest).sum()
    return float((1 - quotient) * s_star)


def _score(
    m_test: Array,
    bank: Array,
    b: int,
    *,
    sign: int = 1,
    exponent: int = 1,
    power: int = 1,
    **options: Any,
) -> float:
    """Return equation 7 with other neighbours, signs or powers."""
    to_test, s_star, _, _ = _parts(m_test, bank, b, exponent=exponent, **options)
    return _weighted(to_test, s_star**exponent, s_star**power, sign)


def _overflowing(m_test: Array, bank: Array, b: int, kind: Any = np.float64) -> float:
    """Return equation 7 as written in the paper; large distances overflow."""
    to_test, s_star, _, _ = _parts(m_test, bank, b)
    own = kind(s_star)
    return float((1 - np.exp(own) / np.exp(to_test.astype(kind)).sum()) * own)


def _quotient(m_test: Array, bank: Array, b: int) -> float:
    """Return the quotient. It is not 1 − weight, which would round a small quotient to 0."""
    to_test, s_star, _, _ = _parts(m_test, bank, b)
    largest = max(to_test.max(), s_star)
    return float(np.exp(s_star - largest) / np.exp(to_test - largest).sum())


def _quotient_without_exp(m_test: Array, bank: Array, b: int) -> float:
    to_test, s_star, _, _ = _parts(m_test, bank, b)
    return float(s_star / to_test.sum())


def _s_star(m_test: Array, bank: Array, b: int) -> float:
    return float(_parts(m_test, bank, b)[1])


def _farthest_rows(m_test: Array, bank: Array, b: int) -> float:
    """Return equation 7 with the b rows of the bank farthest from m* as neighbours."""
    to_test, s_star, _, _ = _parts(m_test, bank, len(bank))
    return _weighted(to_test[-b:], s_star, s_star)


def _farthest_s_star(
    m_test: Array, bank: Array, b: int, nearest: Function = np.argmin, own: Function = np.max
) -> float:
    """Return equation 7 with the nearest row and the farthest distance, or the reverse."""
    to_test = distances(m_test[None], bank)[0]
    around, _, _, _ = _parts(m_test, bank, b, nearest=nearest)
    return _weighted(around, own(to_test), own(to_test))


def _around_m_star(m_test: Array, bank: Array, b: int) -> float:
    """Return equation 7 with distances from m* instead of m_test."""
    _, s_star, m_star, neighbours = _parts(m_test, bank, b)
    return _weighted(distances(m_star[None], bank[neighbours])[0], s_star, s_star)


def _unbalanced(m_test: Array, bank: Array, b: int) -> float:
    """Return equation 7 with smaller exponents in the denominator only."""
    to_test, s_star, _, _ = _parts(m_test, bank, b)
    return float((1 - np.exp(s_star) / np.exp(to_test - to_test.max()).sum()) * s_star)


_OVERFLOW = Hint(
    "overflow",
    "Your result is right for small distances. But exp of a large distance is too large for the "
    "number type: float32 overflows above exp 88, float64 above exp 709. The quotient is at most "
    "1. Can you compute it without such large numbers?",
)


def _long(draw: Draw) -> Array:
    """Return rows far from each other, (12, 6)."""
    return draw.random(96, 12, 6) * np.float32(60)


EQ7 = Exercise(
    name="eq7",
    title="The re-weighted score",
    question="Return the score s of the deciding patch m_test (D,). Find m*, its nearest row of "
    "the bank. Find the b rows of the bank nearest to m*; m* is one of them. Apply equation 7.",
    goal="compute the score with the right neighbours, also for large distances",
    minutes=30,
    returns="float",
    reference=anomaly_score,
    make=lambda draw: (
        Case("three neighbours", (draw.random(91, 3) + 1, draw.random(92, 12, 3), 3)),
        Case("two neighbours", (draw.random(93, 2), draw.random(94, 9, 2), 2)),
        Case("nine neighbours", (draw.random(97, 5) * 2, draw.random(98, 30, 5), 9)),
        Case("the whole bank", (draw.random(99, 4) + 2, draw.random(100, 5, 4), 5)),
        Case(
            "a patch near an isolated row",
            (
                draw.points([0, 4])[0],
                draw.points([0, 0], [0, 9], [0, 10], [0, 11], [5, 0], [-5, 0]),
                3,
            ),
        ),
        Case("distances around 100", (_long(draw)[0] + np.float32(40), _long(draw), 4), _OVERFLOW),
        Case(
            "distances around 1000", (_long(draw)[3] + np.float32(500), _long(draw), 4), _OVERFLOW
        ),
    ),
    mistakes=(
        Mistake(
            _OVERFLOW,
            (
                _overflowing,
                lambda m_test, bank, b: _overflowing(m_test, bank, b, np.float32),
            ),
        ),
        mistake(
            "neighbours-of-test",
            "You use the rows nearest to the test patch. N_b(m*) contains the rows of the bank "
            "nearest to m*.",
            lambda m_test, bank, b: _score(m_test, bank, b, around="m_test"),
        ),
        mistake(
            "m-star-excluded",
            "The row m* is missing from its own neighbourhood. It is the first of the b rows.",
            lambda m_test, bank, b: _score(m_test, bank, b, skip=1),
            lambda m_test, bank, b: _score(m_test, bank, b - 1, skip=1),
        ),
        mistake(
            "b-plus-one",
            "The neighbourhood has one row too many. The row m* is one of the b rows.",
            lambda m_test, bank, b: _score(m_test, bank, b + 1),
        ),
        mistake(
            "whole-bank",
            "Your sum is over the whole bank. Sum only over the b rows nearest to m*.",
            lambda m_test, bank, b: _score(m_test, bank, len(bank)),
        ),
        mistake(
            "squared",
            "You use squared distances: in s*, in the exponents, or in both. Use Euclidean "
            "distances everywhere.",
            lambda m_test, bank, b: _score(m_test, bank, b, exponent=2, power=2),
            lambda m_test, bank, b: _score(m_test, bank, b, power=2),
            lambda m_test, bank, b: _score(m_test, bank, b, exponent=2),
        ),
        mistake(
            "sign",
            "The exponents have the wrong sign. Use exp of the distance, not exp of minus the "
            "distance.",
            lambda m_test, bank, b: _score(m_test, bank, b, sign=-1),
        ),
        mistake(
            "around-m-star",
            "In your sum, each exponent is the distance from a neighbour to m*. Use its distance "
            "to the test patch. The row m* only decides which rows are neighbours.",
            _around_m_star,
        ),
        mistake(
            "weight-only",
            "This is only the weight. Multiply it by s*.",
            lambda m_test, bank, b: 1 - _quotient(m_test, bank, b),
        ),
        mistake(
            "one-minus-missing",
            "You use the quotient as the weight. The weight is one minus the quotient.",
            lambda m_test, bank, b: _quotient(m_test, bank, b) * _s_star(m_test, bank, b),
            _quotient,
        ),
        mistake(
            "exp-missing",
            "Your quotient contains the distances without exp. In the equation, each distance in "
            "the numerator and in the denominator is an exponent.",
            lambda m_test, bank, b: (
                (1 - _quotient_without_exp(m_test, bank, b)) * _s_star(m_test, bank, b)
            ),
            lambda m_test, bank, b: 1 - _quotient_without_exp(m_test, bank, b),
        ),
        mistake(
            "not-weighted",
            "This is s* from equation 6. Equation 7 multiplies it by a weight.",
            _s_star,
        ),
        mistake(
            "max-for-min",
            "You use the farthest row, or its distance. The row m* is the row *nearest* to the "
            "test patch, and s* is its distance.",
            lambda m_test, bank, b: _score(m_test, bank, b, nearest=np.argmax),
            _farthest_s_star,
            lambda m_test, bank, b: _farthest_s_star(m_test, bank, b, np.argmax, np.min),
        ),
        mistake(
            "farthest-neighbours",
            "Your neighbourhood contains the rows *farthest* from m*. In which order did you sort?",
            _farthest_rows,
        ),
        mistake(
            "unbalanced",
            "You made the exponents smaller in only one part of the quotient, so the quotient "
            "changed.",
            _unbalanced,
        ),
    ),
)


ALL = (EQ7,)
