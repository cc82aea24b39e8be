"""Measure all units of a run, on one or more processes or machines. Finished units are skipped.

Units are independent of each other. joblib runs them: on one machine with `jobs`, elsewhere with
the engine that the caller chooses by ``joblib.parallel_config`` (Dask, Ray, Spark). The network
runs once per category, before its units. Its feature maps are stored in the folder of the run until
the category is finished.

Only one process at a time works in the folder of a run (`lock`). A later start must have the data,
the network, the version and the settings of the first start (`Run.create`, `Run.load`).
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

from minicore import __version__
from minicore.backbones import Backbone
from minicore.errors import ModelError
from minicore.runtime import machine, threads
from minicore.runtime.progress import bar as progress_bar
from minicore.studies.reproduce.folder import OtherRun, Run
from minicore.studies.reproduce.lock import locked
from minicore.studies.reproduce.measure import Setup, measure, record_category
from minicore.studies.reproduce.methods import Row
from minicore.studies.reproduce.plan import (
    absolute_network,
    category_names,
    distinct_rows,
    fingerprints,
    layers_to_record,
)
from minicore.studies.reproduce.unit import Unit

TIMES = "times.jsonl"  # one line per start of the run
RESIZE_TO_CROP = 256 / 224  # images are resized to 256, then cropped to the central 224 (section 4)


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
    """Measure every row with every seed on every category. Finished units are skipped.

    Parameters
    ----------
    data : str or Path
        Folder of the data set.
    out : str or Path
        Folder of the run. The file of a unit appears here when the unit is finished. The same call
        continues a stopped run. It may add rows, seeds or categories. The files of all categories
        of the run must be unchanged.
    rows : sequence of Row
    categories : sequence of str, optional
        Names of folders in `data`. By default all.
    layout : str, default "mvtec"
        Name of a loader in `minicore.datasets`.
    seeds : sequence of int
        A method without random choices is measured with the first seed only.
    backbone : str or Path
        An ONNX file or a known network.
    layers : sequence of str, optional
        By default those of the network: layer2 and layer3. A row can have other layers.
    image_size : int
        Side of the central crop in pixels. Images are first resized to 256 / 224 of it.
    parameters : dict, optional
        Parameters of all detectors: `embedding`, `b`, `patchsize`, … A method ignores those that it
        does not have.
    jobs : int, optional
        Number of units at once, each in its own process; they share the threads. By default the
        number from ``joblib.parallel_config``, or 1.
    n_threads : int, optional
        Total number of threads; with an engine of ``joblib.parallel_config``, the number per
        worker. It does not change the results.
    progress : bool, default True
        Whether to show a progress bar.
    command : str
        The command line, for the report.

    Returns
    -------
    Run

    Raises
    ------
    OutputError
        If the folder contains a run with other settings or other data, or other files; if another
        process works in it; or if it cannot be written.
    ModelError
        If a unit in the folder has other settings, or a damaged unit is not part of this call.
    MinicoreError
        If the data or the network cannot be used.
    ValueError
        If two different rows have the same name.
    """
    parameters, names = dict(parameters or {}), category_names(data, layout, categories)
    rows, seeds = distinct_rows(rows), list(dict.fromkeys(seeds))
    default_layers = Backbone(backbone, layers=layers).layers
    setup = Setup(
        data=str(Path(data).absolute()),
        layout=layout,
        folder=str(Path(out).absolute()),
        network=absolute_network(backbone),
        layers=layers_to_record(default_layers, rows),
        resize=round(image_size * RESIZE_TO_CROP),
        crop=image_size,
        shared={**parameters, "layers": default_layers},
        threads=n_threads,
    )
    network = setup.backbone()
    for name in names:
        setup.dataset(name)  # reports a missing folder before the run starts
    settings = {
        "minicore": __version__,
        "command": command,
        "data": Path(setup.data).name,
        "layout": layout,
        "network": network.sha256,
        "backbone": network.describe() | {"file": network.path.name},
        "layers": list(layers) if layers else None,
        "image_size": image_size,
        "parameters": parameters,
        "machine": _machine(n_threads),
    }
    if Run.find(out):
        with locked(out):  # reports another process now, because reading the data takes time
            pass
    settings["data_sha256"] = fingerprints(setup, names, out)
    with locked(out):
        run = Run.create(out, settings)
        run.remove_partial_files()
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
    """Measure the unfinished units of some categories."""
    tasks = {
        name: [
            (Unit(name, row.name, seed), row, seed == seeds[0])
            for row in rows
            for seed in (seeds if row.seeded else seeds[:1])
        ]
        for name in names
    }
    total = sum(map(len, tasks.values()))
    done = _finished(run, {unit: row for some in tasks.values() for unit, row, _ in some})
    left = {name: [t for t in some if t[0] not in done] for name, some in tasks.items()}
    left = {name: some for name, some in left.items() if some}
    n_threads = setup.threads
    started, network_seconds = time.perf_counter(), 0.0
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
        parallel = joblib.Parallel(n_jobs=jobs, return_as=_return_as(), batch_size=1)
        for chunk in _chunks(list(left), at_once):
            times = parallel(
                delayed(record_category)(setup, name, progress and at_once == 1) for name in chunk
            )
            network_seconds += sum(times)
            todo = [task for name in chunk for task in left[name]]
            for _ in parallel(delayed(measure)(setup, *task) for task in todo):
                bar.update(1)
            for name in chunk:
                setup.delete_recording(name)
    with contextlib.suppress(OSError):
        (run.folder / "features").rmdir()  # fails if it contains other files
    if left:
        n_units = sum(map(len, left.values()))
        _append_time(run, time.perf_counter() - started, network_seconds, n_units)


def _machine(n_threads: int | None) -> dict[str, Any]:
    """Return a description of this machine, without its load, which changes during a run."""
    described = machine.describe(n_threads or threads.available())
    return {key: value for key, value in described.items() if key != "load"}


def _finished(run: Run, rows: dict[Unit, Row]) -> set[Unit]:
    """Return the finished units of a run.

    A damaged file of a unit in `rows` is not finished, so the unit is measured again.

    Raises
    ------
    OtherRun
        If a unit was measured with other settings.
    ModelError
        If a file is damaged whose unit is not in `rows`: it is part of the tables, but this call
        cannot measure it again.
    """
    finished = set()
    for unit in run.finished():
        try:
            run.load(unit, rows.get(unit))
            finished.add(unit)
        except OtherRun as error:
            raise OtherRun(
                f"{error}; choose another folder with --out, or delete the file"
            ) from None
        except ModelError as error:
            if unit not in rows:
                raise ModelError(
                    f"{error}; delete the file, or add its row and seed to the command"
                ) from None
    return finished


def _chunks(names: list[str], size: int) -> Iterable[list[str]]:
    """Yield the names in groups of `size`. Only one group of recordings is on disk at a time."""
    return (names[first : first + size] for first in range(0, len(names), size))


def _append_time(run: Run, seconds: float, network: float, units: int) -> None:
    """Append the time of this start to the file `TIMES`."""
    line = {"units": units, "seconds": round(seconds, 3), "network_seconds": round(network, 3)}
    with (run.folder / TIMES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _return_as() -> str:
    """Return how joblib returns results: as soon as they are finished, if its engine can."""
    engine, _ = joblib.parallel.get_active_backend()
    return "generator_unordered" if engine.supports_return_generator else "list"
