r"""The whole memory bank $\mathcal{M}$ (equation 4), from which `fit` selects the coreset.

It is the largest array of a fit: 306,544 rows of 1,024 float32 for the 391 images of MVTec AD's
hazelnut, 1.26 GB. So it can be stored in half precision or in a file.

The file is read and written in pieces, not mapped into memory. Writing to a mapping on a full disk
would kill the process, and mapped pages count as memory of the process. The file has no name in its
folder (on Windows it is deleted when it is closed). So no file remains, even if the process is
killed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from minicore.errors import OutputError
from minicore.runtime import system, threads
from minicore.runtime.files import write_all

Storage: TypeAlias = Literal["float32", "float16", "disk"]

BLOCK = 8192  # rows that are read at a time: 32 MB of 1,024 float32


class MemoryBank:
    """Equation 4: append patch features image by image; then read rows, as float32.

    Parameters
    ----------
    n : int
        Number of images.
    storage : {"float32", "float16", "disk"}
        In memory, in memory at half precision, or as float32 in a temporary file.
    turns : int
        Number of turned copies of each image, including the image itself, which is the first.

    Attributes
    ----------
    shape : (int, int)
        N rows and D columns; (0, 0) before the first patches.
    grid : (int, int)
        Size of the patch grid of an image, h' and w'; (0, 0) before the first patches.
    """

    def __init__(self, n: int, storage: Storage, turns: int = 1) -> None:
        self.n, self.storage, self.turns = n, storage, turns
        self.shape = self.grid = 0, 0
        self._filled = 0
        self._rows = np.empty((0, 0), np.float32)  # empty if the bank is on disk
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def rows(self) -> np.ndarray:
        """Row numbers of each image and each of its turned copies, (n, turns, h' · w') int64.

        `rows[i]` are all rows of image i, and `rows[i, 0]` those of the image as it is.
        """
        return np.arange(len(self), dtype=np.int64).reshape(self.n, self.turns, -1)

    def __enter__(self) -> MemoryBank:
        return self

    def __exit__(self, *_: object) -> None:
        """Release the memory and the file."""
        self.shape, self._rows = (0, 0), np.empty((0, 0), np.float32)
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:  # a worker of a cluster releases its bank without `with`
        self.__exit__()

    # A pickle of a bank on disk contains its rows.
    def __getstate__(self) -> dict[str, Any]:
        stored = {"_rows": self[:]} if self._file is not None else {}
        return {**vars(self), "_file": None, **stored}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.storage == "disk" and len(self):
            rows, self._rows = self._rows, np.empty((0, 0), np.float32)
            self._make(*self.shape)
            self._put(0, rows)

    # ----------------------------------------------------------------- filling

    def append(self, patches: np.ndarray) -> None:
        """Append patch features.

        Parameters
        ----------
        patches : (n, h', w', D) float32
            Of the next images. Turned copies of one image follow each other.

        Raises
        ------
        ValueError
            If a value is too large for float16.
        OutputError
            If the file cannot be created or written, or the disk is full.
        """
        n, height, width, D = patches.shape
        if not len(self):
            self.grid = height, width
            self._make(self.n * self.turns * height * width, D)
        self._put(self._filled, patches.reshape(-1, D))
        self._filled += n * height * width

    def transform(self, function: Callable[[np.ndarray], np.ndarray], D: int) -> None:
        """Replace the rows by a function of them, block by block and in place.

        Parameters
        ----------
        function : callable
            From n rows, (n, columns) float32, to their new values, (n, D).
        D : int
            The new number of columns, at most the old one.

        Raises
        ------
        ValueError
            If a value is too large for float16.
        OutputError
            If the file cannot be written.
        """
        for first in range(0, len(self), BLOCK):  # a block is never written after its old place
            self._put(first, function(self[first : first + BLOCK]))
        self.shape = len(self), D
        if self._file is None:
            self._rows = self._rows.reshape(-1)[: len(self) * D].reshape(self.shape)

    def _make(self, N: int, D: int) -> None:
        self.shape = N, D
        if self.storage != "disk":
            self._rows = np.empty((N, D), self.storage)
            return
        try:
            self._file = tempfile.TemporaryFile(prefix="minicore-", buffering=0)  # noqa: SIM115
            system.reserve(self._file, N * D * 4)
        except OSError as error:
            raise self._refused(error) from error

    def _put(self, first: int, rows: np.ndarray) -> None:
        if self._file is not None:
            try:
                self._file.seek(first * rows.shape[1] * 4)
                write_all(self._file, np.ascontiguousarray(rows, np.float32))
            except OSError as error:
                raise self._refused(error) from error
            return
        start, source = first * rows.shape[1], rows.reshape(-1)
        target = self._rows.reshape(-1)[start : start + rows.size]

        def copy(first: int, end: int) -> None:
            with np.errstate(over="raise"):
                target[first:end] = source[first:end]

        try:
            # In threads, because the operating system may need longer to provide new memory than a
            # copy needs.
            threads.share(copy, len(source))
        except FloatingPointError:
            raise ValueError(
                f"bank_storage must be 'float32' or 'disk' for this network: its features reach "
                f"{np.abs(rows).max():.3g}, and the largest float16 is 65504"
            ) from None

    def _refused(self, error: OSError) -> OutputError:
        N, D = self.shape
        return OutputError(
            f"{_folder()}: cannot hold a memory bank of {N * D * 4 / 1e9:.3g} GB: "
            f"{error.strerror or error}; set TMPDIR to a folder with space, or bank_storage to "
            f"'float16' or 'float32'"
        )

    # ----------------------------------------------------------------- reading

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return the rows of a slice without step, or of an array of numbers, (n, D) float32.

        A slice of a bank in memory as float32 is a view.
        """
        if self._file is None:
            return self._rows[rows].astype(np.float32, copy=False)
        N, D = self.shape
        if isinstance(rows, slice):
            first, end, _ = rows.indices(N)
            found = np.empty((max(end - first, 0), D), np.float32)
            self._read(first, found)
            return found
        found = np.empty((len(rows), D), np.float32)
        for i, row in enumerate(rows):
            self._read(int(row), found[i])
        return found

    def _read(self, first: int, into: np.ndarray) -> None:
        assert self._file is not None
        if not into.size:
            return
        self._file.seek(first * self.shape[1] * 4)
        view = into.data.cast("B")
        while len(view):
            read = self._file.readinto(view)  # type: ignore[attr-defined]
            if not read:
                raise self._refused(OSError("the file has become shorter"))
            view = view[read:]


def origins(rows: np.ndarray, grid: tuple[int, int], turns: int = 1) -> np.ndarray:
    """Return where rows of the whole memory bank come from; the inverse of `MemoryBank.rows`.

    The bank is ordered by image, then by turned copy, then by row of the patch grid.

    Parameters
    ----------
    rows : (l,) int64
    grid : (int, int)
        Size of the patch grid of an image, h' and w'.
    turns : int
        As for `MemoryBank`.

    Returns
    -------
    (l, 4) int64
        Number of the image, number of the turned copy, row and column on the patch grid of this
        copy.
    """
    height, width = grid
    copy, at = np.divmod(rows, height * width)
    return np.stack([*np.divmod(copy, turns), *np.divmod(at, width)], axis=-1)


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "no folder for temporary files"
