"""Find the hint for a wrong result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicore.course.exercise import Array, Exercise, Function, Hint

TOLERANCE = 1e-5  # relative: float32 is good enough


def diagnose(exercise: Exercise, returned: Sequence[Any], wrong: Sequence[int]) -> Hint:
    """Return the hint for wrong results.

    Parameters
    ----------
    exercise : Exercise
    returned : sequence
        The results of the student's function, one per case.
    wrong : sequence of int
        Indices of the wrong cases.

    Returns
    -------
    Hint
    """
    groups: list[Sequence[int]] = [range(len(returned)), wrong]
    # If there is a second mistake, only the cases without a trap show this mistake alone.
    plain = [i for i, case in enumerate(exercise.cases) if case.trap is None]
    if set(plain) & set(wrong):
        groups.append([i for i in plain if i < len(returned)])
    for cases in groups:
        for mistake in exercise.mistakes:
            if any(_reproduces(v, exercise, returned, cases) for v in mistake.variants):
                return mistake.hint
    traps = {exercise.cases[i].trap for i in wrong}
    (trap,) = traps if len(traps) == 1 else (None,)
    if trap is not None:
        return trap
    return describe_difference(returned[wrong[0]], exercise.answers[wrong[0]])


def _reproduces(
    variant: Function, exercise: Exercise, returned: Sequence[Any], cases: Sequence[int]
) -> bool:
    """Return whether a wrong version returns what the student's function returned."""
    for i in cases:
        try:
            with np.errstate(all="ignore"):
                value = variant(*exercise.cases[i].arguments)
        except (ValueError, IndexError, ZeroDivisionError):
            return False
        if not is_equal(returned[i], value):
            return False
    return True


def is_equal(value: Any, answer: Any) -> bool:
    """Compare values, not types: whole numbers exactly, other numbers with a tolerance."""
    if isinstance(answer, tuple):
        return (
            isinstance(value, (tuple, list))
            and len(value) == len(answer)
            and all(map(is_equal, value, answer))
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


def is_right(value: Any, answer: Any) -> bool:
    """Compare values and types: an index must be a whole number."""
    return is_equal(value, answer) and _wrong_type(value, answer) is None


def describe_difference(value: Any, answer: Any) -> Hint:
    """Return a hint about how a value differs from the answer; it does not contain the answer."""
    if isinstance(answer, tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(answer):
            return Hint("count", f"Return {len(answer)} values, separated by commas.")
        i = next(i for i in range(len(answer)) if not is_right(value[i], answer[i]))
        part = describe_difference(value[i], answer[i])
        place = ("first", "second", "third")[i]
        return Hint(part.keyword, f"Check the {place} of your {len(answer)} values. {part.words}")
    found, expected = _array(value), np.asarray(answer)
    if found is None:
        return Hint("type", f"Return an array or a number. You return a {type(value).__name__}.")
    return (
        (_wrong_type(value, answer) if is_equal(value, answer) else None)
        or _wrong_shape(found, expected)
        or _wrong_values(found, expected)
    )


def _wrong_type(value: Any, answer: Any) -> Hint | None:
    if isinstance(answer, tuple):
        hints = [_wrong_type(v, a) for v, a in zip(value, answer, strict=True)]
        return next((hint for hint in hints if hint is not None), None)
    found, expected = np.asarray(value), np.asarray(answer)
    if expected.dtype.kind in "iu" and found.dtype.kind not in "iu":
        return Hint(
            "dtype",
            f"The values are right, but their type is {found.dtype}. Return whole numbers: they "
            "are used as indices.",
        )
    return None


def _wrong_shape(found: Array, expected: Array) -> Hint | None:
    if found.shape == expected.shape:
        return None
    if expected.ndim == 0:
        words = f"Expected one number, got an array of shape {found.shape}."
        if found.size == 1 and is_equal(found.reshape(()), expected):
            words += " The value in it is right."
        return Hint("one-number", words)
    if found.ndim == 0:
        return Hint("shape", f"Expected an array of shape {expected.shape}, got one number.")
    words = f"The shape is {found.shape}, expected {expected.shape}."
    if found.ndim == expected.ndim and is_equal(found.T, expected):
        return Hint(
            "transposed", f"{words} The values are right, but the order of the axes is wrong."
        )
    if found.size == expected.size:
        if is_equal(found.reshape(expected.shape), expected):
            return Hint("flattened", f"{words} The values are right. Only reshape them.")
        return Hint("shape", f"{words} The number of values is right. Check the order of the axes.")
    if found.ndim == expected.ndim:
        excess = [abs(a - b) for a, b in zip(found.shape, expected.shape, strict=True)]
        if max(excess) == 1:
            return Hint(
                "off-by-one", f"{words} One is too many or missing: check where a range ends."
            )
    return Hint("shape", words)


def _wrong_values(found: Array, expected: Array) -> Hint:
    finite = np.isfinite(found.astype(float)) | ~np.isfinite(expected.astype(float))
    if not finite.all():
        count = int((~finite).sum())
        return Hint(
            "not-finite",
            f"{count} of {found.size} values are NaN or infinite. Possible reasons: division by "
            "zero, mean of an empty array, root of a negative number, overflow.",
        )
    if expected.dtype.kind == "f" and found.dtype.kind in "iu":
        if found.ndim == 0:
            words = "Your result is a whole number, but the right value is a fraction. Did you "
            words += "round it? Is it an index?"
        else:
            words = (
                f"Your values are whole numbers ({found.dtype}), but the right values are "
                "fractions. Does the array that you fill have an integer type?"
            )
        return Hint("dtype", words)
    if is_equal(-found, expected):
        return Hint("sign", "Every value has the wrong sign.")
    flat, target = found.ravel().astype(float), expected.ravel().astype(float)
    if target.size > 1 and np.all(target):
        ratio = flat / target
        if np.allclose(ratio, ratio[0], rtol=1e-4):
            return Hint("scale", f"Every value is {ratio[0]:.4g} times the right value.")
    if found.ndim > 0 and is_equal(np.sort(flat), np.sort(target)):
        return Hint("order", "The values are right, but their order is wrong.")
    if found.ndim == 0:
        return Hint("value", "It is one number, as expected, but its value is wrong.")
    wrong = np.asarray(~np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE))
    return Hint("value", f"The shape is right, but {_where(wrong)}.")


def _where(wrong: Array) -> str:
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    index = str(first[0]) if len(first) == 1 else str(first)
    count = f"{int(wrong.sum())} of {wrong.size} values are wrong, the first at index {index}"
    grid = np.any(wrong, axis=-1) if wrong.ndim == 3 else wrong
    if grid.ndim == 2 and min(grid.shape) > 2 and not grid[1:-1, 1:-1].any():
        return f"{count}; all of them lie on the border"
    return count


def _array(value: Any) -> Array | None:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    return array if array.dtype.kind in "iufb" else None
