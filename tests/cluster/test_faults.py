"""Parts that are lost, calls that are repeated, a coordinator that stops, and wrong arguments."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from banks import KINDS, assert_same, evenly, normal

from minicore.cluster import InProcess, Part, greedy_coreset, rounds
from minicore.patchcore.selection import literal_coreset


class Failing(InProcess):
    """Makes parts again before some calls, and repeats others."""

    def __init__(self, M, count, seed):
        super().__init__(evenly(M, count).parts)
        self.M, self.rng, self.made = M, np.random.default_rng(seed), 0

    def call(self, method, arguments, done=None):
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


def test_a_pickled_part_has_no_picks():
    M = normal(np.random.default_rng(8), 50, 3)
    part = Part(M, 0)
    part.farthest(0, np.array([4]), M[[4]], 9)
    copy = pickle.loads(pickle.dumps(part))
    no_picks = np.empty(0, np.int64), M[:0]
    assert copy.farthest(1, *no_picks, 9) is None
    for got, expected in zip(
        copy.farthest(0, np.array([4]), M[[4]], 9), part.farthest(1, *no_picks, 9), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_several_threads_may_repeat_a_call():
    M = normal(np.random.default_rng(8), 3000, 30)
    part, picks = Part(M, 0), np.arange(500)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(part.farthest, 0, picks, M[picks], 40) for _ in range(4)]
    expected = Part(M, 0).farthest(0, picks, M[picks], 40)
    for call in calls:
        np.testing.assert_array_equal(call.result().rows, expected.rows)
        np.testing.assert_array_equal(call.result().to_nearest, expected.to_nearest)


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
