"""Exercise on equation 7: the score."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, Hint, distances, mistake, points, random


def anomaly_score(m_test, bank, b):
    """Equation 7 of the deciding patch."""
    return float(equations.anomaly_score(m_test[None], bank, b))


def _parts(m_test, bank, b, *, around="m_star", skip=0, nearest=np.argmin, exponent=1):
    """Distances of m_test to the neighbourhood, s*, and the neighbours."""
    to_test = distances(m_test[None], bank)[0]
    star = int(nearest(to_test))
    centre = bank[star] if around == "m_star" else m_test
    ranked = np.argsort(distances(centre[None], bank)[0], kind="stable")
    neighbours = ranked[skip : b + skip]
    return to_test[neighbours] ** exponent, to_test[star], bank[star], neighbours


def _weighted(distances, own, s_star, sign=1):
    """(1 − exp own / Σ exp distances) s*, safely."""
    largest = max((sign * distances).max(), sign * own)
    share = np.exp(sign * own - largest) / np.exp(sign * distances - largest).sum()
    return float((1 - share) * s_star)


def _score(m_test, bank, b, *, sign=1, exponent=1, power=1, **options):
    distances, s_star, _, _ = _parts(m_test, bank, b, exponent=exponent, **options)
    return _weighted(distances, s_star**exponent, s_star**power, sign)


def _naive(m_test, bank, b, kind=np.float64):
    distances, s_star, _, _ = _parts(m_test, bank, b)
    distances, s_star = distances.astype(kind), kind(s_star)
    return float((1 - np.exp(s_star) / np.exp(distances).sum()) * s_star)


def _share(m_test, bank, b, exp=np.exp):
    """Compute the quotient directly: 1 − (1 − quotient) would round a small one to 0."""
    distances, s_star, _, _ = _parts(m_test, bank, b)
    largest = max(distances.max(), s_star) if exp is np.exp else 0.0
    return float(exp(s_star - largest) / exp(distances - largest).sum())


def _s_star(m_test, bank, b):
    return float(_parts(m_test, bank, b)[1])


def _as_it_is(distance):
    return distance


def _farthest_rows(m_test, bank, b):
    """Take the b rows of the bank farthest from m* as its neighbourhood."""
    to_test, s_star, _, _ = _parts(m_test, bank, len(bank))
    return _weighted(to_test[-b:], s_star, s_star)


def _farthest_s_star(m_test, bank, b, nearest=np.argmin, own=np.max):
    """Mix the nearest row and the farthest distance, or the other way round."""
    to_test = distances(m_test[None], bank)[0]
    around, _, _, _ = _parts(m_test, bank, b, nearest=nearest)
    return _weighted(around, own(to_test), own(to_test))


def _around_m_star(m_test, bank, b):
    _, s_star, m_star, neighbours = _parts(m_test, bank, b)
    return _weighted(distances(m_star[None], bank[neighbours])[0], s_star, s_star)


def _unbalanced(m_test, bank, b):
    distances, s_star, _, _ = _parts(m_test, bank, b)
    return float((1 - np.exp(s_star) / np.exp(distances - distances.max()).sum()) * s_star)


_OVERFLOW = Hint(
    "overflow",
    "Right while distances are small. exp of a large distance does not fit the number type: "
    "float32 overflows beyond exp 88, float64 beyond exp 709. The quotient itself is never more "
    "than 1. Can you compute it without such large numbers?",
)
_LONG = random(96, 12, 6) * np.float32(60)

EQ7 = Exercise(
    name="eq7",
    title="The score, re-weighted",
    question="The score s of the deciding patch m_test (D,): find m*, its nearest row of the bank, "
    "the b rows of the bank nearest to m* (itself among them), and apply equation 7.",
    returns="float",
    reference=anomaly_score,
    cases=(
        Case("three neighbours", (random(91, 3) + 1, random(92, 12, 3), 3)),
        Case("two neighbours", (random(93, 2), random(94, 9, 2), 2)),
        Case("nine neighbours", (random(97, 5) * 2, random(98, 30, 5), 9)),
        Case("the whole bank", (random(99, 4) + 2, random(100, 5, 4), 5)),
        Case(
            "a patch beside a lonely row",
            (points([0, 4])[0], points([0, 0], [0, 9], [0, 10], [0, 11], [1, 0], [-1, 0]), 3),
        ),
        Case("distances around 100", (_LONG[0] + np.float32(40), _LONG, 4), _OVERFLOW),
        Case("distances around 1000", (_LONG[3] + np.float32(500), _LONG, 4), _OVERFLOW),
    ),
    mistakes=(
        mistake(
            "overflow",
            _OVERFLOW.words,
            _naive,
            lambda m_test, bank, b: _naive(m_test, bank, b, np.float32),
        ),
        mistake(
            "neighbours-of-test",
            "The neighbourhood is the wrong one: these are the rows nearest to the test patch. "
            "N_b(m*) are the rows of the bank nearest to m*.",
            lambda m_test, bank, b: _score(m_test, bank, b, around="m_test"),
        ),
        mistake(
            "m-star-excluded",
            "The row m* is missing from its own neighbourhood: it is the first of the b rows.",
            lambda m_test, bank, b: _score(m_test, bank, b, skip=1),
            lambda m_test, bank, b: _score(m_test, bank, b - 1, skip=1),
        ),
        mistake(
            "b-plus-one",
            "The neighbourhood has one row too many: m* itself counts among the b.",
            lambda m_test, bank, b: _score(m_test, bank, b + 1),
        ),
        mistake(
            "whole-bank",
            "The sum is over the whole bank. It is over the b nearest rows to m* only.",
            lambda m_test, bank, b: _score(m_test, bank, len(bank)),
        ),
        mistake(
            "squared",
            "Somewhere a distance is squared: s*, the exponents, or both. All are Euclidean.",
            lambda m_test, bank, b: _score(m_test, bank, b, exponent=2, power=2),
            lambda m_test, bank, b: _score(m_test, bank, b, power=2),
            lambda m_test, bank, b: _score(m_test, bank, b, exponent=2),
        ),
        mistake(
            "sign",
            "The exponents have the wrong sign: exp of the distance, not of minus the distance.",
            lambda m_test, bank, b: _score(m_test, bank, b, sign=-1),
        ),
        mistake(
            "around-m-star",
            "The sum measures the neighbours from m*. m* only says who they are; each exponent is "
            "a distance from the test patch.",
            _around_m_star,
        ),
        mistake(
            "weight-only",
            "This is the weight alone. It multiplies s*.",
            lambda m_test, bank, b: 1 - _share(m_test, bank, b),
        ),
        mistake(
            "one-minus-missing",
            "This weighs with the quotient itself; the equation has one minus the quotient.",
            lambda m_test, bank, b: _share(m_test, bank, b) * _s_star(m_test, bank, b),
            _share,
        ),
        mistake(
            "exp-missing",
            "The quotient is made of the distances themselves. In the equation each of them, above "
            "and below the line, is an exponent.",
            lambda m_test, bank, b: (
                (1 - _share(m_test, bank, b, _as_it_is)) * _s_star(m_test, bank, b)
            ),
            lambda m_test, bank, b: 1 - _share(m_test, bank, b, _as_it_is),
        ),
        mistake(
            "not-weighted",
            "This is s*, equation 6. Equation 7 weighs it.",
            _s_star,
        ),
        mistake(
            "max-for-min",
            "The row m* is the one *nearest* to the test patch, and s* is its distance. You take "
            "the farthest row, or its distance.",
            lambda m_test, bank, b: _score(m_test, bank, b, nearest=np.argmax),
            _farthest_s_star,
            lambda m_test, bank, b: _farthest_s_star(m_test, bank, b, np.argmax, np.min),
        ),
        mistake(
            "farthest-neighbours",
            "The neighbourhood holds the rows that are *farthest* from m*. In which order did you "
            "sort?",
            _farthest_rows,
        ),
        mistake(
            "unbalanced",
            "The exponents were made smaller on one side of the fraction's line only, so the "
            "quotient is no longer the same.",
            _unbalanced,
        ),
    ),
)


ALL = (EQ7,)
