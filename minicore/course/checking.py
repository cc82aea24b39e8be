"""Check a student's function against an exercise."""

from __future__ import annotations

import copy
import dataclasses
import html
import inspect
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore.course.diagnosis import diagnose, is_right
from minicore.course.exercise import Exercise, Exercises, Function, Hint
from minicore.course.exercises import auroc, eq1, eq2, eq3, eq4, eq5, eq6, eq7, lower_bound, top
from minicore.course.guard import Outcome, call
from minicore.course.library import library_name, refused
from minicore.course.question import Question, find_mistake
from minicore.course.questions import QUESTIONS

_MODULES = (eq1, eq2, eq3, eq4, eq5, eq6, eq7, auroc, lower_bound, top)
EXERCISES = Exercises(exercise for module in _MODULES for exercise in module.ALL)


@dataclass(frozen=True)
class Result:
    """The result of a check; true only if all cases are right.

    Attributes
    ----------
    name : str
        Name of the exercise.
    passed, total : int
        Number of right cases and of all cases. A question has one case.
    keyword : str
        Short, stable name of the mistake; empty if all cases are right.
    hint : str
        Description of the mistake.
    example : str
        The first wrong case.
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
        if self.total == 1:
            words = "right." if self else "not right yet."
        else:
            words = f"{'all' if self else f'{self.passed} of'} {self.total} cases are right."
        if self:
            return f"{self.name}: {words}"
        lines = [f"{self.name}: {words}", f"  {self.hint}"]
        return "\n".join(
            [*lines, f"  First wrong case: {self.example}."] if self.example else lines
        )

    def _repr_html_(self) -> str:
        colour = "#009E73" if self else "#D55E00"
        first, *rest = (html.escape(line.strip()) for line in repr(self).splitlines())
        body = "".join(f"<div>{line}</div>" for line in rest)
        style = f"border-left:4px solid {colour};padding:0.3em 0.8em"
        return f'<div style="{style}"><b>{first}</b>{body}</div>'


def exercises() -> None:
    """Print the name, answer and question of each exercise; a notebook displays a table.

    The exercises with a function are in the tuple `EXERCISES`, those with numbers in `QUESTIONS`.
    """
    notebook = sys.modules.get("IPython.display")  # loaded in every notebook
    (notebook.display if notebook else print)(Exercises((*EXERCISES, *QUESTIONS)))


def check(name: str, answer: Any, *, seconds: float = 10.0, seed: int = 0) -> Result:
    """Check your answer to an exercise: your version of an equation, or your numbers.

    Parameters
    ----------
    name : str
        Name of the exercise: "eq1" to "eq7", "algorithm1", "05.3" (notebook 05, exercise 3) and
        others that `exercises` prints.
    answer : callable, number or sequence of numbers
        Your function, with the parameters that `exercises` prints; or your numbers, in the order
        that `exercises` prints. Fractions may have an error of 0.5 %. Whole numbers must be exact.
    seconds : float, default 10
        Time limit for all cases of a function together.
    seed : int, default 0
        For a function, 0 means the usual cases. Any other seed makes other random cases; a lecturer
        can grade with a seed that the students do not know. For numbers, the seed of the drawn
        parts. The right numbers are computed from these parts, which takes up to a few seconds.

    Returns
    -------
    Result
        True if all cases are right; otherwise it contains a hint. A function that uses minicore
        instead of its own code is not right.

    Raises
    ------
    ValueError
        If no exercise has this name, or `seed` is negative.
    TypeError
        If a function is needed and `answer` is none, or the other way round.
    """
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    exercise = _find(name)
    if isinstance(exercise, Question):
        return _check_numbers(exercise, answer, seed)
    if seed:
        exercise = dataclasses.replace(exercise, seed=seed)
    if not callable(answer):
        raise TypeError(
            f"check needs the function itself, not its result: check({exercise.name!r}, "
            f"my_function); got {type(answer).__name__}"
        )
    function: Function = answer
    used = library_name(function)
    if used is not None:
        return _library(exercise, used)
    if not _accepts(function, exercise.cases[0].arguments):
        words = f"The parameters of your function are {inspect.signature(function)}. Expected: "
        words += exercise.signature + "."
        return Result(exercise.name, 0, len(exercise.cases), "arguments", words)

    exercise.answers  # noqa: B018  # the reference calls the library
    with refused() as calls:
        result = run_cases(exercise, function, seconds)
    return _library(exercise, calls[0]) if calls else result


def _library(exercise: Exercise, name: str) -> Result:
    words = f"Your function uses `{name}`. Write it yourself, with NumPy or plain loops."
    return Result(exercise.name, 0, len(exercise.cases), "library", words)


def run_cases(exercise: Exercise, function: Function, seconds: float = 10.0) -> Result:
    """Compare the results of any function with the answers, also of one that uses the library.

    Parameters
    ----------
    exercise : Exercise
    function : callable
    seconds : float, default 10
        Time limit for all cases together.

    Returns
    -------
    Result
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the hint describes NaN and overflow
        return _run_cases(exercise, function, seconds)


def _check_numbers(question: Question, answer: Any, seed: int) -> Result:
    if callable(answer):
        raise TypeError(
            f"check needs your numbers, not a function: check({question.name!r}, answer) with "
            f"{question.returns}"
        )
    hint = find_mistake(question, answer, seed)
    if hint is None:
        return Result(question.name, 1, 1)
    return Result(question.name, 0, 1, hint.keyword, hint.words)


def _run_cases(exercise: Exercise, function: Function, seconds: float) -> Result:
    answers, total = exercise.answers, len(exercise.cases)
    returned: list[Any] = []
    wrong: list[int] = []
    failure: tuple[int, Hint] | None = None  # the first case without a usable result
    end = time.monotonic() + seconds
    for i, case in enumerate(exercise.cases):
        arguments = copy.deepcopy(case.arguments)
        outcome = call(function, arguments, max(end - time.monotonic(), 0.01))
        returned.append(outcome.value)
        hint = _failure(outcome, arguments, case.arguments, seconds)
        if hint is not None or not is_right(outcome.value, answers[i]):
            wrong.append(i)
        if failure is None and hint is not None:
            failure = i, hint
        if outcome.timed_out:
            wrong += range(i + 1, total)
            break
    if not wrong:
        return Result(exercise.name, total, total)
    first, hint = failure or (wrong[0], diagnose(exercise, returned, wrong))
    example = _example(exercise, first)
    return Result(exercise.name, total - len(wrong), total, hint.keyword, hint.words, example)


def _find(name: str) -> Exercise | Question:
    by_name = {exercise.name: exercise for exercise in (*EXERCISES, *QUESTIONS)}
    key = str(name).lower().replace(" ", "")
    if key not in by_name:
        raise ValueError(f"no exercise {name!r}; choose one of {', '.join(by_name)}")
    return by_name[key]


def _accepts(function: Function, arguments: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a compiled function without a signature
        return True
    return True


def _failure(
    outcome: Outcome, arguments: tuple[Any, ...], originals: tuple[Any, ...], seconds: float
) -> Hint | None:
    """Return a hint if the call failed, returned nothing or changed its arguments."""
    if outcome.timed_out:
        return Hint(
            "too-slow",
            f"Stopped after {seconds:g} s. A simple loop needs much less than one second. Is there "
            "a loop that never ends?",
        )
    if outcome.error:
        return Hint("raises", f"Your function raises {outcome.error}.")
    if outcome.value is None:
        return Hint("none", "Your function returns nothing. Is there a `return` at its end?")
    for before, after in zip(originals, arguments, strict=True):
        if not np.array_equal(before, after):
            return Hint(
                "modifies-input",
                "Your function changes one of its input arrays. Work on a copy.",
            )
    return None


def _example(exercise: Exercise, i: int) -> str:
    names = inspect.signature(exercise.reference).parameters
    case = exercise.cases[i]
    parts = [
        f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name} = {value}"
        for name, value in zip(names, case.arguments, strict=True)
    ]
    return f"{case.about}, {', '.join(parts)}"
