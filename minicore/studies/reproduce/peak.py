"""Measure the peak memory of this process, on Linux."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from minicore.runtime import system


class Peak:
    """Peak memory in bytes, set at the end of the block. None on other systems than Linux."""

    bytes: int | None = None


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak of the resident memory of this process during a block.

    It includes the memory that the process used before the block.

    Yields
    ------
    Peak
    """
    peak, started = Peak(), system.start_peak()
    try:
        yield peak
    finally:
        if started:
            peak.bytes = system.peak()
