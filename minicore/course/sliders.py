"""A figure with sliders: it is drawn anew when one moves, and stays a picture without a kernel."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
