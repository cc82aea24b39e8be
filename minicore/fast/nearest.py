"""Equation 6: exact nearest neighbours; most distances are never computed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import HUGE, squared_norms
from minicore.fast.axes import STATE, checked_axes, principal_axes
from minicore.fast.groups import consecutive, near
from minicore.fast.rows import as_queries, bank_rows
from minicore.fast.sieve import search
from minicore.runtime import threads


def _as_rows(array: npt.ArrayLike, name: str) -> npt.NDArray[np.float32]:
    rows = np.ascontiguousarray(array, np.float32)
    if rows.ndim != 2 or rows.shape[1] < 1:
        raise ValueError(f"{name} must be a (rows, dimensions) array, got shape {rows.shape}")
    return rows


class Nearest:
    """A bank prepared for many searches.

    Parameters
    ----------
    bank : (N, D) float
        The memory bank; kept as float32.
    state : dict of str to array, optional
        The result of `state` for this bank; then the axes are not computed again.

    Attributes
    ----------
    bank : (N, D) float32
        The memory bank.

    Raises
    ------
    ValueError
        If `bank` is empty or not finite, or if `state` has another shape or axes that are not
        orthonormal.

    Notes
    -----
    A state never changes a result. The bounds hold for any centre and any orthonormal axes, and the
    constructor checks that the axes are orthonormal. The coordinates of the bank along the axes are
    always computed again. Axes of another bank only make the search slower.
    """

    def __init__(
        self, bank: npt.ArrayLike, state: Mapping[str, npt.ArrayLike] | None = None
    ) -> None:
        self.bank = _as_rows(bank, "bank")
        if len(self.bank) == 0:
            raise ValueError("bank has no rows")
        self._norms = squared_norms(self.bank)
        if not np.isfinite(self._norms).all():
            raise ValueError("bank must be finite: found NaN or infinity")
        with threads.single_threaded_blas():  # eigh is thirty times slower with several threads
            usable = self._norms.max() < HUGE
            if state is not None:
                self._mean, self._axes = checked_axes(state, self.bank.shape[1])
            else:
                self._mean, self._axes = principal_axes(self.bank if usable else self.bank[:1])
            self._rows = bank_rows(self.bank, self._norms, self._mean, self._axes)
            self._groups = near(self._rows) if usable else consecutive(self._rows)

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the centre and the axes of the bank, to store them beside the bank.

        Returns
        -------
        state : dict
            ``"mean"`` (D,) float64, the bank's centre, and ``"axes"`` (D, k) float64, its first
            principal axes as columns. k is 0 for a small bank, which is searched faster without
            axes.
        """
        return dict(zip(STATE, (self._mean, self._axes), strict=True))

    def query(
        self,
        queries: npt.ArrayLike,
        k: int = 1,
        within: npt.NDArray[np.float64] | None = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Find the `k` nearest rows of the bank for each query.

        Parameters
        ----------
        queries : (n, D) float
            Patch features; converted to float32.
        k : int, default 1
            Number of neighbours, between 1 and `N`.
        within : (n,) float64, optional
            Rows that are farther need not be found. This saves time.

        Returns
        -------
        distances : (n, k) float64
            Euclidean, increasing.
        indices : (n, k) int64
            Rows of the bank; ties go to the lowest. `N` if there is no further row `within` the
            distance; then the distance is infinite.

        Raises
        ------
        ValueError
            If `k` is out of range, the dimensions differ, or a value is not finite.
        """
        x = _as_rows(queries, "queries")
        N, D = self.bank.shape
        if x.shape[1] != D:
            raise ValueError(f"queries have {x.shape[1]} columns, the bank has {D}")
        if not 1 <= k <= N:
            raise ValueError(f"k must be between 1 and the {N} rows of the bank, got {k}")

        best = np.full((len(x), k), np.inf)
        if within is not None:
            best[:] = (within * within * (1 + 1e-12))[:, None]  # more than the rounding errors
        who = np.full((len(x), k), N, np.int64)
        if len(x):
            norms = squared_norms(x)
            if not np.isfinite(norms).all():
                raise ValueError("queries must be finite: found NaN or infinity")
            literal = max(norms.max(), self._norms.max()) >= HUGE
            since = np.zeros(len(x), np.int64)  # search the whole bank
            with threads.single_threaded_blas():
                rows = as_queries(bank_rows(x, norms, self._mean, self._axes))
                search(rows, self._rows, self._groups, since, best, who, literal)
        return np.where(who < N, np.sqrt(best), np.inf), who


def nearest(
    queries: npt.ArrayLike, bank: npt.ArrayLike, k: int = 1
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Find the `k` nearest rows of the bank for each query.

    This is one search. For many searches in one bank, build `Nearest` once. Parameters, results and
    errors are those of `Nearest` and `Nearest.query`.

    Notes
    -----
    Equation 6 of Roth et al., CVPR 2022; the same indices as `equations.nearest`.
    """
    return Nearest(bank).query(queries, k)
