"""Algorithm 1 until a radius is reached, and the radius after each pick: fast equals literal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore import equations as eq
from minicore import fast
from minicore.fast import coreset
from minicore.patchcore.selection import literal_coreset


def literal(M, l=None, start=0, radius=None):
    return literal_coreset(M, len(M) if l is None else l, start, radius)


def quick(M, l=None, start=0, radius=None):
    return fast.greedy_coreset(M, l, start, radius=radius, return_radii=True)


engines = pytest.mark.parametrize("engine", [literal, quick])


def rows(seed, N, d, kind):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((N, d)).astype(np.float32)
    if kind == "duplicates":
        M = M[rng.integers(0, max(1, N // 4), N)]
    if kind == "equal":
        M[:] = M[0]
    if kind == "huge":
        M *= np.float32(1e25)
    return M


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 200), st.integers(1, 30),
    st.sampled_from(["normal", "duplicates", "equal", "huge"]),
    st.integers(0, 2**32 - 1), st.data(),
)  # fmt: skip
def test_picks_and_radii_equal_the_literal_ones(N, d, kind, seed, data):
    M = rows(seed, N, d, kind)
    l = data.draw(st.none() | st.integers(1, N))
    start = data.draw(st.integers(0, N - 1))
    largest = eq.covering_radii(M, eq.greedy_coreset(M, 1, start))[0]
    share = data.draw(st.floats(0, 1.1) if l is None else st.none() | st.floats(0, 1.1))
    radius = None if share is None else share * largest
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans()):  # bounds grow stale and catch up at almost every pick
            patch.setattr(coreset, "CANDIDATES", 8)
            patch.setattr(coreset, "ENOUGH", 3)
            patch.setattr(coreset, "STEP", 5)
        picks, radii = quick(M, l, start, radius)
        np.testing.assert_array_equal(fast.greedy_coreset(M, l, start, radius=radius), picks)
    expected, expected_radii = literal(M, l, start, radius)
    np.testing.assert_array_equal(picks, expected)
    np.testing.assert_array_equal(radii, expected_radii)  # to the bit


@engines
def test_every_row_is_within_the_radius_and_one_pick_fewer_would_not_do(engine):
    M = rows(0, 300, 5, "normal")
    picks, radii = engine(M, radius=1.5)
    to_picks = np.linalg.norm(M[:, None].astype(float) - M[picks].astype(float), axis=2)
    assert to_picks.min(axis=1).max() <= 1.5 < to_picks[:, :-1].min(axis=1).max()
    for i, radius in enumerate(radii):
        np.testing.assert_allclose(radius, to_picks[:, : i + 1].min(axis=1).max(), rtol=1e-6)
    assert 1 < len(picks) == len(radii) < 300


@engines
def test_when_all_rows_are_picked_the_radius_is_0(engine):
    M = rows(1, 20, 3, "normal")
    assert engine(M, 20)[1][-1] == 0


@engines
def test_radius_0_leaves_only_duplicates(engine):
    M = rows(2, 60, 4, "duplicates")
    picks, _ = engine(M, radius=0)
    assert len(picks) == len(np.unique(M, axis=0)) == len(np.unique(M[picks], axis=0))


@engines
def test_l_limits_what_a_radius_asks_for(engine):
    assert len(engine(rows(3, 50, 4, "normal"), 7, radius=0.01)[0]) == 7


@pytest.mark.parametrize("arguments", [{}, {"radius": -1.0}, {"radius": np.nan}])
def test_no_stopping_rule_or_a_radius_out_of_range_is_refused(arguments):
    with pytest.raises(ValueError, match="radius"):
        fast.greedy_coreset(rows(4, 5, 2, "normal"), None, **arguments)
