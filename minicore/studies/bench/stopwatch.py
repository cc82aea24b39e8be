"""How time is taken: warm, alternating, several rounds, all samples kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SHORTEST = 0.05  # seconds: what is quicker runs several times for one sample
PAUSE = 0.03  # seconds before a sample: idle threads of BLAS and OpenMP spin on for a while


@dataclass(frozen=True)
class Side:
    """One way to do a stage's work.

    Attributes
    ----------
    name : str
        "fast", "equations", a library.
    run : callable
        Does the work, or a part of it.
    scale : float
        How many times the work of `run` is the stage's.
    part : str
        Which part `run` does where its time is extrapolated, such as "20 of 3,136 picks".
    limit : bool
        Not a way to do the work but what no way can beat, or what brute force cannot.
    """

    name: str
    run: Callable[[], Any]
    scale: float = 1.0
    part: str = ""
    limit: bool = False


@dataclass(frozen=True)
class Timing:
    """What one side of a stage took.

    Attributes
    ----------
    stage, equation, size : str
        The work; `size` in words.
    side : str
        Who did it.
    seconds : tuple of float
        A sample a round, scaled to the whole work.
    first : float
        Seconds that the first call took beyond the later ones: compiling, or loading what was
        compiled before. In no sample.
    part : str
        What was measured, where it is extrapolated.
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
        """Seconds, the middle sample."""
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Timing:
        """Restore it."""
        return cls(**{**stored, "seconds": tuple(stored["seconds"])})


def measure(
    sides: Sequence[Side], repeats: int, tick: Callable[[], None] = lambda: None
) -> tuple[list[tuple[float, ...]], list[float], dict[str, Any]]:
    """Time all sides, taking turns.

    Every side runs once before anything counts. Then each round takes a sample of every side, in an
    order that rotates, so that a slow spell of the machine meets all of them.

    Parameters
    ----------
    sides : sequence of Side
    repeats : int
        Rounds.
    tick : callable
        Called after every run.

    Returns
    -------
    samples : list of tuple of float
        Of each side, seconds a round, scaled to the whole work.
    first : list of float
        Of each side, seconds of the first call beyond its quickest later one.
    results : dict of str to object
        What each side's first call returned.
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
    beyond = [max(0.0, f - min(own)) for f, own in zip(first, samples, strict=True)]
    whole = [
        tuple(side.scale * seconds for seconds in own)
        for side, own in zip(sides, samples, strict=True)
    ]
    return whole, beyond, results


def _sample(run: Callable[[], Any]) -> float:
    """Seconds of one call: the mean of as many as fit into `SHORTEST`, one at least."""
    calls, before = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        spent = time.perf_counter() - before
        if spent >= SHORTEST:
            return spent / calls
