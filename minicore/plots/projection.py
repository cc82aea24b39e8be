"""Where the coreset lies among all patches, in the plane of their largest spread."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from minicore.plots.principal import principal_axes
from minicore.plots.style import ANOMALOUS, ORDER, PALE, Figure, styled

Array = npt.NDArray[Any]
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
    """Show where the coreset lies among all patches, in their two principal directions.

    The distance in each title is what equation 5 minimises: from the coreset to the patch
    farthest from it, in the full space, among the patches drawn.

    Parameters
    ----------
    features : ndarray of float, shape (N, d)
        The memory bank, equation 4. Only the rows drawn and picked are read.
    indices : array-like of int, shape (l,)
        Its rows in the coreset, in the order picked.
    beside_random : bool
        Add a second panel, with as many rows picked at random.
    sample : int
        How many patches to draw, in grey, and to find the two directions from.
    seed : int
        Of the patches drawn, and of the random rows.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        `features` is not (N, d) with N, d ≥ 2, `indices` is empty, outside or longer than N, or
        `sample` is under 2.
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
    drawn = drawn - centre  # distances stay, and lose fewer digits
    sides = {"greedy": features[picked] - centre}
    if beside_random:
        sides["random"] = features[rng.choice(n, picked.size, replace=False)] - centre

    plane = principal_axes(drawn, 2)
    cloud = np.concatenate([drawn @ plane, *(chosen @ plane for chosen in sides.values())])
    middle, reach = (cloud.max(axis=0) + cloud.min(axis=0)) / 2, np.ptp(cloud, axis=0) * 0.55
    # Equal units on both axes: the panel is as tall as the cloud, but no flatter than 1 : 2.
    reach = np.maximum(np.maximum(reach, reach[::-1] / 2), 1e-6)
    width, height = 2.85, 2.85 * reach[1] / reach[0]
    figure = Figure(figsize=(width * len(sides) + 1.5, height + 0.75), layout="constrained")
    grid = figure.subplots(1, len(sides), sharex=True, sharey=True, squeeze=False)[0]
    order = LogNorm(1, max(picked.size, 2))
    size = float(np.clip(2500 / picked.size, 4, 22))
    for axes, (name, chosen) in zip(grid, sides.items(), strict=True):
        axes.scatter(*(drawn @ plane).T, s=3, color=PALE, linewidths=0)
        # The earliest picks are drawn last, on top: there are few of them.
        x, y = (chosen @ plane)[::-1].T
        if name == "greedy":
            number = np.arange(picked.size, 0, -1)
            axes.scatter(x, y, size, c=number, cmap=ORDER, norm=order, linewidths=0)
        else:
            axes.scatter(x, y, size, color=ANOMALOUS, linewidths=0)
        away = f"{_farthest(drawn, chosen):.3g}"
        axes.set_title(f"{name}, {picked.size:,}: farthest patch {away} away")
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


def _farthest(points: Array, chosen: Array) -> float:
    """Largest distance of a point to the nearest chosen one; blocks of chosen bound the memory."""
    nearest = np.full(len(points), np.inf)
    squares = np.einsum("ij,ij->i", points, points)
    for start in range(0, len(chosen), 1024):
        block = chosen[start : start + 1024]
        rest = np.einsum("ij,ij->i", block, block) - 2 * points @ block.T  # ‖x−m‖² − ‖x‖²
        np.minimum(nearest, rest.min(axis=1), out=nearest)
    return float(np.sqrt(max((nearest + squares).max(), 0)))
