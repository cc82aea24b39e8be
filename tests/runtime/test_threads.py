"""The number of threads, how they share tasks, and what may run at the same time."""

import os
import signal
import subprocess
import sys
import threading

import numba
import pytest

from minicore import PatchCore, datasets
from minicore.runtime import threads


@pytest.fixture(autouse=True)
def unchanged():
    before = threads.count()
    yield
    assert threads.count() == before


def test_a_block_has_its_own_number_of_threads():
    most = numba.config.NUMBA_NUM_THREADS
    assert threads.available() >= 1
    with threads.limit(1) as n:
        assert n == threads.count() == 1
        with threads.limit(None) as inner:  # keeps what is set
            assert inner == 1
        with threads.limit(most + 100) as inner:
            assert inner == threads.count() == most
        assert threads.count() == 1


def test_an_error_in_the_block_leaves_the_number_as_it_was():
    with pytest.raises(RuntimeError), threads.limit(1):
        raise RuntimeError


@pytest.mark.parametrize("n", [0, -1])
def test_less_than_one_thread_is_refused(n):
    with pytest.raises(ValueError, match=f"threads must be at least 1, got {n}"), threads.limit(n):
        pass


def test_a_new_python_thread_has_all_threads_again():
    found = []
    with threads.limit(1):
        thread = threading.Thread(target=lambda: found.append(threads.count()))
        thread.start()
        thread.join()
    assert found == [numba.config.NUMBA_NUM_THREADS]


# --------------------------------------------------------------------------- tasks


@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 8, 1000])
@pytest.mark.parametrize("n", [1, 2, None])
def test_each_task_is_done_once(tasks, n):
    done = []
    with threads.limit(n):
        threads.share(lambda first, end: done.extend(range(first, end)), tasks)
    assert sorted(done) == list(range(tasks))


@pytest.mark.parametrize("failing", [0, 5, 7])
def test_an_error_of_any_thread_is_raised_after_the_others_have_ended(failing):
    at_work = []

    def work(first, end):
        at_work.append(first)
        try:
            if failing in range(first, end):
                raise ValueError(f"task {failing}")
        finally:
            at_work.remove(first)

    with pytest.raises(ValueError, match=f"task {failing}"):
        threads.share(work, 8)
    assert not at_work
    test_each_task_is_done_once(100, None)


def test_tasks_that_share_out_tasks_end():
    done = []
    threads.share(lambda *_: threads.share(lambda first, end: done.append(end - first), 5), 20)
    assert sum(done) % 5 == 0 and sum(done) > 0


@pytest.mark.slow
def test_matrix_products_run_on_one_thread_in_the_block():
    # In a process of its own: a BLAS that another library brings along later is not ours to limit.
    code = """
from threadpoolctl import threadpool_info
from minicore.runtime import threads

def blas():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

with threads.single_threaded_blas():
    assert set(blas()) == {1}, blas()
    inside = len(blas())
assert len(blas()) == inside > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ----------------------------------------------------------- several Python threads

ALONE = """
import sys, threading
import numpy as np
from minicore import PatchCore, datasets

gear = datasets.synthetic("gear", n_train=6, n_good=2, n_defective=2, size=128)

def work(results, k):
    model = PatchCore(sys.argv[1], projection_dim=8, seed=k, progress=False).fit(gear.train)
    results[k] = [model.anomaly_score(gear.test[i:]) for i in range(3)]
"""


def in_a_process_of_its_own(*arguments, **settings):
    """Run Python; return what it prints. A hang is a failure, of which no process is left."""
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(
        command, env={**os.environ, **settings}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            out, error = process.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # its children too
            process.kill()
            pytest.fail("it hangs")
    assert process.returncode == 0, error
    return out


@pytest.mark.slow
def test_four_python_threads_fit_and_score_as_one_does(tiny):
    code = (
        ALONE
        + """
from threadpoolctl import threadpool_info

def blas():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

alone, together = {}, {}
for k in range(4):
    work(alone, k)
before = blas()
for _ in range(3):
    threads = [threading.Thread(target=work, args=(together, k)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blas() == before, (blas(), before)
for k in range(4):
    for a, b in zip(alone[k], together[k], strict=True):
        assert np.array_equal(a, b)
"""
    )
    in_a_process_of_its_own("-c", code, tiny, NUMBA_NUM_THREADS="4")


@pytest.mark.slow
def test_blocks_that_overlap_in_two_threads_leave_blas_as_it_was():
    code = """
import threading
from threadpoolctl import threadpool_info, threadpool_limits
from minicore.runtime import threads

def blas():
    return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

with threads.single_threaded_blas():
    pass
threadpool_limits(2, user_api="blas")
assert blas() == {2}
for first, second in [(threads.single_threaded_blas, threads.single_threaded_blas),
                      (threads.single_threaded, threads.single_threaded_blas),
                      (threads.single_threaded_blas, threads.single_threaded)]:
    inside, leave = threading.Event(), threading.Event()

    def other():
        with second():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with first():
        thread.start()
        inside.wait(60)
    assert blas() == {1}, (first, second)  # the other one is still at work
    leave.set()
    thread.join()
    assert blas() == {2}, (first, second)
"""
    in_a_process_of_its_own("-c", code)


# ------------------------------------------------------------------------ processes

FORKED = (
    ALONE
    + """
import multiprocessing, os
import minicore
from minicore.backbones import Backbone

path = sys.argv[2]

def score(image):
    return float(minicore.load(path, progress=False).anomaly_score(image)[0])

def with_the_parents(image):
    return float(model.anomaly_score(image)[0])

def network(image):
    return Backbone(sys.argv[1])(np.zeros((2, 3, 64, 64), np.float32)).keys()

def refused(function):
    try:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(function, list(gear.test))
    except RuntimeError as error:
        assert "forked" in str(error) and "spawn" in str(error), error
        return
    raise AssertionError("expected a RuntimeError")
"""
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    gear = datasets.synthetic("gear", n_train=6, size=128)
    path = tmp_path_factory.mktemp("saved") / "gear.minicore"
    return PatchCore(tiny, projection_dim=8, progress=False).fit(gear.train).save(path)


@pytest.mark.slow
@needs_fork
def test_a_fork_after_kernels_ran_works():
    code = """
import multiprocessing
import numpy as np
from minicore import fast

bank = np.random.default_rng(0).standard_normal((3000, 130)).astype(np.float32)
search = fast.Nearest(bank)

def nearest(shift):
    return search.query(bank + np.float32(shift))[0].tobytes(), fast.greedy_coreset(bank, 50)[-1]

expected = [nearest(shift) for shift in range(4)]
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(nearest, range(4)) == expected
"""
    in_a_process_of_its_own("-c", code, NUMBA_NUM_THREADS="4")


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize(
    "before",
    [
        "model = minicore.load(path, progress=False)",
        "model = minicore.load(path, progress=False); model.anomaly_score(gear.test)",
    ],
    ids=["loaded", "scored"],
)
def test_a_fork_of_a_process_at_work_ends_in_an_error_and_not_in_a_hang(tiny, saved, before):
    code = f"{FORKED}\n{before}\n"
    code += "refused(score)\nrefused(with_the_parents)\nrefused(network)\n"
    code += "refused(model.anomaly_score)\n"  # pickled on its way to the child
    code += "assert len(model.anomaly_score(gear.test)) == 4\n"  # the parent goes on
    in_a_process_of_its_own("-c", code, tiny, saved)


@pytest.mark.slow
@needs_fork
def test_a_fork_after_a_network_ran_is_refused(tiny, saved):
    code = FORKED + "network(None)\nrefused(score)\nrefused(network)\n"
    in_a_process_of_its_own("-c", code, tiny, saved)


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_processes_that_start_before_or_without_a_fork_work(tiny, saved, tmp_path, start):
    """A fork before anything has run, and the ways that the error names after it."""
    script = tmp_path / "script.py"  # a spawned process imports it
    script.write_text(
        FORKED
        + """
if __name__ == "__main__":
    start = sys.argv[3]
    if start != "fork":
        expected = [score(image) for image in gear.test]
    with multiprocessing.get_context(start).Pool(2) as pool:
        found = pool.map(score, list(gear.test))
    if start == "fork":
        expected = [score(image) for image in gear.test]
    assert found == expected
"""
    )
    in_a_process_of_its_own(script, tiny, saved, start)
