"""Vectors prepared for `minicore.fast.sieve`: beside each, what is quicker to compare."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicore.fast.arithmetic import HUGE
from minicore.fast.axes import AXES_BOUND, short_vectors
from minicore.fast.codes import encode


class Rows(NamedTuple):
    """Vectors, and what is quicker to compare than they are.

    Attributes
    ----------
    whole : (n, d) float32
        The vectors themselves.
    norms : (n,) float32
        Their squared norms.
    coarse : (n, c + 2) float32
        Coordinates along a few axes and the length of the rest. Of a bank the last column is minus
        the squared norms less their error; queries are doubled and end in 1, so that their product
        says all but what depends on the query alone. No columns without axes.
    fine : (n, k + 1) float32
        The same along more axes, as it is; no columns without them.
    centred_norms : (n,) float32
        Squared norms of both.
    codes : (n, d) int8
        Eight bits a coordinate; no columns if they are of no use.
    rests : (n,) float64
        Lengths of what the codes leave out.
    """

    whole: np.ndarray
    norms: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    centred_norms: np.ndarray
    codes: np.ndarray
    rests: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        """Copy some of them."""
        return Rows(*(np.take(array, rows, axis=0) for array in self))


def bank_rows(whole, norms, mean, axes, step):
    """Prepare the rows of a bank.

    Parameters
    ----------
    whole : (n, d) float32
    norms : (n,) float
        Their squared norms.
    mean, axes : (d,) and (d, k) float64
        From `minicore.fast.axes`.
    step : float
        Of the codes; 0 to do without.

    Returns
    -------
    Rows
    """
    n = len(whole)
    if axes.shape[1]:
        coarse, fine, centred_norms = short_vectors(whole, mean, axes)
        coarse[:, -1] = -(1 - AXES_BOUND) * centred_norms.astype(np.float64)
    else:
        coarse = fine = np.empty((n, 0), np.float32)
        centred_norms = np.zeros(n, np.float32)
    if step:
        codes, rests = encode(whole, mean, step)
    else:
        codes, rests = np.empty((n, 0), np.int8), np.zeros(n)
    norms = np.minimum(norms, HUGE).astype(np.float32)  # of larger ones no use is made
    return Rows(whole, norms, coarse, fine, centred_norms, codes, rests)


def as_queries(rows):
    """Make queries of rows that were prepared as those of a bank; changes them."""
    if rows.coarse.shape[1]:
        rows.coarse[:, :-1] *= 2
        rows.coarse[:, -1] = 1
    return rows
