"""Do all units of a run: in order, or on several processes or machines; what is done stays done.

Units do not depend on each other, so they go through joblib: on one machine by `jobs`, elsewhere
by whatever engine the caller has chosen with ``joblib.parallel_config`` (Dask, Ray, Spark). The
network runs once a category, before its units; its feature maps lie in the run's folder for as long
as the category is in work.

Only one start at a time works in a run's folder (`lock`). It goes on only with
the data, the network, the version and the settings of the first start (`Run.create`, `Run.load`).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
from joblib import delayed

from minicore import __version__, datasets
from minicore.backbones import Backbone
from minicore.errors import DatasetError, MinicoreError, ModelError, OutputError
from minicore.runtime import machine, threads
from minicore.runtime.progress import bar as progress_bar
from minicore.studies.reproduce.fingerprint import fingerprint
from minicore.studies.reproduce.folder import OtherRun, Run
from minicore.studies.reproduce.lock import locked
from minicore.studies.reproduce.measure import Setup, measure, record_category
from minicore.studies.reproduce.methods import Row
from minicore.studies.reproduce.unit import Unit

TIMES = "times.jsonl"  # a line for each time the run was started
RESIZE_TO_CROP = 256 / 224  # images are resized to 256, and the central 224 kept (section 4)


def reproduce(
    data: str | Path,
    out: str | Path,
    rows: Sequence[Row],
    *,
    categories: Sequence[str] | None = None,
    layout: str = "mvtec",
    seeds: Sequence[int] = (0, 1, 2),
    backbone: str | Path = "default",
    layers: Sequence[str] | None = None,
    image_size: int = 224,
    parameters: dict[str, Any] | None = None,
    jobs: int | None = None,
    n_threads: int | None = None,
    progress: bool = True,
    command: str = "",
) -> Run:
    """Measure every row with every seed on every category, as far as that is not done yet.

    Parameters
    ----------
    data : str or Path
        The data set's folder.
    out : str or Path
        The run's folder. A unit's file appears there when the unit is finished; the same call goes
        on where an earlier one was stopped, and may ask for more rows, seeds or categories. All
        its categories must be in `data`, with the files that they had when they were measured.
    rows : sequence of Row
    categories : sequence of str, optional
        Folders in `data`. By default all.
    layout : str, default "mvtec"
        Name of a loader in `minicore.datasets`.
    seeds : sequence of int
        Of methods in which nothing is random only the first is measured.
    backbone : str or Path
        An ONNX file or a known network.
    layers : sequence of str, optional
        By default the network's choice, layer2 and layer3. Rows may ask for others.
    image_size : int
        Side of the central crop in pixels; images are first resized to 256 / 224 of it.
    parameters : dict, optional
        Of all detectors: `embedding`, `b`, `patchsize` … A method takes those that it has.
    jobs : int, optional
        Units at a time, each in a process with its share of the threads. By default what
        ``joblib.parallel_config`` says, and without it one.
    n_threads : int, optional
        Threads in all; on an engine of `joblib.parallel_config`, of each worker. Changes no result.
    progress : bool
    command : str
        What was typed, for the report.

    Returns
    -------
    Run

    Raises
    ------
    OutputError
        If the folder holds a run with other settings or other data, or something that is no run; if
        another process works in it; or if it cannot be written.
    ModelError
        If a unit in the folder was measured otherwise, or one that is not asked for is damaged.
    MinicoreError
        If the data or the network cannot be used.
    ValueError
        If two rows have one name.
    """
    asked, names = dict(parameters or {}), _categories(data, layout, categories)
    rows, seeds = _distinct(rows), list(dict.fromkeys(seeds))
    own = Backbone(backbone, layers=layers).layers  # of rows that do not ask for others
    setup = Setup(
        data=str(Path(data).absolute()),
        layout=layout,
        folder=str(Path(out).absolute()),
        network=_found(backbone),
        layers=_recorded(own, rows),
        resize=round(image_size * RESIZE_TO_CROP),
        crop=image_size,
        shared={**asked, "layers": own},
        threads=n_threads,
    )
    network = setup.backbone()
    for name in names:
        setup.dataset(name)  # a missing folder is said now, not after an hour
    settings = {
        "minicore": __version__,
        "command": command,
        "data": Path(setup.data).name,
        "layout": layout,
        "network": network.sha256,
        "backbone": network.describe() | {"file": network.path.name},
        "layers": list(layers) if layers else None,
        "image_size": image_size,
        "parameters": asked,
        "machine": _machine(n_threads),
    }
    if Run.found(out):
        with locked(out):  # if another is at work, say so now: reading the data takes a while
            pass
    settings["data_sha256"] = _fingerprints(setup, names, out)
    with locked(out):
        run = Run.create(out, settings)
        run.sweep()
        _measure(run, replace(setup, settings=run.settings), names, rows, seeds, jobs, progress)
    return run


def _measure(
    run: Run,
    setup: Setup,
    names: Sequence[str],
    rows: Sequence[Row],
    seeds: Sequence[int],
    jobs: int | None,
    progress: bool,
) -> None:
    """Measure the units of some categories that the run does not have yet."""
    tasks = {
        name: [
            (Unit(name, row.name, seed), row, seed == seeds[0])
            for row in rows
            for seed in (seeds if row.seeded else seeds[:1])
        ]
        for name in names
    }
    total = sum(map(len, tasks.values()))
    done = _done(run, {unit: row for its in tasks.values() for unit, row, _ in its})
    left = {name: [t for t in its if t[0] not in done] for name, its in tasks.items()}
    left = {name: its for name, its in left.items() if its}
    n_threads = setup.threads
    started, looked = time.perf_counter(), 0.0
    with (
        threads.limit(n_threads),
        progress_bar(
            total,
            "units",
            "unit",
            show=progress,
            initial=total - sum(map(len, left.values())),
        ) as bar,
    ):
        at_once = joblib.effective_n_jobs(jobs)
        if jobs is not None and at_once > 1:
            setup = replace(setup, threads=max(1, (n_threads or threads.available()) // at_once))
        parallel = joblib.Parallel(n_jobs=jobs, return_as=_ordered(), batch_size=1)
        for some in _chunks(list(left), at_once):
            times = parallel(
                delayed(record_category)(setup, name, progress and at_once == 1) for name in some
            )
            looked += sum(times)
            todo = [task for name in some for task in left[name]]
            for _ in parallel(delayed(measure)(setup, *task) for task in todo):
                bar.update(1)
            for name in some:
                setup.forget(name)
    with contextlib.suppress(OSError):
        (run.folder / "features").rmdir()  # unless something else lies there
    if left:
        _remember(run, time.perf_counter() - started, looked, sum(map(len, left.values())))


def _machine(n_threads: int | None) -> dict[str, Any]:
    """Describe this machine, without how busy it happens to be: a run may go on for hours."""
    described = machine.describe(n_threads or threads.available())
    return {key: value for key, value in described.items() if key != "load"}


def _categories(data: str | Path, layout: str, asked: Sequence[str] | None) -> list[str]:
    if layout in datasets.WITHOUT_CATEGORIES:
        if asked:
            raise DatasetError(f"{layout} has no categories; leave out {' '.join(asked)}")
        return [layout]
    if not asked:
        return datasets.categories(data, layout)
    return list(dict.fromkeys(datasets.category_name(data, name) for name in asked))


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Leave out rows that are there twice; two that differ cannot have one file."""
    named: dict[str, Row] = {}
    for row in rows:
        if Path(row.name).name != row.name:
            raise ValueError(f"rows: expected names that a folder can have, got {row.name!r}")
        if named.setdefault(row.name, row) != row:
            raise ValueError(f"rows: two rows are called {row.name!r}; give each its own name")
    return list(named.values())


def _fingerprints(setup: Setup, names: Sequence[str], out: str | Path) -> dict[str, str]:
    """Read the files of the categories that are asked for, and of those that the run has."""
    there, found = Run.found(out), {}
    kept = there.fingerprints if there else {}
    for name in [*names, *(name for name in kept if name not in names)]:
        try:
            found[name] = fingerprint(setup.dataset(name), setup.data)
        except MinicoreError as error:
            if name in names:
                raise
            raise OutputError(
                f"{out}: holds numbers of the category {name!r}, which cannot be read from "
                f"{setup.data}; give another folder with --out"
            ) from error
    return found


def smallest(data: str | Path, categories: Sequence[str] | None, layout: str) -> int:
    """Count the training images of the category that has the fewest."""
    load = datasets.LOADERS[layout]
    if layout in datasets.WITHOUT_CATEGORIES:
        return len(load(data).train)
    return min(len(load(data, name).train) for name in _categories(data, layout, categories))


def _found(backbone: str | Path) -> str:
    """Give a file by its full name, since workers may stand elsewhere; a known one by its own."""
    path = Path(backbone)
    return str(path.absolute()) if path.suffix.lower() == ".onnx" else str(backbone)


def _recorded(own: Iterable[str], rows: Iterable[Row]) -> tuple[str, ...]:
    """Layers that are asked for by any row, finest first."""
    wanted = set(own)
    for row in rows:
        wanted |= set(row.parameters.get("layers") or ())
    return tuple(sorted(wanted))


def _done(run: Run, rows: dict[Unit, Row]) -> set[Unit]:
    """Find the units that need not be measured.

    A file of `rows` that a failing disk has spoiled is measured again. One that is not asked for
    would stand in the tables, and cannot be made anew.
    """
    done = set()
    for unit in run.finished():
        try:
            run.load(unit, rows.get(unit))
            done.add(unit)
        except OtherRun as error:
            raise OtherRun(f"{error}; give another folder with --out, or delete the file") from None
        except ModelError as error:
            if unit not in rows:
                raise ModelError(f"{error}; delete the file, or ask for its row and seed") from None
    return done


def _chunks(names: list[str], size: int) -> Iterable[list[str]]:
    """As many categories at a time as there are workers: that many recordings lie on disk."""
    return (names[first : first + size] for first in range(0, len(names), size))


def _remember(run: Run, seconds: float, network: float, units: int) -> None:
    """Add a line to the run's account of its time."""
    line = {"units": units, "seconds": round(seconds, 3), "network_seconds": round(network, 3)}
    with (run.folder / TIMES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _ordered() -> str:
    """Let results come as they are finished, where joblib's engine can do that."""
    engine, _ = joblib.parallel.get_active_backend()
    return "generator_unordered" if engine.supports_return_generator else "list"
