"""Studies of one parameter, for the figures of the paper.

A study is a list of rows that differ in one parameter. These rows are measured like all others:
unit by unit, on the same recorded feature maps, and finished units are not repeated. A row that is
also in the table has the same name there, so it is measured only once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minicore.studies.reproduce.methods import BASELINES, Row, row

IMAGE, DISTANCE, PIXEL = "image_auroc", "image_auroc_distance", "pixel_auroc"

SHARES = (25.0, 10.0, 1.0, 0.1)  # per cent of the memory bank
SELECTIONS = (
    ("greedy", "greedy (Algorithm 1)", SHARES),
    ("random", "random", SHARES),
    ("kmeans", "k-means", (1.0, 0.1)),  # quadratic in the share: 10 % would take minutes
)
ABLATED = "PatchCore-1"  # level 1 has four times more patches: 10 % would take too long
PATCHSIZES = (1, 3, 5, 7, 9, 11)
LEVELS = ("1", "2", "3", "1+2", "2+3", "1+2+3")
SHOTS = (1, 2, 5, 10, 16, 20, 50)
NEIGHBOURS = (2, 3, 5, 9, 15, 25)


@dataclass(frozen=True)
class Point:
    """A row of the table as a point of a figure.

    Attributes
    ----------
    row : Row
    line : str
        Name of the curve that contains the point.
    x : float
        Position on the axis, unless the study measures it.
    label : str
        Label of the tick or of the point, also used in the table.
    figure : str or None
        The metric of this point. It is drawn in the first panel only. None means the metric of each
        panel.
    """

    row: Row
    line: str
    x: float
    label: str
    figure: str | None = None


@dataclass(frozen=True)
class Study:
    """A figure and the rows that it needs.

    Attributes
    ----------
    name : str
        Name of the study. Its file is ``figure-NAME.png``.
    title : str
    axis : str
        Label of the x axis, with the unit.
    points : tuple of Point
    varies : str
        The parameter that varies. A run must not set it for all rows.
    panels : tuple of str
        Metrics: attributes of `minicore.evaluation.evaluate.Evaluation`.
    scale : {"log", "linear", "names"}
        Scale of the x axis. With "names" the points are not connected.
    measured : str or None
        The attribute of the evaluation that is x. None if x is the parameter.
    """

    name: str
    title: str
    axis: str
    points: tuple[Point, ...]
    varies: str
    panels: tuple[str, ...] = (IMAGE, PIXEL)
    scale: str = "linear"
    measured: str | None = None

    @property
    def rows(self) -> list[Row]:
        """The rows to measure, each once."""
        return list({point.row.name: point.row for point in self.points}.values())

    def within(self, n: int) -> Study:
        """Return the study without the points that need more than `n` training images."""
        kept = (p for p in self.points if p.row.n_train is None or p.row.n_train <= n)
        return replace(self, points=tuple(kept))


def _coreset() -> Study:
    points = [
        Point(_selected(selection, percent), words, percent, f"{percent:g}")
        for selection, words, percents in SELECTIONS
        for percent in percents
    ]
    return Study(
        "coreset", "PatchCore with coresets of several sizes, selected in three ways",
        "rows kept, per cent of the memory bank", tuple(points), "coreset_ratio", scale="log",
    )  # fmt: skip


def _selected(selection: str, percent: float) -> Row:
    base = row(f"PatchCore-{percent:g}")
    if selection == "greedy":
        return base
    parameters = {**base.parameters, "selection": selection}
    return Row(f"{base.name} {selection}", parameters)


def _varied(base: Row, words: str, name: str, value: object, standard: object) -> Row:
    """Return a row with one parameter changed. With the standard value, this is the row itself."""
    if value == standard:
        return base
    return Row(f"{base.name} {words}", {**base.parameters, name: value})


def _patchsize() -> Study:
    base = row(ABLATED)
    points = [
        Point(_varied(base, f"p={p}", "patchsize", p, 3), base.name, p, str(p)) for p in PATCHSIZES
    ]
    return Study(
        "patchsize", f"{base.name} with neighbourhoods of several sizes (equation 1)",
        "side of a neighbourhood p, positions of the map", tuple(points), "patchsize",
    )  # fmt: skip


def _levels() -> Study:
    base = row(ABLATED)
    points = []
    for x, name in enumerate(LEVELS):
        layers = tuple(f"layer{j}" for j in name.split("+"))
        varied = _varied(base, f"levels {name}", "layers", layers, ("layer2", "layer3"))
        points.append(Point(varied, base.name, x, name))
    return Study(
        "levels", f"{base.name} with several levels of the network (equation 2)",
        "levels j of the hierarchy", tuple(points), "layers", scale="names",
    )  # fmt: skip


def _shots() -> Study:
    base = row("PatchCore-10")  # 1 % of the patches of one image are fewer than b
    points = [
        Point(Row(f"{base.name} n={n}", base.parameters, n), base.name, n, str(n)) for n in SHOTS
    ]
    points.append(Point(base, base.name, np.inf, "all"))
    return Study(
        "shots", f"{base.name} with several numbers of training images",
        "training images", tuple(points), "n_train", scale="log", measured="n_train",
    )  # fmt: skip


def _time() -> Study:
    points = [
        Point(row(f"PatchCore-{percent:g}"), "PatchCore", percent, f"{percent:g} %")
        for percent in SHARES
    ]
    points += [Point(row(name), name, 0.0, name) for name in BASELINES]
    return Study(
        "time", "AUROC and time per image, including the network",
        "milliseconds per image", tuple(points), "coreset_ratio", scale="log",
        measured="milliseconds",
    )  # fmt: skip


def _reweighting() -> Study:
    base = row(ABLATED)
    by_b = [(b, _varied(base, f"b={b}", "b", b, 9)) for b in NEIGHBOURS]
    points = [Point(varied, "equation 7", b, str(b)) for b, varied in by_b]
    points += [Point(varied, "equation 6 only", b, str(b), DISTANCE) for b, varied in by_b]
    return Study(
        "reweighting", f"{base.name} with several numbers of neighbours in equation 7",
        "neighbours b", tuple(points), "b", panels=(IMAGE,), scale="log",
    )  # fmt: skip


STUDIES: dict[str, Callable[[], Study]] = {
    "coreset": _coreset,
    "patchsize": _patchsize,
    "levels": _levels,
    "shots": _shots,
    "time": _time,
    "reweighting": _reweighting,
}


def study(name: str) -> Study:
    """Return the study with a given name.

    Parameters
    ----------
    name : {"coreset", "patchsize", "levels", "shots", "time", "reweighting"}

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If there is no such study.
    """
    if name not in STUDIES:
        raise ValueError(f"figure: expected {', '.join(STUDIES)}; got {name!r}")
    return STUDIES[name]()
