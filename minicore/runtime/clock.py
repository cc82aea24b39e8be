"""Where the time goes: seconds a stage."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Seconds(dict[str, float]):
    """Seconds spent in each named stage, in the order the stages were first met."""

    def add(self, stage: str, seconds: float) -> None:
        """Add to what a stage has taken."""
        self[stage] = self.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time the block takes to a stage."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - before)
