r"""Equations 1 to 3 in one pass: feature maps in, rows of the memory bank out.

Every step of the literal version is linear: the average over a segment of a neighbourhood, the
upsampling, the average over a segment of the concatenated levels. So the steps are composed *once*,
as weights, before the first image. Feature $o$ of a patch is then

$$\sum_j \operatorname{upsample}_j \sum_{(channel,\, a,\, b)} W_j[o, channel, a, b] \;
  \phi_j(channel, h s + a, w s + b),$$

a small correlation over the few channels that contribute to $o$. No neighbourhood is copied. For
the authors' 1024-d embedding of a WideResNet50 the weights are, at layer 2, 0.2 for the centre and
0.1 for its eight neighbours in one channel, and at layer 3 the plain 3 × 3 mean of two adjacent
channels. Without pooling (`d` and `d_target` are None) they are $1/p^2$ in one channel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import inner
from minicore.runtime.kernels import parallel

# Lower index, upper index, and share of the upper one.
Interpolation = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


class Contributions(NamedTuple):
    """Channels and weights with which one level adds to the features: see `pooling_weights`."""

    first: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    divisors: npt.NDArray[np.float64]


class Level(NamedTuple):
    """`Contributions` and the two `Interpolation`s of one level, in one flat tuple for Numba."""

    first: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    divisors: npt.NDArray[np.float64]
    row_low: npt.NDArray[np.int64]
    row_high: npt.NDArray[np.int64]
    row_share: npt.NDArray[np.float64]
    column_low: npt.NDArray[np.int64]
    column_high: npt.NDArray[np.int64]
    column_share: npt.NDArray[np.float64]


def pooling_segments(length: int, d: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return start and end (exclusive) of each segment of adaptive average pooling, (d,) each."""
    i = np.arange(d)
    return i * length // d, -(-(i + 1) * length // d)


@functools.lru_cache(maxsize=32)
def pooling_weights(
    widths: tuple[int, ...], p: int, d: int | None = None, d_target: int | None = None
) -> tuple[int, tuple[Contributions, ...]]:
    r"""Compose all averages of the embedding into one set of weights for each level.

    Parameters
    ----------
    widths : tuple of int
        Channels $c_j$ of each level.
    p : int
        Patchsize.
    d, d_target : int, optional
        As for `patch_features`.

    Returns
    -------
    D : int
        Dimension of the patch features.
    levels : tuple of Contributions
        For each level, sorted by feature. Feature `o` is the sum over
        ``channels[first[o]:first[o + 1]]``, each with its (k, k) window in
        ``weights[first[o]:first[o + 1]]``, divided by ``divisors[o]``;
        $k = 2 \lfloor p/2 \rfloor + 1$. Weights are whole numbers, so that a mean that is exactly
        between two float32 numbers is rounded as in `equations`.
    """
    k = 2 * (p // 2) + 1
    dims = [c if d is None else d for c in widths]
    joined = sum(dims)
    D = joined if d_target is None else d_target
    first_joined, end_joined = pooling_segments(joined, D)

    levels: list[Contributions] = []
    offset = 0
    for c, d_j in zip(widths, dims, strict=True):
        first_member, end_member = pooling_segments(c * k * k, d_j)
        first = np.zeros(D + 1, np.int64)
        channels: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        divisors = np.ones(D)
        for o in range(D):
            mine = range(max(first_joined[o], offset), min(end_joined[o], offset + d_j))
            first[o + 1] = first[o]
            if not mine:
                continue
            low = first_member[mine[0] - offset] // (k * k)
            high = -(-end_member[mine[-1] - offset] // (k * k))
            segments = [(first_member[i - offset], end_member[i - offset]) for i in mine]
            common = math.lcm(*(int(e - a) for a, e in segments))
            w = np.zeros((high - low) * k * k)
            for a, e in segments:
                w[a - low * k * k : e - low * k * k] += common // (e - a)
            divisors[o] = common * (end_joined[o] - first_joined[o])
            channels.append(np.arange(low, high))
            weights.append(w.reshape(-1, k, k))
            first[o + 1] += high - low
        levels.append(
            Contributions(
                first,
                np.concatenate(channels) if channels else np.empty(0, np.int64),
                np.concatenate(weights) if weights else np.empty((0, k, k)),
                divisors,
            )
        )
        offset += d_j
    return D, tuple(levels)


@functools.lru_cache(maxsize=32)
def interpolation(coarse: int, fine: int, step: float | None = None, s: int = 1) -> Interpolation:
    """Return lower and upper index, and the upper one's share, of each fine position.

    Each has the shape (fine,). The values are those of `equations.upsample`.
    """
    step = fine / coarse if step is None else step
    x = np.clip((np.arange(fine) + 0.5) / step - 0.5 / s, 0, coarse - 1)
    low = x.astype(np.int64)
    high = np.minimum(low + 1, coarse - 1)
    return low, high, x - low


BLOCK = 32  # features computed by one task: they stay in the cache


@inner(cache=True)
def _correlate(channel, weights, s, framed, grid):
    """Add one channel's weighted neighbourhood sums to `grid`.

    `framed` (h + k - 1, w + k - 1) receives the channel inside a frame of zeros. `grid`
    (h', w + k - 1) has the same width, so with stride 1 both can be read as one long row: long
    loops make good use of vector instructions. The last k - 1 sums of each row of `grid` mix two
    rows of the channel and are not used.
    """
    k = weights.shape[0]
    r = k // 2
    h_star, w_star = channel.shape
    for h in range(h_star):
        for w in range(w_star):
            framed[r + h, r + w] = channel[h, w]
    if s == 1:
        source, sums = framed.ravel(), grid.ravel()
        length = (h_star - 1) * framed.shape[1] + w_star
        if k == 3:  # the paper's patchsize: one loop instead of nine
            second, third = source[framed.shape[1] :], source[2 * framed.shape[1] :]
            a0, a1, a2 = weights[0, 0], weights[0, 1], weights[0, 2]
            b0, b1, b2 = weights[1, 0], weights[1, 1], weights[1, 2]
            c0, c1, c2 = weights[2, 0], weights[2, 1], weights[2, 2]
            for t in range(length):
                sums[t] += (
                    (a0 * source[t] + a1 * source[t + 1] + a2 * source[t + 2])
                    + (b0 * second[t] + b1 * second[t + 1] + b2 * second[t + 2])
                    + (c0 * third[t] + c1 * third[t + 1] + c2 * third[t + 2])
                )
            return
        for a in range(k):
            for b in range(k):
                weight = weights[a, b]
                offset = a * framed.shape[1] + b
                for t in range(length):
                    sums[t] += weight * source[offset + t]
    else:
        for h in range(grid.shape[0]):
            for a in range(k):
                for b in range(k):
                    for w in range((w_star + s - 1) // s):
                        grid[h, w] += weights[a, b] * framed[h * s + a, w * s + b]


@parallel(cache=True)
def _add_level(first, end, phi, s, level, blocks, started, out):
    """Add one level's share to the `blocks` that contain its features; `phi` (n, c, h, w).

    A task is one block of one image. `started` is true for each block to which an earlier level has
    written.
    """
    _, height, width, D = out.shape
    k = level.weights.shape[1]
    h_j = (phi.shape[2] + s - 1) // s
    w_j = (phi.shape[3] + s - 1) // s
    framed = np.zeros((phi.shape[2] + k - 1, phi.shape[3] + k - 1))
    grid = np.empty((h_j, framed.shape[1]))
    vectors = np.empty((h_j, w_j, BLOCK))
    for task in range(first, end):
        i, block = task // len(blocks), blocks[task % len(blocks)]
        new = not started[block]
        o_first = block * BLOCK
        o_end = min(o_first + BLOCK, D)
        for o in range(o_first, o_end):
            grid[:] = 0
            for item in range(level.first[o], level.first[o + 1]):
                _correlate(phi[i, level.channels[item]], level.weights[item], s, framed, grid)
            for h in range(h_j):
                for w in range(w_j):
                    vectors[h, w, o - o_first] = grid[h, w] / level.divisors[o]

        for h in range(height):
            above, below = vectors[level.row_low[h]], vectors[level.row_high[h]]
            y = level.row_share[h]
            for w in range(width):
                left, right, x = level.column_low[w], level.column_high[w], level.column_share[w]
                there = y == 0 and x == 0
                for o in range(o_end - o_first):
                    value = above[left, o]
                    if not there:
                        upper = (1 - x) * value + x * above[right, o]
                        lower = (1 - x) * below[left, o] + x * below[right, o]
                        value = (1 - y) * upper + y * lower
                    if new:
                        out[i, h, w, o_first + o] = value
                    else:
                        out[i, h, w, o_first + o] += value


def patch_features(
    levels: Sequence[npt.NDArray[np.float32]],
    p: int = 3,
    s: int = 1,
    d: int | None = None,
    d_target: int | None = None,
    cells: Sequence[tuple[float, float]] | None = None,
) -> npt.NDArray[np.float32]:
    r"""Compute the patch features of a batch of images (equations 1 to 3).

    Parameters
    ----------
    levels : sequence of (n, c_j, h_j, w_j) float32
        The feature maps, finest first. The first level's grid is the patches' grid.
    p, s : int, default 3 and 1
        Patchsize and stride.
    d : int, optional
        Dimension to pool each level's neighbourhoods to. By default each level keeps its own width.
    d_target : int, optional
        Dimension to pool the concatenated levels to. By default they are not pooled.
    cells : tuple of (float, float), optional
        $t_j$, rows and columns of pixels that a cell of each level covers, as for
        `equations.patch_features`.

    Returns
    -------
    patches : (n, h', w', D) float32
        $D$ is `d_target`, or the sum of the levels' dimensions.

    Raises
    ------
    ValueError
        If `p`, `s`, `d` or `d_target` is less than 1, `levels` are not four-dimensional and of one
        batch size, or `cells` is of another length.

    Notes
    -----
    Equations 1 to 3 of Roth et al., CVPR 2022; equal to `equations.patch_features` to 1e-5.
    """
    if p < 1:
        raise ValueError(f"patchsize p must be at least 1, got {p}")
    if s < 1:
        raise ValueError(f"stride s must be at least 1, got {s}")
    if min(1 if d is None else d, 1 if d_target is None else d_target) < 1:
        raise ValueError(f"dimensions must be at least 1, got d={d} and d_target={d_target}")
    shapes = [phi.shape for phi in levels]
    if not shapes or any(len(shape) != 4 or shape[0] != shapes[0][0] for shape in shapes):
        raise ValueError(f"levels must be (n, c, h, w) arrays of one batch size, got {shapes}")
    if cells is not None and len(cells) != len(levels):
        raise ValueError(f"cells must hold one pair for each of {len(levels)} levels, got {cells}")

    n, _, h_star, w_star = shapes[0]
    height, width = -(-h_star // s), -(-w_star // s)
    D, plan = pooling_weights(tuple(shape[1] for shape in shapes), p, d, d_target)
    patches = np.empty((n, height, width, D), np.float32)
    starts = np.arange(0, D, BLOCK)
    started = np.zeros(len(starts), np.bool_)
    for j, (phi, contributions) in enumerate(zip(levels, plan, strict=True)):
        h_j, w_j = -(-phi.shape[2] // s), -(-phi.shape[3] // s)
        if cells is None:
            rows, columns = interpolation(h_j, height), interpolation(w_j, width)
        else:
            (t_h, t_w), (t_h1, t_w1) = cells[j], cells[0]
            rows = interpolation(h_j, height, t_h / t_h1)
            columns = interpolation(w_j, width, t_w / t_w1)
        level = Level(*contributions, *rows, *columns)
        reached = level.first[np.minimum(starts + BLOCK, D)] > level.first[starts]
        blocks = np.flatnonzero(reached)
        phi = np.ascontiguousarray(phi, np.float32)
        _add_level(n * len(blocks), phi, s, level, blocks, started, patches)
        started |= reached
    return patches
