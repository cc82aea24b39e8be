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


def _share(m_test, bank, b):
    distances, s_star, _, _ = _parts(m_test, bank, b)
    return 1 - _weighted(distances, s_star, 1.0)


def _around_m_star(m_test, bank, b):
    _, s_star, m_star, neighbours = _parts(m_test, bank, b)
    return _weighted(distances(m_star[None], bank[neighbours])[0], s_star, s_star)


def _unbalanced(m_test, bank, b):
    distances, s_star, _, _ = _parts(m_test, bank, b)
    return float((1 - np.exp(s_star) / np.exp(distances - distances.max()).sum()) * s_star)


_OVERFLOW = Hint(
    "overflow",
    "Right while distances are small. exp overflows float32 at 88 and float64 at 709: subtract "
    "the same number from every exponent, above and below the line, and the quotient stays.",
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
            lambda m_test, bank, b: _share(m_test, bank, b) * _parts(m_test, bank, b)[1],
            _share,
        ),
        mistake(
            "not-weighted",
            "This is s*, equation 6. Equation 7 weighs it.",
            lambda m_test, bank, b: _parts(m_test, bank, b)[1],
        ),
        mistake(
            "max-for-min",
            "The row m* should be the one *nearest* to the test patch; you take the farthest.",
            lambda m_test, bank, b: _score(m_test, bank, b, nearest=np.argmax),
        ),
        mistake(
            "unbalanced",
            "The largest exponent is subtracted only on one side of the line, so the quotient is "
            "another. Subtract it above and below.",
            _unbalanced,
        ),
    ),
)


ALL = (EQ7,)
