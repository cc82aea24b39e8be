"""Display: code, times, parts of images and figures with sliders."""

import base64
import sys

import numpy as np
import pytest

from minicore import course, equations
from minicore.plots.style import one_axes


@pytest.mark.slow
def test_source_is_the_code_in_the_file_without_its_docstring():
    shown = course.source(equations.neighbourhood)
    assert repr(shown).startswith("# minicore.equations.eq1_neighbourhood.neighbourhood\n")
    assert "def neighbourhood(h: int, w: int, p: int) -> np.ndarray:" in shown.text
    assert '"""' not in shown.text
    assert "⌊p/2⌋" in shown.text  # comments stay
    namespace = {}
    exec(
        compile(
            "import numpy as np\nfrom numba import njit\n" + shown.text.replace("cache=True", ""),
            "shown",
            "exec",
        ),
        namespace,
    )
    assert np.array_equal(namespace["neighbourhood"](2, 3, 3), equations.neighbourhood(2, 3, 3))
    first, *code, last = shown._repr_markdown_().splitlines()
    assert (first, "\n".join(code), last) == ("```python", repr(shown), "```")


def test_source_has_no_colours_of_its_own():
    assert not hasattr(course.source(equations.neighbourhood), "_repr_html_")


def test_source_of_a_numba_function_is_its_python_code():
    from minicore.fast.arithmetic import squared_distance

    assert "np.float64(x[k])" in course.source(squared_distance).text
    with pytest.raises(TypeError):
        course.source(len)


def test_compare_engines_returns_both_results_and_prints_both_times(capsys):
    rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    literal, quick = course.compare_engines("greedy_coreset", rows, 5)
    assert np.array_equal(literal, quick)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("equations.greedy_coreset: ") and second.startswith("fast.greedy_")


def test_closeup_keeps_the_patch_in_the_middle_even_at_the_border():
    image = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    cell = image[8 * 5 : 8 * 6, 8 * 9 : 8 * 10]
    assert np.array_equal(course.closeup(image, 5, 9)[24:32, 24:32], cell)
    corner = course.closeup(image, 27, 0)
    assert corner.shape == (56, 56, 3)
    assert np.array_equal(corner[24:32, 24:32], image[216:, :8])
    assert np.array_equal(corner[-1], corner[31])  # the border of the image is repeated


def draw(radius, colour="red"):
    figure, axes = one_axes(1, 1)
    axes.plot([0, radius], [radius, 0], color=colour)
    return figure


def png(live) -> bytes:
    return base64.b64decode(live._repr_mimebundle_()["image/png"])


def test_without_ipywidgets_only_the_figure_is_displayed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it fails
    shown = course.live(draw, radius=[1, 2], colour=["blue", "red"])
    assert shown.values == {"radius": 1, "colour": "red"}
    assert png(shown) == draw(1)._repr_png_()
    assert set(shown._repr_mimebundle_()) == {"text/plain", "image/png"}


def test_a_moved_slider_updates_the_figure():
    pytest.importorskip("ipywidgets")
    shown = course.live(draw, radius=[1, 2], colour=["blue", "red"])
    before = png(shown)
    shown.sliders["colour"].value = "blue"
    assert shown.values == {"radius": 1, "colour": "blue"}
    assert png(shown) == draw(1, "blue")._repr_png_() != before
    assert "application/vnd.jupyter.widget-view+json" in shown._repr_mimebundle_()


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"radius": []}, "radius: expected"),
        ({"radius": [1], "colour": ["blue"]}, "'red' is not one"),
    ],
)
def test_a_slider_without_choices_or_with_a_wrong_default_is_an_error(choices, words):
    with pytest.raises(ValueError, match=words):
        course.live(draw, **choices)
