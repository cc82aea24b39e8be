r"""A part of a memory bank that is divided among machines: some rows of $\psi(\mathcal{M})$."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minicore.fast import greedy_coreset
from minicore.fast.coreset import largest
from minicore.fast.farthest import Farthest

CHANGING = ("_own", "_lock")
FEW = 64  # picks that all rows are compared with, to find a covering radius


class Reply(NamedTuple):
    """The rows of a part that are farthest from the picks, and a bound for its other rows.

    Row numbers are those of the whole memory bank.
    """

    rows: npt.NDArray[np.int64]  # (k,) increasing
    vectors: npt.NDArray[np.float32]  # (k, d)
    to_nearest: npt.NDArray[np.float64]  # (k,) squared distances to the nearest pick
    outside: float  # largest bound of a squared distance of any other row; -1 if there is none
    outside_row: int  # the lowest row that has it


class Part:
    r"""Rows of the memory bank, in the projection $\psi$, on one machine.

    All methods take and return plain arrays and numbers, so that other machines can call them.
    Several threads may call them. A pickled part is a new part without picks.

    Parameters
    ----------
    psi_M : (n, d) float32
        The rows, in the order of the images. There may be none.
    first : int
        Number of the first row in the whole memory bank.

    Raises
    ------
    ValueError
        If `psi_M` has not two dimensions or is not finite, or `first` is negative.
    """

    def __init__(self, psi_M: npt.ArrayLike, first: int) -> None:
        bank = np.ascontiguousarray(psi_M, np.float32)
        if bank.ndim != 2 or bank.shape[1] < 1:
            raise ValueError(f"psi_M must be a (rows, dimensions) array, got shape {bank.shape}")
        if first < 0:
            raise ValueError(f"first must be at least 0, got {first}")
        self.first, self._bank = first, bank
        self._begin()

    def _begin(self) -> None:
        self._own = Farthest(self._bank)
        self._lock = threading.Lock()  # held while picks are learned

    def __getstate__(self) -> dict[str, Any]:
        # Without what a call may be changing at this moment.
        return {name: value for name, value in vars(self).items() if name not in CHANGING}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def size(self) -> tuple[int, int, int]:
        """Return the number of the first row, the number of rows, and their dimension."""
        return self.first, *self._bank.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the rows and what is computed from them once."""
        return sum(array.nbytes for array in self._own.rows)

    def vectors(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the vectors of those rows that this part holds, (k, d) float32."""
        return self._bank[self._local(rows)]

    def farthest(
        self,
        known: int,
        rows: npt.NDArray[np.int64],
        vectors: npt.NDArray[np.float32],
        n: int,
    ) -> Reply | None:
        """Learn new picks, then return the rows that are farthest from all picks.

        A call may be repeated: a pick that the part has learned is not learned again.

        Parameters
        ----------
        known : int
            Number of picks before these.
        rows : (k,) int64
            The picks, in the order picked.
        vectors : (k, d) float32
            Their vectors.
        n : int
            Number of rows to return, at least 1.

        Returns
        -------
        Reply or None
            Fewer than `n` rows if fewer are not picked. None if the part has not learned all picks
            before these, because it was made again: send it all picks.

        Raises
        ------
        ValueError
            If the part has learned more picks than there are.
        """
        with self._lock:
            return self._farthest(known, rows, vectors, n)

    def _farthest(
        self, known: int, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32], n: int
    ) -> Reply | None:
        own = self._own
        new = slice(own.picks - known, None)
        if own.picks < known:
            return None
        if own.picks > known + len(rows):
            raise ValueError(
                f"the part that begins at row {self.first} has learned {own.picks} picks, but "
                f"there are only {known + len(rows)}; make the part again"
            )
        own.remove(self._local(rows[new]))
        own.add(np.ascontiguousarray(vectors[new], np.float32))
        top, outside = own.candidates(n, n)
        row = outside.row + self.first
        return Reply(top + self.first, self._bank[top], own.to_nearest[top], outside.squared, row)

    def coreset(
        self, l: int, start: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], float]:
        """Select a coreset of this part alone by Algorithm 1.

        Parameters
        ----------
        l : int
            Number of rows. A part with fewer rows returns all of them.
        start : int
            The first pick, if this part holds it. Otherwise it is the first row of the part.

        Returns
        -------
        rows : (l,) int64
        vectors : (l, d) float32
        radius : float
            Largest distance of a row of this part to its nearest pick.
        """
        n = len(self._bank)
        local = start - self.first if self.first <= start < self.first + n else 0
        rows, radii = greedy_coreset(self._bank, min(l, n), local, return_radii=True)
        return rows + self.first, self._bank[rows], float(radii[-1])

    def covering_radius(self, vectors: npt.NDArray[np.float32]) -> float:
        """Return the largest distance of a row to the nearest of these vectors, (l, d) float32.

        It is computed fastest if the first vectors are far from each other, as in a coreset.
        """
        every = Farthest(self._bank)
        first, end = 0, FEW
        while first < len(vectors):  # most rows need only the first vectors
            every.add(np.ascontiguousarray(vectors[first:end], np.float32))
            radius = largest(every)
            first, end = end, 2 * end
        return radius

    def _local(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        local = rows - self.first
        return local[(local >= 0) & (local < len(self._bank))]
