"""Call a student's function with a time limit."""

from __future__ import annotations

import ctypes
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class TooSlow(BaseException):
    """Raised inside a function at the time limit; ``except Exception`` does not catch it."""


@dataclass(frozen=True)
class Outcome:
    """The result of one call.

    Attributes
    ----------
    value : Any
    error : str
        The exception in one line, with the statement that raised it; empty if there was none.
    timed_out : bool
    """

    value: Any = None
    error: str = ""
    timed_out: bool = False


def call(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> Outcome:
    """Call a function with a time limit.

    The function runs in a thread. At the time limit an exception is raised in this thread. This
    ends any loop of Python statements on any system. It does not end a single call of compiled
    code: such a thread continues. (Python 3.10 hangs in a loop that starts with ``try`` and calls
    nothing, because such a loop never releases the interpreter. Python 3.11 does not hang.)

    Parameters
    ----------
    function : callable
    arguments : tuple
    seconds : float
        Time limit.

    Returns
    -------
    Outcome
    """
    outcomes: list[Outcome] = []

    def run() -> None:
        try:
            with np.errstate(all="ignore"):  # the hint describes NaN and overflow
                outcomes.append(Outcome(function(*arguments)))
        except TooSlow:
            pass
        except BaseException as error:  # SystemExit too: it must not end the student's program
            outcomes.append(Outcome(error=_describe(error, function)))

    thread = threading.Thread(target=run, name="minicore-course", daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:  # also after Ctrl-C
        _stop(thread)
    return outcomes[0] if outcomes else Outcome(timed_out=True)


def _stop(thread: threading.Thread) -> None:
    for _ in range(20):  # a bare ``except:`` in a loop can catch some of them
        if not thread.is_alive():
            return
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(TooSlow))
        thread.join(0.05)


def _describe(error: BaseException, function: Callable[..., Any]) -> str:
    words = f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    stack = traceback.extract_tb(error.__traceback__)
    lines = [f.line for f in stack if f.filename == file and f.line]
    return f"{words}, in the line `{lines[-1]}`" if lines else words
