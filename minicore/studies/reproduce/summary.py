"""The units of a run as tables: beside what was published, and in files that others can read."""

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

ROUNDING = 0.05  # per cent: the paper gives one decimal
TABLES = (
    ("Image AUROC, equation 7 (table S1)", "image_auroc", published.IMAGE),
    ("Image AUROC, equation 6 only", "image_auroc_distance", None),
    ("Pixel AUROC (table S2)", "pixel_auroc", published.PIXEL),
    ("PRO", "pro", None),
)


@dataclass(frozen=True)
class Line:
    """One finished unit, without its evidence: a line of the CSV file.

    Attributes
    ----------
    row, seed, evaluation, peak_memory, seconds
        As `minicore.studies.reproduce.Finished`.
    """

    row: str
    seed: int
    evaluation: dict[str, Any]
    peak_memory: int | None
    seconds: dict[str, float]

    @classmethod
    def of(cls, found: Finished) -> Line:
        """Leave the evidence out."""
        evaluation = found.evaluation.to_json()
        return cls(found.unit.row, found.unit.seed, evaluation, found.peak_memory, found.seconds)

    @property
    def category(self) -> str:
        """What it is about."""
        return self.evaluation["category"]


@dataclass(frozen=True)
class Spread:
    """A figure over several seeds.

    Attributes
    ----------
    mean, low, high : float
    deviation : float or None
        Standard deviation, of the sample; None of a single seed.
    """

    mean: float
    low: float
    high: float
    deviation: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Sum values up; None if one is missing or there are none."""
        v = list(values)
        if not v or any(x is None for x in v):
            return None
        x = np.array(v, float)
        deviation = float(x.std(ddof=1)) if len(x) > 1 else None
        return cls(float(x.mean()), float(x.min()), float(x.max()), deviation)

    def outside(self, value: float) -> bool:
        """Tell whether a published, rounded value lies outside what the seeds gave."""
        if self.deviation is None:
            return False
        return not self.low - ROUNDING <= value <= self.high + ROUNDING


def lines(run: Run) -> list[Line]:
    """Read all finished units of a run."""
    return [Line.of(run.load(unit)) for unit in run.finished()]


def spreads(found: Sequence[Line], figure: str) -> dict[tuple[str, str], Spread]:
    """Give a figure, in per cent, of each row and category, and of their mean by seed.

    Parameters
    ----------
    found : sequence of Line
    figure : str
        Of `minicore.evaluation.evaluate.Evaluation`, a rate.

    Returns
    -------
    dict
        (row, category) to Spread; the category `published.MEAN` is the mean over all categories
        of `found`, where a row has them all.
    """
    values: dict[tuple[str, str], dict[int, float | None]] = {}
    for line in found:
        rate = line.evaluation[figure]
        values.setdefault((line.row, line.category), {})[line.seed] = (
            None if rate is None else 100 * rate
        )
    result = {key: Spread.of(v.values()) for key, v in values.items()}
    categories = sorted({line.category for line in found})
    for row in {line.row for line in found}:
        its = [values.get((row, category)) for category in categories]
        seeds = set.intersection(*(set(v or {}) for v in its))
        rates = [[v[seed] for v in its if v is not None] for seed in sorted(seeds)]
        if rates and all(rate is not None for by_seed in rates for rate in by_seed):
            result[row, published.MEAN] = Spread.of(float(np.mean(r)) for r in rates)  # type: ignore[arg-type]
    return {key: spread for key, spread in result.items() if spread is not None}


def compared(
    found: Sequence[Line], title: str, figure: str, source: str | None, *, others: bool = True
) -> str:
    """Lay one figure out as a Markdown table: measured, and beside it published.

    A row that the paper has too takes three lines: measured, published, their difference. An
    asterisk marks a published value outside the span of the seeds. The paper's `others`, rows that
    were not measured, follow.
    """
    rates = spreads(found, figure)
    categories = sorted({line.category for line in found})
    columns = [*categories, published.MEAN] if len(categories) > 1 else categories
    paper = published.table(source) if source else {}
    theirs = {method: _their(values, categories) for method, values in paper.items()}
    table = [["method", "", *(c.replace(published.MEAN, "mean") for c in columns)]]
    rows = sorted({line.row for line in found}, key=order)
    for row in rows:
        table.append([row, "measured", *(_measured(rates.get((row, c))) for c in columns)])
        if any(c in theirs.get(row, {}) for c in columns):
            table.append(["", "published", *(_rate(theirs[row].get(c)) for c in columns)])
            differences = [_difference(rates.get((row, c)), theirs[row].get(c)) for c in columns]
            table.append(["", "difference", *differences])
    for method, values in theirs.items():
        if others and method not in rows and any(c in values for c in columns):
            table.append([method, "published", *(_rate(values.get(c)) for c in columns)])
    return f"**{title}, per cent**\n\n{markdown.table(table, names=2)}"


def _their(values: dict[str, float], categories: Sequence[str]) -> dict[str, float]:
    """Pick some categories of published values, and their mean if all of them were reported."""
    some = {c: values[c] for c in categories if c in values}
    if len(some) == len(categories):
        some[published.MEAN] = float(np.mean(list(some.values())))
    return some


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


def costs(found: Sequence[Line]) -> str:
    """Lay out what each row took: means over categories and seeds, the largest peak of memory."""
    table = [["method", "bank rows", "fit s", "ms/image", "peak memory"]]
    for row in sorted({line.row for line in found}, key=order):
        its = [line for line in found if line.row == row]
        peaks = [line.peak_memory for line in its if line.peak_memory is not None]

        def mean(name: str, form: str, its: list[Line] = its) -> str:
            spread = Spread.of(line.evaluation[name] for line in its)
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
    return f"**What it took**\n\n{markdown.table(table)}"


def text(settings: dict[str, Any], found: Sequence[Line], *, others: bool = True) -> str:
    """Lay a run out as Markdown: every table that it has numbers for."""
    parts = [
        compared(found, title, figure, source, others=others)
        for title, figure, source in TABLES
        if spreads(found, figure)
    ]
    seeds = sorted({line.seed for line in found})
    words = f"Seeds {', '.join(map(str, seeds))}"
    if len(seeds) > 1:
        words += (
            ": mean ± standard deviation. An asterisk marks a published value outside the "
            "span of the seeds"
        )
    network, size = settings["backbone"]["name"], settings["image_size"]
    head = f"Network {network}, images of {size} × {size} pixels. {words}."
    return "\n\n".join([head, *parts, costs(found)])


def write(run: Run) -> str:
    """Write table.md, table.csv and table.json into the run's folder.

    Returns
    -------
    str
        The Markdown.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    found = lines(run)
    if not found:
        return ""
    content = text(run.settings, found)
    with atomic_write(run.folder / "table.md", "w", overwrite=True) as file:
        file.write(content + "\n")
    with atomic_write(run.folder / "table.csv", "w", overwrite=True) as file:
        file.write(_csv(found))
    with atomic_write(run.folder / "table.json", "w", overwrite=True) as file:
        everything = {"settings": run.settings, "units": [asdict(line) for line in found]}
        json.dump(everything, file, indent=2)  # ASCII, as the settings are
    return content


def read(path: str | Path) -> tuple[dict[str, Any], list[Line]]:
    """Read a table.json: the run's settings, and its lines."""
    content = json.loads(Path(path).read_text("utf-8"))
    return content["settings"], [Line(**unit) for unit in content["units"]]


def _csv(found: Sequence[Line]) -> str:
    buffer = io.StringIO()
    figures = list(found[0].evaluation)
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["row", "seed", *figures, "peak_memory"])
    for line in found:
        table.writerow([line.row, line.seed, *line.evaluation.values(), line.peak_memory])
    return buffer.getvalue()
