"""`minicore.fast` gives what `minicore.equations` gives: the same rows, floats to 1e-5."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore import equations as eq
from minicore import fast
from minicore.fast import coreset
from minicore.fast.axes import AXES, AXES_OF_WIDE, WIDE, principal_axes
from minicore.fast.farthest import Farthest
from minicore.runtime import threads

seeds = st.integers(0, 2**32 - 1)
sigmas = st.just(0.0) | st.floats(0.05, 6)
modest = settings(deadline=None, max_examples=60)


def normal(rng, n, d):
    return rng.standard_normal((n, d)).astype(np.float32)


def scaled(scale):
    return lambda rng, n, d: (normal(rng, n, d).astype(float) * scale).astype(np.float32)


def lattice(rng, n, d):
    return rng.integers(0, 3, (n, d)).astype(np.float32)


def duplicates(rng, n, d):
    return normal(rng, max(1, n // 4), d)[rng.integers(0, max(1, n // 4), n)]


def equal(rng, n, d):
    return np.repeat(normal(rng, 1, d), n, axis=0)


def every_magnitude(rng, n, d):
    return (normal(rng, n, d).astype(float) * 10 ** rng.uniform(-44, 30, (n, 1))).astype(np.float32)


def far_away(rng, n, d):
    """Small differences far from the origin, where a matrix product loses all digits."""
    return (1000 + normal(rng, n, d) / 1000).astype(np.float32)


def half(rng, n, d):
    return normal(rng, n, d).astype(np.float16)


KINDS = {
    "normal": normal,
    "huge": scaled(1e25),
    "tiny": scaled(1e-30),
    "denormal": scaled(1e-40),
    "at the underflow of squares": scaled(1e-19),
    "with denormal squares": scaled(1e-22),
    "at the overflow of squares": scaled(2e17),
    "every magnitude": every_magnitude,
    "far away": far_away,
    "lattice": lattice,
    "duplicates": duplicates,
    "equal": equal,
    "float16": half,
}
kinds = st.sampled_from(sorted(KINDS))


def along_few_axes(rng, n, d):
    """What real features are like: most of their variance along few directions."""
    return (rng.standard_normal((n, 12)) @ rng.standard_normal((12, d)) * 5 + 20).astype(
        np.float32
    ) + normal(rng, n, d) / 10


def axes_of(rows):
    with threads.single_threaded_blas():
        return principal_axes(rows)[1].shape[1]


def assert_same_search(queries, bank, k):
    distances, indices = fast.nearest(queries, bank, k)
    expected, rows = eq.nearest(queries.astype(np.float32), bank.astype(np.float32), k)
    np.testing.assert_array_equal(indices, rows)
    np.testing.assert_array_equal(distances, expected)  # the same arithmetic, hence to the bit
    assert distances.dtype == expected.dtype and indices.dtype == rows.dtype


def assert_same_picks(M, l, start=0):
    picks = fast.greedy_coreset(M, l, start)
    expected = eq.greedy_coreset(M.astype(np.float32), l, start)
    np.testing.assert_array_equal(picks, expected)
    assert picks.dtype == expected.dtype


# The same functions


@pytest.mark.parametrize("name", eq.__all__)
def test_signatures_begin_alike(name):
    literal, quick = (
        list(inspect.signature(getattr(f, "py_func", f)).parameters.values())
        for f in (getattr(eq, name), getattr(fast, name))
    )
    assert [(p.name, p.default) for p in quick[: len(literal)]] == [
        (p.name, p.default) for p in literal
    ]
    assert all(p.default is not p.empty for p in quick[len(literal) :])


ROWS = np.zeros((4, 2), np.float32)
MAPS = (np.zeros((1, 2, 3, 3), np.float32),)


@pytest.mark.slow
@pytest.mark.parametrize("engine", [eq, fast], ids=["equations", "fast"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("greedy_coreset", (ROWS, 0)),
        ("greedy_coreset", (ROWS, 5)),
        ("greedy_coreset", (ROWS, 2, -1)),
        ("greedy_coreset", (ROWS, 2, 4)),
        ("nearest", (ROWS, ROWS, 0)),
        ("nearest", (ROWS, ROWS, 5)),
        ("nearest", (ROWS, ROWS[:, :1].copy(), 1)),
        ("nearest", (ROWS, ROWS[:0], 1)),
        ("anomaly_score", (ROWS, ROWS, 1)),
        ("anomaly_score", (ROWS, ROWS, 5)),
        ("patch_features", (MAPS, 0, 1)),
        ("patch_features", (MAPS, 3, 0)),
        ("patch_features", (MAPS, 3, -1)),
        ("patch_features", (MAPS, 3, 1, 0)),
        ("patch_features", (MAPS, 3, 1, None, 0)),
        ("patch_features", ((MAPS[0], np.zeros((2, 2, 3, 3), np.float32)),)),
        ("anomaly_score", (ROWS[:0], ROWS, 2)),
        ("anomaly_map", (MAPS[0][0], 8, 8, -1.0)),
    ],
)
def test_both_engines_refuse_the_same_arguments(engine, name, arguments):
    with pytest.raises(ValueError):
        getattr(engine, name)(*arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad):
    rows = np.ones((5, 3), np.float32)
    rows[3, 1] = bad
    fine = np.ones((2, 3), np.float32)
    for call in (
        lambda: fast.greedy_coreset(rows, 2),
        lambda: fast.nearest(rows, fine),
        lambda: fast.nearest(fine, rows),
        lambda: fast.anomaly_score(rows, fine, 2),
    ):
        with pytest.raises(ValueError, match="finite"):
            call()


# Equation 5


@pytest.mark.slow
@modest
@given(st.integers(1, 300), st.integers(1, 200), kinds, seeds, st.data())
def test_coreset_equals_algorithm_1(N, d, kind, seed, data):
    M = KINDS[kind](np.random.default_rng(seed), N, d)
    assert_same_picks(M, data.draw(st.integers(1, N)), data.draw(st.integers(0, N - 1)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_coreset_equals_algorithm_1_through_many_refreshes(kind, monkeypatch):
    """Few candidates, so that bounds grow stale and catch up at almost every pick."""
    rng = np.random.default_rng(len(kind))
    refresh, refreshes = Farthest.candidates, []
    monkeypatch.setattr(Farthest, "candidates", lambda *a: refreshes.append(1) or refresh(*a))
    for candidates, enough in ((1, 1), (8, 3)):
        monkeypatch.setattr(coreset, "CANDIDATES", candidates)
        monkeypatch.setattr(coreset, "ENOUGH", enough)
        monkeypatch.setattr(coreset, "STEP", 5)
        for N, d, l in ((60, 3, 60), (100, 40, 30), (40, 1, 39)):
            assert_same_picks(KINDS[kind](rng, N, d), l, int(rng.integers(N)))
    assert len(refreshes) > 50


@pytest.mark.slow
@modest
@given(st.integers(3, 40), st.integers(1, 4), st.integers(1, 9), kinds, seeds)
def test_coreset_takes_every_row_once_when_asked_for_all(N, d, candidates, kind, seed):
    M = KINDS[kind](np.random.default_rng(seed), N, d)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreset, "CANDIDATES", candidates)
        patch.setattr(coreset, "ENOUGH", candidates)
        assert_same_picks(M, N)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "lattice", "duplicates", "equal", "huge", "far away"])
def test_coreset_equals_algorithm_1_beyond_the_candidates(kind):
    M = KINDS[kind](np.random.default_rng(5), 2 * coreset.CANDIDATES + 900, 6)
    assert_same_picks(M, 700, 17)


@pytest.mark.slow
@pytest.mark.parametrize("d", [128, 800])
@pytest.mark.parametrize("make", [along_few_axes, *KINDS.values()], ids=["few axes", *KINDS])
def test_coreset_equals_algorithm_1_in_banks_worth_rotating(make, d, monkeypatch):
    monkeypatch.setattr(coreset, "CANDIDATES", 200)
    monkeypatch.setattr(coreset, "ENOUGH", 20)
    M = make(np.random.default_rng(9), 1500, d).astype(np.float32)
    assert axes_of(M) == (AXES if d < WIDE else AXES_OF_WIDE)
    assert_same_picks(M, 300, 11)


@pytest.mark.slow
def test_coreset_of_clustered_features_equals_algorithm_1():
    """What real features are like: clusters of every size, heavy tails, positive."""
    rng = np.random.default_rng(1)
    centres = rng.exponential(1, (40, 64)) * 3
    members = rng.integers(0, 40, 12000) ** 2 // 40
    M = centres[members] + rng.standard_normal((12000, 64)) * rng.exponential(0.3, (12000, 1))
    assert_same_picks(M.astype(np.float32), 1500)


def test_projecting_is_the_matrix_product():
    M = normal(np.random.default_rng(0), 2500, 50)
    psi = fast.projection(50, 16, seed=3)
    np.testing.assert_allclose(fast.project(M, psi), M.astype(float) @ psi, rtol=1e-4, atol=1e-5)


@modest
@given(st.integers(0, 200), st.integers(1, 100), st.integers(1, 40), kinds, seeds)
def test_the_projection_equals_the_literal_one_to_the_bit(N, D, d_star, kind, seed):
    M = KINDS[kind](np.random.default_rng(seed), N, D).astype(np.float32)
    psi = eq.projection(D, d_star, seed)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(fast.project(M, psi), eq.project(M, psi))


# Equation 6


@pytest.mark.slow
@modest
@given(st.integers(0, 130), *[st.integers(1, 300)] * 2, kinds, kinds, seeds, st.data())
def test_nearest_equals_the_literal_search(n, N, d, kind, bank_kind, seed, data):
    rng = np.random.default_rng(seed)
    bank = KINDS[bank_kind](rng, N, d)
    queries = KINDS[kind](rng, n, d)
    if n > 3:  # some that are in the bank
        queries = np.concatenate([bank[rng.integers(0, N, 3)], queries[3:]])
    k = data.draw(st.one_of(st.integers(1, min(N, 9)), st.integers(1, N)))
    assert_same_search(queries, bank, k)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nearest_equals_the_literal_search_over_several_tiles(kind):
    rng = np.random.default_rng(len(kind))
    bank = KINDS[kind](rng, 1300, 20)
    queries = np.concatenate([KINDS[kind](rng, 230, 20), bank[::97]])
    for k in (1, 9):
        assert_same_search(queries, bank, k)


@pytest.mark.slow
@pytest.mark.parametrize("d", [270, 800])
@pytest.mark.parametrize("make", [along_few_axes, *KINDS.values()], ids=["few axes", *KINDS])
def test_nearest_equals_the_literal_search_in_banks_worth_rotating(make, d):
    rng = np.random.default_rng(8)
    rows = make(rng, 1150, d).astype(np.float32)
    assert axes_of(rows[:1100]) == (AXES if d < WIDE else AXES_OF_WIDE)
    bank, queries = rows[:1100], np.concatenate([rows[1100:], rows[::90]])
    assert_same_search(queries, bank, 9)
    assert_same_search(queries[::2] * np.float32(50), bank, 1)  # far outside


@pytest.mark.parametrize("make", [lattice, duplicates, equal])
def test_nearest_finds_the_lowest_rows_among_many_equally_near_ones(make):
    """More rows are left than can wait, and then so many that the search begins again."""
    bank = make(np.random.default_rng(6), 4000, 130)
    assert axes_of(bank) == AXES
    assert_same_search(bank[::800], bank, 200)


def test_preparing_a_small_bank_computes_with_no_uninitialised_memory(monkeypatch):
    bank = normal(np.random.default_rng(0), 20, 4)
    fast.Nearest(bank)  # compiled before NumPy is exchanged

    class Poisoned:
        def __getattr__(self, name):
            return getattr(np, name)

        def empty(self, *arguments, **options):
            array = np.empty(*arguments, **options)
            if array.dtype == np.float64:
                array.view(np.uint64)[...] = 0x7FF0000000000001  # a NaN that warns when used
            return array

    monkeypatch.setattr(sys.modules["minicore.fast.nearest"], "np", Poisoned())
    with np.errstate(all="raise"):
        fast.Nearest(bank)


def test_a_prepared_bank_answers_as_one_search_does():
    rng = np.random.default_rng(2)
    bank, queries = normal(rng, 700, 30), normal(rng, 50, 30)
    index = fast.Nearest(bank)
    for k in (1, 4, 1):
        both = zip(index.query(queries, k), eq.nearest(queries, bank, k), strict=True)
        for got, expected in both:
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_within_a_distance_finds_all_rows_within_it(kind):
    rng = np.random.default_rng(4)
    bank, queries = (KINDS[kind](rng, n, 30).astype(np.float32) for n in (700, 50))
    queries[:9] = bank[:9]  # at distance 0
    distances, rows = eq.nearest(queries, bank, 3)
    within = distances[np.arange(50), np.arange(50) % 3] * np.where(np.arange(50) % 2, 1, 0.9)
    got, who = fast.Nearest(bank).query(queries, 3, within)
    inside = distances <= within[:, None]
    np.testing.assert_array_equal(got[inside], distances[inside])
    np.testing.assert_array_equal(who[inside], rows[inside])
    left_out = who == len(bank)
    assert (got[left_out] == np.inf).all() and not (inside & left_out).any()


@pytest.mark.parametrize("N", [1100, 60])
def test_a_bank_prepared_from_its_state_answers_as_before(N):
    rng = np.random.default_rng(3)
    bank, queries = along_few_axes(rng, N, 260), along_few_axes(rng, 40, 260)
    index = fast.Nearest(bank)
    again = fast.Nearest(bank, state=index.state())
    for name, array in index.state().items():
        np.testing.assert_array_equal(array, again.state()[name])
    for got, expected in zip(again.query(queries, 3), index.query(queries, 3), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_state_of_another_bank_changes_no_answer():
    rng = np.random.default_rng(4)
    bank, queries = along_few_axes(rng, 1100, 260), along_few_axes(rng, 40, 260)
    state = fast.Nearest(normal(rng, 1100, 260)).state()
    other = {"mean": 3 + state["mean"], "axes": state["axes"][::-1, 5:]}
    for scale in (1, np.float32(1e25)):  # with the second, squares overflow in float32
        rows, near = bank * scale, queries * scale
        found = fast.Nearest(rows, state=other).query(near, 3)
        np.testing.assert_array_equal(found, eq.nearest(near, rows, 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda state: {},
        lambda state: {"mean": state["mean"]},
        lambda state: {**state, "mean": state["mean"][1:]},
        lambda state: {**state, "mean": state["mean"] * np.nan},
        lambda state: {**state, "mean": state["mean"] + 1e30},
        lambda state: {**state, "axes": state["axes"][1:]},
        lambda state: {**state, "axes": state["axes"].T},
        lambda state: {**state, "axes": state["axes"].ravel()},
        lambda state: {**state, "axes": state["axes"] * (1 + 1e-6)},
        lambda state: {**state, "axes": state["axes"] * np.nan},
        lambda state: {**state, "axes": np.array("axes")},
    ],
)
def test_a_state_whose_bounds_would_not_hold_is_refused(change):
    bank = along_few_axes(np.random.default_rng(5), 1100, 260)
    with pytest.raises(ValueError, match="state must"):
        fast.Nearest(bank, state=change(fast.Nearest(bank).state()))


# Equation 7 and the map


@pytest.mark.slow
@modest
@given(st.integers(1, 60), st.integers(2, 80), st.integers(1, 40), kinds, seeds, st.data())
def test_anomaly_score_equals_the_literal_one(n, N, d, kind, seed, data):
    rng = np.random.default_rng(seed)
    patches = KINDS[kind](rng, n, d).astype(np.float32)
    bank = KINDS[kind](rng, N, d).astype(np.float32)
    b = data.draw(st.integers(2, N))
    np.testing.assert_allclose(
        fast.anomaly_score(patches, bank, b), eq.anomaly_score(patches, bank, b), rtol=1e-5
    )


@modest
@given(*[st.integers(1, 9)] * 2, *[st.integers(1, 40)] * 2, sigmas, seeds)
def test_anomaly_map_equals_the_literal_one(h, w, height, width, sigma, seed):
    scores = np.random.default_rng(seed).exponential(3, (2, h, w)).astype(np.float32)
    got, expected = (e.anomaly_map(scores, height, width, sigma) for e in (fast, eq))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert got.dtype == expected.dtype == np.float32


# Equations 1 to 3


def feature_maps(rng, n, shapes):
    return tuple(rng.standard_normal((n, *shape)).astype(np.float32) for shape in shapes)


def assert_same_patches(levels, *arguments):
    got, expected = (e.patch_features(levels, *arguments) for e in (fast, eq))
    assert got.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


shape = st.tuples(st.integers(1, 12), st.integers(1, 11), st.integers(1, 11))


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(
    st.integers(1, 3), st.lists(shape, min_size=1, max_size=3),
    st.integers(1, 7), st.integers(1, 3),
    st.none() | st.integers(1, 30), st.none() | st.integers(1, 40), seeds,
)  # fmt: skip
def test_patch_features_equal_the_literal_ones(n, shapes, p, s, d, d_target, seed):
    levels = feature_maps(np.random.default_rng(seed), n, shapes)
    assert_same_patches(levels, p, s, d, d_target)


@pytest.mark.parametrize("p", range(1, 8))
@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [(None, None), (32, 32)], ids=["concat", "paper"])
def test_both_embeddings_equal_the_literal_ones(p, s, dimensions):
    """A WideResNet50 at a 32nd of its widths, and a batch that no block divides."""
    levels = feature_maps(np.random.default_rng(p), 2, ((16, 9, 8), (33, 5, 4)))
    assert_same_patches(levels, p, s, *dimensions)


def test_patch_features_of_magnitudes_apart_keep_their_digits():
    """Feature maps after a ReLU, tens beside thousandths: each value is right by itself."""
    rng = np.random.default_rng(4)
    fine, coarse = feature_maps(rng, 1, ((6, 8, 8), (6, 4, 4)))
    levels = np.abs(fine) * 1e-4, np.abs(coarse) * 50
    got, expected = (e.patch_features(levels) for e in (fast, eq))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("s", [1, 2])
def test_means_over_neighbourhoods_are_equal_to_the_last_bit(s):
    rng = np.random.default_rng(8)
    levels = feature_maps(rng, 2, ((6, 12, 12), (9, 6, 6)))
    levels = (np.maximum(levels[0], 0), levels[1])  # many equal means, as after a ReLU
    np.testing.assert_array_equal(
        fast.patch_features(levels, 3, s), eq.patch_features(levels, 3, s)
    )


# Threads

ON_THREADS = """
import numpy as np
from minicore import fast
from minicore.runtime import threads
rng = np.random.default_rng(0)
M = np.concatenate([rng.standard_normal((9500, 24)), rng.integers(0, 2, (500, 24))])
M = M.astype(np.float32)
levels = [rng.random(s).astype(np.float32) for s in ((3, 40, 9, 9), (3, 70, 5, 5))]
psi = fast.projection(24, 16)
for count in (1, 2, 4):
    with threads.limit(count) as n:
        assert n == count
        results = {
            "coreset": fast.greedy_coreset(M, 600),
            "projected": fast.project(M, psi),
            "nearest": np.stack(fast.nearest(M[::40], M[1::3], 5)),
            "score": np.array(fast.anomaly_score(M[:100], M[100:900])),
            "concat": fast.patch_features(levels),
            "paper": fast.patch_features(levels, 3, 1, 64, 64),
            "map": fast.anomaly_map(M[:100].reshape(100, 4, 6), 32, 32),
        }
    if count == 1:
        first = {name: array.tobytes() for name, array in results.items()}
    for name, array in results.items():
        assert array.tobytes() == first[name], f"{name} differs on {count} threads"
print("the same", end="")
"""


@pytest.mark.slow
def test_results_are_the_same_to_the_bit_on_1_2_and_4_threads():
    run = subprocess.run(
        [sys.executable, "-c", ON_THREADS],
        env={**os.environ, "NUMBA_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.stdout == "the same", run.stderr
