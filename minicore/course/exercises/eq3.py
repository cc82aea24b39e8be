"""Exercises on equation 3: a feature at every position, and two grids made one."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, mistake, random


def patch_collection(phi, p, s):
    """Equation 3 of one level, with the mean of each channel."""
    return equations.patch_collection(phi, p, s, phi.shape[0])


def _means(phi, p, count=None, **padding):
    """Mean of each channel around every position, (h*, w*, c); p odd."""
    r = p // 2
    padded = np.pad(phi.astype(float), ((0, 0), (r, r), (r, r)), **padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (p, p), axis=(1, 2))
    total = windows.sum(axis=(3, 4)) / (p * p if count is None else count)
    return total.transpose(1, 2, 0)


def _on_map(phi, p):
    """How many members of each neighbourhood lie on the map, (h*, w*)."""
    return _means(np.ones_like(phi[:1]), p, 1)[..., 0]


EQ3 = Exercise(
    name="eq3",
    title="Patch collection",
    question="The aggregated feature (equation 2, zeros outside the map counted) at every position "
    "whose row and column are multiples of the stride s. p is odd here.",
    returns="(h', w', c) array of float",
    reference=patch_collection,
    cases=(
        Case("every position", (random(21, 2, 5, 6), 3, 1)),
        Case("p = 1", (random(22, 3, 4, 5), 1, 1)),
        Case("every second position", (random(23, 2, 5, 6), 3, 2)),
        Case("every third position", (random(24, 3, 7, 5), 1, 3)),
        Case("a wide neighbourhood and a stride", (random(25, 2, 8, 7), 5, 2)),
    ),
    mistakes=(
        mistake(
            "channels-first",
            "The values are right, the axes are not: the channels of a patch come last.",
            lambda phi, p, s: _means(phi, p)[::s, ::s].transpose(2, 0, 1),
        ),
        mistake(
            "transposed",
            "Rows and columns of the grid are exchanged.",
            lambda phi, p, s: _means(phi, p)[::s, ::s].transpose(1, 0, 2),
        ),
        mistake(
            "stride-ignored",
            "The stride changes nothing: only every s-th row and column is asked for.",
            lambda phi, p, s: _means(phi, p),
        ),
        mistake(
            "off-by-one",
            "The last row or column of positions is missing: of five rows, every second one is "
            "rows 0, 2 and 4. How many multiples of s are there below h*?",
            lambda phi, p, s: _means(phi, p)[::s, ::s][: phi.shape[1] // s, : phi.shape[2] // s],
            lambda phi, p, s: _means(phi, p)[:-1:s, :-1:s],
        ),
        mistake(
            "stride-offset",
            "The positions taken begin elsewhere than at (0, 0): h mod s = 0 includes h = 0.",
            lambda phi, p, s: _means(phi, p)[s // 2 :: s, s // 2 :: s],
            lambda phi, p, s: _means(phi, p)[s - 1 :: s, s - 1 :: s],
            lambda phi, p, s: _means(phi, p)[1::s, 1::s],
        ),
        mistake(
            "no-border",
            "Positions whose neighbourhood reaches out of the map are missing. They belong to the "
            "collection; outside the map are zeros.",
            lambda phi, p, s: _means(phi, p)[
                p // 2 : phi.shape[1] - p // 2, p // 2 : phi.shape[2] - p // 2
            ][::s, ::s],
            lambda phi, p, s: _means(phi, p)[::s, ::s] * _inner(phi, p)[::s, ::s, None],
        ),
        mistake(
            "zeros-not-counted",
            "Right inside, too large at the border: the zeros outside the map count, so the "
            "divisor does not shrink there.",
            lambda phi, p, s: _means(phi, p, _on_map(phi, p))[::s, ::s],
        ),
        mistake(
            "border-repeated",
            "Right inside, wrong at the border: outside the map are zeros, not copies of the "
            "values nearby.",
            lambda phi, p, s: _means(phi, p, mode="edge")[::s, ::s],
            lambda phi, p, s: _means(phi, p, mode="reflect")[::s, ::s],
            lambda phi, p, s: _means(phi, p, mode="symmetric")[::s, ::s],
            lambda phi, p, s: _means(phi, p, mode="wrap")[::s, ::s],
        ),
        mistake(
            "subsampled-first",
            "The stride is applied to the map before aggregating, so that neighbours are s apart. "
            "It chooses positions; their neighbourhoods are on the whole map.",
            lambda phi, p, s: _means(phi[:, ::s, ::s], p),
        ),
        mistake(
            "not-aggregated",
            "These are the features of the single positions: the neighbourhood has no effect.",
            lambda phi, p, s: phi[:, ::s, ::s].transpose(1, 2, 0),
        ),
        mistake(
            "sum",
            "These are sums over the neighbourhoods; the means are asked for.",
            lambda phi, p, s: _means(phi, p, 1)[::s, ::s],
        ),
    ),
)


def _inner(phi, p):
    return _on_map(phi, p) == p * p


def upsample(grid, height, width):
    """Bring the coarser level to the finer one's grid."""
    return equations.upsample(grid, height, width)


def _interpolate(grid, rows, columns):
    """Bilinear at fractional positions, the border repeated."""
    for axis, at in enumerate((rows, columns)):
        low = np.clip(np.floor(at).astype(int), 0, grid.shape[axis] - 1)
        high = np.minimum(low + 1, grid.shape[axis] - 1)
        share = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
        grid = (1 - share) * np.take(grid, low, axis) + share * np.take(grid, high, axis)
    return grid


def _positions(grid, height, width, half=0.5):
    sizes = zip((height, width), grid.shape, strict=False)
    return [(np.arange(fine) + half) * coarse / fine - half for fine, coarse in sizes]


def _nearest(grid, height, width, half, rounded):
    at = [rounded(x).astype(int) for x in _positions(grid, height, width, half)]
    rows, columns = (np.clip(x, 0, n - 1) for x, n in zip(at, grid.shape, strict=False))
    return grid[rows][:, columns]


def _clamped(grid, height, width, half=0.5):
    at = _positions(grid, height, width, half)
    return _interpolate(grid, *(np.clip(x, 0, n - 1) for x, n in zip(at, grid.shape, strict=False)))


def _corners(grid, height, width):
    rows, columns = grid.shape[:2]
    return _interpolate(grid, np.linspace(0, rows - 1, height), np.linspace(0, columns - 1, width))


def _zero_outside(grid, height, width):
    padded = np.pad(grid, ((1, 1), (1, 1), (0, 0)))
    return _interpolate(padded, *(x + 1 for x in _positions(grid, height, width)))


UPSAMPLE = Exercise(
    name="upsample",
    title="Bilinear upsampling",
    question="Interpolate a grid of vectors bilinearly to another size. The centres of the cells "
    "are aligned: row h of the finer grid lies at (h + ½) h*/height − ½ of the coarser; beyond the "
    "outermost centres their values are repeated.",
    returns="(height, width, d) array of float",
    reference=upsample,
    cases=(
        Case("the same size", (random(31, 3, 3, 1), 3, 3)),
        Case("twice the size", (random(32, 2, 3, 2), 4, 6)),
        Case("no whole factor", (random(33, 3, 2, 1), 5, 7)),
        Case("one cell", (random(34, 1, 1, 2), 3, 4)),
        Case("one row", (random(35, 1, 4, 1), 1, 8)),
    ),
    mistakes=(
        mistake(
            "nearest",
            "Each value is copied from one cell: this is nearest-neighbour upsampling. Bilinear "
            "mixes the four cells around a position.",
            lambda grid, height, width: _nearest(grid, height, width, 0, np.floor),
            lambda grid, height, width: _nearest(grid, height, width, 0.5, np.round),
            lambda grid, height, width: _nearest(grid, height, width, 0, np.round),
        ),
        mistake(
            "corners-aligned",
            "This aligns the centres of the corner cells. Use the other convention: the outer "
            "edges of the two grids coincide.",
            _corners,
        ),
        mistake(
            "half-pixel",
            "The result is shifted by part of a cell: a cell's value belongs to its centre, half "
            "a cell from its edge, on both grids.",
            lambda grid, height, width: _clamped(grid, height, width, 0),
        ),
        mistake(
            "border",
            "Right inside, wrong along the border: there a position lies outside the outermost "
            "centres, and their value is to be repeated, not continued or mixed with zeros.",
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
            "Only one of the two axes is interpolated; the other copies its nearest cell.",
            lambda grid, height, width: _nearest(
                _clamped(grid, height, grid.shape[1]), height, width, 0, np.floor
            ),
            lambda grid, height, width: _nearest(
                _clamped(grid, grid.shape[0], width), height, width, 0, np.floor
            ),
        ),
        mistake(
            "shares-exchanged",
            "The two cells on either side of a position have each other's share: the nearer one "
            "counts for more.",
            lambda grid, height, width: _exchanged(grid, height, width),
        ),
    ),
)


def _linear_extrapolation(grid, height, width):
    """Continue the outermost cells' lines beyond their centres."""
    for axis, at in enumerate(_positions(grid, height, width)):
        n = grid.shape[axis]
        low = np.clip(np.floor(at).astype(int), 0, max(n - 2, 0))
        share = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
        after = np.minimum(low + 1, n - 1)
        grid = (1 - share) * np.take(grid, low, axis) + share * np.take(grid, after, axis)
    return grid


def _exchanged(grid, height, width):
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
