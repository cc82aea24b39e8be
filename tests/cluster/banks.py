"""Banks for the tests of this folder, and their division into parts."""

import itertools

import numpy as np

from minicore.cluster import InProcess, Part

COUNTS = (1, 2, 4, 7)


def normal(rng, n, d):
    return rng.standard_normal((n, d)).astype(np.float32)


def scaled(scale):
    return lambda rng, n, d: (normal(rng, n, d).astype(float) * scale).astype(np.float32)


def every_magnitude(rng, n, d):
    return (normal(rng, n, d).astype(float) * 10 ** rng.uniform(-44, 30, (n, 1))).astype(np.float32)


def one_huge(rng, n, d):
    """One row whose distances overflow in float32: other parts get it as a pick."""
    rows = normal(rng, n, d)
    rows[rng.integers(n)] *= np.float32(1e25)
    return rows


KINDS = {
    "normal": normal,
    "grid": lambda rng, n, d: rng.integers(0, 3, (n, d)).astype(np.float32),
    "duplicates": lambda rng, n, d: normal(rng, n, d)[rng.integers(0, n // 4 + 1, n)],
    "equal": lambda rng, n, d: np.repeat(normal(rng, 1, d), n, axis=0),
    "denormal": scaled(1e-40),
    "with denormal squares": scaled(1e-22),
    "huge": scaled(1e25),
    "one huge": one_huge,
    "every magnitude": every_magnitude,
    "far away": lambda rng, n, d: (1000 + normal(rng, n, d) / 1000).astype(np.float32),
}


def divided(M, cuts):
    edges = [0, *cuts, len(M)]
    return InProcess([Part(M[a:b], a) for a, b in itertools.pairwise(edges)])


def evenly(M, count):
    return divided(M, [len(M) * i // count for i in range(1, count)])


def assert_same(found, expected):
    rows, radii = expected
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.radii, radii)  # to the bit
    assert found.rows.dtype == np.int64 and found.radii.dtype == np.float64
