"""The paper's figures: how well the method does as one of its parameters changes.

A study is a list of rows of one table that differ in a single parameter, so it is measured as any
row is: unit by unit, on the same recorded feature maps, and what is done stays done. A row that is
in the paper's table goes by its name there and is measured once for table and figures.
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
    ("kmeans", "k-means", (1.0, 0.1)),  # its work grows with their square: 10 % takes minutes
)
ABLATED = "PatchCore-1"  # level 1 has four times the patches: a coreset of 10 % takes too long
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
        Of the figure; points of one line are joined where the axis is one of numbers.
    x : float
        Where on the axis, unless the study measures that.
    label : str
        In words: of the tick, the table, or beside the point.
    figure : str or None
        Draw this figure of the row, and in the first panel only; None: each panel's own.
    """

    row: Row
    line: str
    x: float
    label: str
    figure: str | None = None


@dataclass(frozen=True)
class Study:
    """A figure to be measured.

    Attributes
    ----------
    name : str
        Also of its file: ``figure-NAME.png``.
    title : str
        What is looked at, and with which method.
    axis : str
        What x is, with its unit.
    points : tuple of Point
    varies : str
        The parameter, which a run must not set for all of its rows.
    panels : tuple of str
        Figures of `minicore.evaluation.evaluate.Evaluation`.
    scale : {"log", "linear", "names"}
        Of x; "names" stand side by side and are not joined.
    measured : str or None
        x is a figure of the evaluation as well.
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
        """What has to be measured, each once."""
        return list({point.row.name: point.row for point in self.points}.values())

    def within(self, n: int) -> Study:
        """Leave out what would need more than n training images."""
        kept = (p for p in self.points if p.row.n_train is None or p.row.n_train <= n)
        return replace(self, points=tuple(kept))


def _coreset() -> Study:
    points = [
        Point(_selected(selection, percent), words, percent, f"{percent:g}")
        for selection, words, percents in SELECTIONS
        for percent in percents
    ]
    return Study(
        "coreset", "PatchCore, by how much of the memory bank is kept, and how that is picked",
        "rows kept, per cent of the memory bank", tuple(points), "coreset_ratio", scale="log",
    )  # fmt: skip


def _selected(selection: str, percent: float) -> Row:
    base = row(f"PatchCore-{percent:g}")
    if selection == "greedy":
        return base
    parameters = {**base.parameters, "selection": selection}
    return Row(f"{base.name} {selection}", parameters)


def _varied(base: Row, words: str, name: str, value: object, standard: object) -> Row:
    """Give a row with one parameter changed; with the standard value, the row itself."""
    if value == standard:
        return base
    return Row(f"{base.name} {words}", {**base.parameters, name: value})


def _patchsize() -> Study:
    base = row(ABLATED)
    points = [
        Point(_varied(base, f"p={p}", "patchsize", p, 3), base.name, p, str(p)) for p in PATCHSIZES
    ]
    return Study(
        "patchsize", f"{base.name}, by the size of a neighbourhood (equation 1)",
        "side of a neighbourhood p, positions of the map", tuple(points), "patchsize",
    )  # fmt: skip


def _levels() -> Study:
    base = row(ABLATED)
    points = []
    for x, name in enumerate(LEVELS):
        layers = tuple(f"layer{j}" for j in name.split("+"))
        its = _varied(base, f"levels {name}", "layers", layers, ("layer2", "layer3"))
        points.append(Point(its, base.name, x, name))
    return Study(
        "levels", f"{base.name}, by the levels of the network (equation 2)",
        "levels j of the hierarchy", tuple(points), "layers", scale="names",
    )  # fmt: skip


def _shots() -> Study:
    base = row("PatchCore-10")  # 1 % of a single image's patches are fewer than b
    points = [
        Point(Row(f"{base.name} n={n}", base.parameters, n), base.name, n, str(n)) for n in SHOTS
    ]
    points.append(Point(base, base.name, np.inf, "all"))
    return Study(
        "shots", f"{base.name}, by the number of images it learns from",
        "training images", tuple(points), "n_train", scale="log", measured="n_train",
    )  # fmt: skip


def _time() -> Study:
    points = [
        Point(row(f"PatchCore-{percent:g}"), "PatchCore", percent, f"{percent:g} %")
        for percent in SHARES
    ]
    points += [Point(row(name), name, 0.0, name) for name in BASELINES]
    return Study(
        "time", "What an image takes, network included, and what comes of it",
        "milliseconds an image", tuple(points), "coreset_ratio", scale="log",
        measured="milliseconds",
    )  # fmt: skip


def _reweighting() -> Study:
    base = row(ABLATED)
    by_b = [(b, _varied(base, f"b={b}", "b", b, 9)) for b in NEIGHBOURS]
    points = [Point(its, "equation 7", b, str(b)) for b, its in by_b]
    points += [Point(its, "equation 6 only", b, str(b), DISTANCE) for b, its in by_b]
    return Study(
        "reweighting", f"{base.name}, by the neighbours in equation 7",
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
    """Find a study by its name.

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
