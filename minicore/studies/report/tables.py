"""Make the tables of a report: of one run, or of two runs with their differences."""

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
    """A line of a table: its heads and one cell per column."""

    heads: tuple[str, ...]
    cells: list[str]
    difference: bool = False


@dataclass(frozen=True)
class Table:
    """Lines in named groups.

    Attributes
    ----------
    heads : tuple of str
        Titles of the heads of the lines.
    columns : list of (str, str)
        Title and unit. Columns of published numbers have the unit "published".
    groups : list of (str, list of Line)
    """

    heads: tuple[str, ...]
    columns: list[tuple[str, str]]
    groups: list[tuple[str, list[Line]]]


def by_category(readings: Sequence[Reading]) -> Table:
    """Return the table of all categories and rows: means over the seeds.

    Parameters
    ----------
    readings : sequence of Reading
        One or two.

    Returns
    -------
    Table
        One group per category.
    """

    def lines(key: Key) -> list[Line]:
        category, row = key
        measured = [r for r in readings if key in r.units]
        return _lines(
            row,
            readings,
            measured,
            lambda reading: ", ".join(map(str, reading.units[key])),
            lambda reading, column: over_seeds(reading.units[key].values(), column),
            lambda reading, column: published_of(reading, row, category, column),
        )

    keys = sorted({key for reading in readings for key in reading.units}, key=_order)
    groups = [
        (category, [line for key in group for line in lines(key)])
        for category, group in groupby(keys, key=lambda key: key[0])
    ]
    return Table(("row", "seeds" if len(readings) == 1 else "run"), _columns(), groups)


def means(readings: Sequence[Reading]) -> Table | None:
    """Return the table of the means of each row over its categories.

    Parameters
    ----------
    readings : sequence of Reading
        One or two. With two, only rows that both runs have measured on the same categories, because
        other means cannot be compared.

    Returns
    -------
    Table or None
        None if there is no such row with at least two categories.
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
    """Return the table of the units of a category and row."""
    lines = [
        Line((str(seed),), [Number(column.of(unit)).text(column) for column in COLUMNS])
        for seed, unit in reading.units[key].items()
    ]
    return Table(("seed",), [(c.head, c.unit) for c in COLUMNS], [("", lines)])


def _order(key: Key) -> tuple[str, tuple[bool, float, str]]:
    return key[0], order(key[1])


def _columns() -> list[tuple[str, str]]:
    """Return the columns, with a column of published numbers to the right of some."""
    heads = []
    for column in COLUMNS:
        heads.append((column.head, column.unit))
        if column.published is not None:
            heads.append((column.head, "published"))
    return heads


def _lines(
    row: str,
    readings: Sequence[Reading],
    measured: Sequence[Reading],
    head: Callable[[Reading], str],
    number: Callable[[Reading, Column], Number],
    published: Callable[[Reading, Column], float | None],
) -> list[Line]:
    """Return one line per run that has the row, and with two runs a line of the differences."""
    lines = []
    for reading in measured:
        cells = []
        for column in COLUMNS:
            cells.append(number(reading, column).text(column))
            if column.published is not None:
                value = published(reading, column)
                cells.append(NONE if value is None else f"{value:.1f}")
        second = head(reading) if len(readings) == 1 else "AB"[readings.index(reading)]
        lines.append(Line((row, second), cells))
    if len(measured) == 2:
        cells = []
        for column in COLUMNS:
            cells.append(
                _compared(
                    number(measured[0], column).mean, number(measured[1], column).mean, column
                )
            )
            if column.published is not None:
                cells.append("")
        lines.append(Line((row, f"B {MINUS} A"), cells, difference=True))
    return lines


def _compared(a: float | None, b: float | None, column: Column) -> str:
    """Return the difference of two rates in points, or the quotient of other numbers."""
    if a is None or b is None:
        return NONE
    if column.rate:
        return f"{b - a:+.{column.digits}f}".replace("-", MINUS)
    return f"× {b / a:.2f}" if a > 0 else NONE
