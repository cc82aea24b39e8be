"""Parts on the workers of a Dask cluster: the picks of one process, also if a worker is killed."""

import contextlib
import functools
import os
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from minicore import fast
from minicore.cluster import (
    InProcess,
    Part,
    coordinator,
    greedy_coreset,
    rounds,
    two_round_coreset,
)

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from minicore.cluster import dask_workers  # noqa: E402
from minicore.cluster.dask_workers import DaskWorkers  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Dask's own, when a worker dies
]
CUTS = (0, 900, 1000, 1000, 4000)


def bank():
    rows = np.random.default_rng(0).standard_normal((4000, 8)).astype(np.float32)
    rows[-400:] = rows[:400]
    return rows


def make(first, end):
    return Part(bank()[first:end], first)


@pytest.fixture(autouse=True)
def shared_arrays(monkeypatch):
    """Send almost all arrays once to each worker."""
    monkeypatch.setattr(dask_workers, "LARGE", 64)


@contextlib.contextmanager
def started(**options):
    with (
        distributed.LocalCluster(dashboard_address=":0", silence_logs=50, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    with started(n_workers=2, threads_per_worker=1) as client:
        yield client


@pytest.fixture
def workers(client):
    return DaskWorkers(client, make, list(pairwise(CUTS)))


def test_picks_and_radii_are_those_of_one_machine(workers, client):
    found = greedy_coreset(workers, 900, 5)
    rows, radii = fast.greedy_coreset(bank(), 900, 5, return_radii=True)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.radii, radii)
    held = client.who_has(workers._parts)
    assert len(held) == 4 and len({place for places in held.values() for place in places}) == 2


def test_two_rounds_cover_as_they_do_in_one_process(workers):
    parts = InProcess([make(a, b) for a, b in pairwise(CUTS)])
    found, expected = two_round_coreset(workers, 40), two_round_coreset(parts, 40)
    np.testing.assert_array_equal(found.rows, expected.rows)
    assert found.radius == expected.radius


def test_an_error_of_a_part_is_raised(workers):
    with pytest.raises(ValueError, match="coreset size l"):
        workers.call("coreset", {0: (0, 0)})


class Watching(Part):
    def watch(self, value):
        time.sleep(0.02)
        return os.getpid()


def test_a_part_stays_on_its_worker(client):
    workers = DaskWorkers(client, watching, list(pairwise(CUTS)))
    value = np.zeros(1000)
    workers.call("size", dict.fromkeys(range(4), ()))  # makes the parts
    seen = [workers.call("watch", dict.fromkeys(range(4), (value,))) for _ in range(3)]
    workers.call("size", dict.fromkeys(range(4), ()))
    seen.append(workers.call("watch", dict.fromkeys(range(4), (value,))))
    assert seen.count(seen[0]) == 4


def watching(first, end):
    return Watching(bank()[first:end], first)


class Dying(Part):
    """A part whose worker is killed once, at some moment."""

    def __init__(self, first, end, moment, flag):
        self.moment, self.flag = moment, flag
        self.die("when it is made")
        super().__init__(bank()[first:end], first)

    def farthest(self, known, rows, vectors, n):
        self.die("at the end" if n == 1 else "in a round" if known > 100 else None)
        reply = super().farthest(known, rows, vectors, n)
        self.die("just after a reply" if known > 100 else None, after=0.003)
        return reply

    def die(self, moment, after=0.0):
        if moment == self.moment and not self.flag.exists():
            self.flag.touch()
            kill = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
            threading.Timer(after, kill).start() if after else kill()


def check_a_kill(client, moment, flag):
    """Select a coreset while a worker is killed, and compare it with that of one machine."""
    workers = DaskWorkers(client, Dying, [(*rows, moment, flag) for rows in pairwise(CUTS)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinator, "FEWEST", 64)
        found = greedy_coreset(workers, 900, 5)
    rows, radii = fast.greedy_coreset(bank(), 900, 5, return_radii=True)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.radii, radii)
    assert flag.exists() and found.rounds > 8


@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize(
    "moment", ["when it is made", "in a round", "just after a reply", "at the end"]
)
def test_a_killed_worker_changes_nothing(moment, tmp_path):
    with started(n_workers=2, threads_per_worker=1) as client:
        check_a_kill(client, moment, tmp_path / "killed")


@pytest.mark.usefixtures("posix")
def test_the_only_worker_is_killed_and_nothing_changes(tmp_path):
    with started(n_workers=1, threads_per_worker=2) as client:
        check_a_kill(client, "in a round", tmp_path / "killed")


def test_a_worker_that_joins_changes_nothing(workers, client, monkeypatch):
    monkeypatch.setattr(coordinator, "FEWEST", 64)
    steps = rounds(workers, 900, 5)
    next(steps)
    client.cluster.scale(3)
    client.wait_for_workers(3, timeout=60)
    *_, found = steps
    client.cluster.scale(2)
    np.testing.assert_array_equal(found.rows, fast.greedy_coreset(bank(), 900, 5))
