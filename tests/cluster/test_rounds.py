"""The coreset of a divided bank is that of one machine: the same rows in the same order."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore import PatchCore, fast
from minicore.cluster import InProcess, Part, coordinator, greedy_coreset, rounds
from minicore.fast import coreset, farthest
from minicore.patchcore.selection import literal_coreset, project

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


@pytest.fixture
def few(monkeypatch):
    """Few candidates, so that there are many rounds, and bounds from many picks ago."""
    monkeypatch.setattr(coordinator, "FEWEST", 7)
    monkeypatch.setattr(coordinator, "FEWEST_OF_PART", 1)
    monkeypatch.setattr(coordinator, "PER_PICK", 2)


@pytest.mark.slow
@settings(deadline=None, max_examples=4000)
@given(
    st.integers(1, 120), st.integers(1, 12), st.sampled_from(COUNTS),
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
        patch.setattr(coordinator, "FEWEST", data.draw(st.integers(1, 30)))
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
def test_picks_equal_those_of_one_machine_where_axes_and_blocks_are_used(count):
    rng = np.random.default_rng(0)
    M = rng.standard_normal((9000, 10)) @ rng.standard_normal((10, 128)) * 5 + 20
    M = M.astype(np.float32) + normal(rng, 9000, 128) / 10
    M[-900:] = M[:900]
    found = greedy_coreset(evenly(M, count), 3000, 77)
    assert_same(found, fast.greedy_coreset(M, 3000, 77, return_radii=True))
    assert 3 < found.rounds < 30


def test_a_radius_alone_stops_the_rounds(few):
    M = normal(np.random.default_rng(3), 300, 5)
    assert_same(greedy_coreset(evenly(M, 4), None, radius=1.5), literal_coreset(M, 300, 0, 1.5))


# Parts that are lost, calls that are repeated, a coordinator that stops


class Failing(InProcess):
    """Makes parts again before some calls, and repeats others."""

    def __init__(self, M, count, seed):
        super().__init__(evenly(M, count).parts)
        self.M, self.rng, self.made = M, np.random.default_rng(seed), 0

    def call(self, method, arguments):
        for i, part in enumerate(self.parts):
            if self.made < 20 and self.rng.random() < 0.1:
                first, n, _ = part.size()
                self.parts[i] = Part(self.M[first : first + n], first)
                self.made += 1
        if self.rng.random() < 0.3:
            super().call(method, arguments)
        return super().call(method, arguments)


@pytest.mark.parametrize("kind", ["normal", "grid", "duplicates"])
def test_parts_that_are_made_again_and_calls_that_are_repeated_change_nothing(kind, few):
    M = KINDS[kind](np.random.default_rng(6), 400, 4)
    workers = Failing(M, 4, 0)
    assert_same(greedy_coreset(workers, 200, 9), literal_coreset(M, 200, 9, None))
    assert workers.made > 5


@pytest.mark.parametrize("same_parts", [True, False])
@pytest.mark.parametrize("radius", [None, 2.0])
def test_rounds_continue_from_the_picks_of_any_round(same_parts, radius, few):
    M = KINDS["duplicates"](np.random.default_rng(7), 300, 6)
    expected = literal_coreset(M, 60, 4, radius)
    states = list(rounds(evenly(M, 3), 60, 4, radius=radius))
    assert len(states) > 5
    for i, state in list(enumerate(states))[::4]:
        workers = evenly(M, 3)
        if same_parts:
            list(itertools.islice(rounds(workers, 60, 4, radius=radius), i))
        *_, last = rounds(workers, 60, 4, radius=radius, so_far=state)
        assert_same(last, expected)
        assert last.rounds > state.rounds and last.sent > state.sent


def test_picks_of_another_start_or_too_many_are_not_continued():
    M = normal(np.random.default_rng(8), 50, 3)
    state = greedy_coreset(evenly(M, 2), 10, 4)
    for arguments in ((10, 5), (9, 4)):
        with pytest.raises(ValueError, match="so_far must begin"):
            next(rounds(evenly(M, 2), *arguments, so_far=state))


def test_a_part_that_has_learned_too_many_picks_is_refused():
    workers = evenly(normal(np.random.default_rng(8), 50, 3), 2)
    greedy_coreset(workers, 10)
    with pytest.raises(ValueError, match="has learned 10 picks, but there are only 1"):
        greedy_coreset(workers, 10)


# Costs


class Recording(InProcess):
    """Adds up the bytes of all arrays, and 8 for a number."""

    def __init__(self, parts):
        super().__init__(parts)
        self.sent = self.received = 0

    def call(self, method, arguments):
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


def test_progress_shows_rounds_and_bytes(capsys, monkeypatch):
    from minicore.runtime import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    greedy_coreset(evenly(normal(np.random.default_rng(0), 99, 3), 2), 20, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("coreset: ") and lines[-1].startswith("coreset: 20 of 20 rows")
    assert ", round 1, 0 MB" in lines[0]


# Errors


def make(*sizes, d=3):
    """Parts that begin at these rows and have so many."""
    rng = np.random.default_rng(0)
    return InProcess([Part(normal(rng, n, d), first) for first, n in sizes])


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        (InProcess([]), "no rows"),
        (make((0, 0)), "no rows"),
        (make((1, 4)), "part 0 begins at row 1, but must begin at row 0"),
        (make((0, 4), (3, 4)), "part 1 begins at row 3, but must begin at row 4"),
        (make((5, 2), (0, 4)), "part 0 begins at row 5, but must begin at row 4"),
        (InProcess([*make((0, 4)).parts, *make((4, 4), d=2).parts]), r"\[2, 3\] dimensions"),
    ],
)
def test_parts_that_are_not_one_bank_are_refused(workers, words):
    with pytest.raises(ValueError, match=words):
        greedy_coreset(workers, 1)


@pytest.mark.parametrize(
    ("l", "start", "radius", "word"),
    [
        (0, 0, None, "size l"),
        (9, 0, None, "size l"),
        (2, 8, None, "start"),
        (2, -1, None, "start"),
        (None, 0, None, "radius"),
        (2, 0, -1.0, "radius"),
    ],
)
def test_arguments_out_of_range_are_refused(l, start, radius, word):
    with pytest.raises(ValueError, match=word):
        greedy_coreset(make((0, 4), (4, 4)), l, start, radius=radius)


@pytest.mark.parametrize(
    ("psi_M", "first", "words"),
    [
        (np.zeros(3), 0, "rows, dimensions"),
        (np.zeros((3, 0)), 0, "rows, dimensions"),
        (np.zeros((3, 2)), -1, "first must be"),
        (np.full((3, 2), np.nan), 0, "finite"),
    ],
)
def test_a_part_of_wrong_rows_is_refused(psi_M, first, words):
    with pytest.raises(ValueError, match=words):
        Part(psi_M, first)


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
