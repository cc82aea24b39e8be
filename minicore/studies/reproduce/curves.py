"""Select the numbers that a figure shows from the lines of a run, and make a table of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from minicore.runtime import markdown
from minicore.studies.reproduce import published
from minicore.studies.reproduce.summary import Line, Spread, spreads
from minicore.studies.reproduce.sweeps import IMAGE, PIXEL, Point, Study

TITLES = {IMAGE: "image AUROC", PIXEL: "pixel AUROC"}


@dataclass(frozen=True)
class Dot:
    """A point of a curve.

    Attributes
    ----------
    x : float
    y : Spread
        Per cent, over the seeds.
    label : str
    """

    x: float
    y: Spread
    label: str


@dataclass(frozen=True)
class Curve:
    """A measured curve of a figure.

    Attributes
    ----------
    panel : str
        Name of the metric on the y axis.
    name : str
        Name of the curve.
    category : str
        A category, or "mean" for the mean over all categories.
    main : bool
        Whether this is the mean or the only category. It is drawn thick.
    dots : tuple of Dot
        In order of x.
    """

    panel: str
    name: str
    category: str
    main: bool
    dots: tuple[Dot, ...]


def curves(study: Study, lines: Sequence[Line], seeds: Collection[int]) -> list[Curve]:
    """Return the curves of a study.

    Parameters
    ----------
    study : Study
    lines : sequence of Line
        All lines of a run; lines of other rows are ignored. A category that lacks a row of the
        study is left out.
    seeds : collection of int
        Seeds to use.

    Returns
    -------
    list of Curve
        Ordered by panel. Each curve of the figure has one `Curve` per category and, if there are
        several categories, one for their mean. A method without the metric has no curve:
        MahalanobisAD, for example, has no maps and so no pixel AUROC.
    """
    row_names = {row.name for row in study.rows}
    lines = [line for line in lines if line.row in row_names and line.seed in seeds]
    complete = [
        category
        for category in sorted({line.category for line in lines})
        if row_names <= {line.row for line in lines if line.category == category}
    ]
    lines = [line for line in lines if line.category in complete]
    categories = [*complete, published.MEAN] if len(complete) > 1 else complete
    names = list(dict.fromkeys(point.line for point in study.points))
    result = []
    for figure in study.panels:
        for name in names:
            points = [
                p
                for p in study.points
                if p.line == name and (p.figure is None or figure == study.panels[0])
            ]
            rates = {p.figure or figure: spreads(lines, p.figure or figure) for p in points}
            for category in categories:
                dots = [
                    Dot(_x(study, p, category, lines), y, p.label)
                    for p in points
                    if (y := rates[p.figure or figure].get((p.row.name, category))) is not None
                ]
                if dots:
                    dots.sort(key=lambda dot: dot.x)
                    label = category.replace(published.MEAN, "mean")
                    main = category == categories[-1]
                    result.append(Curve(TITLES[figure], name, label, main, tuple(dots)))
    return result


def _x(study: Study, point: Point, category: str, lines: Sequence[Line]) -> float:
    """Return the x of a point: fixed by the study, or the mean of a measured value."""
    if study.measured is None:
        return point.x
    values = [
        line.evaluation[study.measured]
        for line in lines
        if line.row == point.row.name and category in (line.category, published.MEAN)
    ]
    return float(np.mean(values))


def table(study: Study, measured: Sequence[Curve]) -> str:
    """Return the numbers of a figure as a Markdown table: mean and range over the seeds."""
    columns = list(dict.fromkeys((c.panel, c.category) for c in measured))
    head = [f"{panel}, {category}" for panel, category in columns]
    cells: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    x_of: dict[tuple[str, str], str] = {}
    for curve in measured:
        for dot in curve.dots:
            key = curve.name, dot.label
            cells.setdefault(key, {})[curve.panel, curve.category] = _spread(dot.y)
            x_of[key] = f"{dot.x:.1f}"  # the mean over categories, which is the last curve
    timed, several = study.measured == "milliseconds", len({line for line, _ in cells}) > 1
    rows = [["", "" if timed else study.axis, *([study.axis] if timed else []), *head]]
    for (line, label), values in cells.items():
        x = [x_of[line, label]] if timed else []
        label = "" if label == line else label
        rows.append([line, label, *x, *(values.get(c, "–") for c in columns)])
    if not several:  # the only curve is named in the title
        rows = [cells[1:] for cells in rows]
    return f"**{study.title}**\n\n{markdown.table(rows, names=1 + several)}"


def _spread(y: Spread) -> str:
    if y.high - y.low < 0.005:
        return f"{y.mean:.2f}"
    return f"{y.mean:.2f} ({y.low:.2f}–{y.high:.2f})"
