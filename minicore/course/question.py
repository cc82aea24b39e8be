"""The parts of a question: a value computed from the drawn parts, and known mistakes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore.course.exercise import Array, Hint, Mistake

TOLERANCE = 0.005  # of a fraction, relative to the right value; whole numbers must be exact
PLACES = ("first", "second", "third", "fourth")


@dataclass(frozen=True, eq=False)
class Question:
    """An exercise that is answered by numbers, not by a function.

    Attributes
    ----------
    name : str
        Number of the notebook and number of the exercise, such as "05.3".
    title : str
    question : str
        The numbers to compute, in one or two sentences. The notebook has the whole exercise.
    returns : str
        Number, type and order of the values.
    compute : callable
        Takes the seed of the drawn parts and returns the right answer: a number, an array, or a
        tuple of numbers. Seconds, not minutes.
    mistakes : tuple of Mistake
        Their variants take the seed too and return a wrong answer. They are checked in this order.
    """

    name: str
    title: str
    question: str
    returns: str
    compute: Callable[[int], Any]
    mistakes: tuple[Mistake, ...]

    @property
    def signature(self) -> str:
        """How the answer is checked."""
        return f'check("{self.name}", answer)'

    def __repr__(self) -> str:
        return f"{self.name}: {self.returns}\n    {self.question}"


@functools.lru_cache(maxsize=256)
def _computed(function: Callable[[int], Any], seed: int) -> Any:
    with np.errstate(all="ignore"):
        return function(seed)


def find_mistake(question: Question, value: Any, seed: int) -> Hint | None:
    """Compare an answer with the right one.

    Parameters
    ----------
    question : Question
    value : Any
        The student's answer.
    seed : int
        Seed of the drawn parts.

    Returns
    -------
    Hint or None
        None if the answer is right. The hint does not contain the right value.
    """
    found, expected = _parts(value), _parts(_computed(question.compute, seed))
    assert expected is not None
    if found is None:
        return Hint("type", f"Expected {question.returns}, got {type(value).__name__}.")
    if len(found) != len(expected):
        many = "1 value" if len(expected) == 1 else f"{len(expected)} values"
        return Hint("count", f"Expected {many} ({question.returns}), got {len(found)}.")

    pairs = enumerate(zip(found, expected, strict=True))
    wrong = [i for i, (one, right) in pairs if not _close(one, right)]
    if not wrong:
        return None
    # A second mistake can hide the first, so the wrong values alone are compared last.
    for places in (range(len(expected)), wrong):
        for known in question.mistakes:
            for variant in known.variants:
                other = _parts(_computed(variant, seed))
                if other is not None and all(_close(found[i], other[i]) for i in places):
                    return _placed(known.hint, wrong, len(expected))
    return _describe(found, expected, wrong)


def _parts(value: Any) -> list[Array] | None:
    """Return the numbers of an answer: one, those of a sequence, or one array of two axes."""
    try:
        if isinstance(value, (tuple, list)) and not any(np.ndim(v) for v in value):
            arrays = [np.asarray(v) for v in value]
        else:
            array = np.asarray(value)
            arrays = [array] if array.ndim != 1 else list(array)
    except ValueError:  # rows of different lengths
        return None
    arrays = [np.asarray(array) for array in arrays]
    return arrays if arrays and all(array.dtype.kind in "iuf" for array in arrays) else None


def _close(value: Array, answer: Array, tolerance: float = TOLERANCE) -> bool:
    if value.shape != answer.shape:
        return False
    if answer.dtype.kind in "iu":
        return bool(np.array_equal(value, answer))
    largest = float(np.abs(answer).max())
    return bool(np.all(np.abs(value - answer) <= tolerance * largest))


def _placed(hint: Hint, wrong: list[int], count: int) -> Hint:
    """Add to a hint which of several values are wrong."""
    if len(wrong) == count:
        return hint
    places = " and ".join(PLACES[i] for i in wrong)
    return Hint(hint.keyword, f"Check the {places} of your {count} values. {hint.words}")


def _describe(found: list[Array], expected: list[Array], wrong: list[int]) -> Hint:
    """Describe a wrong answer that no known mistake returns."""
    i = wrong[0]
    value, answer, count = found[i], expected[i], len(expected)
    if value.shape != answer.shape:
        return Hint("shape", f"Expected {_shape(answer)}, got {_shape(value)}.")
    if not np.all(np.isfinite(value)):
        return Hint("not-finite", "Your answer is NaN or infinite.")

    def all_close(change: Callable[[Array], Any]) -> bool:
        return all(_close(np.asarray(change(found[j])), expected[j]) for j in wrong)

    if len(wrong) > 1 and any(
        all(_close(found[j], expected[k]) for j, k in zip(wrong, turned, strict=True))
        for turned in (wrong[::-1], wrong[1:] + wrong[:1], wrong[-1:] + wrong[:-1])
    ):
        return Hint("order", "The values are right, but their order is wrong.")
    if all_close(lambda x: -x):
        return Hint("sign", "Your answer has the wrong sign.")
    if all_close(lambda x: x / 100):
        return _placed(
            Hint("per-cent", "Your answer is 100 times too large. Is it in per cent?"),
            wrong,
            count,
        )
    if answer.dtype.kind == "f" and all(
        _close(found[j], expected[j], 5 * TOLERANCE) for j in wrong
    ):
        return _placed(
            Hint("close", "Your answer is close. Did you round a number, or use another seed?"),
            wrong,
            count,
        )
    words = "This is another value than ours. Read the exercise again: which parts, which bank, "
    words += "which seed? The hint below the exercise can help."
    return _placed(Hint("value", words), wrong, count)


def _shape(array: Array) -> str:
    return f"an array of shape {array.shape}" if array.ndim else "one number"
