"""Draw the figures of a benchmark: times, growth with the size, lower bound of the search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullFormatter, NullLocator

from minicore.plots.style import (
    ANOMALOUS,
    DASHED,
    GOOD,
    GREY,
    INK,
    PALE,
    TRUTH,
    WIDTH,
    Figure,
    styled,
)
from minicore.studies.bench.bound import Bound
from minicore.studies.bench.growth import Curve
from minicore.studies.bench.stopwatch import Timing

LITERAL, PEER = "#A5A5A5", ANOMALOUS
DURATION = EngFormatter("s", places=None)


def _colour(side: str) -> str:
    """Return blue for the fast engine, grey for the literal loops, vermilion for all others."""
    if side.startswith("fast"):
        return GOOD
    return LITERAL if side == "equations" else PEER


@styled
def comparison(timings: Sequence[Timing]) -> Figure:
    """Draw the time of each side of each stage as a bar, on one logarithmic axis.

    Parameters
    ----------
    timings : sequence of Timing
        Bars of one stage are grouped, in the given order. A limit is a dashed line. Pale bars are
        extrapolated. The thin line on a bar goes from the smallest to the largest sample.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the sequence is empty.
    """
    if not timings:
        raise ValueError("timings must not be empty")
    stages: dict[str, list[Timing]] = {}
    for timing in timings:
        stages.setdefault(timing.stage, []).append(timing)
    seconds = np.array([timing.median for timing in timings])
    left = 10 ** np.floor(np.log10(seconds.min() / 2))
    right = seconds.max() * (seconds.max() / left) ** 0.25  # room for the number at the longest bar
    bars = [sum(not t.limit for t in group) for group in stages.values()]
    figure = Figure(figsize=(WIDTH, 0.6 + 0.22 * sum(bars) + 0.42 * len(bars)))
    figure.set_layout_engine("constrained", hspace=0, h_pad=0.04)
    grid = figure.subplots(len(bars), sharex=True, squeeze=False, height_ratios=bars)[:, 0]
    for axes, (stage, group) in zip(grid, stages.items(), strict=True):
        _stage(axes, stage, group, float(left))
    last = grid[-1]
    last.set(xscale="log", xlim=(left, right))
    last.xaxis.set_major_locator(LogLocator(numticks=12))
    last.xaxis.set_major_formatter(DURATION)
    last.xaxis.set_minor_locator(NullLocator())
    for axes in grid[:-1]:
        axes.tick_params(axis="x", length=0, labelbottom=False)
        axes.spines["bottom"].set_visible(False)
    return figure


def _stage(axes: Axes, stage: str, group: list[Timing], left: float) -> None:
    sides = [t for t in group if not t.limit]
    for row, t in enumerate(sides):
        axes.barh(row, t.median - left, left=left, height=0.66, color=_colour(t.side),
                  alpha=0.5 if t.part else 1)  # fmt: skip
        axes.plot([min(t.seconds), max(t.seconds)], [row, row], color=INK, linewidth=0.9)
        label = DURATION(float(f"{t.median:.3g}")) + ("  (extrapolated)" if t.part else "")
        end = max(t.median, *t.seconds)
        axes.annotate(label, (end, row), (4, 0), textcoords="offset points", va="center_baseline")
    axes.set_yticks(range(len(sides)), [t.side for t in sides])
    axes.set_ylim(len(sides) - 0.5, -0.5)
    axes.set_title(f"{stage} ({group[0].equation})", weight="bold", size=8.5, pad=4)
    size = group[0].size
    for t in group:
        if t.limit:
            axes.axvline(t.median, color=INK, linewidth=1.1, linestyle=DASHED)
            size += f"   ¦ {t.side} {DURATION(float(f'{t.median:.3g}'))}"
    axes.set_title(size, loc="right", size=7.5, color=GREY, pad=4)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


@styled
def growth(curves: Sequence[Curve]) -> Figure:
    """Draw how times grow, one panel per stage and size.

    Parameters
    ----------
    curves : sequence of Curve
        Curves of the same stage and size share a panel. Both axes are logarithmic, so a time that
        grows as a power of the size is a straight line; the legend shows the power. Dashed lines
        are limits.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the sequence is empty.
    """
    if not curves:
        raise ValueError("curves must not be empty")
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        panels.setdefault((curve.stage, curve.axis), []).append(curve)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, 0.15 + 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, ((stage, axis), group) in zip(grid, panels.items(), strict=False):
        _panel(axes, stage, axis, group)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def _panel(axes: Axes, stage: str, axis: str, group: list[Curve]) -> None:
    other_colours = iter((ANOMALOUS, TRUTH, GREY))
    for curve in group:
        sizes, medians = np.array(curve.sizes), curve.medians
        colour = (
            GOOD if curve.side.startswith("fast") else INK if curve.limit else next(other_colours)
        )
        name = curve.side.replace(", 10 %", "")
        axes.plot(
            sizes, medians, color=colour, marker="" if curve.limit else "o", markersize=3.5,
            linewidth=1.1 if curve.limit else 1.6, linestyle=DASHED if curve.limit else "-",
            label=f"{name}, power {curve.slope:.1f}".replace("-", "−"),
        )  # fmt: skip
        if not curve.limit:
            low, high = np.min(curve.seconds, axis=1), np.max(curve.seconds, axis=1)
            axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel=f"{axis}\n({group[0].fixed})")
    axes.set_title(stage, weight="bold")
    axes.xaxis.set_major_locator(FixedLocator(list(group[0].sizes)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelsize=7)
    low, high = axes.get_ylim()
    between = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)  # at least two ticks
    axes.yaxis.set_major_locator(LogLocator(subs=between, numticks=8))
    axes.yaxis.set_major_formatter(DURATION)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend above the lines
    axes.legend(loc="upper left", fontsize=7, borderaxespad=0.1, handlelength=1.6)


@styled
def bound(values: Bound) -> Figure:
    """Draw the lower bound against the distance for one patch, and the share of rows that survive.

    Parameters
    ----------
    values : Bound
        From `minicore.studies.bench.bound`.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    best = values.distances.min()
    survives = values.lower <= best * (1 + 1e-9)
    size = float(np.clip(9000 / survives.size, 2, 12))
    for rows, colour, area in ((~survives, PALE, size), (survives, ANOMALOUS, max(size, 8))):
        left.scatter(values.distances[rows], values.lower[rows], area, color=colour, linewidths=0)
    high = values.distances.max() * 1.04
    left.plot([0, high], [0, high], color=GREY, linewidth=0.8)
    left.axhline(best, color=INK, linewidth=1, linestyle=DASHED)
    note = {"textcoords": "offset points", "fontsize": 8}
    left.annotate(
        "distance of the nearest row", (high, best), (0, 4), color=INK, ha="right", **note
    )
    left.annotate("bound = distance", (high, high), (-6, -2), color=GREY, ha="right", **note)
    left.set(xlim=(0, high), ylim=(0, high), xlabel="distance of one patch to a row of the bank")
    left.set_ylabel(f"lower bound, from {values.shown} axes")
    left.set_title(f"{survives.sum():,} of {survives.size:,} rows need their distance")

    share = 100 * values.surviving
    mean = share.mean(axis=1)
    low, high = np.percentile(share, [10, 90], axis=1)
    right.fill_between(values.axes, low, high, color=GOOD, alpha=0.2, linewidth=0)
    right.plot(values.axes, mean, color=GOOD, marker="o", markersize=4)
    for k, value in zip(values.axes, mean, strict=True):
        right.annotate(f"{value:.2g} %", (k, value), (5, 4), color=INK, **note)
    right.set(xscale="log", yscale="log", xlabel="principal axes used")
    right.set_xlim(values.axes[0] / 1.15, values.axes[-1] * 2.2)  # room for the last number
    right.set_ylabel("rows that survive, per cent")
    right.set_title(f"mean of {values.surviving.shape[1]} patches, and the central 80 %")
    right.xaxis.set_major_locator(FixedLocator(list(values.axes)))
    right.xaxis.set_major_formatter("{x:.0f}")
    right.xaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    return figure
