"""Checks of parameters. Each raises `ParameterError` with the name and the valid values."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from minicore.errors import ParameterError

LEAST_SIGMA = 0.001  # pixels; a smaller sigma does not change a map
MOST_THREADS = 1024  # onnxruntime has no limit of its own


def require(owner: Any, name: str, ok: bool, expected: str) -> None:
    """Raise `ParameterError` for the parameter `name` of `owner`, unless `ok` is true."""
    if not ok:
        raise ParameterError(name, expected, getattr(owner, name))


def require_choice(owner: Any, name: str, kind: Any) -> None:
    """Check that a parameter is one of the strings of `kind`, a ``Literal``."""
    choices, value = get_args(kind), getattr(owner, name)
    ok = isinstance(value, str) and value in choices
    require(owner, name, ok, " or ".join(map(repr, choices)))


def require_whole(owner: Any, name: str, least: int) -> None:
    """Check that a parameter is a whole number of at least `least`."""
    ok = is_whole(getattr(owner, name), least)
    require(owner, name, ok, f"a whole number of at least {least}")


def require_threads(owner: Any, name: str) -> None:
    """Check that a parameter is a valid number of threads, or None."""
    value = getattr(owner, name)
    ok = value is None or (is_whole(value, 1) and value <= MOST_THREADS)
    require(owner, name, ok, f"a whole number from 1 to {MOST_THREADS}, or None")


def require_smoothing(owner: Any) -> None:
    """Check that `sigma` is 0 or large enough; the square of a very small number is 0."""
    sigma = owner.sigma
    ok = is_number(sigma) and (sigma == 0 or LEAST_SIGMA <= sigma < np.inf)
    require(owner, "sigma", ok, f"0, or a number of at least {LEAST_SIGMA}")


def is_number(value: Any) -> bool:
    """Return whether a value is a Python or NumPy number; booleans are excluded."""
    kinds = (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool)


def is_whole(value: Any, least: int) -> bool:
    """Return whether a value is a whole number of at least `least`; booleans are excluded."""
    return (
        isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least
    )
