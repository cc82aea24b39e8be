"""How many threads everything uses: Numba, BLAS and onnxruntime, in one place."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import numba


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
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(before if threads is None else min(threads, most))
    try:
        yield numba.get_num_threads()
    finally:
        numba.set_num_threads(before)


@functools.cache
def _blas():
    import scipy.linalg.blas  # noqa: F401  # Numba's np.dot calls SciPy's BLAS: it must be loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let each matrix product run on the thread that asks for it.

    The kernels in `minicore.fast` split their work over Numba's threads and call BLAS on tiles of a
    fixed shape. With BLAS's own threads out of the way nothing competes for the cores, and the
    rounding of a tile does not depend on how many threads there are.
    """
    with _blas().limit(limits=1):
        yield


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Let other libraries work on one thread, where their rounding depends on how many there are.

    scikit-learn's k-means sums over its OpenMP threads, and stops by that sum.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
