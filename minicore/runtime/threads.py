"""Threads and processes: how many threads Numba and BLAS use, and what may run at the same time.

Several Python threads may use minicore at the same time. A process that was forked after minicore
had started threads may not use it, see `check_fork`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import numba

from minicore.runtime import system

NUMBA: Any = numba  # the types of numba lack `threading_layer` and its settings

_network_started = False  # a network has run in this process
_forked = False  # this process was forked after threads had started; a fork copies no threads

_kernel_lock = threading.RLock()  # held where two kernels may not run at the same time
_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None  # set by the first user, restored by the last one


def count() -> int:
    """Return the number of threads in use."""
    return numba.get_num_threads()


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
    RuntimeError
        In a forked process, see `check_fork`.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    check_fork()
    before = numba.get_num_threads()
    most = NUMBA.config.NUMBA_NUM_THREADS
    numba.set_num_threads(before if threads is None else min(threads, most))
    try:
        yield numba.get_num_threads()
    finally:
        numba.set_num_threads(before)


# ------------------------------------------------------------------ processes


def check_fork() -> None:
    """Raise an error in a process that was forked after threads had started.

    A fork copies the memory of its parent but not the threads. GNU OpenMP then ends the process,
    and onnxruntime waits for ever, so that `multiprocessing.Pool` never returns.

    Raises
    ------
    RuntimeError
        In such a process.
    """
    if _forked:
        raise RuntimeError(
            "minicore cannot run in a process forked from one in which its kernels or a network "
            "have run; start processes with multiprocessing.get_context('spawn') or "
            "'forkserver', or with joblib (loky)"
        )


def mark_network_started() -> None:
    """Record that a network has started threads in this process.

    Raises
    ------
    RuntimeError
        In a forked process, see `check_fork`.
    """
    global _network_started
    check_fork()
    _network_started = True


def _after_fork() -> None:
    global _forked
    _forked = _forked or _network_started or _layer() is not None


system.call_after_fork(_after_fork)


# -------------------------------------------------------------------- threads


def _layer() -> str | None:
    """Return the library that runs Numba's threads, or None before the first thread starts."""
    try:
        return str(NUMBA.threading_layer())
    except ValueError:
        return None


@functools.cache
def _can_share() -> bool:
    """Return whether several Python threads may run kernels at the same time.

    Numba's own layer, "workqueue", ends the process if they do. Numba uses it where neither OpenMP
    nor TBB is installed.
    """
    numba.get_num_threads()  # starts the threads; the layer is known only after that
    return _layer() != "workqueue"


def one_at_a_time() -> contextlib.AbstractContextManager[Any]:
    """Return the lock to hold while a parallel kernel runs, or an empty context if none is needed.

    Raises
    ------
    RuntimeError
        In a forked process, see `check_fork`.
    """
    check_fork()
    return contextlib.nullcontext() if _can_share() else _kernel_lock


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

    The kernels in `minicore.fast` divide their work between Numba's threads and call BLAS on tiles
    of a fixed shape. With one thread, BLAS does not compete with Numba for the cores, and the
    rounding of a tile does not depend on the number of threads.

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
