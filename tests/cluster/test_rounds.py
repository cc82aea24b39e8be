"""The coreset of a divided bank is that of one machine: the same rows in the same order."""

import numpy as np
import pytest
from banks import COUNTS, KINDS, assert_same, divided, evenly, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore import PatchCore, fast
from minicore.cluster import InProcess, coordinator, greedy_coreset, rounds
from minicore.fast import coreset, farthest
from minicore.patchcore.selection import literal_coreset, project


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 80), st.integers(1, 12), st.sampled_from(COUNTS),
    st.sampled_from(sorted(KINDS)), st.integers(0, 2**32 - 1), st.data(),
)  # fmt: skip
def test_picks_and_radii_equal_the_literal_ones(N, d, count, kind, seed, data):
    M = KINDS[kind](np.random.default_rng(seed), N, d)
    # Uneven, empty if two cuts are equal, and in any order.
    cuts = sorted(data.draw(st.lists(st.integers(0, N), min_size=count - 1, max_size=count - 1)))
    parts = divided(M, cuts)
    parts.parts = data.draw(st.permutations(parts.parts))
    start, l = data.draw(st.integers(0, N - 1)), data.draw(st.integers(1, N))
    _, radii = literal_coreset(M, N, start, None)
    radius = data.draw(st.none() | st.sampled_from(list(radii)) | st.floats(0, float(radii[0])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinator, "FEWEST", data.draw(st.integers(3, 30)))
        patch.setattr(coordinator, "MOST", data.draw(st.integers(1, 60)))
        patch.setattr(coordinator, "FEWEST_OF_PART", data.draw(st.integers(1, 5)))
        patch.setattr(coordinator, "PER_PICK", data.draw(st.integers(1, 8)))
        patch.setattr(farthest, "FEWEST", data.draw(st.integers(1, 30)))
        patch.setattr(farthest, "BLOCK", data.draw(st.integers(1, 30)))
        if data.draw(st.booleans()):  # the coordinator updates its candidates late, too
            patch.setattr(coreset, "CANDIDATES", 3)
            patch.setattr(coreset, "ENOUGH", 2)
        found = greedy_coreset(parts, l, start, radius=radius)
    assert_same(found, literal_coreset(M, l, start, radius))
    np.testing.assert_array_equal(found.vectors, M[found.rows])


@pytest.mark.parametrize("count", COUNTS)
def test_equal_rows_in_several_parts_are_picked_in_their_order(count, few):
    rng = np.random.default_rng(count)
    M = np.tile(rng.integers(0, 2, (20, 6)), (15, 1)).astype(np.float32)
    found = greedy_coreset(evenly(M, count), len(M), 5)
    assert_same(found, literal_coreset(M, len(M), 5, None))
    first = int(np.argmax(found.radii == 0)) + 1  # all rows after this are copies of picks
    assert first < 25 and (np.diff(found.rows[first:]) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
def test_picks_equal_those_of_one_machine_where_axes_and_blocks_are_used(count, monkeypatch):
    monkeypatch.setattr(coordinator, "FEWEST", 4096)
    rng = np.random.default_rng(0)
    M = rng.standard_normal((9000, 10)) @ rng.standard_normal((10, 128)) * 5 + 20
    M = M.astype(np.float32) + normal(rng, 9000, 128) / 10
    M[-900:] = M[:900]
    found = greedy_coreset(evenly(M, count), 3000, 77)
    assert_same(found, fast.greedy_coreset(M, 3000, 77, return_radii=True))
    assert 3 < found.rounds < 30


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 2999])
def test_a_pick_whose_distances_overflow_reaches_parts_that_use_axes(start):
    M = normal(np.random.default_rng(4), 3000, 128)
    M[2999] *= np.float32(1e25)
    found = greedy_coreset(evenly(M, 2), 300, start)
    assert_same(found, literal_coreset(M, 300, start, None))


def test_a_radius_alone_stops_the_rounds(few):
    M = normal(np.random.default_rng(3), 300, 5)
    assert_same(greedy_coreset(evenly(M, 4), None, radius=1.5), literal_coreset(M, 300, 0, 1.5))


# Costs


class Recording(InProcess):
    """Adds up the bytes of all arrays, and 8 for a number."""

    def __init__(self, parts):
        super().__init__(parts)
        self.sent = self.received = 0

    def call(self, method, arguments, done=None):
        results = super().call(method, arguments)
        for own in arguments.values():
            self.sent += sum(np.asarray(value).nbytes for value in own)
        for result in results.values():
            whole = (result,) if isinstance(result, (np.ndarray, float)) else result
            self.received += sum(np.asarray(value).nbytes for value in whole)
        return results


def test_all_bytes_are_counted(few):
    workers = Recording(evenly(normal(np.random.default_rng(9), 200, 5), 3).parts)
    found = greedy_coreset(workers, 50)
    assert (found.sent, found.received) == (workers.sent, workers.received)
    assert found.sent > 3 * 50 * (5 * 4 + 8)  # every part learns every pick


def test_a_round_finds_many_picks():
    M = normal(np.random.default_rng(10), 20000, 3)
    found = greedy_coreset(evenly(M, 4), 2000)
    assert found.rounds < 20 and found.candidates < 100000


def test_a_round_has_no_more_candidates_than_the_coordinator_can_pick_from(few, monkeypatch):
    M = normal(np.random.default_rng(10), 2000, 3)
    without = [state.candidates for state in rounds(evenly(M, 4), 500)]
    monkeypatch.setattr(coordinator, "MOST", 40)
    candidates = [state.candidates for state in rounds(evenly(M, 4), 500)]
    assert np.diff(without).max() > 60 and np.diff(candidates).max() <= 40


def test_progress_shows_rounds_and_bytes(capsys, monkeypatch):
    from minicore.runtime import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    greedy_coreset(evenly(normal(np.random.default_rng(0), 99, 3), 2), 20, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("coreset: ") and lines[-1].startswith("coreset: 20 of 20 rows")
    assert ", round 1, 0 MB" in lines[0]


# Real data


@pytest.fixture(scope="module")
def bottle(request):
    """ψ(M) of 104 good bottles: 81,536 rows."""
    folder = request.config.rootpath.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared: real images")
    paths = sorted((folder / "data/mvtec256/bottle/train/good").glob("*.png"))[:104]
    every = PatchCore(
        coreset_ratio=1.0, selection="random", false_positive_rate=None, progress=False
    ).fit(paths)
    M = np.empty_like(every.memory_bank_)
    M[every.coreset_indices_] = every.memory_bank_
    return project(M, every.config_)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.1])
def test_picks_of_real_parts_are_those_of_one_machine(bottle, share):
    l = round(share * len(bottle))
    expected = fast.greedy_coreset(bottle, l, 1234, return_radii=True)
    for count in COUNTS:
        assert_same(greedy_coreset(evenly(bottle, count), l, 1234), expected)
    uneven = divided(bottle, [784, 784, 784 * 60])
    assert_same(greedy_coreset(uneven, l, 1234), expected)
