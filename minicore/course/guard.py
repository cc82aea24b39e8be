"""Run somebody else's function without hanging on it."""

from __future__ import annotations

import ctypes
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class TooSlow(BaseException):
    """Raised inside a function whose time is up; no ``except Exception`` of its own stops it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one call: a value, or the reason why there is none.

    Attributes
    ----------
    value : Any
    error : str
        Empty if it returned; else what it raised, in one line, and the statement that did.
    timed_out : bool
    """

    value: Any = None
    error: str = ""
    timed_out: bool = False


def call(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> Outcome:
    """Call a function, for at most so long.

    It runs in a thread of its own, in which an exception is raised when the time is up. That ends
    any loop of Python statements on any system; one call into compiled code is waited for in vain
    and left behind. (But Python 3.10 itself hangs in a loop that begins with ``try`` and calls
    nothing: it lets no other thread run. Python 3.11 does.)

    Parameters
    ----------
    function : callable
    arguments : tuple
    seconds : float

    Returns
    -------
    Outcome
    """
    outcomes: list[Outcome] = []

    def run() -> None:
        try:
            with np.errstate(all="ignore"):  # what overflows is told in words, not as a warning
                outcomes.append(Outcome(function(*arguments)))
        except TooSlow:
            pass
        except BaseException as error:  # SystemExit too: it is the student's, not ours
            outcomes.append(Outcome(error=_in_one_line(error, function)))

    thread = threading.Thread(target=run, name="minicore-course", daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:  # an interrupt from the keyboard ends it as well
        _stop(thread)
    return outcomes[0] if outcomes else Outcome(timed_out=True)


def _stop(thread: threading.Thread) -> None:
    for _ in range(20):  # a bare ``except:`` in a loop may swallow a few
        if not thread.is_alive():
            return
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(TooSlow))
        thread.join(0.05)


def _in_one_line(error: BaseException, function: Callable[..., Any]) -> str:
    words = f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    stack = traceback.extract_tb(error.__traceback__)
    lines = [f.line for f in stack if f.filename == file and f.line]
    return f"{words}, in the line `{lines[-1]}`" if lines else words
