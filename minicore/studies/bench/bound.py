"""The bound that spares `fast.nearest` most distances, written out in NumPy to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AXES = (4, 8, 16, 32, 64, 128, 256)
SHOWN = 16  # axes in the picture of one patch: few, so that there is something left to see


@dataclass(frozen=True)
class Bound:
    r"""Lower bounds of distances, and how many rows they leave.

    Attributes
    ----------
    shown : int
        Axes of the bounds in `lower`.
    distances : (l,) float64
        Of one patch to every row of the bank.
    lower : (l,) float64
        What the first axes and the lengths of the rests say it must be at least.
    axes : tuple of int
        Numbers of axes.
    surviving : (len(axes), n) float64
        Share of the rows whose bound does not exceed the distance to the nearest, of each patch.
    """

    shown: int
    distances: np.ndarray
    lower: np.ndarray
    axes: tuple[int, ...]
    surviving: np.ndarray


def bound(bank: np.ndarray, queries: np.ndarray) -> Bound:
    r"""Bound the distances of patches to all rows of a bank.

    With $x_k$ the first $k$ coordinates of $x - \mu$ along the bank's principal axes and $x_r$ the
    length of the rest, $\lVert x - y \rVert^2 \ge \lVert x_k - y_k \rVert^2 + (x_r - y_r)^2$.

    Parameters
    ----------
    bank : (l, D) float32
    queries : (n, D) float32

    Returns
    -------
    Bound
        Of the query whose nearest row is at the middle distance, and of all queries.
    """
    centre = bank.mean(axis=0, dtype=np.float64)
    x, y = queries - centre, bank - centre
    axes = np.linalg.eigh(y.T @ y)[1][:, ::-1]  # the largest spread first
    x, y = x @ axes, y @ axes
    squared = _squared(x, y)
    nearest = squared.min(axis=1)
    middle = int(np.argsort(nearest, kind="stable")[len(nearest) // 2])

    counts = tuple(k for k in AXES if k < bank.shape[1])
    shown = min(SHOWN, bank.shape[1])
    bounds = {k: _squared(_shorten(x, k), _shorten(y, k)) for k in (*counts, shown)}
    # Rounding must not put the nearest row itself above its own distance.
    limit = nearest[:, None] * (1 + 1e-9)
    return Bound(
        shown,
        np.sqrt(squared[middle]),
        np.sqrt(bounds[shown][middle]),
        counts,
        np.array([(bounds[k] <= limit).mean(axis=1) for k in counts]),
    )


def _shorten(x: np.ndarray, k: int) -> np.ndarray:
    """First `k` coordinates and the length of the rest, (n, k + 1)."""
    return np.column_stack([x[:, :k], np.linalg.norm(x[:, k:], axis=1)])


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances (n, l), by inner products."""
    norms = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y)
    return np.maximum(norms - 2 * x @ y.T, 0)
