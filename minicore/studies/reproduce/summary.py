"""Tables of a run: measured and published numbers in Markdown, all numbers in CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicore.runtime import markdown
from minicore.runtime.files import atomic_write
from minicore.studies.reproduce import published
from minicore.studies.reproduce.folder import Run
from minicore.studies.reproduce.methods import order
from minicore.studies.reproduce.unit import Finished

ROUNDING = 0.05  # per cent: the paper prints one decimal place
TABLES = (
    ("Image AUROC, equation 7 (table S1)", "image_auroc", published.IMAGE),
    ("Image AUROC, equation 6 only", "image_auroc_distance", None),
    ("Pixel AUROC (table S2)", "pixel_auroc", published.PIXEL),
    ("PRO", "pro", None),
)


@dataclass(frozen=True)
class Line:
    """A finished unit without its evidence. It is one line of the CSV file.

    Attributes
    ----------
    row, seed, evaluation, peak_memory, seconds
        See `minicore.studies.reproduce.Finished`.
    """

    row: str
    seed: int
    evaluation: dict[str, Any]
    peak_memory: int | None
    seconds: dict[str, float]

    @classmethod
    def of(cls, finished: Finished) -> Line:
        """Return the line of a finished unit."""
        unit, evaluation = finished.unit, finished.evaluation.to_json()
        return cls(unit.row, unit.seed, evaluation, finished.peak_memory, finished.seconds)

    @property
    def category(self) -> str:
        """The category of the unit."""
        return str(self.evaluation["category"])


@dataclass(frozen=True)
class Spread:
    """Mean and range of a metric over several seeds.

    Attributes
    ----------
    mean, low, high : float
    deviation : float or None
        Sample standard deviation (n − 1). None for a single seed.
    """

    mean: float
    low: float
    high: float
    deviation: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Return the spread of some values, or None if there is no value or one of them is None."""
        v = list(values)
        if not v or any(x is None for x in v):
            return None
        x = np.array(v, float)
        deviation = float(x.std(ddof=1)) if len(x) > 1 else None
        return cls(float(x.mean()), float(x.min()), float(x.max()), deviation)

    def outside(self, value: float) -> bool:
        """Return whether a published, rounded value is outside the range of the seeds."""
        if self.deviation is None:
            return False
        return not self.low - ROUNDING <= value <= self.high + ROUNDING


def lines(run: Run) -> list[Line]:
    """Return the lines of all finished units of a run.

    Raises
    ------
    ModelError
        If the file of a unit is damaged or does not belong to the run.
    """
    return [Line.of(run.load(unit)) for unit in run.finished()]


def spreads(units: Sequence[Line], metric: str) -> dict[tuple[str, str], Spread]:
    """Return the spread of a metric over the seeds, for each row and category.

    Parameters
    ----------
    units : sequence of Line
    metric : str
        An attribute of `minicore.evaluation.evaluate.Evaluation` that is a rate.

    Returns
    -------
    dict of (str, str) to Spread
        Per cent for each (row, category). The category `published.MEAN` is the mean over all
        categories, seed by seed. A row that lacks a category has no mean.
    """
    values: dict[tuple[str, str], dict[int, float | None]] = {}
    for line in units:
        rate = line.evaluation[metric]
        values.setdefault((line.row, line.category), {})[line.seed] = (
            None if rate is None else 100 * rate
        )
    result = {key: Spread.of(v.values()) for key, v in values.items()}
    categories = sorted({line.category for line in units})
    for row in {line.row for line in units}:
        of_row = [values.get((row, category)) for category in categories]
        seeds = set.intersection(*(set(v or {}) for v in of_row))
        rates = [[v[seed] for v in of_row if v is not None] for seed in sorted(seeds)]
        if rates and all(rate is not None for by_seed in rates for rate in by_seed):
            result[row, published.MEAN] = Spread.of(float(np.mean(r)) for r in rates)  # type: ignore[arg-type]
    return {key: spread for key, spread in result.items() if spread is not None}


def compared(
    units: Sequence[Line], title: str, metric: str, source: str | None, *, others: bool = True
) -> str:
    """Return a Markdown table of one metric, measured and published.

    A row that is also in the paper has three lines: measured, published, difference. An asterisk
    marks a published value outside the range of the seeds.

    Parameters
    ----------
    units : sequence of Line
    title, metric : str
    source : str or None
        The published table, `published.IMAGE` or `published.PIXEL`, if there is one.
    others : bool, default True
        Whether to append the rows of the paper that were not measured.
    """
    rates = spreads(units, metric)
    categories = sorted({line.category for line in units})
    columns = [*categories, published.MEAN] if len(categories) > 1 else categories
    paper = published.table(source) if source else {}
    known = {method: _with_mean(values, categories) for method, values in paper.items()}
    table = [["method", "", *(c.replace(published.MEAN, "mean") for c in columns)]]
    rows = sorted({line.row for line in units}, key=order)
    for row in rows:
        table.append([row, "measured", *(_measured(rates.get((row, c))) for c in columns)])
        if any(c in known.get(row, {}) for c in columns):
            table.append(["", "published", *(_rate(known[row].get(c)) for c in columns)])
            differences = [_difference(rates.get((row, c)), known[row].get(c)) for c in columns]
            table.append(["", "difference", *differences])
    for method, values in known.items():
        if others and method not in rows and any(c in values for c in columns):
            table.append([method, "published", *(_rate(values.get(c)) for c in columns)])
    return f"**{title}, per cent**\n\n{markdown.table(table, names=2)}"


def _with_mean(values: dict[str, float], categories: Sequence[str]) -> dict[str, float]:
    """Return the published values of some categories, and their mean if none is missing."""
    chosen = {c: values[c] for c in categories if c in values}
    if len(chosen) == len(categories):
        chosen[published.MEAN] = float(np.mean(list(chosen.values())))
    return chosen


def _measured(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return f"{spread.mean:.2f}" + (f" ± {spread.deviation:.2f}" if spread.deviation else "")


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _difference(spread: Spread | None, value: float | None) -> str:
    if spread is None or value is None:
        return ""
    return f"{spread.mean - value:+.1f}".replace("-", "−") + ("*" if spread.outside(value) else "")


def costs(units: Sequence[Line]) -> str:
    """Return a Markdown table of time and memory of each row: means, and the largest peak."""
    table = [["method", "bank rows", "fit s", "ms/image", "peak memory"]]
    for row in sorted({line.row for line in units}, key=order):
        of_row = [line for line in units if line.row == row]
        peaks = [line.peak_memory for line in of_row if line.peak_memory is not None]

        def mean(name: str, form: str, of_row: list[Line] = of_row) -> str:
            spread = Spread.of(line.evaluation[name] for line in of_row)
            return "–" if spread is None else form.format(spread.mean)

        table.append(
            [
                row,
                mean("bank_rows", "{:,.0f}"),
                mean("fit_seconds", "{:.1f}"),
                mean("milliseconds", "{:.1f}"),
                f"{max(peaks) / 1e6:,.0f} MB" if peaks else "–",
            ]
        )
    return f"**Time and memory**\n\n{markdown.table(table)}"


def text(settings: dict[str, Any], units: Sequence[Line], *, others: bool = True) -> str:
    """Return all tables of a run as Markdown.

    Parameters
    ----------
    settings : dict
        As `Run.settings`.
    units : sequence of Line
    others : bool, default True
        Whether to append the rows of the paper that were not measured.
    """
    parts = [
        compared(units, title, metric, source, others=others)
        for title, metric, source in TABLES
        if spreads(units, metric)
    ]
    seeds = sorted({line.seed for line in units})
    note = f"Seeds {', '.join(map(str, seeds))}"
    if len(seeds) > 1:
        note += (
            ": mean ± standard deviation. An asterisk marks a published value outside the "
            "range of the seeds"
        )
    network, size = settings["backbone"]["name"], settings["image_size"]
    head = f"Network {network}, images of {size} × {size} pixels. {note}."
    return "\n\n".join([head, *parts, costs(units)])


def write(run: Run) -> str:
    """Write table.md, table.csv and table.json into the folder of a run.

    Returns
    -------
    str
        The content of table.md. Empty if no unit is finished; then no file is written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    ModelError
        If the file of a unit is damaged or does not belong to the run.
    """
    units = lines(run)
    if not units:
        return ""
    content = text(run.settings, units)
    with atomic_write(run.folder / "table.md", "w", overwrite=True) as file:
        file.write(content + "\n")
    with atomic_write(run.folder / "table.csv", "w", overwrite=True) as file:
        file.write(_csv(units))
    with atomic_write(run.folder / "table.json", "w", overwrite=True) as file:
        everything = {"settings": run.settings, "units": [asdict(line) for line in units]}
        json.dump(everything, file, indent=2)  # ASCII, because names may not be UTF-8
    return content


def read(path: str | Path) -> tuple[dict[str, Any], list[Line]]:
    """Return the settings and the lines in a file table.json."""
    content = json.loads(Path(path).read_text("utf-8"))
    return content["settings"], [Line(**unit) for unit in content["units"]]


def _csv(units: Sequence[Line]) -> str:
    buffer = io.StringIO()
    metrics = list(units[0].evaluation)
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["row", "seed", *metrics, "peak_memory"])
    for line in units:
        table.writerow([line.row, line.seed, *line.evaluation.values(), line.peak_memory])
    return buffer.getvalue()
