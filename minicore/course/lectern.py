"""What the notebooks show with: a function's source as it stands, and both engines side by side."""

from __future__ import annotations

import ast
import inspect
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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

    def _repr_html_(self) -> str:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        # Colours in the style attributes: the page around it needs no style sheet. They are legible
        # on white and on black, and there is no background of our own.
        look = HtmlFormatter(noclasses=True, style="default", nobackground=True)
        return highlight(repr(self), PythonLexer(), look)


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
