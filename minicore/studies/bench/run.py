"""One run of the benchmark: the stages asked for, on the threads asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from minicore.runtime import machine, threads
from minicore.runtime.progress import bar as progress_bar
from minicore.studies.bench import peers, result
from minicore.studies.bench.growth import grow
from minicore.studies.bench.material import Material
from minicore.studies.bench.stages import STAGES, possible
from minicore.studies.bench.stopwatch import Timing, measure


def run(
    m: Material,
    names: Sequence[str] | None = None,
    *,
    repeats: int = 5,
    n_threads: int | None = None,
    settings: dict[str, Any] | None = None,
    progress: bool = True,
) -> result.Result:
    """Time the stages.

    Parameters
    ----------
    m : Material
        What they work on.
    names : sequence of str, optional
        Of `STAGES`; all by default.
    repeats : int, default 5
        Rounds; at least 1.
    n_threads : int, optional
        Of Numba, BLAS and OpenMP; by default all cores. The network has its own, from `m`.
    settings : dict, optional
        More to keep with the result.
    progress : bool, default True

    Returns
    -------
    Result
    """
    with _started(m, repeats, n_threads, settings) as found:
        for name in names or STAGES:
            if not possible(name, m):
                continue
            stage = STAGES[name](m)
            runs = len(stage.sides) * (repeats + 1)
            with progress_bar(runs, stage.name, "run", show=progress) as bar:
                found.add(stage, *measure(stage.sides, repeats, bar.update))
        if "end to end" in found.stages():
            add_literal(found, m)
    return found


def run_growth(
    m: Material,
    *,
    repeats: int = 3,
    n_threads: int | None = None,
    settings: dict[str, Any] | None = None,
    progress: bool = True,
) -> result.Result:
    """Measure how the costs grow. Parameters and result are those of `run`."""
    with _started(m, repeats, n_threads, settings) as found:
        found.curves = grow(m, repeats, progress)
    return found


@contextlib.contextmanager
def _started(
    m: Material, repeats: int, n_threads: int | None, settings: dict[str, Any] | None
) -> Iterator[result.Result]:
    """Give a result to fill, with all threads limited meanwhile."""
    from threadpoolctl import threadpool_limits

    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    import sklearn.neighbors  # noqa: F401  # loaded now, so that its threads are limited too

    peers.faiss()
    with threads.limit(n_threads) as used, threadpool_limits(used):
        asked = {
            "data": m.name,
            "train": len(m.train),
            "test": len(m.test),
            "network": m.backbone.name,
            "embedding": m.embedding,
            "coreset": m.ratio,
            "seed": m.seed,
            "repeats": repeats,
        }
        yield result.Result({**asked, **(settings or {})}, machine.describe(used))


def add_literal(found: result.Result, m: Material) -> None:
    """Put the literal engine first in "end to end": the sum of its stages, where all were timed.

    The whole would take minutes. The network and the projection are the same for both engines.
    """
    timed = {(t.stage, t.side): t.seconds for t in found.timings}
    learned, scored = len(m.train), len(m.test)
    times = {
        ("end to end", "network alone"): 1,
        ("patches", "equations"): learned + scored,
        ("projection", "fast"): 1 if m.psi_M is not m.M else 0,
        ("coreset", "equations"): 1,
        ("nearest", "equations"): scored,
        ("score", "equations"): scored,
        ("map", "equations"): scored,
    }
    if not times.keys() <= timed.keys():
        return
    rounds = zip(*(timed[key] for key in times), strict=True)
    seconds = tuple(
        sum(n * one for n, one in zip(times.values(), turn, strict=True)) for turn in rounds
    )
    first = next(i for i, t in enumerate(found.timings) if t.stage == "end to end")
    like = found.timings[first]
    part = f"the sum of its stages, {m.ratio:.0%}"
    found.timings.insert(
        first, Timing(like.stage, like.equation, like.size, "equations", seconds, part=part)
    )
