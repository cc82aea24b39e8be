"""Collect what is needed to repeat a run: settings, configuration, times."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minicore.studies.report.numbers import NONE
from minicore.studies.report.reading import Reading
from minicore.studies.reproduce import Run
from minicore.studies.reproduce.methods import order

LISTED = 4  # with more different values of a setting, only their number is shown


def flat(value: Any, name: str = "") -> dict[str, str]:
    """Return nested settings as a flat dict with names such as ``backbone.sha256``.

    Parameters
    ----------
    value : object
        Any value that JSON can represent.
    name : str
        Name of `value`, used as a prefix.

    Returns
    -------
    dict of str to str
    """
    if isinstance(value, dict) and value:
        leaves: dict[str, str] = {}
        for key, part in value.items():
            leaves |= flat(part, f"{name}.{key}" if name else str(key))
        return leaves
    if isinstance(value, list) and all(not isinstance(part, (dict, list)) for part in value):
        return {name: ", ".join(map(_word, value))}
    return {name: _word(value)}


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def configurations(reading: Reading) -> tuple[list[str], dict[str, list[str]]]:
    """Return the configuration of each row.

    Parameters
    ----------
    reading : Reading

    Returns
    -------
    rows : list of str
    settings : dict of str to list of str
        For each setting, its value in each row. If the units of a row differ, all their values.
    """
    rows = reading.rows
    found: dict[str, dict[str, dict[str, None]]] = {}  # ordered sets of values
    for (_, row), units in reading.units.items():
        for unit in units.values():
            for name, word in flat(unit.config).items():
                found.setdefault(name, {}).setdefault(row, {})[word] = None

    def joined(values: dict[str, None]) -> str:
        if len(values) > LISTED:
            return f"{len(values)} different values"
        return " · ".join(values) if values else NONE

    return rows, {
        name: [joined(by_row.get(row, {})) for row in rows] for name, by_row in found.items()
    }


def stages(reading: Reading) -> tuple[list[str], dict[str, list[float | None]]]:
    """Return the mean seconds of each stage over the units of a row.

    Parameters
    ----------
    reading : Reading

    Returns
    -------
    names : list of str
    seconds : dict of str to list
        For each row, the mean of each stage. None if the row does not have the stage.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for (_, row), units in sorted(reading.units.items(), key=lambda item: order(item[0][1])):
        for unit in units.values():
            for name, seconds in unit.seconds.items():
                found.setdefault(row, {}).setdefault(name, []).append(seconds)
    names = list(dict.fromkeys(name for of_row in found.values() for name in of_row))
    return names, {
        row: [float(np.mean(of_row[name])) if name in of_row else None for name in names]
        for row, of_row in found.items()
    }


def differences(a: Reading, b: Reading) -> list[tuple[str, str, str]]:
    """Return the settings and the configurations of common rows that differ between two runs.

    Parameters
    ----------
    a, b : Reading

    Returns
    -------
    list of (str, str, str)
        The setting, its value in A, its value in B.
    """
    listed = _unequal(*(flat(reading.run.settings) for reading in (a, b)))
    (rows_a, of_a), (rows_b, of_b) = configurations(a), configurations(b)
    by_row = {
        row: _unequal(
            {name: values[rows_a.index(row)] for name, values in of_a.items()},
            {name: values[rows_b.index(row)] for name, values in of_b.items()},
        )
        for row in rows_a
        if row in rows_b
    }
    for name in dict.fromkeys(name for of_row in by_row.values() for name in of_row):
        values = [of_row.get(name) for of_row in by_row.values()]
        if len(set(values)) == 1 and values[0] is not None:  # the same in all rows: listed once
            listed[name] = values[0]
        else:
            listed |= {f"{row}: {name}": of[name] for row, of in by_row.items() if name in of}
    return [(name, *values) for name, values in listed.items()]


def changed_categories(a: Run, b: Run) -> list[str]:
    """Return the common categories of two runs that have different images or masks.

    Parameters
    ----------
    a, b : Run

    Returns
    -------
    list of str
    """
    both = a.fingerprints.keys() & b.fingerprints.keys()
    return sorted(name for name in both if a.fingerprints[name] != b.fingerprints[name])


def _unequal(a: dict[str, str], b: dict[str, str]) -> dict[str, tuple[str, str]]:
    pairs = {name: (a.get(name, NONE), b.get(name, NONE)) for name in [*a, *b]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
