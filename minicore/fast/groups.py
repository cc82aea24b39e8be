"""Groups of near rows, each in a box: a box far from a query excludes a whole group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import inner
from minicore.fast.axes import AXES_BOUND
from minicore.fast.rows import Rows

GROUP = 128  # largest number of rows in a group
SIDES = 12  # a box has sides along so many of the first axes
TILE = 512  # largest number of rows in a group without a box


class Groups(NamedTuple):
    """A bank's rows in groups.

    Attributes
    ----------
    order : (N,) int32
        Numbers of the rows in the bank, group by group.
    first : (G + 1,) int64
        Group g has the rows `order[first[g]:first[g + 1]]`.
    short : (N, k + 2) float32
        Short vectors of the bank, see `Rows`, in this order.
    norms : (G,) float32
        Largest squared norm of a short vector in each group.
    low, high : (s, G) float32
        The box of each group: smallest and largest coordinate of its rows along s axes. No axes if
        the groups have no boxes.
    """

    order: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    short: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float32]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]


def consecutive(bank: Rows) -> Groups:
    """Group rows in the order of the bank, without boxes."""
    N = len(bank.whole)
    first = np.append(np.arange(0, N, TILE), N)
    sides = np.empty((0, len(first) - 1), np.float32)
    norms = np.zeros(len(first) - 1, np.float32)
    return Groups(np.arange(N, dtype=np.int32), first, bank.short, norms, sides, sides)


def near(bank: Rows) -> Groups:
    """Group near rows: halve the bank, then each half, and so on.

    Parameters
    ----------
    bank : Rows
        From `bank_rows`. Without axes, the groups have no boxes.

    Returns
    -------
    Groups
    """
    if not bank.short.shape[1]:
        return consecutive(bank)
    parts = [np.arange(len(bank.whole), dtype=np.int32)]
    sides = bank.short[:, : min(SIDES, bank.short.shape[1] - 1)]
    while len(parts[-1]) > GROUP:
        parts = [half for part in parts for half in _halves(part, sides)]
    # In random order, the first groups show how many rows of the others will be left.
    parts = [parts[g] for g in np.random.default_rng(0).permutation(len(parts))]
    order = np.concatenate(parts)
    first = np.cumsum([0, *map(len, parts)])
    ordered = sides[order]
    return Groups(
        order,
        first,
        bank.short[order],
        np.maximum.reduceat(bank.short_norms[order], first[:-1]),
        np.ascontiguousarray(np.minimum.reduceat(ordered, first[:-1]).T),
        np.ascontiguousarray(np.maximum.reduceat(ordered, first[:-1]).T),
    )


def _halves(
    part: npt.NDArray[np.int32], sides: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Split a group along the axis with the largest variance."""
    box = sides[part]
    along = box[:, box.var(axis=0, dtype=np.float64).argmax()]
    middle = len(part) // 2
    part = part[np.argpartition(along, middle)]
    return part[:middle], part[middle:]


@inner(cache=True, fastmath={"nnan", "nsz"})
def box_bounds(queries, groups):
    """Compute lower bounds of the squared distances of queries to the rows of each group.

    Parameters
    ----------
    queries : Rows
        From `as_queries`: their short vectors are doubled.
    groups : Groups

    Returns
    -------
    bounds : (m, G) float32
    """
    m, G = queries.short.shape[0], groups.norms.shape[0]
    bounds = np.empty((m, G), np.float32)
    error = np.float32(AXES_BOUND)
    for q in range(m):
        for g in range(G):
            bounds[q, g] = -error * (queries.short_norms[q] + groups.norms[g])
        for c in range(groups.low.shape[0]):
            x = queries.short[q, c] / 2
            for g in range(G):
                outside = max(groups.low[c, g] - x, x - groups.high[c, g])
                outside = max(outside, np.float32(0))
                bounds[q, g] += outside * outside
    return bounds
