"""Compute the numbers of a table: means over seeds and categories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from minicore.studies.report.reading import Measured, Reading
from minicore.studies.reproduce import published

NONE = "–"


class Column(NamedTuple):
    """A column of a table: one number of each unit.

    Attributes
    ----------
    head, unit : str
        Title of the column, and unit of its numbers.
    of : callable
        Measured -> float or None.
    digits : int
        Number of decimal places.
    rate : bool
        Whether the number is a rate. Rates have a standard deviation over the seeds, and two runs
        are compared by the difference. Other numbers are compared by the quotient.
    published : callable or None
        (row, category) -> per cent or None.
    """

    head: str
    unit: str
    of: Callable[[Measured], float | None]
    digits: int
    rate: bool = False
    published: Callable[[str, str], float | None] | None = None


def _percent(name: str) -> Callable[[Measured], float | None]:
    def of(unit: Measured) -> float | None:
        value = getattr(unit.evaluation, name)
        return None if value is None else 100 * value

    return of


COLUMNS = (
    Column("image AUROC", "%", _percent("image_auroc"), 2, True, published.image_auroc),
    Column("eq 6 only", "%", _percent("image_auroc_distance"), 2, True),
    Column("pixel AUROC", "%", _percent("pixel_auroc"), 2, True, published.pixel_auroc),
    Column("PRO", "%", _percent("pro"), 2, True),
    Column("fit", "s", lambda unit: unit.evaluation.fit_seconds, 1),
    Column("score", "ms/image", lambda unit: unit.evaluation.milliseconds, 1),
    Column("bank", "rows", lambda unit: unit.evaluation.bank_rows, 0),
    Column("memory", "peak MiB", lambda unit: unit.peak_memory and unit.peak_memory / 2**20, 0),
)


class Number(NamedTuple):
    """A mean, with the standard deviation over the seeds if there are at least two."""

    mean: float | None
    sd: float | None = None

    def text(self, column: Column) -> str:
        """Return the number in the format of a column."""
        if self.mean is None:
            return NONE
        text = f"{self.mean:,.{column.digits}f}"
        return f"{text} ± {self.sd:.2f}" if column.rate and self.sd is not None else text


def over_seeds(units: Iterable[Measured], column: Column) -> Number:
    """Return the mean of a number over units that differ in their seed.

    Parameters
    ----------
    units : iterable of Measured
    column : Column

    Returns
    -------
    Number
        With the sample standard deviation (n − 1).
    """
    values = [value for unit in units if (value := column.of(unit)) is not None]
    return Number(float(np.mean(values)), _sd(values)) if values else Number(None)


def over_categories(reading: Reading, row: str, column: Column) -> Number:
    """Return the mean of a number of a row over the categories. All have the same weight.

    Parameters
    ----------
    reading : Reading
    row : str
    column : Column

    Returns
    -------
    Number
        With the standard deviation of the means of the seeds, if all categories have the same
        seeds.
    """
    per_category = [
        {seed: v for seed, unit in units.items() if (v := column.of(unit)) is not None}
        for (_, name), units in reading.units.items()
        if name == row
    ]
    per_category = [values for values in per_category if values]
    if not per_category:
        return Number(None)
    mean = float(np.mean([np.mean(list(values.values())) for values in per_category]))
    seeds = set(per_category[0])
    if any(set(values) != seeds for values in per_category):
        return Number(mean)
    per_seed = [float(np.mean([values[s] for values in per_category])) for s in sorted(seeds)]
    return Number(mean, _sd(per_seed))


def published_of(reading: Reading, row: str, category: str, column: Column) -> float | None:
    """Return the published number. None if it does not exist, or for other data than MVTec AD."""
    if column.published is None or reading.run.settings.get("layout") != "mvtec":
        return None
    return column.published(row, category)


def published_over_categories(reading: Reading, row: str, column: Column) -> float | None:
    """Return the mean of the published numbers of the run's categories. None if one is missing."""
    values = [
        published_of(reading, row, category, column)
        for category, name in reading.units
        if name == row
    ]
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present and len(present) == len(values) else None


def _sd(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
