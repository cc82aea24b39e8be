"""Score images against a memory bank whose rows are divided among the workers of a Dask cluster.

Each worker holds a *shard*: some rows, prepared for searches. The images of a batch go through
these tasks:

    patches    network and equations 1 to 3, on any worker
    nearest    equation 6 in each shard
    decide     the nearest of all shards; the patch m_test* of each image, and its nearest row m*
    take       the values of m*, from the shard that holds it
    around     the b nearest rows of m* in each shard
    detect     N_b(m*), the nearest of all shards; equation 7 and the map

No task changes its inputs, so Dask can repeat any of them. `minicore.patchcore.search` and
`minicore.patchcore.bank_parts` compute the same on one machine.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dask.sizeof import sizeof
from distributed import Client, Future

from minicore.cluster.dask_stream import Packed, send
from minicore.errors import ImageError, ModelError
from minicore.images import ImageLike
from minicore.patchcore.bank_parts import merge
from minicore.patchcore.config import Engine
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.features import engine_functions
from minicore.patchcore.over_cluster.on_worker import one_thread, opened, recorded_warnings
from minicore.patchcore.search import Deciding, Detection, Search
from minicore.runtime import container

OF_BANK = ("memory_bank_", "_search", "coreset_indices_", "coreset_radii_", "image_digests_")

Start = Callable[[Any], Future[Any]]


class Batch(NamedTuple):
    """Some images on their way; `features` is empty if none of them can be used."""

    features: np.ndarray  # (n, h', w', D) float32; after `decide` without patches, (n, h', w', 0)
    size: tuple[int, int]
    cell: tuple[float, float]
    errors: dict[int, ImageError]
    warned: Sequence[str] = ()


def score_over_shards(model: PatchCore, client: Client, shards: int) -> Callable[[], Start]:
    """Return a function that sends the model, and returns a function that starts a batch.

    Parameters
    ----------
    model : PatchCore
    client : distributed.Client
    shards : int
        From 1 to the number of rows of the bank.
    """
    front = copy.copy(model)
    for name in OF_BANK:
        del front.__dict__[name]
    packed, engine, b = Packed(front), model.engine, model.config_.b

    def prepare() -> Start:
        network = send(client, packed)
        parts = _hold(client, model, shards)

        def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return client.submit(function, *arguments, pure=False)

        def start(images: Any) -> Future[Any]:
            batch = submit(_patches, network, images)
            nearest = [submit(_nearest, part, batch, engine) for part in parts]
            chosen = submit(_decide, batch, nearest)
            around = None
            if b is not None:
                m_star = [submit(_take, part, chosen) for part in parts]
                around = [submit(_around, part, m_star, b, engine) for part in parts]
            return submit(_detect, network, chosen, around, b)

        return start

    return prepare


# ------------------------------------------------------------------- shards


def _hold(client: Client, model: PatchCore, shards: int) -> list[Future[Any]]:
    """Make the shards: from the model's file if the workers can read it, else send the rows."""
    bank, file, engine = model.memory_bank_, model._file, model.engine
    edges = [len(bank) * i // shards for i in range(shards + 1)]
    ranges = list(pairwise(edges))
    parts: dict[int, Future[Any]] = {}
    if file is not None:
        for i, rows in enumerate(ranges):
            digest = _digest(bank[slice(*rows)])
            parts[i] = client.submit(_read, file, *rows, digest, engine, pure=False)
    missing = [i for i in range(shards) if i not in parts or parts[i].exception()]
    # All rows first: Dask gives tasks that need no data to one idle worker after the other.
    sent = {i: send(client, bank[slice(*ranges[i])]) for i in missing}
    for i in missing:
        parts[i] = client.submit(_make, sent[i], ranges[i][0], engine, pure=False)
    return [parts[i] for i in range(shards)]


@one_thread
def _read(file: Path, first: int, end: int, digest: bytes, engine: Engine) -> Search:
    rows = container.read_rows(file, "memory_bank", first, end).astype(np.float32, copy=False)
    if _digest(rows) != digest:
        raise ModelError(f"{file}: its memory bank is not that of the model")
    return _make(rows, first, engine)


@one_thread
def _make(rows: np.ndarray, first: int, engine: Engine) -> Search:
    search = Search(rows, None, first=first)
    search.prepare(engine)
    return search


def _digest(rows: np.ndarray) -> bytes:
    return hashlib.blake2b(rows.data.cast("B")).digest()


def _bytes_of_search(search: Search) -> int:
    """Return the bytes of the rows: Dask then searches a large shard where it is."""
    return search.bank.nbytes


sizeof.register(Search, _bytes_of_search)


# ------------------------------------------------------------------- tasks


@one_thread
def _patches(network: Packed, images: Sequence[ImageLike]) -> Batch:
    model = opened(network)
    errors: dict[int, ImageError] = {}
    with recorded_warnings() as warned:
        found = list(
            model._patches(
                images, "score", progress=False, pixels=model.input_size_, skipped=errors
            )
        )
    for features, size, cell in found:  # at most one batch
        return Batch(features, size, cell, errors, warned)
    empty = np.empty((0, *model.grid_, 0), np.float32)
    return Batch(empty, model.input_size_, (1.0, 1.0), errors, warned)


@one_thread
def _nearest(part: Search, batch: Batch, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    queries = batch.features.reshape(-1, part.bank.shape[1])
    return part.nearest(queries, 1, engine)


@one_thread
def _decide(
    batch: Batch, nearest: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[Batch, Deciding]:
    chosen = Deciding.of(batch.features, *merge(nearest, 1))
    return batch._replace(features=batch.features[..., :0].copy()), chosen


@one_thread
def _take(part: Search, decided: tuple[Batch, Deciding]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images whose m* is in this shard, and its values."""
    rows = decided[1].rows
    own = np.flatnonzero(part.contains(rows))
    return own, part.take(rows[own])


@one_thread
def _around(
    part: Search, m_star: Sequence[tuple[np.ndarray, np.ndarray]], b: int, engine: Engine
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distances (n, b), numbers (n, b) and values (n, b, D) of the rows around m*."""
    images, values = map(np.concatenate, zip(*m_star, strict=True))
    queries = values[np.argsort(images)]
    distances, rows = part.nearest(queries, min(b, len(part.bank)), engine)
    return distances, rows, part.take(rows)


@one_thread
def _detect(
    network: Packed,
    decided: tuple[Batch, Deciding],
    around: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]] | None,
    b: int | None,
) -> tuple[list[Detection], dict[int, ImageError], Sequence[str]]:
    (features, size, cell, errors, warned), chosen = decided
    if not len(features):
        return [], errors, warned
    model = opened(network)
    config = model.config_
    near = None if around is None or b is None else list(merge(around, b)[2])
    s, s_star = chosen.score(near, config.score)
    distances = chosen.distances.reshape(features.shape[:3])
    anomaly_map = engine_functions(model.engine).anomaly_map
    maps = anomaly_map(distances, *size, config.sigma, config.stride, cell)
    return [Detection(s, s_star, distances, maps)], errors, warned
