"""What the notebooks display: source code, timings of both engines, and live figures."""

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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


class Live:
    """What `live` gives; a notebook shows it as sliders over a picture, a page as the picture.

    Attributes
    ----------
    values : dict
        Where the sliders stand.
    png : bytes
        The picture there.
    sliders : dict of str to widget
        Empty where there is no ipywidgets.
    """

    def __init__(self, draw: Callable[..., Figure], choices: dict[str, Sequence[Any]]) -> None:
        self._draw = draw
        self.values = _start(draw, choices)
        self.png = self._render()
        self.sliders: dict[str, Any] = {}
        self._box: Any = None
        try:
            import ipywidgets
        except ImportError:  # the picture alone
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
        from minicore.plots.style import render  # matplotlib, only now

        return render(self._draw(**self.values), "png")

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        """Sliders for who can show them; the picture for all others."""
        shown = {} if self._box is None else dict(self._box._repr_mimebundle_())
        where = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        return {
            **shown,
            "text/plain": f"<picture at {where}>",
            "image/png": base64.b64encode(self.png).decode(),
        }


def live(draw: Callable[..., Figure], **choices: Sequence[Any]) -> Live:
    """Draw a figure, and draw it anew whenever a slider is moved.

    Parameters
    ----------
    draw : callable
        Called with one value for each of `choices`, returns a Figure. Where a parameter has a
        default, its slider starts there, else at the first choice.
    **choices : sequence
        The values of each parameter.

    Returns
    -------
    Live
        Sliders where ipywidgets is installed and a kernel runs, else the picture.

    Raises
    ------
    ValueError
        If there is no choice for a parameter, or its default is none of them.
    """
    return Live(draw, choices)


def _start(draw: Callable[..., Figure], choices: dict[str, Sequence[Any]]) -> dict[str, Any]:
    parameters = inspect.signature(draw).parameters
    start = {}
    for name, options in choices.items():
        if not len(options):
            raise ValueError(f"{name}: expected at least one choice, got none")
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        if default is inspect.Parameter.empty:
            default = options[0]
        if default not in options:
            raise ValueError(f"{name}: its default {default!r} is none of {list(options)}")
        start[name] = default
    return start
