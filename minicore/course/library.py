"""Detect whether a student's function uses minicore instead of its own code.

Two checks work together. `library_name` reads the function before the call: its global names,
closure, default values, nested functions and helper functions. `refused` replaces the functions of
the library during the call, so that a name that is built at run time is refused too.

A person who wants to deceive the check can do so, because the function runs in the same process.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

# The modules whose functions solve an exercise; `exercises` holds the references.
SOLVING = ("equations", "fast", "evaluation", "patchcore", "course.exercises")
_FROM_OTHERS = ("site-packages", "dist-packages", os.path.dirname(os.__file__))  # noqa: PTH120
_lock = threading.Lock()


class LibraryCall(BaseException):
    """Raised instead of a call of the library; ``except Exception`` does not catch it."""


def library_name(function: Callable[..., Any]) -> str | None:
    """Return the first name of minicore that a function uses, without calling it.

    Parameters
    ----------
    function : callable

    Returns
    -------
    str or None
        Such as "minicore.fast.nearest". None if there is no such name.
    """
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        name = _name(value)
        if name is not None:
            return name
        waiting += _parts(value)
    return None


@contextlib.contextmanager
def refused() -> Iterator[list[str]]:
    """Let the functions of the library raise `LibraryCall` in threads that start in this block.

    Threads that were alive before the block can call the library as usual. After the block, all
    functions are as before.

    Yields
    ------
    list of str
        The names of the functions that were called.
    """
    with _lock:  # two blocks at the same time would restore each other's functions
        calls: list[str] = []
        alive = set(threading.enumerate())
        replaced: list[tuple[ModuleType, str, Any]] = []
        try:
            for module in list(sys.modules.values()):
                if not _solves(getattr(module, "__name__", "")):
                    continue
                for attribute, value in list(vars(module).items()):
                    found = None if isinstance(value, (type, ModuleType)) else _name(value)
                    if found is not None and callable(value):
                        replaced.append((module, attribute, value))
                        setattr(module, attribute, _refusing(value, found, calls, alive))
            yield calls
        finally:
            for module, attribute, value in replaced:
                setattr(module, attribute, value)


def _refusing(
    original: Callable[..., Any], name: str, calls: list[str], alive: set[threading.Thread]
) -> Callable[..., Any]:
    def refuse(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread() in alive:
            return original(*arguments, **options)
        calls.append(name)
        raise LibraryCall(name)

    return refuse


def _solves(module: str) -> bool:
    return any(
        module == f"minicore.{name}" or module.startswith(f"minicore.{name}.") for name in SOLVING
    )


def _name(value: Any) -> str | None:
    """Return the name of a module, function, class or object of minicore, otherwise None."""
    if isinstance(value, ModuleType):
        name = value.__name__
    else:
        named = value if hasattr(value, "__qualname__") else type(value)
        name = f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
    return name if name == "minicore" or name.startswith("minicore.") else None


def _parts(value: Any) -> list[Any]:
    """Return what a value consists of, if a call of it can use it."""
    if isinstance(value, FunctionType):
        if _from_others(value.__module__ or ""):
            return []  # NumPy and other packages do not use minicore
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return cells + defaults + list(_referenced(value.__code__, value.__globals__))
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if callable(value) or isinstance(value, (staticmethod, classmethod)):
        for inside in ("py_func", "__wrapped__"):  # compiled by Numba; decorated
            if isinstance(getattr(value, inside, None), FunctionType):
                return [getattr(value, inside)]
    kind = value if isinstance(value, type) else type(value)
    if _from_others(kind.__module__):
        return []
    own = [*getattr(value, "__dict__", {}).values()]
    return own if kind is value else [*own, kind]


def _from_others(module: str) -> bool:
    """Return whether a module belongs to Python or to an installed package."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return module in sys.builtin_module_names or any(place in file for place in _FROM_OTHERS)


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a variable without a value yet
        return False
    return True


def _referenced(code: CodeType, names: dict[str, Any]) -> Iterator[Any]:
    """Yield the global values that code reads and the modules that it imports."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval in names:
            yield names[instruction.argval]
        elif instruction.opname == "IMPORT_NAME" and instruction.argval in sys.modules:
            yield sys.modules[instruction.argval]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _referenced(constant, names)
