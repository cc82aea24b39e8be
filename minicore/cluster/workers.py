"""Calls to the parts of a memory bank, wherever they are, and the bytes that these calls send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from minicore.cluster.part import Part

Done: TypeAlias = Callable[[int], object]


class Workers(Protocol):
    """Hold the parts of a memory bank, each a `Part`, numbered from 0."""

    def __len__(self) -> int: ...

    def call(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]], done: Done | None = None
    ) -> dict[int, Any]:
        """Call a method of several parts at the same time, and wait for all results.

        Parameters
        ----------
        method : str
            Name of a method of `Part`.
        arguments : mapping of int to tuple
            For each part that is called, its arguments.
        done : callable, optional
            Called with the number of each part whose result has come.

        Returns
        -------
        dict of int to object
            The result of each of these parts.
        """


class InProcess:
    """Parts in this process, called one after the other: the reference for all other workers.

    Parameters
    ----------
    parts : sequence of Part
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)

    def __len__(self) -> int:
        return len(self.parts)

    def call(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]], done: Done | None = None
    ) -> dict[int, Any]:
        """Call a method of several parts; see `Workers`."""
        results = {}
        for i, own in arguments.items():
            results[i] = getattr(self.parts[i], method)(*own)
            if done is not None:
                done(i)
        return results


class Counted:
    """Workers whose calls are counted, and the layout of their parts.

    Parameters
    ----------
    workers : Workers

    Attributes
    ----------
    rows : dict of int to int
        Number of rows of each part that has any, in the order of the rows.
    N : int
        Number of rows in all.
    sent, received : int
        Bytes of the arguments and of the results so far, as if each part were on another machine.

    Raises
    ------
    ValueError
        If there are no rows, the parts have different dimensions, or their rows are not 0 to N - 1,
        each once.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.sent = self.received = 0
        sizes = self.call("size", dict.fromkeys(range(len(workers)), ()))
        filled = sorted((first, n, d, part) for part, (first, n, d) in sizes.items() if n)
        self.rows = {part: n for _, n, _, part in filled}
        self.N = sum(self.rows.values())
        if not filled:
            raise ValueError("the parts have no rows")
        if len({d for _, _, d, _ in filled}) > 1:
            raise ValueError(f"the parts have {sorted({d for _, _, d, _ in filled})} dimensions")
        end = 0
        for first, n, _, part in filled:
            if first != end:
                raise ValueError(f"part {part} begins at row {first}, but must begin at row {end}")
            end += n

    def __len__(self) -> int:
        return len(self._workers)

    def each(self, *arguments: Any) -> dict[int, tuple[Any, ...]]:
        """Return the same arguments for every part that has rows."""
        return dict.fromkeys(self.rows, arguments)

    def call(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]], done: Done | None = None
    ) -> dict[int, Any]:
        """Call a method of several parts; see `Workers`."""
        results = self._workers.call(method, arguments, done)
        self.sent += _nbytes(list(arguments.values()))
        self.received += _nbytes(list(results.values()))
        return results

    def take(self, method: str, rows: np.ndarray) -> np.ndarray:
        """Return what a method of the parts returns for rows of the whole bank, in this order.

        Parameters
        ----------
        method : str
            Returns an array with one entry for each row that its part holds.
        rows : (k,) int64

        Returns
        -------
        (k, …) array
        """
        ends = np.cumsum(list(self.rows.values()))
        part = np.array(list(self.rows))[np.searchsorted(ends, rows, side="right")]
        results = self.call(method, {int(i): (rows[part == i],) for i in np.unique(part)})
        some = next(iter(results.values()))
        found = np.empty((len(rows), *some.shape[1:]), some.dtype)
        for i, own in results.items():
            found[part == i] = own
        return found


def _nbytes(values: Any) -> int:
    if hasattr(values, "nbytes"):
        return int(values.nbytes)
    if isinstance(values, Mapping):
        return _nbytes(list(values.values()))
    if isinstance(values, (tuple, list)):
        return sum(map(_nbytes, values))
    return 0 if values is None else 8
