"""Other ways to do the work of a stage: simple loops, other libraries, limits of the machine."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba import prange

from minicore.backbones import Backbone
from minicore.runtime import threads
from minicore.runtime.kernels import parallel

CHUNK = 512  # rows that one thread takes at a time


def loop(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a loop with Numba's own threads, as many as minicore uses."""

    def compiled(function: Callable[..., Any]) -> Any:
        work = numba.njit(parallel=True, cache=True, **options)(function)

        @functools.wraps(function)
        def launch(*arguments: Any) -> Any:
            numba.set_num_threads(threads.count())
            return work(*arguments)

        return launch

    return compiled


@loop()
def plain_coreset(M: np.ndarray, l: int, start: int) -> np.ndarray:
    """Pick `l` rows by Algorithm 1 in a simple parallel loop with the literal arithmetic.

    Parameters and result are those of `equations.greedy_coreset`.
    """
    N, d = M.shape
    tasks = (N + CHUNK - 1) // CHUNK
    picks = np.empty(l, np.int64)
    to_nearest = np.full(N, np.inf)
    farthest, who = np.empty(tasks), np.empty(tasks, np.int64)
    pick = start
    for i in range(l):
        picks[i] = pick
        if i + 1 == l:
            break
        to_nearest[pick] = -1.0
        x = M[pick]
        for task in prange(tasks):
            farthest[task], who[task] = -1.0, -1
            for m in range(task * CHUNK, min((task + 1) * CHUNK, N)):
                squared = 0.0
                for k in range(d):
                    difference = np.float64(M[m, k]) - np.float64(x[k])
                    squared += difference * difference
                to_nearest[m] = min(to_nearest[m], squared)
                if to_nearest[m] > farthest[task]:
                    farthest[task], who[task] = to_nearest[m], m
        pick = who[np.argmax(farthest)]
    return picks


@loop(fastmath=True)
def plain_coreset_float32(M: np.ndarray, l: int, start: int) -> np.ndarray:
    """Pick `l` rows like `plain_coreset`, but in float32 and in any order of summation.

    If two distances are almost equal, another row can be picked.
    """
    N, d = M.shape
    tasks = (N + CHUNK - 1) // CHUNK
    picks = np.empty(l, np.int64)
    to_nearest = np.full(N, np.float32(3e38))
    farthest, who = np.empty(tasks, np.float32), np.empty(tasks, np.int64)
    pick = start
    for i in range(l):
        picks[i] = pick
        if i + 1 == l:
            break
        to_nearest[pick] = np.float32(-1)
        x = M[pick]
        for task in prange(tasks):
            farthest[task], who[task] = np.float32(-1), -1
            for m in range(task * CHUNK, min((task + 1) * CHUNK, N)):
                squared = np.float32(0)
                for k in range(d):
                    difference = M[m, k] - x[k]
                    squared += difference * difference
                to_nearest[m] = min(to_nearest[m], squared)
                if to_nearest[m] > farthest[task]:
                    farthest[task], who[task] = to_nearest[m], m
        pick = who[np.argmax(farthest)]
    return picks


def sklearn_search(bank: np.ndarray) -> Callable[[np.ndarray], Any]:
    """Return the brute-force search of scikit-learn, fitted on a bank."""
    from sklearn.neighbors import NearestNeighbors

    fitted = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(bank)
    return lambda queries: fitted.kneighbors(queries)


def faiss() -> ModuleType | None:
    """Return the library faiss, or None if it is not installed. minicore does not need it."""
    try:
        return importlib.import_module("faiss")
    except ImportError:
        return None


def faiss_search(bank: np.ndarray) -> Callable[[np.ndarray], Any] | None:
    """Return the brute-force search of faiss on a bank, or None if faiss is not installed."""
    library = faiss()
    if library is None:
        return None
    index = library.IndexFlatL2(bank.shape[1])
    index.add(bank)
    return lambda queries: index.search(queries, 1)


def matrix_product(x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """Return a function that computes `x @ y.T` by BLAS into memory that exists already."""
    out = np.empty((len(x), len(y)), np.float32)

    def run() -> None:
        np.matmul(x, y.T, out=out)

    return run


@parallel(cache=True)
def _copy(first: int, end: int, source: np.ndarray, target: np.ndarray) -> None:
    for i in range(first, end):
        target[i] = source[i]


def memory_copy(read: int, written: int) -> Callable[[], None]:
    """Return a function that copies memory on all threads: it moves `read + written` bytes."""
    source = np.ones((read + written) // 8, np.float32)  # float32, read once and written once
    target = np.zeros_like(source)
    return lambda: _copy(len(source), source, target)


def onnxruntime_alone(network: Backbone, prepared: list[np.ndarray]) -> Callable[[], None]:
    """Return a function that runs the network with the default settings of onnxruntime."""
    from minicore.backbones.telemetry import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.threads or 0
    session = onnxruntime.InferenceSession(
        network.path, options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def run() -> None:
        for batch in prepared:
            session.run(list(network.layers), {name: batch})

    return run
