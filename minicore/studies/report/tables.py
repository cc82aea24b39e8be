"""The tables of a report, as text: one run's, or two runs' with what lies between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from minicore.studies.report.numbers import (
    COLUMNS,
    NONE,
    Column,
    Number,
    over_categories,
    over_seeds,
    published_of,
    published_over_categories,
)
from minicore.studies.report.reading import Key, Reading
from minicore.studies.reproduce.methods import order

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Line:
    """A line of a table: what it is about, and a cell for each column."""

    heads: tuple[str, ...]
    cells: list[str]
    difference: bool = False


@dataclass(frozen=True)
class Table:
    """Lines in named groups.

    Attributes
    ----------
    heads : tuple of str
        Of what a line is about.
    columns : list of (str, str)
        Head and unit; what the paper published has the unit "published".
    groups : list of (str, list of Line)
    """

    heads: tuple[str, ...]
    columns: list[tuple[str, str]]
    groups: list[tuple[str, list[Line]]]


def by_category(readings: Sequence[Reading]) -> Table:
    """Lay out every category and row, averaged over seeds.

    Parameters
    ----------
    readings : sequence of Reading
        One or two.

    Returns
    -------
    Table
        A group a category.
    """

    def lines(key: Key) -> list[Line]:
        category, row = key
        there = [r for r in readings if key in r.units]
        return _lines(
            row,
            readings,
            there,
            lambda reading: ", ".join(map(str, reading.units[key])),
            lambda reading, column: over_seeds(reading.units[key].values(), column),
            lambda reading, column: published_of(reading, row, category, column),
        )

    keys = sorted({key for reading in readings for key in reading.units}, key=_order)
    groups = [
        (category, [line for key in of_it for line in lines(key)])
        for category, of_it in groupby(keys, key=lambda key: key[0])
    ]
    return Table(("row", "seeds" if len(readings) == 1 else "run"), _columns(), groups)


def means(readings: Sequence[Reading]) -> Table | None:
    """Lay out each row's means over its categories.

    Parameters
    ----------
    readings : sequence of Reading
        One or two. Of two, only the rows that both have with the same categories: means over
        different categories say nothing beside each other.

    Returns
    -------
    Table or None
        None where there are fewer than two categories, or no such row.
    """

    def categories(reading: Reading, row: str) -> list[str]:
        return [category for category, name in reading.units if name == row]

    rows = sorted({row for reading in readings for row in reading.rows}, key=order)
    lines = []
    for row in rows:
        same = len({tuple(categories(reading, row)) for reading in readings}) == 1
        if same and len(categories(readings[0], row)) > 1:
            lines += _lines(
                row,
                readings,
                readings,
                lambda reading, row=row: f"{len(categories(reading, row))}",  # type: ignore[misc]
                lambda reading, column, row=row: over_categories(reading, row, column),  # type: ignore[misc]
                lambda reading, column, row=row: published_over_categories(reading, row, column),  # type: ignore[misc]
            )
    heads = ("row", "categories" if len(readings) == 1 else "run")
    return Table(heads, _columns(), [("", lines)]) if lines else None


def by_seed(reading: Reading, key: Key) -> Table:
    """Lay out the units of a category and row."""
    lines = [
        Line((str(seed),), [Number(column.of(unit)).text(column) for column in COLUMNS])
        for seed, unit in reading.units[key].items()
    ]
    return Table(("seed",), [(c.head, c.unit) for c in COLUMNS], [("", lines)])


def _order(key: Key) -> tuple[str, tuple[bool, float, str]]:
    return key[0], order(key[1])


def _columns() -> list[tuple[str, str]]:
    """Name the columns; right of some stands what the paper published."""
    heads = []
    for column in COLUMNS:
        heads.append((column.head, column.unit))
        if column.published is not None:
            heads.append((column.head, "published"))
    return heads


def _lines(
    row: str,
    readings: Sequence[Reading],
    there: Sequence[Reading],
    about: Callable[[Reading], str],
    number: Callable[[Reading, Column], Number],
    known: Callable[[Reading, Column], float | None],
) -> list[Line]:
    """Write a line for each run that has the row, and of two the difference."""
    lines = []
    for reading in there:
        cells = []
        for column in COLUMNS:
            cells.append(number(reading, column).text(column))
            if column.published is not None:
                value = known(reading, column)
                cells.append(NONE if value is None else f"{value:.1f}")
        second = about(reading) if len(readings) == 1 else "AB"[readings.index(reading)]
        lines.append(Line((row, second), cells))
    if len(there) == 2:
        cells = []
        for column in COLUMNS:
            cells.append(
                _between(number(there[0], column).mean, number(there[1], column).mean, column)
            )
            if column.published is not None:
                cells.append("")
        lines.append(Line((row, f"B {MINUS} A"), cells, difference=True))
    return lines


def _between(a: float | None, b: float | None, column: Column) -> str:
    """Write rates as a difference in points, and times and sizes as a quotient."""
    if a is None or b is None:
        return NONE
    if column.rate:
        return f"{b - a:+.{column.digits}f}".replace("-", MINUS)
    return f"× {b / a:.2f}" if a > 0 else NONE
