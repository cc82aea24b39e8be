"""The lower bound with which `fast.nearest` skips most rows, written in NumPy for a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AXES = (4, 8, 16, 32, 64, 128, 256)
SHOWN = 16  # axes in the picture of one patch; with more, almost all rows are skipped


@dataclass(frozen=True)
class Bound:
    """Lower bounds of distances, and the share of rows that they cannot exclude.

    Attributes
    ----------
    shown : int
        Number of principal axes from which `lower` is computed.
    distances : (l,) float64
        Distances from one patch to every row of the bank.
    lower : (l,) float64
        Lower bounds of these distances.
    axes : tuple of int
        Numbers of axes for `surviving`.
    surviving : (len(axes), n) float64
        Share of rows whose bound is not above the nearest distance, for each of n patches.
    """

    shown: int
    distances: np.ndarray
    lower: np.ndarray
    axes: tuple[int, ...]
    surviving: np.ndarray


def bound(bank: np.ndarray, queries: np.ndarray) -> Bound:
    r"""Compute lower bounds of the distances from patches to all rows of a bank.

    Let $x_k$ be the first $k$ coordinates of $x - \mu$ along the principal axes of the bank, and
    $x_r$ the length of the remaining coordinates. Then
    $\lVert x - y \rVert^2 \ge \lVert x_k - y_k \rVert^2 + (x_r - y_r)^2$.

    Parameters
    ----------
    bank : (l, D) float32
    queries : (n, D) float32

    Returns
    -------
    Bound
        `distances` and `lower` belong to the query with the median nearest distance.
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
    # The limit allows for rounding, so that the nearest row itself survives.
    limit = nearest[:, None] * (1 + 1e-9)
    return Bound(
        shown,
        np.sqrt(squared[middle]),
        np.sqrt(bounds[shown][middle]),
        counts,
        np.array([(bounds[k] <= limit).mean(axis=1) for k in counts]),
    )


def _shorten(x: np.ndarray, k: int) -> np.ndarray:
    """Return the first `k` coordinates and the length of the others, (n, k + 1)."""
    return np.column_stack([x[:, :k], np.linalg.norm(x[:, k:], axis=1)])


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return all squared distances (n, l), computed from inner products."""
    norms = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y)
    squared: np.ndarray = np.maximum(norms - 2 * x @ y.T, 0)
    return squared
