"""Display source code, times of the two engines, and figures with sliders in the notebooks."""

from __future__ import annotations

import ast
import base64
import inspect
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicore import equations, fast
from minicore.course.exercise import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Source:
    """The code of a function; a notebook highlights it.

    Attributes
    ----------
    text : str
        The code without its docstring.
    name : str
        Name of the function, with its module.
    """

    text: str
    name: str

    def __repr__(self) -> str:
        return f"# {self.name}\n{self.text}"

    def _repr_markdown_(self) -> str:
        # The page chooses the colours: it can be light or dark.
        return f"```python\n{self}\n```"


def source(function: Callable[..., Any]) -> Source:
    """Return the code of a function without its docstring; Numba functions work too.

    Parameters
    ----------
    function : function
        For example ``equations.nearest``.

    Returns
    -------
    Source

    Raises
    ------
    TypeError
        If the function has no Python source.
    """
    plain = getattr(function, "py_func", function)  # the Python function inside a Numba function
    text = textwrap.dedent(inspect.getsource(plain))
    lines = text.splitlines()
    definition = ast.parse(text).body[0]
    body = definition.body[0] if isinstance(definition, ast.FunctionDef) else None
    if isinstance(body, ast.Expr) and isinstance(body.value, ast.Constant):
        del lines[body.lineno - 1 : body.end_lineno]
    return Source("\n".join(lines), f"{plain.__module__}.{plain.__qualname__}")


def compare_engines(
    name: str, *arguments: Any, repeats: int = 3, **options: Any
) -> tuple[Any, Any]:
    """Call a function of `equations` and of `fast`, and print the times.

    Parameters
    ----------
    name : str
        Name of the function, for example ``"nearest"``.
    *arguments, **options
        Arguments of the function.
    repeats : int, default 3
        Number of timed calls; the shortest time is printed. An untimed call compiles first.

    Returns
    -------
    literal, quick
        The result of `equations` and the result of `fast`.
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


def closeup(image: Array, row: int, column: int, *, step: int = 8, reach: int = 28) -> Array:
    """Return a part of an image with a patch in the middle.

    Parameters
    ----------
    image : (h, w, 3) uint8
        The image after preprocessing (`minicore.images.view`).
    row, column : int
        Position of the patch on its grid.
    step : int, default 8
        Distance between two positions, in pixels.
    reach : int, default 28
        Half the side of the part, in pixels. Outside the image, its border is repeated.

    Returns
    -------
    (2 reach, 2 reach, 3) uint8
    """
    padding = ((reach, reach), (reach, reach), (0, 0))
    top, left = step * row + step // 2, step * column + step // 2
    return np.pad(image, padding, mode="edge")[top : top + 2 * reach, left : left + 2 * reach]


class Live:
    """A figure with sliders; on a page without a kernel, only the figure.

    Attributes
    ----------
    values : dict
        The current value of each slider.
    png : bytes
        The figure for these values.
    sliders : dict of str to widget
        Empty if ipywidgets is not installed.
    """

    def __init__(self, draw: Callable[..., Figure], choices: dict[str, Sequence[Any]]) -> None:
        self._draw = draw
        self.values = _first_values(draw, choices)
        self.png = self._render()
        self.sliders: dict[str, Any] = {}
        self._box: Any = None
        try:
            import ipywidgets
        except ImportError:  # only the figure
            return
        for name, options in choices.items():
            self.sliders[name] = ipywidgets.SelectionSlider(
                options=list(options), value=self.values[name], description=name
            )
            self.sliders[name].observe(self._moved, "value")
        self._picture = ipywidgets.Image(value=self.png, format="png", layout={"max_width": "100%"})
        self._box = ipywidgets.VBox([*self.sliders.values(), self._picture])

    def _moved(self, _change: Any) -> None:
        self.values = {name: slider.value for name, slider in self.sliders.items()}
        self.png = self._picture.value = self._render()

    def _render(self) -> bytes:
        from minicore.plots.style import render  # imports matplotlib

        return render(self._draw(**self.values), "png")

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        """Return the sliders, if there are any, and the figure."""
        widget = {} if self._box is None else dict(self._box._repr_mimebundle_())
        values = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        return {
            **widget,
            "text/plain": f"<figure for {values}>",
            "image/png": base64.b64encode(self.png).decode(),
        }


def live(draw: Callable[..., Figure], **choices: Sequence[Any]) -> Live:
    """Return a figure that is drawn again when the reader moves a slider.

    Parameters
    ----------
    draw : callable
        Takes one value per parameter in `choices` and returns a Figure. A slider starts at the
        default of its parameter; without a default, at the first choice.
    **choices : sequence
        The values of each parameter.

    Returns
    -------
    Live
        Has sliders if ipywidgets is installed.

    Raises
    ------
    ValueError
        If a parameter has no choices, or its default is not one of them.
    """
    return Live(draw, choices)


def _first_values(draw: Callable[..., Figure], choices: dict[str, Sequence[Any]]) -> dict[str, Any]:
    parameters = inspect.signature(draw).parameters
    values = {}
    for name, options in choices.items():
        if not len(options):
            raise ValueError(f"{name}: expected at least one choice, got none")
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        if default is inspect.Parameter.empty:
            default = options[0]
        if default not in options:
            raise ValueError(f"{name}: the default {default!r} is not one of {list(options)}")
        values[name] = default
    return values
