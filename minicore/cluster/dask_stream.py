"""A stream of jobs on a Dask cluster: results in order, a limited number of jobs at a time."""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any, TypeVar

import dask.config
import numpy as np
from dask.sizeof import sizeof
from distributed import Client, Future
from distributed.comm.core import CommClosedError

Job = TypeVar("Job")

AHEAD = 2  # jobs at a time for each thread of the cluster
ATTEMPTS = 10  # if workers die with data that was sent to them
LOST = CancelledError, CommClosedError  # the errors then


def in_order(
    client: Client, jobs: Iterable[Job], prepare: Callable[[], Callable[[Job], Future[Any]]]
) -> Generator[tuple[Job, Any], None, None]:
    """Run jobs on a cluster. The memory of this process does not depend on their number.

    Dask repeats the tasks of a worker that dies. If data is lost that was sent and not computed,
    all unfinished jobs begin again.

    Parameters
    ----------
    client : distributed.Client
        Jobs wait until its cluster has workers.
    jobs : iterable
    prepare : callable
        Sends the data that all jobs share, and returns a function that starts a job.

    Yields
    ------
    job, result
        In the order of the jobs. Jobs that have not begun are cancelled if the iterator is closed.

    Raises
    ------
    distributed.KilledWorker
        If several workers die while they run the same task.
    concurrent.futures.CancelledError
        If the cluster was stopped or restarted.
    """
    start, left, failed = None, iter(jobs), 0
    begun: deque[Job] = deque()
    futures: deque[Future[Any]] = deque()  # of the jobs in `begun`, unless a start has failed
    try:
        while True:
            try:
                if start is None:
                    futures.clear()
                    start = prepare()
                room = AHEAD * max(1, sum(client.nthreads().values())) - len(begun)
                begun.extend(islice(left, max(0, room)))
                futures.extend(map(start, islice(begun, len(futures), None)))
                if not begun:
                    return
                result = futures[0].result()
            except LOST:
                start, failed = None, failed + 1
                if failed == ATTEMPTS:
                    raise
                time.sleep(failed / 10)  # the scheduler may not know yet that the worker died
                continue
            failed = 0
            futures.popleft()
            yield begun.popleft(), result
    finally:
        if futures and client.status == "running":
            client.cancel(list(futures))


def send(client: Client, value: Any) -> Future[Any]:
    """Send a value that several tasks use, to one worker. Other workers copy it when they need it.

    Dask's own `scatter` to all workers never ends if a worker dies meanwhile. A value that it has
    sent is lost with the last worker that has it. The value of a task is sent again.
    """
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        return client.submit(_value, value, pure=False)


def _value(value: Any) -> Any:
    return value


class Packed:
    """An object that a worker unpickles when a task needs it.

    Dask would unpickle it when the worker receives it. Then an error, such as a missing file, would
    not reach the caller.

    Parameters
    ----------
    value : object
    """

    def __init__(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        self._pickle = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self._arrays = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
        self._begin()

    def _begin(self) -> None:
        self._value: Any = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_pickle": self._pickle, "_arrays": self._arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def open(self) -> Any:
        """Return the object; the same one for every task on this worker."""
        with self._lock:
            if self._value is None:
                self._value = pickle.loads(self._pickle, buffers=self._arrays)
            return self._value

    @property
    def nbytes(self) -> int:
        """Bytes of the pickle and its arrays."""
        return len(self._pickle) + sum(array.nbytes for array in self._arrays)


def _bytes_of_packed(packed: Packed) -> int:
    return packed.nbytes


sizeof.register(Packed, _bytes_of_packed)
