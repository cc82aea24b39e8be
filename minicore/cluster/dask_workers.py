"""The parts of a memory bank on the workers of a Dask cluster.

Each part is the result of a Dask task, and a call to it is another task. A call changes the part in
place. Dask allows this only because a call may be repeated, and because a part that lacks picks
asks for them (`Part.farthest`): so a copy of a part from any moment gives the same results. If a
worker dies, Dask makes its parts again on another worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from dask.sizeof import sizeof
from distributed import Client

from minicore.cluster.part import Part
from minicore.runtime import threads

LARGE = 100_000  # bytes from which an array that several parts get is sent to each worker once


@sizeof.register(Part)
def _bytes_of_part(part: Part) -> int:
    """Return the bytes of a part, so that Dask calls it where it is."""
    return part.nbytes


class DaskWorkers:
    """Parts on the workers of a Dask cluster; a `Workers`.

    Parameters
    ----------
    client : distributed.Client
    make : callable
        Makes a part. Called on a worker, and again if that worker dies.
    arguments : sequence of tuple
        For each part, the arguments of `make`.
    """

    def __init__(
        self, client: Client, make: Callable[..., Part], arguments: Sequence[tuple[Any, ...]]
    ) -> None:
        self._client = client
        self._parts = [
            client.submit(_run, make, own, pure=False, key=...) for own in arguments
        ]
