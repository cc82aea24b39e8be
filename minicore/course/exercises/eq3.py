"""Exercises on equation 3: features at all positions, and upsampling of a coarser grid."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicore import equations
from minicore.course.exercise import Array, Case, Exercise, mistake


def patch_collection(phi: Array, p: int, s: int) -> Array:
    """Return equation 3 for one level, with the mean of each channel as aggregation."""
    return np.asarray(equations.patch_collection(phi, p, s, phi.shape[0]))


def _means(phi: Array, p: int, count: Any = None, **padding: Any) -> Array:
    """Return the mean of each channel around each position, (h*, w*, c), for odd p."""
    r = p // 2
    padded = np.pad(phi.astype(float), ((0, 0), (r, r), (r, r)), **padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (p, p), axis=(1, 2))
    means: Array = windows.sum(axis=(3, 4)) / (p * p if count is None else count)
    return means.transpose(1, 2, 0)


def _on_map(phi: Array, p: int) -> Array:
    """Return how many positions of each neighbourhood lie on the map, (h*, w*)."""
    return _means(np.ones_like(phi[:1]), p, 1)[..., 0]


EQ3 = Exercise(
    name="eq3",
    title="Patch collection",
    question="Return the aggregated feature (equation 2; zeros outside the map count) at each "
    "position whose row and column are multiples of the stride s. p is odd here.",
    goal="compute one patch feature for every s-th position",
    minutes=15,
    returns="(h', w', c) array of float",
    reference=patch_collection,
    make=lambda draw: (
        Case("every position", (draw.random(21, 2, 5, 6), 3, 1)),
        Case("p = 1", (draw.random(22, 3, 4, 5), 1, 1)),
        Case("every second position", (draw.random(23, 2, 5, 6), 3, 2)),
        Case("every third position", (draw.random(24, 3, 7, 5), 1, 3)),
        Case("a wide neighbourhood and a stride", (draw.random(25, 2, 8, 7), 5, 2)),
    ),
    mistakes=(
        mistake(
            "channels-first",
            "The values are right, but the order of the axes is wrong. The channels come last.",
            lambda phi, p, s: _means(phi, p)[::s, ::s].transpose(2, 0, 1),
        ),
        mistake(
            "transposed",
            "Rows and columns of the grid are exchanged.",
            lambda phi, p, s: _means(phi, p)[::s, ::s].transpose(1, 0, 2),
        ),
        mistake(
            "stride-ignored",
            "The stride has no effect. Return only every s-th row and every s-th column.",
            lambda phi, p, s: _means(phi, p),
        ),
        mistake(
            "off-by-one",
            "The last row or column of positions is missing. Example: with s = 2, five rows "
            "give rows 0, 2 and 4. How many multiples of s are less than h*?",
            lambda phi, p, s: _means(phi, p)[::s, ::s][: phi.shape[1] // s, : phi.shape[2] // s],
            lambda phi, p, s: _means(phi, p)[:-1:s, :-1:s],
        ),
        mistake(
            "stride-offset",
            "Your first position is not (0, 0). The condition h mod s = 0 includes h = 0.",
            lambda phi, p, s: _means(phi, p)[s // 2 :: s, s // 2 :: s],
            lambda phi, p, s: _means(phi, p)[s - 1 :: s, s - 1 :: s],
            lambda phi, p, s: _means(phi, p)[1::s, 1::s],
        ),
        mistake(
            "no-border",
            "Positions near the border are missing or zero. They belong to the collection too. "
            "Values outside the map are zeros.",
            lambda phi, p, s: _means(phi, p)[
                p // 2 : phi.shape[1] - p // 2, p // 2 : phi.shape[2] - p // 2
            ][::s, ::s],
            lambda phi, p, s: _means(phi, p)[::s, ::s] * _inner(phi, p)[::s, ::s, None],
        ),
        mistake(
            "zeros-not-counted",
            "Your values are right inside the map, but too large at the border. The zeros outside "
            "the map count too, so the divisor is the same everywhere.",
            lambda phi, p, s: _means(phi, p, _on_map(phi, p))[::s, ::s],
        ),
        mistake(
            "border-repeated",
            "Your values are right inside the map, but wrong at the border. Values outside the "
            "map are zeros, not copies of other values.",
            lambda phi, p, s: _means(phi, p, mode="edge")[::s, ::s],
            lambda phi, p, s: _means(phi, p, mode="reflect")[::s, ::s],
            lambda phi, p, s: _means(phi, p, mode="symmetric")[::s, ::s],
            lambda phi, p, s: _means(phi, p, mode="wrap")[::s, ::s],
        ),
        mistake(
            "subsampled-first",
            "You apply the stride to the map before the aggregation. Aggregate on the whole map: "
            "the stride only chooses the positions.",
            lambda phi, p, s: _means(phi[:, ::s, ::s], p),
        ),
        mistake(
            "not-aggregated",
            "These are the features of single positions. The neighbourhoods have no effect.",
            lambda phi, p, s: phi[:, ::s, ::s].transpose(1, 2, 0),
        ),
        mistake(
            "sum",
            "These are sums over the neighbourhoods. Return the means.",
            lambda phi, p, s: _means(phi, p, 1)[::s, ::s],
        ),
    ),
)


def _inner(phi: Array, p: int) -> Array:
    """Return True where the whole neighbourhood lies on the map, (h*, w*)."""
    return np.asarray(_on_map(phi, p) == p * p)


def upsample(grid: Array, height: int, width: int) -> Array:
    """Return the coarser grid, interpolated to the size of the finer grid."""
    return np.asarray(equations.upsample(grid, height, width))


def _interpolate(grid: Array, rows: Array, columns: Array) -> Array:
    """Return bilinear values at fractional positions; the border is repeated."""
    for axis, at in enumerate((rows, columns)):
        low = np.clip(np.floor(at).astype(int), 0, grid.shape[axis] - 1)
        high = np.minimum(low + 1, grid.shape[axis] - 1)
        share = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
        grid = (1 - share) * np.take(grid, low, axis) + share * np.take(grid, high, axis)
    return grid


def _positions(grid: Array, height: int, width: int, half: float = 0.5) -> list[Array]:
    """Return the rows and the columns of the finer grid in units of the coarser grid."""
    sizes = zip((height, width), grid.shape, strict=False)
    return [(np.arange(fine) + half) * coarse / fine - half for fine, coarse in sizes]


def _nearest(
    grid: Array, height: int, width: int, half: float, rounded: Callable[[Array], Array]
) -> Array:
    """Return nearest-neighbour upsampling."""
    at = [rounded(x).astype(int) for x in _positions(grid, height, width, half)]
    rows, columns = (np.clip(x, 0, n - 1) for x, n in zip(at, grid.shape, strict=False))
    return np.asarray(grid[rows][:, columns])


def _clamped(grid: Array, height: int, width: int, half: float = 0.5) -> Array:
    """Return bilinear upsampling with positions limited to the grid."""
    at = _positions(grid, height, width, half)
    return _interpolate(grid, *(np.clip(x, 0, n - 1) for x, n in zip(at, grid.shape, strict=False)))


def _corners(grid: Array, height: int, width: int) -> Array:
    """Return bilinear upsampling that aligns the centres of the corner cells."""
    rows, columns = grid.shape[:2]
    return _interpolate(grid, np.linspace(0, rows - 1, height), np.linspace(0, columns - 1, width))


def _zero_outside(grid: Array, height: int, width: int) -> Array:
    """Return bilinear upsampling of a grid with a border of zeros."""
    padded = np.pad(grid, ((1, 1), (1, 1), (0, 0)))
    return _interpolate(padded, *(x + 1 for x in _positions(grid, height, width)))


UPSAMPLE = Exercise(
    name="upsample",
    title="Bilinear upsampling",
    question="Interpolate a grid of vectors bilinearly to another size. Row h of the finer grid is "
    "at row (h + ½) h*/height − ½ of the coarser grid; columns likewise. Beyond the outermost "
    "centres, repeat the border values.",
    goal="enlarge a grid bilinearly, with the right place for each value",
    minutes=30,
    returns="(height, width, d) array of float",
    reference=upsample,
    make=lambda draw: (
        Case("the same size", (draw.random(31, 3, 3, 1), 3, 3)),
        Case("twice the size", (draw.random(32, 2, 3, 2), 4, 6)),
        Case("no whole factor", (draw.random(33, 3, 2, 1), 5, 7)),
        Case("one cell", (draw.random(34, 1, 1, 2), 3, 4)),
        Case("one row", (draw.random(35, 1, 4, 1), 1, 8)),
    ),
    mistakes=(
        mistake(
            "nearest",
            "This is nearest-neighbour upsampling: it copies each value from one cell. Bilinear "
            "upsampling mixes the four cells around a position.",
            lambda grid, height, width: _nearest(grid, height, width, 0, np.floor),
            lambda grid, height, width: _nearest(grid, height, width, 0.5, np.round),
            lambda grid, height, width: _nearest(grid, height, width, 0, np.round),
        ),
        mistake(
            "corners-aligned",
            "You align the centres of the corner cells. Align the outer edges of the two grids "
            "instead.",
            _corners,
        ),
        mistake(
            "half-pixel",
            "The result is shifted by a part of a cell. On both grids, a value belongs to the "
            "centre of its cell, which is half a cell from the edge.",
            lambda grid, height, width: _clamped(grid, height, width, 0),
        ),
        mistake(
            "border",
            "Your values are right inside the grid, but wrong at the border. Beyond the outermost "
            "centres, repeat the border values. Do not extrapolate and do not mix them with zeros.",
            lambda grid, height, width: _interpolate(grid, *_positions(grid, height, width)),
            _zero_outside,
            lambda grid, height, width: _linear_extrapolation(grid, height, width),
        ),
        mistake(
            "axes",
            "Height and width are exchanged.",
            lambda grid, height, width: _clamped(grid, width, height),
            lambda grid, height, width: _clamped(grid, height, width).transpose(1, 0, 2),
        ),
        mistake(
            "one-axis",
            "You interpolate along one axis only. Along the other axis you copy the nearest cell.",
            lambda grid, height, width: _nearest(
                _clamped(grid, height, grid.shape[1]), height, width, 0, np.floor
            ),
            lambda grid, height, width: _nearest(
                _clamped(grid, grid.shape[0], width), height, width, 0, np.floor
            ),
        ),
        mistake(
            "shares-exchanged",
            "The weights of the two neighbouring cells are exchanged. The nearer cell has the "
            "larger weight.",
            lambda grid, height, width: _exchanged(grid, height, width),
        ),
    ),
)


def _linear_extrapolation(grid: Array, height: int, width: int) -> Array:
    """Return bilinear upsampling that extrapolates beyond the outermost centres."""
    for axis, at in enumerate(_positions(grid, height, width)):
        n = grid.shape[axis]
        low = np.clip(np.floor(at).astype(int), 0, max(n - 2, 0))
        share = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
        after = np.minimum(low + 1, n - 1)
        grid = (1 - share) * np.take(grid, low, axis) + share * np.take(grid, after, axis)
    return grid


def _exchanged(grid: Array, height: int, width: int) -> Array:
    """Return bilinear upsampling with the two weights exchanged."""
    for axis, at in enumerate(_positions(grid, height, width)):
        at = np.maximum(at, 0)
        low = np.minimum(at.astype(int), grid.shape[axis] - 1)
        high = np.minimum(low + 1, grid.shape[axis] - 1)
        share = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
        grid = share * np.take(grid, low, axis) + (1 - share) * np.take(grid, high, axis)
    return grid


ALL = (
    EQ3,
    UPSAMPLE,
)
