"""What the fast engine is held against: plain loops, libraries, and the machine's limits."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numba import prange

from minicore.backbones import Backbone
from minicore.runtime.kernels import parallel

CHUNK = 512  # rows of one task of the plain loops


@parallel(cache=True)
def plain_coreset(M, l, start):
    """Algorithm 1 as one would first write it: the literal arithmetic, on all threads."""
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


@parallel(fastmath=True, cache=True)
def plain_coreset_float32(M, l, start):
    """Do the same in float32, in whatever order is fastest: near ties may be picked otherwise."""
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
    """scikit-learn's brute force, ready to search."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=1, algorithm="brute").fit(bank).kneighbors


def faiss() -> ModuleType | None:
    """Give faiss, where it is installed; minicore never needs it."""
    try:
        return importlib.import_module("faiss")
    except ImportError:
        return None


def faiss_search(bank: np.ndarray) -> Callable[[np.ndarray], Any] | None:
    """Give faiss's flat index, ready to search; None where faiss is not installed."""
    library = faiss()
    if library is None:
        return None
    index = library.IndexFlatL2(bank.shape[1])
    index.add(bank)
    return lambda queries: index.search(queries, 1)


def matrix_product(x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """Take the inner products of all rows of `x` with all of `y`, by BLAS, into memory at hand."""
    out = np.empty((len(x), len(y)), np.float32)

    def run() -> None:
        np.matmul(x, y.T, out=out)

    return run


@parallel(cache=True)
def _copy(source, target):
    tile = 1 << 16
    for t in prange((source.shape[0] + tile - 1) // tile):
        part = slice(t * tile, min((t + 1) * tile, source.shape[0]))
        target[part] = source[part]


def memory_copy(read: int, written: int) -> Callable[[], None]:
    """Move as many bytes as are read and written, by a copy on all threads."""
    source = np.ones((read + written) // 8, np.float32)  # each value is read once and written once
    target = np.zeros_like(source)
    return lambda: _copy(source, target)


def onnxruntime_alone(network: Backbone, prepared: list[np.ndarray]) -> Callable[[], None]:
    """Run the network as onnxruntime does by itself: whole batches, each on all threads."""
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
