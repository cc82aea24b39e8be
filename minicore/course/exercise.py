"""The parts of an exercise: cases, a reference function and known mistakes."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Function = Callable[..., Any]

NOT_EUCLIDEAN = (
    "You use the sum (or the maximum) of the coordinates' absolute differences. Use the Euclidean "
    "distance."
)


@dataclass(frozen=True)
class Hint:
    """A description of a mistake; it never contains the solution.

    Attributes
    ----------
    keyword : str
        Short, stable name of the mistake.
    words : str
    """

    keyword: str
    words: str


@dataclass(frozen=True)
class Case:
    """Arguments for one call of the function.

    Attributes
    ----------
    about : str
        Short description.
    arguments : tuple
    trap : Hint, optional
        The hint if only cases with this trap are wrong.
    """

    about: str
    arguments: tuple[Any, ...]
    trap: Hint | None = None


class Draw:
    """The random numbers of the cases of an exercise.

    Parameters
    ----------
    seed : int, default 0
        0 for the usual cases. Any other seed makes other cases of the same kind.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def generator(self, key: int) -> np.random.Generator:
        """Return the random numbers with this key; each key has its own."""
        return np.random.default_rng([self.seed, key] if self.seed else key)

    def random(self, key: int, *shape: int) -> Array:
        """Return features, float32; positive, so that a missing zero changes the result."""
        return self.generator(key).uniform(0.5, 2.0, shape).astype(np.float32)

    def whole(self, key: int, usual: int) -> int:
        """Return a whole number: the usual one, or at most nine more."""
        return usual + (int(self.generator(key).integers(10)) if self.seed else 0)

    def points(self, *rows: Sequence[float]) -> Array:
        """Return rows of whole numbers, (n, d) float32, all moved by one whole number.

        Their distances can be exactly equal.
        """
        return np.array(rows, np.float32) + np.float32(self.whole(0, 0))


@dataclass(frozen=True)
class Mistake:
    """A common mistake, recognised because a wrong version returns the same values.

    Attributes
    ----------
    hint : Hint
    variants : tuple of callable
        Wrong versions, with the parameters of the reference.
    """

    hint: Hint
    variants: tuple[Function, ...]


def mistake(keyword: str, words: str, *variants: Function) -> Mistake:
    """Return a mistake with a new hint."""
    return Mistake(Hint(keyword, words), variants)


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to write.

    Attributes
    ----------
    name : str
        The name that `check` uses.
    title : str
    question : str
        The task, in a few sentences.
    goal : str
        What a student can do afterwards; the end of "you can …".
    minutes : int
        Estimated time.
    returns : str
        Shape and type of the result.
    reference : callable
        The right function; its parameters are those of the student's function.
    make : callable
        Makes the cases from a `Draw`.
    mistakes : tuple of Mistake
        They are checked in this order.
    seed : int, default 0
        0 for the usual cases, any other seed for hidden cases.
    """

    name: str
    title: str
    question: str
    goal: str
    minutes: int
    returns: str
    reference: Function
    make: Callable[[Draw], tuple[Case, ...]]
    mistakes: tuple[Mistake, ...]
    seed: int = 0

    @functools.cached_property
    def cases(self) -> tuple[Case, ...]:
        """The arguments that the function is called with."""
        return self.make(Draw(self.seed))

    @property
    def signature(self) -> str:
        """Name and parameters of the function, without types."""
        parameters = inspect.signature(self.reference).parameters
        return f"{self.reference.__name__}({', '.join(parameters)})"

    def __repr__(self) -> str:
        return f"{self.name}: {self.signature} -> {self.returns}\n    {self.question}"

    @functools.cached_property
    def answers(self) -> list[Any]:
        """The results of the reference, one per case."""
        return [self.reference(*copy.deepcopy(case.arguments)) for case in self.cases]


class Exercises(tuple[Any, ...]):
    """Exercises and questions; a terminal prints them as text, a notebook as a table."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_markdown_(self) -> str:
        rows = ["| name | answer | question |", "|---|---|---|"]
        for e in self:
            rows.append(f"| `{e.name}` | `{e.signature}` → {e.returns} | {e.question} |")
        return "\n".join(rows)


def distances(queries: Array, bank: Array, order: float = 2) -> Array:
    """Return the distance from each query to each row of the bank, (n, N) float64."""
    difference = queries[:, None].astype(float) - bank[None].astype(float)
    table: Array = np.linalg.norm(difference, ord=order, axis=2)
    return table
