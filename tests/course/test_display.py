"""What the notebooks display."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from minicore import course, equations, plots
from minicore.plots import style


@pytest.mark.slow
def test_source_is_the_code_in_the_file_without_its_docstring():
    shown = course.source(equations.neighbourhood)
    assert repr(shown).startswith("# minicore.equations.eq1_neighbourhood.neighbourhood\n")
    assert "def neighbourhood(h, w, p)" in shown.text and '"""' not in shown.text
    assert "⌊p/2⌋" in shown.text  # the formula above the lines stays
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


def test_source_leaves_its_colours_to_the_page_which_may_be_dark():
    assert not hasattr(course.source(equations.neighbourhood), "_repr_html_")


def test_source_of_a_jitted_function_is_the_python_beneath():
    from minicore.fast.arithmetic import squared_distance

    assert "np.float64(x[k])" in course.source(squared_distance).text
    with pytest.raises(TypeError):
        course.source(len)


def test_both_gives_both_results_and_prints_both_times(capsys):
    rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    literal, quick = course.both("greedy_coreset", rows, 5)
    assert np.array_equal(literal, quick)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("equations.greedy_coreset: ") and second.startswith("fast.greedy_")


@pytest.mark.slow
def test_pictures_stand_side_by_side_with_titles_and_frames():
    grid, photo = np.arange(12.0).reshape(3, 4), np.zeros((8, 8, 3), np.uint8)
    figure = plots.pictures(
        [grid, photo, grid], ["a", "b", "c"], columns=2, frames=[(0, 0, 1, 1), None, None]
    )
    assert len(figure.axes) == 4 and [a.get_title("left") for a in figure.axes[:3]] == list("abc")
    assert len(figure.axes[0].patches) == 1 and not figure.axes[1].patches
    assert figure._repr_png_()[:4] == b"\x89PNG"
    for wrong in ({"titles": ["a"]}, {"frames": []}):
        with pytest.raises(ValueError, match=r"expected 3 \w+, one for each image"):
            plots.pictures([grid] * 3, **wrong)
    with pytest.raises(ValueError, match="at least one image"):
        plots.pictures([])


def test_closeup_keeps_the_patch_in_the_middle_even_at_the_border():
    image = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    cell = image[8 * 5 : 8 * 6, 8 * 9 : 8 * 10]
    assert np.array_equal(course.closeup(image, 5, 9)[24:32, 24:32], cell)
    corner = course.closeup(image, 27, 0)
    assert corner.shape == (56, 56, 3)
    assert np.array_equal(corner[24:32, 24:32], image[216:, :8])
    assert np.array_equal(corner[-1], corner[31])  # the image ends there


@pytest.mark.slow
def test_animation_plays_every_figure_for_its_time():
    def drawn():
        for x in range(3):
            figure, axes = style.one_axes(2, 1)
            axes.plot([0, x], [0, 1])
            yield figure

    figures = list(drawn())
    content = plots.animation(figures, seconds=0.2, hold=1)
    moving = Image.open(io.BytesIO(content))
    assert moving.format == "GIF" and moving.n_frames == 3 and moving.info["loop"] == 0
    durations, seen = [], []
    for frame in range(3):
        moving.seek(frame)
        durations.append(moving.info["duration"])
        seen.append(np.asarray(moving.convert("RGB")))
    assert durations == [200, 200, 1000]
    assert all(np.abs(a.astype(int) - b).max() > 100 for a, b in itertools.pairwise(seen))
    assert content == plots.animation(list(drawn()), seconds=0.2, hold=1)
    with pytest.raises(ValueError, match="at least one figure"):
        plots.animation([])
    with pytest.raises(ValueError, match="one size"):
        plots.animation([figures[0], style.one_axes(1, 1)[0]])
    with pytest.raises(ValueError, match="must be positive"):
        plots.animation(figures, seconds=0)
