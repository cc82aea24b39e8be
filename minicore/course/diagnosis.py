"""From what a function returned to what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicore.course.exercise import Exercise, Function, Hint

TOLERANCE = 1e-5  # relative: float32 is good enough


def diagnose(exercise: Exercise, returned: Sequence[Any], failing: Sequence[int]) -> Hint:
    """Say what is wrong.

    Parameters
    ----------
    exercise : Exercise
    returned : sequence
        What the student's function returned for each case.
    failing : sequence of int
        The cases that are not right.

    Returns
    -------
    Hint
    """
    answers = exercise.answers
    looked_at: list[Sequence[int]] = [range(len(returned)), failing]
    # Two mistakes at once, one of them a trap: the other shows in the cases without a trap.
    plain = [i for i, case in enumerate(exercise.cases) if case.trap is None]
    if set(plain) & set(failing):
        looked_at.append([i for i in plain if i < len(returned)])
    for cases in looked_at:
        for known in exercise.mistakes:
            if any(_made(variant, exercise, returned, cases) for variant in known.variants):
                return known.hint
    traps = {exercise.cases[i].trap for i in failing}
    (trap,) = traps if len(traps) == 1 else (None,)
    if trap is not None:
        return trap
    return difference(returned[failing[0]], answers[failing[0]])


def _made(
    variant: Function, exercise: Exercise, returned: Sequence[Any], cases: Sequence[int]
) -> bool:
    """Tell whether a wrong version gives what the student's function gave."""
    for i in cases:
        try:
            with np.errstate(all="ignore"):
                would = variant(*exercise.cases[i].arguments)
        except (ValueError, IndexError, ZeroDivisionError):
            return False
        if not same(returned[i], would):
            return False
    return True


def same(value: Any, answer: Any) -> bool:
    """Compare values, whatever their types: whole numbers exactly, others to a tolerance."""
    if isinstance(answer, tuple):
        return (
            isinstance(value, (tuple, list))
            and len(value) == len(answer)
            and all(map(same, value, answer))
        )
    found, expected = _array(value), np.asarray(answer)
    if found is not None and found.size == expected.size == 0:  # an empty list has no columns
        return True
    if found is None or found.shape != expected.shape:
        return False
    if expected.dtype.kind in "iu":
        return bool(np.array_equal(found, expected))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return bool(
        np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)
    )


def right(value: Any, answer: Any) -> bool:
    """Compare values and their kind: an index must be a whole number."""
    return same(value, answer) and _kind(value, answer) is None


def difference(value: Any, answer: Any) -> Hint:
    """Say in general how a value differs from the answer, without giving the answer."""
    if isinstance(answer, tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(answer):
            return Hint("count", f"Return {len(answer)} things, separated by commas.")
        i = next(i for i in range(len(answer)) if not right(value[i], answer[i]))
        part = difference(value[i], answer[i])
        place = ("first", "second", "third")[i]
        return Hint(
            part.keyword, f"Of the {len(answer)} things you return, the {place}: {part.words}"
        )
    if value is None:
        return Hint("none", "Your function returns nothing. Is there a `return` at its end?")
    found, expected = _array(value), np.asarray(answer)
    if found is None:
        kind = type(value).__name__
        return Hint("type", f"Return an array (or a number); this is a {kind} that is not one.")
    if same(value, answer):
        return _kind(value, answer) or Hint("value", "Almost.")
    return _of_shape(found, expected) or _of_values(found, expected)


def _kind(value: Any, answer: Any) -> Hint | None:
    if isinstance(answer, tuple):
        kinds = [_kind(v, a) for v, a in zip(value, answer, strict=True)]
        return next((kind for kind in kinds if kind is not None), None)
    found, expected = np.asarray(value), np.asarray(answer)
    if expected.dtype.kind in "iu" and found.dtype.kind not in "iu":
        return Hint(
            "dtype",
            f"The values are right, their type is not: {found.dtype} where whole numbers "
            "are asked for. They are to be used as an index.",
        )
    return None


def _of_shape(found: np.ndarray, expected: np.ndarray) -> Hint | None:
    if found.shape == expected.shape:
        return None
    if expected.ndim == 0:
        inside = found.size == 1 and same(found.reshape(()), expected)
        words = f"Expected one number, got an array of shape {found.shape}."
        words += " The value in it is right." if inside else ""
        return Hint("one-number", words)
    if found.ndim == 0:
        return Hint("shape", f"Expected an array of shape {expected.shape}, got one number.")
    words = f"The shape is {found.shape}, expected {expected.shape}."
    if found.ndim == expected.ndim and same(found.T, expected):
        return Hint("transposed", f"{words} The values are right: the axes are in another order.")
    if found.size == expected.size:
        if same(found.reshape(expected.shape), expected):
            return Hint("flattened", f"{words} The values are right: only reshape them.")
        return Hint("shape", f"{words} The number of values is right; look at the order of axes.")
    if found.ndim == expected.ndim:
        off = [abs(a - b) for a, b in zip(found.shape, expected.shape, strict=True)]
        if max(off) == 1:
            return Hint("off-by-one", f"{words} One too few or too many: check where a range ends.")
    return Hint("shape", words)


def _of_values(found: np.ndarray, expected: np.ndarray) -> Hint:
    finite = np.isfinite(found.astype(float)) | ~np.isfinite(expected.astype(float))
    if not finite.all():
        count = int((~finite).sum())
        return Hint(
            "not-finite",
            f"{count} of {found.size} values are NaN or infinite: a division by zero, the mean of "
            "nothing, the root of a negative number, or an overflow.",
        )
    if expected.dtype.kind == "f" and found.dtype.kind in "iu":
        if found.ndim == 0:
            words = "This is a whole number; a fraction is asked for. Was it rounded, or is it an "
            words += "index?"
        else:
            words = (
                f"The values are whole numbers ({found.dtype}); fractions are asked for. Is the "
                "array that you fill of an integer type?"
            )
        return Hint("dtype", words)
    if same(-found, expected):
        return Hint("sign", "Every value has the wrong sign.")
    flat, target = found.ravel().astype(float), expected.ravel().astype(float)
    if target.size > 1 and np.all(target):
        ratio = flat / target
        if np.allclose(ratio, ratio[0], rtol=1e-4):
            return Hint("scale", f"Every value is {ratio[0]:.4g} times what it should be.")
    if found.ndim > 0 and same(np.sort(flat), np.sort(target)):
        return Hint("order", "The right values, in another order.")
    if found.ndim == 0:
        return Hint("value", "One number, as asked for, but not the right one.")
    wrong = np.asarray(~np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE))
    return Hint("value", f"The shape is right; {_where(wrong)}.")


def _where(wrong: np.ndarray) -> str:
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    at = str(first[0]) if len(first) == 1 else str(first)
    counted = f"{int(wrong.sum())} of {wrong.size} values are not, the first at index {at}"
    grid = np.any(wrong, axis=-1) if wrong.ndim == 3 else wrong
    if grid.ndim == 2 and min(grid.shape) > 2 and not grid[1:-1, 1:-1].any():
        return f"{counted}; all of them lie on the border"
    return counted


def _array(value: Any) -> np.ndarray | None:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    return array if array.dtype.kind in "iufb" else None
