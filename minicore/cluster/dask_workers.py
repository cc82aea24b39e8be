"""The parts of a memory bank on the workers of a Dask cluster.

Each part is the result of a Dask task, and each call to it is another task. A call changes the part
in place. Dask does not expect this, but here it changes no result. A part does not learn a pick
twice. A part that Dask has copied or made again, because a worker died or for any other reason, has
no picks and asks for them (`Part.farthest`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dask.sizeof import sizeof
from distributed import Client, as_completed

from minicore.cluster.dask_stream import ATTEMPTS, LOST
from minicore.cluster.part import Part
from minicore.cluster.workers import Done
from minicore.runtime import threads

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
        # Without a choice of workers: Dask 2026.8 forgets such a task if its only worker dies.
        self._parts = [client.submit(_make, make, own, pure=False) for own in arguments]
        self._shared: dict[int, tuple[Any, Any]] = {}  # large arguments of the last call

    def __len__(self) -> int:
        return len(self._parts)

    def close(self) -> None:
        """Delete the parts, and stop what runs on them."""
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
        self._shared = {key: self._shared[key] for key in large.keys() & self._shared.keys()}
        for key in large.keys() - self._shared.keys():  # the value is kept, so its id is not reused
            (sent,) = self._client.scatter([large[key]], broadcast=True, hash=False)
            self._shared[key] = large[key], sent
        tasks = {
            i: self._client.submit(
                _call, self._parts[i], method,
                *(self._shared[id(value)][1] if id(value) in large else value for value in own),
                pure=False,
            )
            for i, own in arguments.items()
        }  # fmt: skip
        if done is not None:
            part_of = {task: i for i, task in tasks.items()}
            for task in as_completed(list(part_of), loop=self._client.loop):
                if task.status == "finished":
                    done(part_of[task])
        return dict(zip(tasks, self._client.gather(list(tasks.values())), strict=True))


def _bytes_of_part(part: Part) -> int:
    """Return the bytes of a part: Dask then calls it where it is, and does not move it."""
    return part.nbytes


sizeof.register(Part, _bytes_of_part)


def _make(make: Callable[..., Part], arguments: tuple[Any, ...]) -> Part:
    with threads.limit(1):
        return make(*arguments)


def _call(part: Part, method: str, *arguments: Any) -> Any:
    with threads.limit(1):
        return getattr(part, method)(*arguments)
