"""Check a student's function."""

from __future__ import annotations

import copy
import html
import inspect
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore.course.diagnosis import diagnose, right
from minicore.course.exercise import Exercise, Exercises, Hint
from minicore.course.exercises import auroc, eq1, eq2, eq3, eq4, eq5, eq6, eq7
from minicore.course.guard import Outcome, call

_FAMILIES = (eq1, eq2, eq3, eq4, eq5, eq6, eq7, auroc)
EXERCISES = Exercises(exercise for family in _FAMILIES for exercise in family.ALL)


@dataclass(frozen=True)
class Result:
    """What came of a check; true only if every case is right.

    Attributes
    ----------
    name : str
        Of the exercise.
    passed, total : int
        Cases.
    keyword : str
        A stable name of what is wrong; empty if nothing is.
    hint : str
        The same in plain words.
    example : str
        The first case that is not right.
    """

    name: str
    passed: int
    total: int
    keyword: str = ""
    hint: str = ""
    example: str = ""

    def __bool__(self) -> bool:
        return self.passed == self.total

    def __repr__(self) -> str:
        if self:
            return f"{self.name}: right, all {self.total} cases."
        lines = [f"{self.name}: {self.passed} of {self.total} cases right.", f"  {self.hint}"]
        return "\n".join([*lines, f"  First seen with {self.example}."] if self.example else lines)

    def _repr_html_(self) -> str:
        colour = "#009E73" if self else "#D55E00"
        first, *rest = (html.escape(line.strip()) for line in repr(self).splitlines())
        body = "".join(f"<div>{line}</div>" for line in rest)
        style = f"border-left:4px solid {colour};padding:0.3em 0.8em"
        return f'<div style="{style}"><b>{first}</b>{body}</div>'


def exercises() -> None:
    """Print the exercises: name, function to write, question; in a notebook as a table.

    The exercises themselves are the tuple `EXERCISES`.
    """
    notebook = sys.modules.get("IPython.display")  # every notebook has imported it before us
    (notebook.display if notebook else print)(EXERCISES)


def check(name: str, function: Callable[..., Any], *, seconds: float = 10.0) -> Result:
    """Check your own version of an equation.

    Parameters
    ----------
    name : str
        Of the exercise: "eq1" to "eq7", "algorithm1" and others that `exercises` lists.
    function : callable
        Yours; takes and returns what `exercises` says.
    seconds : float, default 10
        Time for all cases together; they are small.

    Returns
    -------
    Result
        True if all cases are right; else it prints a hint.

    Raises
    ------
    ValueError
        If there is no such exercise.
    TypeError
        If `function` is not a function.
    """
    exercise = _find(name)
    if not callable(function):
        raise TypeError(
            f"check takes the function itself, without calling it: check({exercise.name!r}, "
            f"my_function); got {type(function).__name__}"
        )
    if not _fits(function, exercise.cases[0].arguments):
        words = f"Your function takes {inspect.signature(function)}; asked for is "
        words += exercise.signature + "."
        return Result(exercise.name, 0, len(exercise.cases), "arguments", words)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is told in words
        return _judge(exercise, function, seconds)


def _judge(exercise: Exercise, function: Callable[..., Any], seconds: float) -> Result:
    answers, total = exercise.answers, len(exercise.cases)
    returned: list[Any] = []
    failing: list[int] = []
    trouble: tuple[int, Hint] | None = None
    end = time.monotonic() + seconds
    for i, case in enumerate(exercise.cases):
        given = copy.deepcopy(case.arguments)
        outcome = call(function, given, max(end - time.monotonic(), 0.01))
        returned.append(outcome.value)
        found = _trouble(outcome, given, case.arguments, seconds)
        if found is not None or not right(outcome.value, answers[i]):
            failing.append(i)
        if trouble is None and found is not None:
            trouble = i, found
        if outcome.timed_out:
            failing += range(i + 1, total)
            break
    if not failing:
        return Result(exercise.name, total, total)
    first, hint = trouble or (failing[0], diagnose(exercise, returned, failing))
    example = _example(exercise, first)
    return Result(exercise.name, total - len(failing), total, hint.keyword, hint.words, example)


def _find(name: str) -> Exercise:
    known = {e.name: e for e in EXERCISES}
    wanted = str(name).lower().replace(" ", "")
    if wanted not in known:
        raise ValueError(f"no exercise {name!r}; there are {', '.join(known)}")
    return known[wanted]


def _fits(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # compiled, and silent about its parameters
        return True
    return True


def _trouble(
    outcome: Outcome, given: tuple[Any, ...], arguments: tuple[Any, ...], seconds: float
) -> Hint | None:
    """Say what is wrong before any value is looked at."""
    if outcome.timed_out:
        return Hint(
            "too-slow",
            f"Stopped after {seconds:g} s, where a plain loop needs a fraction of one. Is there a "
            "loop that never ends?",
        )
    if outcome.error:
        return Hint("raises", f"Your function raises {outcome.error}.")
    if outcome.value is None:
        return Hint("none", "Your function returns nothing. Is there a `return` at its end?")
    for before, after in zip(arguments, given, strict=True):
        if not np.array_equal(before, after):
            return Hint(
                "modifies-input",
                "Your function changes an array that it was given. Work on a copy: whoever "
                "called it still needs the original.",
            )
    return None


def _example(exercise: Exercise, i: int) -> str:
    names = inspect.signature(exercise.reference).parameters
    case = exercise.cases[i]
    parts = [
        f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name} = {value}"
        for name, value in zip(names, case.arguments, strict=True)
    ]
    return f"{case.about}: {', '.join(parts)}"
