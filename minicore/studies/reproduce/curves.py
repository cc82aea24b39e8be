"""What a study draws: picked out of what a run has measured, and laid out as a table."""

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
    """A measured point.

    Attributes
    ----------
    x : float
    y : Spread
        Over the seeds, per cent.
    label : str
    """

    x: float
    y: Spread
    label: str


@dataclass(frozen=True)
class Curve:
    """A line of a panel, measured.

    Attributes
    ----------
    panel : str
        What y is, in words.
    name : str
        Of the line.
    category : str
        Or "mean": over all of them.
    main : bool
        The mean, or the only category.
    dots : tuple of Dot
        In order of x.
    """

    panel: str
    name: str
    category: str
    main: bool
    dots: tuple[Dot, ...]


def curves(study: Study, found: Sequence[Line], seeds: Collection[int]) -> list[Curve]:
    """Pick what a study draws out of what a run has measured.

    Parameters
    ----------
    study : Study
    found : sequence of Line
        Of a run, other rows among them. Categories that lack a row of the study are left out.
    seeds : collection of int
        Which to draw.

    Returns
    -------
    list of Curve
        Panel by panel; of each line the categories and, if there are several, their mean. What has
        no such figure (MahalanobisAD has no maps) has no curve.
    """
    its = {row.name for row in study.rows}
    found = [line for line in found if line.row in its and line.seed in seeds]
    complete = [
        category
        for category in sorted({line.category for line in found})
        if its <= {line.row for line in found if line.category == category}
    ]
    found = [line for line in found if line.category in complete]
    shown = [*complete, published.MEAN] if len(complete) > 1 else complete
    names = list(dict.fromkeys(point.line for point in study.points))
    result = []
    for figure in study.panels:
        for name in names:
            points = [
                p
                for p in study.points
                if p.line == name and (p.figure is None or figure == study.panels[0])
            ]
            rates = {p.figure or figure: spreads(found, p.figure or figure) for p in points}
            for category in shown:
                dots = [
                    Dot(_where(study, p, category, found), y, p.label)
                    for p in points
                    if (y := rates[p.figure or figure].get((p.row.name, category))) is not None
                ]
                if dots:
                    dots.sort(key=lambda dot: dot.x)
                    words = category.replace(published.MEAN, "mean")
                    main = category == shown[-1]
                    result.append(Curve(TITLES[figure], name, words, main, tuple(dots)))
    return result


def _where(study: Study, point: Point, category: str, found: Sequence[Line]) -> float:
    """Place a point on the axis."""
    if study.measured is None:
        return point.x
    values = [
        line.evaluation[study.measured]
        for line in found
        if line.row == point.row.name and category in (line.category, published.MEAN)
    ]
    return float(np.mean(values))


def table(study: Study, drawn: Sequence[Curve]) -> str:
    """Lay out the numbers of a figure as Markdown: mean and span over the seeds, per cent."""
    columns = list(dict.fromkeys((c.panel, c.category) for c in drawn))
    head = [f"{panel}, {category}" for panel, category in columns]
    cells: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    wheres: dict[tuple[str, str], str] = {}
    for curve in drawn:
        for dot in curve.dots:
            key = curve.name, dot.label
            cells.setdefault(key, {})[curve.panel, curve.category] = _spread(dot.y)
            wheres[key] = f"{dot.x:.1f}"  # the mean over categories comes last
    timed, several = study.measured == "milliseconds", len({line for line, _ in cells}) > 1
    rows = [["", "" if timed else study.axis, *([study.axis] if timed else []), *head]]
    for (line, label), values in cells.items():
        where = [wheres[line, label]] if timed else []
        label = "" if label == line else label
        rows.append([line, label, *where, *(values.get(c, "–") for c in columns)])
    if not several:  # the title says what it is
        rows = [cells[1:] for cells in rows]
    return f"**{study.title}**\n\n{markdown.table(rows, names=1 + several)}"


def _spread(y: Spread) -> str:
    if y.high - y.low < 0.005:
        return f"{y.mean:.2f}"
    return f"{y.mean:.2f} ({y.low:.2f}–{y.high:.2f})"
