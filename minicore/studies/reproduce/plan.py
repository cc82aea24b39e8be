"""Check the categories, rows, layers and data of a run before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from minicore import datasets
from minicore.errors import DatasetError, MinicoreError, OutputError
from minicore.studies.reproduce.fingerprint import dataset_fingerprint
from minicore.studies.reproduce.folder import Run
from minicore.studies.reproduce.measure import Setup
from minicore.studies.reproduce.methods import Row


def category_names(data: str | Path, layout: str, chosen: Sequence[str] | None) -> list[str]:
    """Return the names of the chosen categories, or of all, each once.

    Raises
    ------
    DatasetError
        If the layout has no categories but some are chosen, or a name is not that of a folder.
    """
    if layout in datasets.WITHOUT_CATEGORIES:
        if chosen:
            raise DatasetError(f"{layout} has no categories; leave out {' '.join(chosen)}")
        return [layout]
    if not chosen:
        return datasets.categories(data, layout)
    return list(dict.fromkeys(datasets.category_name(data, name) for name in chosen))


def fewest_training_images(data: str | Path, categories: Sequence[str] | None, layout: str) -> int:
    """Return the number of training images of the category that has the fewest."""
    load = datasets.LOADERS[layout]
    if layout in datasets.WITHOUT_CATEGORIES:
        return len(load(data).train)
    return min(len(load(data, name).train) for name in category_names(data, layout, categories))


def distinct_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, each once.

    Raises
    ------
    ValueError
        If two different rows have the same name, or a name cannot be the name of a folder.
    """
    by_name: dict[str, Row] = {}
    for row in rows:
        if Path(row.name).name != row.name:
            raise ValueError(f"rows: expected names that a folder can have, got {row.name!r}")
        if by_name.setdefault(row.name, row) != row:
            raise ValueError(f"rows: two rows are called {row.name!r}; rename one of them")
    return list(by_name.values())


def layers_to_record(default: Iterable[str], rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the layers that any row needs, the finest first."""
    layers = set(default)
    for row in rows:
        layers |= set(row.parameters.get("layers") or ())
    return tuple(sorted(layers))


def absolute_network(backbone: str | Path) -> str:
    """Return the absolute path of an ONNX file, for workers in other folders, or a known name."""
    path = Path(backbone)
    return str(path.absolute()) if path.suffix.lower() == ".onnx" else str(backbone)


def fingerprints(setup: Setup, names: Sequence[str], out: str | Path) -> dict[str, str]:
    """Return the fingerprint of each chosen category, and of each category of the run in `out`.

    Raises
    ------
    OutputError
        If a category of the run cannot be read from the data.
    MinicoreError
        If a chosen category cannot be read.
    """
    run, found = Run.find(out), {}
    finished = run.fingerprints if run else {}
    for name in [*names, *(name for name in finished if name not in names)]:
        try:
            found[name] = dataset_fingerprint(setup.dataset(name), setup.data)
        except MinicoreError as error:
            if name in names:
                raise
            raise OutputError(
                f"{out}: contains numbers of the category {name!r}, which cannot be read from "
                f"{setup.data}; choose another folder with --out"
            ) from error
    return found
