"""What an exercise is: cases, a reference, and the mistakes it knows by their results."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[..., Any]


@dataclass(frozen=True)
class Hint:
    """Plain words about what is wrong; never the solution.

    Attributes
    ----------
    keyword : str
        A stable name of the mistake.
    words : str
    """

    keyword: str
    words: str


@dataclass(frozen=True)
class Case:
    """Arguments to call a function with.

    Attributes
    ----------
    about : str
        What is special about them.
    arguments : tuple
    trap : Hint, optional
        What to say if such cases are the only ones that fail.
    """

    about: str
    arguments: tuple[Any, ...]
    trap: Hint | None = None


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong version of the function, recognised by returning what it would.

    Attributes
    ----------
    hint : Hint
    variants : tuple of callable
        Ways to make it, called as the function is.
    """

    hint: Hint
    variants: tuple[Function, ...]


def mistake(keyword: str, words: str, *variants: Function) -> Mistake:
    """Write a mistake in one line."""
    return Mistake(Hint(keyword, words), variants)


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to write.

    Attributes
    ----------
    name : str
        As `check` knows it.
    title : str
    question : str
        What is asked, in a sentence or two.
    returns : str
        Shape and kind of the answer.
    reference : callable
        Has the parameters that the student's function is to have.
    cases : tuple of Case
    mistakes : tuple of Mistake
        Tried in this order.
    """

    name: str
    title: str
    question: str
    returns: str
    reference: Function
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def signature(self) -> str:
        """The function's name and parameters."""
        return f"{self.reference.__name__}{inspect.signature(self.reference)}"

    def __repr__(self) -> str:
        return f"{self.name}: {self.signature} -> {self.returns}\n    {self.question}"

    @functools.cached_property
    def answers(self) -> list[Any]:
        """What the reference returns for each case."""
        return [self.reference(*copy.deepcopy(case.arguments)) for case in self.cases]


class Exercises(tuple[Exercise, ...]):
    """All of them, as a list that a terminal and a notebook show well."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_markdown_(self) -> str:
        rows = ["| name | function | question |", "|---|---|---|"]
        for e in self:
            rows.append(f"| `{e.name}` | `{e.signature}` → {e.returns} | {e.question} |")
        return "\n".join(rows)


def random(seed: int, *shape: int) -> np.ndarray:
    """Seeded features, (…) float32, positive as after a rectifier: a missing zero shows."""
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape).astype(np.float32)


def points(*rows: Sequence[float]) -> np.ndarray:
    """Rows of whole numbers, (n, d) float32: their distances tie exactly."""
    return np.array(rows, np.float32)


def distances(queries: np.ndarray, bank: np.ndarray, order: float = 2) -> np.ndarray:
    """Every distance from a query to a row of the bank, (n, N) float64."""
    difference = queries[:, None].astype(float) - bank[None].astype(float)
    return np.linalg.norm(difference, ord=order, axis=2)
