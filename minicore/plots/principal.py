"""Features of many dimensions brought to what a page can show: a plane, or colours."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

Array = npt.NDArray[Any]

# Oklab, in which equal steps look equal (Ottosson, 2020): to the cones' responses, to linear RGB.
OKLAB_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def principal_axes(rows: Array, count: int) -> Array:
    """Find the directions of the largest spread.

    Parameters
    ----------
    rows : (n, d) float
    count : int

    Returns
    -------
    (d, count) float
        Unit vectors, the largest spread first; zeros where d is less than `count`.
    """
    from minicore.runtime.threads import single_threaded_blas  # imports Numba: not for every figure

    # Eigenvectors of d × d: a tenth of the time of a singular value decomposition of the rows.
    d = rows.shape[1]
    found = min(count, d)
    centred = rows - rows.mean(axis=0)
    with single_threaded_blas():  # on a busy machine, more threads wait for each other
        _, axes = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(d - found, d - 1))
    axes = axes[:, ::-1]  # the largest first
    # A direction's sign is arbitrary: make its largest entry positive, the same everywhere.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(found)])
    return np.pad(axes, ((0, 0), (0, count - found)))


def feature_colours(grid: Array) -> Array:
    """Show features as colours: like ones alike.

    Parameters
    ----------
    grid : (h, w, d) float

    Returns
    -------
    (h, w, 3) float
        RGB in [0, 1]: the first principal component as lightness, the next two as hue.
    """
    rows = grid.reshape(-1, grid.shape[-1]).astype(float)
    seen = (rows - rows.mean(axis=0)) @ principal_axes(rows, 3)
    low, high = np.percentile(seen, [2, 98], axis=0)
    levels = np.clip((seen - low) / np.where(high > low, high - low, 1), 0, 1)
    oklab = np.concatenate([0.36 + 0.58 * levels[:, :1], 0.25 * (levels[:, 1:] - 0.5)], axis=1)
    linear = np.clip((oklab @ OKLAB_TO_CONES.T) ** 3 @ CONES_TO_RGB.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(srgb.reshape(*grid.shape[:2], 3))
