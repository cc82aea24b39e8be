"""Show progress: a bar on a terminal and in a notebook, plain lines in a log."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

with warnings.catch_warnings():  # without ipywidgets, tqdm shows a text bar and warns
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

SECONDS_BETWEEN_LINES = 10


def bar(total: int, label: str, unit: str, *, show: bool = True, initial: int = 0) -> Any:
    """Return a progress bar: a context manager with a method ``update(n)``.

    ``set_postfix_str(text)`` adds a text, which is shown with the next update.

    Parameters
    ----------
    total : int
        Number of units of work.
    label : str
        One or two words for the work, such as "fit".
    unit : str
        The name of one unit in the singular. "B" means bytes, which are shown as kB, MB or GB.
    show : bool, default True
        False shows nothing.
    initial : int, default 0
        Number of units that are already done.
    """
    if show and not sys.stderr.isatty() and "ipykernel" not in sys.modules:
        return _Lines(total, label, unit, initial)
    return tqdm(
        total=total,
        desc=label,
        unit=unit,
        unit_scale=unit == "B",
        initial=initial,
        leave=False,
        disable=not show,
    )


class _Lines:
    """Print one line of progress every ten seconds. Shorter work prints nothing.

    The class has the methods of tqdm that pooch calls.
    """

    def __init__(self, total: int, label: str, unit: str, done: int) -> None:
        self.total, self.label, self.unit, self.done = total, label, unit, done
        self._started = self._printed = time.monotonic()
        self._postfix = ""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = now
            seconds = now - self._started
            amount = f"{self.done} of {self.total} {self.unit}s"
            if self.unit == "B":
                amount = f"{self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
            print(
                f"{self.label}: {amount}, {seconds:.0f} s{self._postfix}",
                file=sys.stderr,
                flush=True,
            )

    def set_postfix_str(self, text: str) -> None:
        self._postfix = f", {text}"

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass
