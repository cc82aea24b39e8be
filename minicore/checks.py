"""Checks of parameters: each raises a `ParameterError` that names the parameter and its remedy."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from minicore.errors import wrong

LEAST_SIGMA = 0.001  # pixels; smoothing by less changes nothing
MOST_THREADS = 1024  # onnxruntime would start any number it is asked for


def require(owner: Any, name: str, ok: bool, expected: str) -> None:
    """Refuse a parameter of `owner` in words that name it, what was expected and what was found.

    Raises
    ------
    ValueError
        Unless `ok`.
    """
    if not ok:
        raise wrong(name, expected, getattr(owner, name))


def require_choice(owner: Any, name: str, kind: Any) -> None:
    """Refuse what is none of the names of `kind`, a ``Literal``."""
    choices, value = get_args(kind), getattr(owner, name)
    ok = isinstance(value, str) and value in choices
    require(owner, name, ok, " or ".join(map(repr, choices)))


def require_whole(owner: Any, name: str, least: int) -> None:
    """Refuse what is no whole number, or too small."""
    ok = is_whole(getattr(owner, name), least)
    require(owner, name, ok, f"a whole number of at least {least}")


def require_threads(owner: Any, name: str) -> None:
    """Refuse a number of threads that cannot be started."""
    value = getattr(owner, name)
    ok = value is None or (is_whole(value, 1) and value <= MOST_THREADS)
    require(owner, name, ok, f"a whole number from 1 to {MOST_THREADS}, or None")


def require_smoothing(owner: Any) -> None:
    """Refuse a `sigma` no map can be smoothed by; the square of a tiny one is 0."""
    sigma = owner.sigma
    ok = is_number(sigma) and (sigma == 0 or LEAST_SIGMA <= sigma < np.inf)
    require(owner, "sigma", ok, f"0, or a number of at least {LEAST_SIGMA}")


def is_number(value: Any) -> bool:
    """Say whether this is a number of Python or NumPy; True and False are none."""
    kinds = (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool)


def is_whole(value: Any, least: int) -> bool:
    """Say whether this is a whole number, at least so large."""
    return (
        isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least
    )
