"""The numbers of a table: of units, and averaged over seeds and categories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from minicore.studies.report.reading import Measured, Reading
from minicore.studies.reproduce import published

NONE = "–"


class Column(NamedTuple):
    """One number of a unit.

    Attributes
    ----------
    head, unit : str
    of : callable
        Measured -> float or None.
    digits : int
        After the point.
    rate : bool
        Whether it is a share: shown with its spread over seeds, and compared by the difference.
        The others are compared by the quotient.
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
    """A mean, and its standard deviation over seeds if there are at least two."""

    mean: float | None
    sd: float | None = None

    def text(self, column: Column) -> str:
        """Write it as the column does."""
        if self.mean is None:
            return NONE
        text = f"{self.mean:,.{column.digits}f}"
        return f"{text} ± {self.sd:.2f}" if column.rate and self.sd is not None else text


def over_seeds(units: Iterable[Measured], column: Column) -> Number:
    """Average a number of units that differ in their seed.

    Parameters
    ----------
    units : iterable of Measured
    column : Column

    Returns
    -------
    Number
        The standard deviation is that of a sample (n − 1).
    """
    values = [value for unit in units if (value := column.of(unit)) is not None]
    return Number(float(np.mean(values)), _sd(values)) if values else Number(None)


def over_categories(reading: Reading, row: str, column: Column) -> Number:
    """Average a number of a row over the categories that have it, each with the same weight.

    Parameters
    ----------
    reading : Reading
    row : str
    column : Column

    Returns
    -------
    Number
        The standard deviation is that of the means of each seed; there is none where a category
        lacks a seed that another has.
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
    """Look up what the paper published; None for other data than the paper's."""
    if column.published is None or reading.run.settings.get("layout") != "mvtec":
        return None
    return column.published(row, category)


def published_over_categories(reading: Reading, row: str, column: Column) -> float | None:
    """Average what the paper published of the run's own categories; None if it lacks one."""
    values = [
        published_of(reading, row, category, column)
        for category, name in reading.units
        if name == row
    ]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _sd(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
