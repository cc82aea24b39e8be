"""Measure how many seconds each stage of the work takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Seconds(dict[str, float]):
    """Seconds per stage, in the order in which the stages first ran."""

    def add(self, stage: str, seconds: float) -> None:
        """Add `seconds` to the time of a stage."""
        self[stage] = self.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Measure a block and add its time to a stage."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - before)
