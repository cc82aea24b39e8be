"""Threads and processes: how many threads kernels and BLAS use, and what a fork allows.

Several Python threads may use minicore at the same time. A process that was forked after a network
ran may not run a network, see `mark_network_started`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numba

from minicore.runtime import system

NUMBA: Any = numba  # the types of numba lack its settings
PARTS = 4  # of the tasks, for each thread: a slow thread takes fewer of them

_own = threading.local()  # `count` is the limit of this Python thread, if it has one

_network_started = False  # a network has run in this process
_forked = False  # this process was forked after a network had run; a fork copies no threads

_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None  # set by the first user, restored by the last one


def count() -> int:
    """Return the number of threads in use."""
    return int(getattr(_own, "count", NUMBA.config.NUMBA_NUM_THREADS))


def available() -> int:
    """Return the number of cores that this process may use."""
    return system.cores()


@contextlib.contextmanager
def limit(threads: int | None) -> Iterator[int]:
    """Limit a block to `threads` threads, and yield the number in use.

    Parameters
    ----------
    threads : int or None
        At least 1. A number above ``NUMBA_NUM_THREADS`` (by default the number of cores) is reduced
        to it. None keeps the current number.

    Raises
    ------
    ValueError
        If `threads` is less than 1.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    before = count()
    _own.count = before if threads is None else min(threads, NUMBA.config.NUMBA_NUM_THREADS)
    try:
        yield _own.count
    finally:
        _own.count = before


def share(run: Callable[[int, int], object], tasks: int) -> None:
    """Divide tasks between threads: call `run(first, end)` for parts of them.

    An error in one part ends the call after the parts that have begun.
    """
    n = min(count(), tasks)
    if n <= 1:
        run(0, tasks)
        return
    parts = min(tasks, PARTS * n)
    ends = [tasks * part // parts for part in range(parts + 1)]
    todo = deque(itertools.pairwise(ends))

    def work() -> None:
        while True:
            try:
                first, end = todo.popleft()
            except IndexError:  # nothing is left
                return
            run(first, end)

    others = [_pool().submit(work) for _ in range(n - 1)]
    try:
        work()
    finally:
        todo.clear()
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()  # raises its error


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads that help. Their work never waits for other work, so it always ends."""
    most = max(1, NUMBA.config.NUMBA_NUM_THREADS - 1)
    return ThreadPoolExecutor(most, "minicore", initializer=_limit_blas_of_thread)


def _limit_blas_of_thread() -> None:
    _blas_libraries()[1].limit(limits=1)


# ------------------------------------------------------------------ processes


def mark_network_started() -> None:
    """Record that a network has started threads in this process.

    Raises
    ------
    RuntimeError
        In a process that was forked after a network had run. A fork copies the memory of its parent
        but not the threads. onnxruntime would wait for them for ever, so that
        `multiprocessing.Pool` would never return.
    """
    global _network_started
    if _forked:
        raise RuntimeError(
            "minicore cannot run a network in a process forked from one in which a network has "
            "run; start processes with multiprocessing.get_context('spawn') or 'forkserver', or "
            "with joblib (loky)"
        )
    _network_started = True


def _after_fork() -> None:
    global _forked, _blas_lock
    _forked = _forked or _network_started
    _blas_lock = threading.Lock()  # a thread of the parent may have held it
    _pool.cache_clear()


system.call_after_fork(_after_fork)


# ----------------------------------------------------------------------- BLAS


@functools.cache
def _blas_libraries() -> tuple[Any, Any]:
    """Return the BLAS libraries with one limit per process, and those with one per thread."""
    import scipy.linalg.blas  # noqa: F401  # Numba's np.dot calls SciPy's BLAS: it must be loaded
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="blas")
    per_thread = libraries.select(threading_layer="openmp")
    paths = {library.filepath for library in per_thread.lib_controllers}
    others = [c.filepath for c in libraries.lib_controllers if c.filepath not in paths]
    return libraries.select(filepath=others), per_thread


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread inside a block.

    The kernels in `minicore.fast` run in several threads, and each of these calls BLAS for its own
    small products. With one thread, BLAS does not compete with them for the cores.

    Most libraries have one limit for the whole process. Blocks that overlap in several Python
    threads share it: the first block sets the limit, and the last one restores the old value.
    """
    global _blas_users, _blas_limit
    per_process, per_thread = _blas_libraries()
    with per_thread.limit(limits=1):
        with _blas_lock:
            if _blas_users == 0:
                _take_over_openblas()
                _blas_limit = per_process.limit(limits=1)
            _blas_users += 1
        try:
            yield
        finally:
            with _blas_lock:
                _blas_users -= 1
                if _blas_users == 0:
                    _take_over_openblas()
                    _blas_limit.restore_original_limits()
                    _blas_limit = None
                    _take_over_openblas()


def _take_over_openblas() -> None:
    """Allow this thread to set the limit of OpenBLAS.

    Otherwise threadpoolctl 3.8 accepts a limit only from the thread that set the first limit.
    """
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread inside a block.

    This makes results of other libraries independent of the number of threads. For example,
    scikit-learn's k-means adds up numbers over its OpenMP threads and stops at a value of this sum.
    """
    from threadpoolctl import threadpool_limits

    # OpenMP has one limit per Python thread, BLAS one per process.
    with single_threaded_blas(), threadpool_limits(1, user_api="openmp"):
        yield
