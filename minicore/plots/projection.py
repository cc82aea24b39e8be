"""Draw the coreset among all patches, in the plane of their largest variance."""

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from minicore.plots.principal import principal_directions
from minicore.plots.style import ANOMALOUS, ORDER, PALE, Array, Figure, styled

ENDS = np.array([-1, 1])


@styled
def coreset(
    features: Array,
    indices: npt.ArrayLike,
    *,
    beside_random: bool = False,
    sample: int = 4000,
    seed: int = 0,
) -> Figure:
    """Draw the coreset among all patches, in the plane of the two principal directions.

    The distance in each title is what equation 5 minimises: the largest distance from a drawn
    patch to its nearest coreset row, in all d dimensions.

    Parameters
    ----------
    features : ndarray of float, shape (N, d)
        The memory bank, equation 4. Only drawn and picked rows are read.
    indices : array-like of int, shape (l,)
        Rows of the coreset, in the order of the picks.
    beside_random : bool
        Add a second panel with the same number of random rows.
    sample : int
        Number of patches that are drawn in grey. They also define the two directions.
    seed : int
        Seed of the drawn patches and of the random rows.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If `features` is not (N, d) with N, d ≥ 2, if `indices` is not 1 to N row numbers, or if
        `sample` is less than 2.
    """
    picked = np.asarray(indices)
    if np.ndim(features) != 2 or min(np.shape(features)) < 2:
        raise ValueError(f"features must be (N, d) with N, d ≥ 2, got {np.shape(features)}")
    n = len(features)
    if picked.ndim != 1 or not 1 <= picked.size <= n or picked.min() < 0 or picked.max() >= n:
        raise ValueError(f"indices must be (l,), 1 ≤ l ≤ N, of the N = {n} rows of features")
    if sample < 2:
        raise ValueError(f"sample must be at least 2, got {sample}")
    rng = np.random.default_rng(seed)
    drawn = features[np.sort(rng.choice(n, min(sample, n), replace=False))]
    centre = drawn.mean(axis=0)
    drawn = drawn - centre  # smaller rounding errors, same distances
    sides = {"greedy": features[picked] - centre}
    if beside_random:
        sides["random"] = features[rng.choice(n, picked.size, replace=False)] - centre

    plane = principal_directions(drawn, 2)
    cloud = np.concatenate([drawn @ plane, *(chosen @ plane for chosen in sides.values())])
    middle, reach = (cloud.max(axis=0) + cloud.min(axis=0)) / 2, np.ptp(cloud, axis=0) * 0.55
    # Equal units on both axes. The height of a panel is at least half its width.
    reach = np.maximum(np.maximum(reach, reach[::-1] / 2), 1e-6)
    width, height = 2.85, 2.85 * reach[1] / reach[0]
    figure = Figure(figsize=(width * len(sides) + 1.5, height + 0.75), layout="constrained")
    grid = figure.subplots(1, len(sides), sharex=True, sharey=True, squeeze=False)[0]
    order = LogNorm(1, max(picked.size, 2))
    size = float(np.clip(2500 / picked.size, 4, 22))
    for axes, (name, chosen) in zip(grid, sides.items(), strict=True):
        axes.scatter(*(drawn @ plane).T, s=3, color=PALE, linewidths=0)
        # Draw the earliest picks last, on top.
        x, y = (chosen @ plane)[::-1].T
        if name == "greedy":
            number = np.arange(picked.size, 0, -1)
            axes.scatter(x, y, size, c=number, cmap=ORDER, norm=order, linewidths=0)
        else:
            axes.scatter(x, y, size, color=ANOMALOUS, linewidths=0)
        radius = f"{_covering_radius(drawn, chosen):.3g}"
        axes.set_title(f"{name}, {picked.size:,} rows: largest distance {radius}")
        axes.set(xlabel="first principal direction", aspect="equal")
        axes.set(xlim=middle[0] + reach[0] * ENDS, ylim=middle[1] + reach[1] * ENDS)
    grid[0].set_ylabel("second principal direction")
    beside = grid[-1].inset_axes((1.04, 0, 0.04, 1))
    bar = figure.colorbar(ScalarMappable(order, ORDER), cax=beside, label="order of picking")
    bar.outline.set_visible(False)
    ticks = [10**k for k in range(9) if 2 * 10**k <= picked.size] + [picked.size]
    bar.set_ticks(ticks, labels=[f"{tick:,}" for tick in ticks], minor=False)
    bar.minorticks_off()
    return figure


def _covering_radius(points: Array, chosen: Array) -> float:
    """Return the largest distance from a point to its nearest chosen row; blocks save memory."""
    nearest = np.full(len(points), np.inf)
    squares = np.einsum("ij,ij->i", points, points)
    for start in range(0, len(chosen), 1024):
        block = chosen[start : start + 1024]
        rest = np.einsum("ij,ij->i", block, block) - 2 * points @ block.T  # ‖x−m‖² − ‖x‖²
        np.minimum(nearest, rest.min(axis=1), out=nearest)
    return float(np.sqrt(max((nearest + squares).max(), 0)))
