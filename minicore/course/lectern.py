"""What the notebooks show with: a function's source, both engines timed, a patch close up."""

from __future__ import annotations

import ast
import inspect
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore import equations, fast


@dataclass(frozen=True)
class Source:
    """A function's code, highlighted in a notebook, plain elsewhere.

    Attributes
    ----------
    text : str
        The code without its docstring.
    where : str
        Module and function.
    """

    text: str
    where: str

    def __repr__(self) -> str:
        return f"# {self.where}\n{self.text}"

    def _repr_markdown_(self) -> str:
        # Coloured by whoever shows it, so as to be legible there: a page may be light or dark.
        return f"```python\n{self}\n```"


def source(function: Callable[..., Any]) -> Source:
    """Show a function's code as it stands in its file, jitted or not, without its docstring.

    Parameters
    ----------
    function : function
        Such as ``equations.nearest``.

    Returns
    -------
    Source

    Raises
    ------
    TypeError
        If it has no Python source.
    """
    plain = getattr(function, "py_func", function)  # beneath Numba's
    text = textwrap.dedent(inspect.getsource(plain))
    lines = text.splitlines()
    definition = ast.parse(text).body[0]
    body = definition.body[0] if isinstance(definition, ast.FunctionDef) else None
    if isinstance(body, ast.Expr) and isinstance(body.value, ast.Constant):
        del lines[body.lineno - 1 : body.end_lineno]
    return Source("\n".join(lines), f"{plain.__module__}.{plain.__qualname__}")


def both(name: str, *arguments: Any, repeats: int = 3, **options: Any) -> tuple[Any, Any]:
    """Call a function in `equations`, then its namesake in `fast`, and print how long each takes.

    Parameters
    ----------
    name : str
        Such as ``"nearest"``.
    *arguments, **options
        Given to both.
    repeats : int, default 3
        The best time of so many counts; a call before them may compile.

    Returns
    -------
    literal, quick
        Both results.
    """
    results = []
    for engine in (equations, fast):
        function = getattr(engine, name)
        result = function(*arguments, **options)
        seconds = []
        for _ in range(repeats):
            before = time.perf_counter()
            result = function(*arguments, **options)
            seconds.append(time.perf_counter() - before)
        results.append(result)
        print(f"{engine.__name__.removeprefix('minicore.')}.{name}: {1e3 * min(seconds):.2f} ms")
    return results[0], results[1]


def closeup(
    image: np.ndarray, row: int, column: int, *, step: int = 8, reach: int = 28
) -> np.ndarray:
    """Cut a patch and its surroundings out of an image; the patch is always in the middle.

    Parameters
    ----------
    image : (h, w, 3) uint8
        As the network saw it (`minicore.images.view`).
    row, column : int
        Position on the patch grid.
    step : int, default 8
        Pixels from one position to the next.
    reach : int, default 28
        Pixels to each side of the middle. Beyond the image its border is repeated.

    Returns
    -------
    (2 reach, 2 reach, 3) uint8
    """
    around = ((reach, reach), (reach, reach), (0, 0))
    top, left = step * row + step // 2, step * column + step // 2
    return np.pad(image, around, mode="edge")[top : top + 2 * reach, left : left + 2 * reach]
