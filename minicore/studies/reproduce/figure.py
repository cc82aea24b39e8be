"""Draw the figures of the paper: a metric against one parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from minicore.plots.style import ANOMALOUS, GOOD, GREY, INK, WIDTH, Figure, styled
from minicore.studies.reproduce.curves import Curve
from minicore.studies.reproduce.sweeps import Study

STYLES = (  # colours of Okabe and Ito; the markers differ too
    (GOOD, "o"),
    (ANOMALOUS, "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
)
NAMED = 3  # largest number of categories with names beside their curves; more would overlap
PANEL_HEIGHT, LINE_HEIGHT = 160, 9  # in points
CLOSE = 0.06  # share of the axis: a tick closer to the last label has no label


@styled
def figure(study: Study, curves: Sequence[Curve]) -> Figure:
    """Draw a study, one panel per metric.

    Parameters
    ----------
    study : Study
    curves : sequence of Curve
        From `minicore.studies.reproduce.curves`. The mean over the categories is thick and shows
        the range of the seeds. Each category is thin. If x is a measured time, only the mean is
        drawn, with a label beside each point.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If `curves` is empty.
    """
    if not curves:
        raise ValueError("curves must not be empty")
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    names = list(dict.fromkeys(curve.name for curve in curves))
    styles = dict(zip(names, STYLES, strict=False))
    figure = Figure(figsize=(WIDTH if len(panels) > 1 else WIDTH * 0.62, 3.2))
    figure.set_layout_engine("constrained", wspace=0.06)
    figure.suptitle(study.title, x=0.01, ha="left", size=8.5, weight="bold")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    timed = study.measured == "milliseconds"
    for axes, panel in zip(grid, panels, strict=True):
        axes.set_xscale("log" if study.scale == "log" else "linear")
        of_panel = [curve for curve in curves if curve.panel == panel]
        for curve in of_panel:
            if curve.main or not timed:
                _line(axes, study, curve, *styles[curve.name])
        if timed:
            _label_points(axes, [curve for curve in of_panel if curve.main])
        else:
            _label_categories(axes, [curve for curve in of_panel if curve.name == names[0]])
        _x_axis(axes, study, of_panel)
        axes.set_ylabel(f"{panel}, per cent")
    if len(names) > 1:
        _legend(figure, styles)
    return figure


def _line(axes: Axes, study: Study, curve: Curve, colour: str, marker: str) -> None:
    x = np.array([dot.x for dot in curve.dots])
    mean, low, high = np.array([(dot.y.mean, dot.y.low, dot.y.high) for dot in curve.dots]).T
    style = "none" if study.scale == "names" else "-"
    if not curve.main:
        axes.plot(x, mean, color=colour, alpha=0.55, linewidth=0.8, linestyle=style, marker=marker,
                  markersize=2.5, markeredgewidth=0)  # fmt: skip
        return
    if study.scale == "names" or len(x) == 1:
        axes.vlines(x, low, high, color=colour, linewidth=1.2)
    else:
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=1.8, linestyle=style, marker=marker, markersize=4.5)


def _label_points(axes: Axes, curves: Sequence[Curve]) -> None:
    """Write a label at each point, below and to the right of it, where no curve passes."""
    for curve in curves:
        for dot in curve.dots if len(curve.dots) > 1 else ():
            axes.annotate(dot.label, (dot.x, dot.y.mean), (5, -4), textcoords="offset points",
                          va="top", fontsize=7.5)  # fmt: skip


def _label_categories(axes: Axes, curves: Sequence[Curve]) -> None:
    """Write the names of a few categories at the right ends of their curves."""
    if not 1 < len(curves) <= NAMED + 1:
        return
    right = max(curve.dots[-1].x for curve in curves)
    low, high = axes.get_ylim()
    point = (high - low) / PANEL_HEIGHT
    ordered = sorted(curves, key=lambda curve: curve.dots[-1].y.mean)
    ends = [curve.dots[-1].y.mean for curve in ordered]
    places, below, above = [], -np.inf, high
    for end in ends:
        below = max(end, below + LINE_HEIGHT * point)
        places.append(below)
    for i in reversed(range(len(places))):  # labels above the panel move down again
        above = places[i] = min(places[i], above)
        above -= LINE_HEIGHT * point
    for curve, end, place in zip(ordered, ends, places, strict=True):
        axes.annotate(curve.category, (right, end), (6, (place - end) / point), fontsize=7.5,
                      textcoords="offset points", va="center_baseline",
                      color=INK if curve.main else GREY,
                      weight="bold" if curve.main else "normal")  # fmt: skip


def _x_axis(axes: Axes, study: Study, curves: Sequence[Curve]) -> None:
    axes.set_xlabel(study.axis)
    axes.margins(x=0.06, y=0.1 if study.measured == "milliseconds" else 0.05)  # room for labels
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    if study.measured == "milliseconds":
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        return
    thick = [dot for curve in curves if curve.main for dot in curve.dots]
    ticks = dict(sorted({dot.x: dot.label for dot in thick}.items()))
    places = np.log(list(ticks)) if study.scale == "log" else np.array(list(ticks), float)
    labels, last = [], -np.inf
    for place, label in zip(places, ticks.values(), strict=True):
        near = place - last < CLOSE * np.ptp(places)
        labels.append("" if near else label)
        last = last if near else place
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_ticks(list(ticks), labels)
    axes.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, styles: dict[str, tuple[str, str]]) -> None:
    """Draw the legend below the panels."""
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.8, label=name)
        for name, (colour, marker) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
