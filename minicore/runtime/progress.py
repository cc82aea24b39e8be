"""How long work is shown: a bar on a terminal and in a notebook, plain lines in a log."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

with warnings.catch_warnings():  # in a notebook without ipywidgets its bar is text: no more to say
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

SECONDS_BETWEEN_LINES = 10


def bar(total: int, doing: str, unit: str, *, show: bool = True, initial: int = 0) -> Any:
    """Give a progress bar: a context manager with ``update(n)``.

    Parameters
    ----------
    total : int
        Units of work.
    doing : str
        What is being done, a word or two.
    unit : str
        What is counted, in the singular; "B" for bytes, shown as kB, MB or GB.
    show : bool, default True
    initial : int, default 0
        Units done already.
    """
    if show and not sys.stderr.isatty() and "ipykernel" not in sys.modules:
        return _Lines(total, doing, unit, initial)
    return tqdm(
        total=total,
        desc=doing,
        unit=unit,
        unit_scale=unit == "B",
        initial=initial,
        leave=False,
        disable=not show,
    )


class _Lines:
    """Say how far it is, on a line of its own every ten seconds. Short work stays silent.

    It has the methods of tqdm that the libraries call which take a bar.
    """

    def __init__(self, total: int, doing: str, unit: str, done: int) -> None:
        self.total, self.doing, self.unit, self.done = total, doing, unit, done
        self._started = self._said = time.monotonic()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            seconds = now - self._started
            amount = f"{self.done} of {self.total} {self.unit}s"
            if self.unit == "B":
                amount = f"{self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
            print(
                f"{self.doing}: {amount}, {seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass
