"""Measure the peak memory of this process, on Linux."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


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
    peak = Peak()
    try:
        CLEAR.write_text("5")  # resets the peak (proc(5))
        started = True
    except OSError:
        started = False
    try:
        yield peak
    finally:
        if started:
            with contextlib.suppress(OSError, StopIteration, ValueError):
                line = next(s for s in STATUS.read_text().splitlines() if s.startswith("VmHWM:"))
                peak.bytes = 1024 * int(line.split()[1])
