"""The parts of a memory bank on the workers of a Dask cluster.

Each part is the result of a Dask task, and each call to it is another task. A call changes the part
in place. Dask does not expect this, but here it changes no result. A part does not learn a pick
twice. A part that Dask has copied or made again, because a worker died or for any other reason, has
no picks and asks for them (`Part.farthest`). So that this is rare, each call names the worker that
has the part. Otherwise Dask would copy a part to any worker that is idle.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from dask.sizeof import sizeof
from distributed import Client, Future, TimeoutError

from minicore.cluster.dask_stream import ATTEMPTS, LOST, send
from minicore.cluster.part import Part
from minicore.cluster.workers import Done
from minicore.runtime import threads

PATIENCE = 1.0  # seconds without a result, until a look at which workers are alive
LARGE = 2**20  # bytes from which an argument goes to each worker once, not to each part


class DaskWorkers:
    """Parts on the workers of a Dask cluster; a `Workers`.

    Every task has one thread. So a part for each thread of the cluster uses all of them.

    Parameters
    ----------
    client : distributed.Client
        Connected to a cluster. Parts wait until it has workers.
    make : callable
        Returns a part. Called on a worker, and again if this worker dies.
    arguments : sequence of tuple
        For each part, the arguments of `make`. To read files on the worker is faster than to send
        arrays.
    """

    def __init__(
        self, client: Client, make: Callable[..., Part], arguments: Sequence[tuple[Any, ...]]
    ) -> None:
        self._client = client
        # Without a choice of workers, so that other workers make a part again if its worker dies.
        self._parts = [client.submit(_make, make, own, pure=False) for own in arguments]
        self._shared: dict[int, tuple[Any, Any]] = {}  # large arguments of the last call with any

    def __len__(self) -> int:
        return len(self._parts)

    def close(self) -> None:
        """Delete the parts, and stop what runs on them."""
        if self._client.status == "running":
            self._client.cancel([*self._parts, *(sent for _, sent in self._shared.values())])
        self._parts, self._shared = [], {}

    def call(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]], done: Done | None = None
    ) -> dict[int, Any]:
        """Call a method of several parts; see `Workers`.

        Raises
        ------
        distributed.KilledWorker
            If several workers die while they run the same task.
        concurrent.futures.CancelledError
            If the parts are lost, because the cluster was stopped or restarted.
        """
        for attempt in range(1, ATTEMPTS):
            with contextlib.suppress(*LOST):
                return self._call(method, arguments, done)
            self._shared.clear()
            time.sleep(attempt / 10)  # the scheduler may not know yet that the worker died
        return self._call(method, arguments, done)

    def _call(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]], done: Done | None
    ) -> dict[int, Any]:
        large = {
            id(value): value
            for own in arguments.values()
            for value in own
            if getattr(value, "nbytes", 0) >= LARGE
        }
        if large:
            self._shared = {key: self._shared[key] for key in large.keys() & self._shared.keys()}
        for key in large.keys() - self._shared.keys():  # the value is kept, so its id is not reused
            self._shared[key] = large[key], send(self._client, large[key])
        finished: SimpleQueue[Future[Any]] = SimpleQueue()
        where = self._client.who_has(self._parts)
        place = {i: min(where.get(self._parts[i].key, ()), default=None) for i in arguments}

        def start(i: int) -> Future[Any]:
            own = (self._shared[id(v)][1] if id(v) in large else v for v in arguments[i])
            task = self._client.submit(
                _call, self._parts[i], method, *own, pure=False, workers=place[i]
            )
            task.add_done_callback(finished.put)
            return task

        waiting = {start(i): i for i in arguments}
        results: dict[int, Any] = {}
        patience = PATIENCE
        while waiting:
            task = None
            try:
                task = finished.get(timeout=patience)
                if task not in waiting:
                    continue
                results[waiting[task]] = task.result(timeout=patience)
            except (Empty, TimeoutError):
                # A task for a worker that has died, or its result there, would never come.
                alive = self._client.nthreads()
                for dead, i in list(waiting.items()):
                    if place[i] is not None and place[i] not in alive:
                        place[i] = None
                        del waiting[dead]
                        waiting[start(i)] = i
                if task is not None:  # if its worker is alive, only the network is slow
                    finished.put(task)
                    patience *= 2
                continue
            i = waiting.pop(task)
            if done is not None:
                done(i)
        return {i: results[i] for i in arguments}


def _bytes_of_part(part: Part) -> int:
    """Return the bytes of a part, which Dask cannot see."""
    return part.nbytes


sizeof.register(Part, _bytes_of_part)


def _make(make: Callable[..., Part], arguments: tuple[Any, ...]) -> Part:
    with threads.limit(1):
        return make(*arguments)


def _call(part: Part, method: str, *arguments: Any) -> Any:
    with threads.limit(1):
        return getattr(part, method)(*arguments)
