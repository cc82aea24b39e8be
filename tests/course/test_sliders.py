"""A figure with sliders."""

import base64
import sys

import pytest

from minicore.course import live
from minicore.plots.style import one_axes


def draw(radius, colour="red"):
    figure, axes = one_axes(1, 1)
    axes.plot([0, radius], [radius, 0], color=colour)
    return figure


def picture(shown) -> bytes:
    return base64.b64decode(shown._repr_mimebundle_()["image/png"])


def test_without_widgets_the_picture_stays(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it fails
    shown = live(draw, radius=[1, 2], colour=["blue", "red"])
    assert shown.values == {"radius": 1, "colour": "red"}
    assert picture(shown) == draw(1)._repr_png_()
    assert set(shown._repr_mimebundle_()) == {"text/plain", "image/png"}


def test_a_moved_slider_draws_anew():
    pytest.importorskip("ipywidgets")
    shown = live(draw, radius=[1, 2], colour=["blue", "red"])
    before = picture(shown)
    shown.sliders["colour"].value = "blue"
    assert shown.values == {"radius": 1, "colour": "blue"}
    assert picture(shown) == draw(1, "blue")._repr_png_() != before
    assert "application/vnd.jupyter.widget-view+json" in shown._repr_mimebundle_()


@pytest.mark.parametrize(
    ("choices", "words"),
    [({"radius": []}, "radius: expected"), ({"radius": [1], "colour": ["blue"]}, "'red' is none")],
)
def test_a_parameter_without_a_choice_is_refused(choices, words):
    with pytest.raises(ValueError, match=words):
        live(draw, **choices)
