"""The lower bound that spares most distances, at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from minicore.plots.style import ANOMALOUS, DASHED, GOOD, GREY, INK, PALE, WIDTH, Figure, styled

if TYPE_CHECKING:
    from minicore.bench import Bound


@styled
def bound(found: Bound) -> Figure:
    """Show the bound of one patch to every row of the bank, and how many rows it leaves.

    Parameters
    ----------
    found : Bound
        From `minicore.bench.bound`.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    best = found.distances.min()
    stays = found.lower <= best * (1 + 1e-9)
    size = float(np.clip(9000 / stays.size, 2, 12))
    for rows, colour, area in ((~stays, PALE, size), (stays, ANOMALOUS, max(size, 8))):
        left.scatter(found.distances[rows], found.lower[rows], area, color=colour, linewidths=0)
    high = found.distances.max() * 1.04
    left.plot([0, high], [0, high], color=GREY, linewidth=0.8)
    left.axhline(best, color=INK, linewidth=1, linestyle=DASHED)
    note = {"textcoords": "offset points", "fontsize": 8}
    left.annotate("the nearest row's distance", (high, best), (0, 4), color=INK, ha="right", **note)
    left.annotate("bound = distance", (high, high), (-6, -2), color=GREY, ha="right", **note)
    left.set(xlim=(0, high), ylim=(0, high), xlabel="distance of one patch to a row of the bank")
    left.set_ylabel(f"lower bound, from {found.shown} axes")
    left.set_title(f"{stays.sum():,} of {stays.size:,} rows must be measured")

    share = 100 * found.surviving
    mean = share.mean(axis=1)
    low, high = np.percentile(share, [10, 90], axis=1)
    right.fill_between(found.axes, low, high, color=GOOD, alpha=0.2, linewidth=0)
    right.plot(found.axes, mean, color=GOOD, marker="o", markersize=4)
    for k, value in zip(found.axes, mean, strict=True):
        right.annotate(f"{value:.2g} %", (k, value), (5, 4), color=INK, **note)
    right.set(xscale="log", yscale="log", xlabel="principal axes used")
    right.set_xlim(found.axes[0] / 1.15, found.axes[-1] * 2.2)  # room for the last number
    right.set_ylabel("rows that survive, per cent")
    right.set_title(f"mean of {found.surviving.shape[1]} patches, and the middle 80 %")
    right.xaxis.set_major_locator(FixedLocator(list(found.axes)))
    right.xaxis.set_major_formatter("{x:.0f}")
    right.xaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    return figure
