"""How many threads everything uses: Numba, BLAS and onnxruntime, in one place.

Here also stands what threads and processes may do at once: several Python threads may work at the
same time, and a process that was forked from one with threads at work may not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import numba

_started = False  # a network has run in this process
_cut_off = False  # this process is a fork of one whose threads had started: it has none of them

_turn = threading.RLock()  # for kernels, where two may not run at once
_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None  # of the first user; the last one lifts it


def count() -> int:
    """Threads in use now."""
    return numba.get_num_threads()


def available() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def limit(threads: int | None) -> Iterator[int]:
    """Run a block on `threads` threads; None takes what the process has been given.

    Parameters
    ----------
    threads : int or None
        At least 1. More than Numba was started with (``NUMBA_NUM_THREADS``, by default the number
        of cores) are cut to that many.

    Raises
    ------
    ValueError
        If `threads` is less than 1.
    RuntimeError
        In a forked process, see `check_fork`.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    check_fork()
    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(before if threads is None else min(threads, most))
    try:
        yield numba.get_num_threads()
    finally:
        numba.set_num_threads(before)


# ------------------------------------------------------------------ processes


def check_fork() -> None:
    """Refuse to work in a process that was forked from one whose threads had started.

    A fork copies the memory of its parent but none of its threads. GNU's OpenMP ends such a process
    and onnxruntime waits for ever; `multiprocessing.Pool` would then never return.

    Raises
    ------
    RuntimeError
        In such a process.
    """
    if _cut_off:
        raise RuntimeError(
            "minicore cannot run in a process forked from one in which its kernels or a network "
            "have run; start processes with multiprocessing.get_context('spawn') or "
            "'forkserver', or with joblib (loky)"
        )


def network_runs() -> None:
    """Note that a network runs in this process from now on.

    Raises
    ------
    RuntimeError
        In a forked process, see `check_fork`.
    """
    global _started
    check_fork()
    _started = True


def _after_fork() -> None:
    global _cut_off
    _cut_off = _cut_off or _started or _layer() is not None


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


# -------------------------------------------------------------------- threads


def _layer() -> str | None:
    """Return which library runs Numba's threads; None if it has not started any yet."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


@functools.cache
def _can_share() -> bool:
    """Whether several Python threads may run kernels at the same time.

    Numba's own layer, "workqueue", ends the process if they do. Numba takes it where there is
    neither OpenMP nor TBB.
    """
    numba.get_num_threads()  # starts the threads, which settles the layer
    return _layer() != "workqueue"


def one_at_a_time() -> contextlib.AbstractContextManager[Any]:
    """Return the lock to hold while a parallel kernel runs; no lock where none is needed.

    Raises
    ------
    RuntimeError
        In a forked process, see `check_fork`.
    """
    check_fork()
    return contextlib.nullcontext() if _can_share() else _turn


@functools.cache
def _blas():
    """Return the BLAS libraries whose limit is the process's, and those with one per thread."""
    import scipy.linalg.blas  # noqa: F401  # Numba's np.dot calls SciPy's BLAS: it must be loaded
    from threadpoolctl import ThreadpoolController

    all_of_them = ThreadpoolController().select(user_api="blas")
    own = all_of_them.select(threading_layer="openmp")
    paths = {library.filepath for library in own.lib_controllers}
    shared = [c.filepath for c in all_of_them.lib_controllers if c.filepath not in paths]
    return all_of_them.select(filepath=shared), own


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let each matrix product run on the thread that asks for it.

    The kernels in `minicore.fast` split their work over Numba's threads and call BLAS on tiles of a
    fixed shape. With BLAS's own threads out of the way nothing competes for the cores, and the
    rounding of a tile does not depend on how many threads there are.

    The limit of most libraries holds for the whole process. Blocks that overlap in several Python
    threads share it: the first one sets it, and the last one restores what was there before.
    """
    global _blas_users, _blas_limit
    shared, own = _blas()
    with own.limit(limits=1):
        with _blas_lock:
            if _blas_users == 0:
                _take_over_openblas()
                _blas_limit = shared.limit(limits=1)
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
    """Let this thread set OpenBLAS's limit: threadpoolctl 3.8 ignores all threads but the first."""
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Let other libraries work on one thread, where their rounding depends on how many there are.

    scikit-learn's k-means sums over its OpenMP threads, and stops by that sum.
    """
    from threadpoolctl import threadpool_limits

    # OpenMP's limit is each Python thread's own; that of BLAS is everyone's.
    with single_threaded_blas(), threadpool_limits(1, user_api="openmp"):
        yield
