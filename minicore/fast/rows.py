"""Vectors prepared for `minicore.fast.sieve`, each with a short vector for lower bounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import HUGE
from minicore.fast.axes import AXES_BOUND, short_vectors


class Rows(NamedTuple):
    """Vectors, and short vectors whose distances are lower bounds of the vectors' distances.

    Attributes
    ----------
    whole : (n, d) float32
        The vectors.
    norms : (n,) float32
        Squared norms of `whole`.
    short : (n, k + 2) float32
        Coordinates along k principal axes, the length of the rest, and one more column. In a bank
        this column is −(1 − error) times the squared norm. Queries are doubled and have 1 in this
        column. So the product of a query with a row of the bank is 2⟨x, y⟩ − (1 − error) ‖y‖². No
        columns if there are no axes.
    short_norms : (n,) float32
        Squared norms of `short` without the last column.
    """

    whole: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float32]
    short: npt.NDArray[np.float32]
    short_norms: npt.NDArray[np.float32]

    def take(self, rows: npt.NDArray[np.int64]) -> Rows:
        """Return a copy of some rows."""
        return Rows(*(np.take(array, rows, axis=0) for array in self))


def bank_rows(
    whole: npt.NDArray[np.float32],
    norms: npt.NDArray[np.float64],
    mean: npt.NDArray[np.float64],
    axes: npt.NDArray[np.float64],
) -> Rows:
    """Prepare the rows of a bank.

    Parameters
    ----------
    whole : (n, d) float32
    norms : (n,) float64
        Their squared norms.
    mean, axes : (d,) and (d, k) float64
        From `minicore.fast.axes`.

    Returns
    -------
    Rows
    """
    n = len(whole)
    if axes.shape[1]:
        short, short_norms = short_vectors(whole, mean, axes)
        short[:, -1] = -(1 - AXES_BOUND) * short_norms.astype(np.float64)
    else:
        short, short_norms = np.empty((n, 0), np.float32), np.zeros(n, np.float32)
    # Larger norms overflow in float32; the search does not use them.
    return Rows(whole, np.minimum(norms, HUGE).astype(np.float32), short, short_norms)


def as_queries(rows: Rows) -> Rows:
    """Convert rows prepared by `bank_rows` to queries, in place."""
    if rows.short.shape[1]:
        rows.short[:, :-1] *= 2
        rows.short[:, -1] = 1
    return rows
