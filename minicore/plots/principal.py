"""Reduce features to two coordinates or to a colour, by principal components."""

import numpy as np
import scipy.linalg

from minicore.plots.style import Array

# Oklab, a colour space where equal distances look equal (Ottosson, 2020): Oklab to the responses of
# the cones of the eye, and these responses to linear RGB.
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


def principal_directions(rows: Array, count: int) -> Array:
    """Return the directions of the largest variance.

    Parameters
    ----------
    rows : (n, d) float
    count : int

    Returns
    -------
    (d, count) float
        Unit vectors, the largest variance first; zeros if d is less than `count`.
    """
    from minicore.runtime.threads import (
        single_threaded_blas,
    )  # imports Numba, which not every figure needs

    # Eigenvectors of a d × d matrix: ten times faster than a singular value decomposition.
    d = rows.shape[1]
    found = min(count, d)
    centred = rows - rows.mean(axis=0)
    with single_threaded_blas():  # threads would wait for each other on a busy machine
        _, axes = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(d - found, d - 1))
    axes = axes[:, ::-1]  # largest first
    # The sign of a direction is arbitrary. Make the largest entry positive on every machine.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(found)])
    return np.pad(axes, ((0, 0), (0, count - found)))


def feature_colours(grid: Array) -> Array:
    """Return a colour for each feature; similar features have similar colours.

    Parameters
    ----------
    grid : (h, w, d) float

    Returns
    -------
    (h, w, 3) float
        RGB in [0, 1]: the first principal component is the lightness, the next two the hue.
    """
    rows = grid.reshape(-1, grid.shape[-1]).astype(float)
    components = (rows - rows.mean(axis=0)) @ principal_directions(rows, 3)
    low, high = np.percentile(components, [2, 98], axis=0)
    levels = np.clip((components - low) / np.where(high > low, high - low, 1), 0, 1)
    return oklab_colours(levels).reshape(*grid.shape[:2], 3)


def oklab_colours(levels: Array) -> Array:
    """Return a colour for three numbers: the first is the lightness, the next two the hue.

    Parameters
    ----------
    levels : (n, 3) float
        In [0, 1].

    Returns
    -------
    (n, 3) float
        RGB in [0, 1].
    """
    oklab = np.concatenate([0.36 + 0.58 * levels[:, :1], 0.25 * (levels[:, 1:] - 0.5)], axis=1)
    linear = np.clip((oklab @ OKLAB_TO_CONES.T) ** 3 @ CONES_TO_RGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
