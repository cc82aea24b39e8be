"""Run the benchmark: chosen stages, on a chosen number of threads."""

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
    """Measure the times of the stages.

    Parameters
    ----------
    m : Material
        The data.
    names : sequence of str, optional
        Names from `STAGES`. By default all.
    repeats : int, default 5
        Number of rounds, at least 1.
    n_threads : int, optional
        Threads of Numba, BLAS and OpenMP. By default all cores. The network uses the number of
        threads in `m`.
    settings : dict, optional
        More settings to store with the result.
    progress : bool, default True
        Whether to show a progress bar per stage.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If `repeats` is less than 1.
    """
    with _new_result(m, repeats, n_threads, settings) as measured:
        for name in names or STAGES:
            if not possible(name, m):
                continue
            stage = STAGES[name](m)
            runs = len(stage.sides) * (repeats + 1)
            with progress_bar(runs, stage.name, "run", show=progress) as bar:
                measured.add(stage, *measure(stage.sides, repeats, bar.update))
        if "end to end" in measured.stages():
            add_literal(measured, m)
    return measured


def run_growth(
    m: Material,
    *,
    repeats: int = 3,
    n_threads: int | None = None,
    settings: dict[str, Any] | None = None,
    progress: bool = True,
) -> result.Result:
    """Measure how the times grow. Parameters, result and errors are those of `run`."""
    with _new_result(m, repeats, n_threads, settings) as measured:
        measured.curves = grow(m, repeats, progress)
    return measured


@contextlib.contextmanager
def _new_result(
    m: Material, repeats: int, n_threads: int | None, settings: dict[str, Any] | None
) -> Iterator[result.Result]:
    """Yield an empty result. All threads are limited inside the block."""
    from threadpoolctl import threadpool_limits

    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    import sklearn.neighbors  # noqa: F401  # loaded here, so that its threads are limited too

    peers.faiss()
    with threads.limit(n_threads) as used, threadpool_limits(used):
        options = {
            "data": m.name,
            "train": len(m.train),
            "test": len(m.test),
            "network": m.backbone.name,
            "embedding": m.embedding,
            "coreset": m.ratio,
            "seed": m.seed,
            "repeats": repeats,
        }
        yield result.Result({**options, **(settings or {})}, machine.describe(used))


def add_literal(measured: result.Result, m: Material) -> None:
    """Add the literal engine to "end to end", as the sum of its stages, if all were measured.

    A direct measurement would take minutes. Both engines have the same network and projection.
    """
    seconds_of = {(t.stage, t.side): t.seconds for t in measured.timings}
    learned, scored = len(m.train), len(m.test)
    calls = {
        ("end to end", "network alone"): 1,
        ("patches", "equations"): learned + scored,
        ("projection", "fast"): 1 if m.psi_M is not m.M else 0,
        ("coreset", "equations"): 1,
        ("nearest", "equations"): scored,
        ("score", "equations"): scored,
        ("map", "equations"): scored,
    }
    if not calls.keys() <= seconds_of.keys():
        return
    rounds = zip(*(seconds_of[key] for key in calls), strict=True)
    seconds = tuple(
        sum(n * s for n, s in zip(calls.values(), samples, strict=True)) for samples in rounds
    )
    first = next(i for i, t in enumerate(measured.timings) if t.stage == "end to end")
    other = measured.timings[first]
    part = f"the sum of its stages, {m.ratio:.0%}"
    measured.timings.insert(
        first, Timing(other.stage, other.equation, other.size, "equations", seconds, part=part)
    )
