"""Measure times in several rounds, after a first call of each side. All samples are stored."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SHORTEST = 0.05  # seconds of one sample: a quicker call is repeated
PAUSE = 0.03  # seconds before a sample, so that idle threads of BLAS and OpenMP stop


@dataclass(frozen=True)
class Side:
    """One way to do the work of a stage.

    Attributes
    ----------
    name : str
        "fast", "equations", or the name of a library.
    run : callable
        Does the work, or a part of it.
    scale : float
        Work of the stage divided by the work of `run`.
    part : str
        The part that `run` does if its time is extrapolated, such as "20 of 3,136 picks".
    limit : bool
        True for a lower limit of the time, such as a memory copy: not a way to do the work.
    """

    name: str
    run: Callable[[], Any]
    scale: float = 1.0
    part: str = ""
    limit: bool = False


@dataclass(frozen=True)
class Timing:
    """Measured times of one side of a stage.

    Attributes
    ----------
    stage, equation, size : str
        The work; `size` in words.
    side : str
        Name of the side.
    seconds : tuple of float
        One sample per round, scaled to the whole work.
    first : float
        Extra seconds of the first call, which compiles code or loads compiled code. They are not
        part of the samples.
    part : str
        The part of the work that was measured if the time is extrapolated.
    limit : bool
        See `Side`.
    """

    stage: str
    equation: str
    size: str
    side: str
    seconds: tuple[float, ...]
    first: float = 0.0
    part: str = ""
    limit: bool = False

    @property
    def median(self) -> float:
        """Median of the samples in seconds."""
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Timing:
        """Return the timing that `to_json` stored."""
        return cls(**{**stored, "seconds": tuple(stored["seconds"])})


def measure(
    sides: Sequence[Side], repeats: int, tick: Callable[[], None] = lambda: None
) -> tuple[list[tuple[float, ...]], list[float], dict[str, Any]]:
    """Measure the times of all sides, in turn.

    Every side runs once before the first round. Each round takes one sample of every side, in an
    order that rotates, so that a slow phase of the machine affects all sides.

    Parameters
    ----------
    sides : sequence of Side
    repeats : int
        Number of rounds.
    tick : callable
        Called after every run.

    Returns
    -------
    samples : list of tuple of float
        For each side, one time per round in seconds, scaled to the whole work.
    first : list of float
        For each side, seconds of the first call minus those of the quickest later call.
    results : dict of str to object
        For each side, the result of its first call.
    """
    first, results = [], {}
    for side in sides:
        before = time.perf_counter()
        results[side.name] = side.run()
        first.append(time.perf_counter() - before)
        tick()

    samples: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats):
        for i in range(len(sides)):
            s = (i + turn) % len(sides)
            time.sleep(PAUSE)
            samples[s].append(_sample(sides[s].run))
            tick()
    extra = [max(0.0, f - min(s)) for f, s in zip(first, samples, strict=True)]
    scaled = [
        tuple(side.scale * seconds for seconds in seconds_of_side)
        for side, seconds_of_side in zip(sides, samples, strict=True)
    ]
    return scaled, extra, results


def _sample(run: Callable[[], Any]) -> float:
    """Return the mean seconds of one call, over all calls that fit into `SHORTEST`."""
    calls, before = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        spent = time.perf_counter() - before
        if spent >= SHORTEST:
            return spent / calls
