"""Equation 6: exact nearest neighbours, most distances never computed (`minicore.fast.sieve`)."""

from __future__ import annotations

import numpy as np

from minicore.fast.arithmetic import HUGE, squared_norms
from minicore.fast.axes import STATE, checked_axes, principal_axes
from minicore.fast.codes import step_of
from minicore.fast.rows import as_queries, bank_rows
from minicore.fast.sieve import search
from minicore.runtime import threads


def _as_rows(array, name):
    array = np.ascontiguousarray(array, np.float32)
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"{name} must be a (rows, dimensions) array, got shape {array.shape}")
    return array


class Nearest:
    """A bank prepared for many searches.

    Parameters
    ----------
    bank : (N, D) float
        The memory bank; kept as float32.
    state : dict of str to array, optional
        What `state` gave for this bank, to be spared the search for the axes.

    Attributes
    ----------
    bank : (N, D) float32
        The memory bank.

    Raises
    ------
    ValueError
        If `bank` is empty or not finite, or `state` is of another shape or its axes are not
        orthonormal.

    Notes
    -----
    No state changes a result. The bounds hold for any centre and any orthonormal axes, and that
    they are orthonormal is checked; the bank's coordinates along them, which have to be right, are
    not taken from the state but computed anew. Axes of another bank only make the search slower.
    """

    def __init__(self, bank, state=None):
        self.bank = _as_rows(bank, "bank")
        if len(self.bank) == 0:
            raise ValueError("bank has no rows")
        self._norms = squared_norms(self.bank)
        if not np.isfinite(self._norms).all():
            raise ValueError("bank must be finite: found NaN or infinity")
        with threads.single_threaded_blas():  # several threads take thirty times as long in eigh
            if state is not None:
                self._mean, self._axes = checked_axes(state, self.bank.shape[1])
            else:
                usable = self._norms.max() < HUGE
                self._mean, self._axes = principal_axes(self.bank if usable else self.bank[:1])
            # Without axes almost nothing is left for the codes to look at.
            self._step = step_of(self.bank, self._mean) if self._axes.shape[1] else 0.0
            self._rows = bank_rows(self.bank, self._norms, self._mean, self._axes, self._step)

    def state(self):
        """Give what was found out about the bank, to be stored beside it.

        Returns
        -------
        state : dict
            ``"mean"`` (D,) float64, the bank's centre, and ``"axes"`` (D, k) float64, its first
            principal axes as columns; k is 0 where the bank is too small for them to pay.
        """
        return dict(zip(STATE, (self._mean, self._axes), strict=True))

    def query(self, queries, k=1):
        """Find the `k` nearest rows of the bank for each query.

        Parameters
        ----------
        queries : (n, D) float
            Patch features; converted to float32.
        k : int, default 1
            How many neighbours, between 1 and `N`.

        Returns
        -------
        distances : (n, k) float64
            Euclidean, increasing.
        indices : (n, k) int64
            Rows of the bank; ties go to the lowest.

        Raises
        ------
        ValueError
            If `k` is out of range, the dimensions differ, or a value is not finite.
        """
        queries = _as_rows(queries, "queries")
        N, D = self.bank.shape
        if queries.shape[1] != D:
            raise ValueError(f"queries have {queries.shape[1]} columns, the bank has {D}")
        if not 1 <= k <= N:
            raise ValueError(f"k must be between 1 and the {N} rows of the bank, got {k}")

        best = np.full((len(queries), k), np.inf)
        who = np.full((len(queries), k), N, np.int64)
        if len(queries):
            norms = squared_norms(queries)
            if not np.isfinite(norms).all():
                raise ValueError("queries must be finite: found NaN or infinity")
            literal = max(norms.max(), self._norms.max()) >= HUGE
            since = np.zeros(len(queries), np.int64)  # the whole bank
            with threads.single_threaded_blas():
                rows = as_queries(bank_rows(queries, norms, self._mean, self._axes, self._step))
                search(rows, self._rows, since, best, who, self._step, literal)
        return np.sqrt(best), who


def nearest(queries, bank, k=1):
    """Find the `k` nearest rows of the bank for each query.

    One search; for many over the same bank build `Nearest` once. Parameters, results and errors are
    those of `Nearest` and `Nearest.query`.

    Notes
    -----
    Equation 6 of Roth et al., CVPR 2022; the same indices as `equations.nearest`.
    """
    return Nearest(bank).query(queries, k)
