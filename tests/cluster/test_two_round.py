"""The approximation in two rounds: its radius is the true one, and the guarantees hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore import equations as eq
from minicore.cluster import InProcess, Part, two_round_coreset
from minicore.cluster import part as part_module


def evenly(M, count):
    edges = [len(M) * i // count for i in range(count + 1)]
    return InProcess([Part(M[a:b], a) for a, b in itertools.pairwise(edges)])


def rows(seed, N, d=3, kind="normal"):
    rng = np.random.default_rng(seed)
    if kind == "grid":
        return rng.integers(0, 3, (N, d)).astype(np.float32)
    return rng.standard_normal((N, d)).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 80), st.integers(1, 5), st.sampled_from(["normal", "grid"]),
    st.integers(0, 2**32 - 1), st.data(),
)  # fmt: skip
def test_the_radius_is_the_true_one_and_within_the_guarantees(N, count, kind, seed, data):
    M = rows(seed, N, kind=kind)
    l, start = data.draw(st.integers(1, N)), data.draw(st.integers(0, N - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_module, "FEW", data.draw(st.integers(1, 5)))
        found = two_round_coreset(evenly(M, count), l, start)
    assert found.rows[0] == start and len(set(found.rows)) == l
    assert found.radius == eq.covering_radii(M, found.rows)[-1]  # to the bit
    assert found.radius <= found.guarantee * (1 + 1e-12)
    # The best radius is at least half of that of Algorithm 1, and at most this radius.
    of_algorithm_1 = eq.covering_radii(M, eq.greedy_coreset(M, l, start))[-1]
    assert found.best <= of_algorithm_1 * (1 + 1e-12)
    assert found.radius <= 4 * of_algorithm_1 * (1 + 1e-12)  # Malkomes et al., as tau is 1


def test_no_choice_of_rows_is_better_than_the_best_that_is_reported():
    M = rows(0, 14)
    found = two_round_coreset(evenly(M, 3), 3)
    distances = np.linalg.norm(M[:, None].astype(float) - M.astype(float), axis=2)
    choices = itertools.combinations(range(14), 3)
    best = min(distances[:, list(choice)].min(axis=1).max() for choice in choices)
    assert found.best <= best <= found.radius <= found.guarantee


def test_one_part_selects_the_rows_of_algorithm_1():
    M = rows(1, 200)
    found = two_round_coreset(evenly(M, 1), 40, 7)
    np.testing.assert_array_equal(found.rows, eq.greedy_coreset(M, 40, 7))


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_each_part_selects_tau_times_as_many_rows(tau):
    found = two_round_coreset(evenly(rows(2, 400), 4), 20, tau=tau)
    assert found.union == 4 * 20 * tau
    assert found.received >= found.union * (3 * 4 + 8)


def test_more_rows_of_each_part_reduce_the_guarantee():
    M = rows(3, 2000)
    guarantees = [two_round_coreset(evenly(M, 4), 20, tau=tau).guarantee for tau in (1, 4, 16)]
    assert guarantees[0] > guarantees[1] > guarantees[2]


@pytest.mark.parametrize("tau", [0.1, 0.0, -1.0, float("nan")])
def test_a_tau_that_leaves_too_few_rows_is_refused(tau):
    with pytest.raises(ValueError, match="tau must be larger"):
        two_round_coreset(evenly(rows(4, 50), 2), 20, tau=tau)


@pytest.mark.parametrize(
    ("l", "start", "word"), [(0, 0, "size l"), (51, 0, "size l"), (2, 50, "start")]
)
def test_arguments_out_of_range_are_refused(l, start, word):
    with pytest.raises(ValueError, match=word):
        two_round_coreset(evenly(rows(4, 50), 2), l, start)
