"""The most memory that this process held over a stretch of work, where the system tells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Bytes, once the block has ended; None where the system does not tell (all but Linux)."""

    bytes: int | None = None


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the resident memory of this process over a block.

    What it held before counts as well: it is the process's peak, not the block's own share.

    Yields
    ------
    Peak
    """
    peak = Peak()
    try:
        CLEAR.write_text("5")  # the kernel's word for: start the high-water mark anew (proc(5))
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
