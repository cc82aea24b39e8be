"""Style: all figures have one style and are saved completely, without a display."""

import os
import subprocess
import sys

import matplotlib
import pytest
from PIL import Image

from minicore import plots


@pytest.fixture
def every_figure(scenes, scored, bank):
    def draw():
        return {
            "panels": plots.panels(*scenes, threshold=1.5, scores=[1, 3], titles=["a", "b"]),
            "histogram": plots.histogram(*scored, threshold=1),
            "roc": plots.roc(*scored),
            "coreset": plots.coreset(*bank[:2], beside_random=True),
            "timings": plots.timings({"backbone": 1.5, "nearest (eq. 6)": 2e-3}),
        }

    return draw


@pytest.mark.slow
def test_no_text_is_cut_off(every_figure):
    for name, figure in every_figure().items():
        figure.draw_without_rendering()  # computes the layout
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 > -0.01 and box.y0 > -0.01, name
        assert box.x1 < width + 0.01 and box.y1 < height + 0.01, name


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_data_give_the_same_file(every_figure, tmp_path, suffix):
    again = every_figure()
    for name, figure in every_figure().items():
        first = plots.save(figure, tmp_path / f"{name}.{suffix}")
        second = plots.save(again[name], str(tmp_path / f"again.{suffix.upper()}"))
        assert first.read_bytes() == second.read_bytes(), name


@pytest.mark.slow
def test_figures_fit_the_width_of_a_readme(every_figure, tmp_path):
    for name, figure in every_figure().items():
        with Image.open(plots.save(figure, tmp_path / f"{name}.png")) as picture:
            assert 500 <= picture.width <= 1081, name


def test_a_notebook_displays_a_figure(scored):
    assert plots.roc(*scored)._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["figure.gif", "figure", "figure.pn"])
def test_an_unknown_suffix_is_an_error_that_names_all_suffixes(scored, tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}.*suffix must be \.pdf, \.png, \.svg"):
        plots.save(plots.roc(*scored), tmp_path / name)


def test_a_missing_folder_is_created(scored, tmp_path):
    path = plots.save(plots.roc(*scored), tmp_path / "new" / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_failed_save_does_not_change_the_old_file(scored, tmp_path, monkeypatch):
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(plots.roc(*scored), target, overwrite=True)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.slow
def test_figures_neither_use_nor_change_the_style_of_the_user(scored):
    plain = plots.roc(*scored)._repr_png_()
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "figure.dpi": 50}):
        before = dict(matplotlib.rcParams)
        assert plots.roc(*scored)._repr_png_() == plain
        assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_neither_pyplot_nor_a_display_is_needed(tmp_path):
    code = (
        "import sys; from minicore import plots; "
        f"plots.save(plots.timings({{'a': 1.0}}), {str(tmp_path / 'a.png')!r}); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    headless = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"MPLBACKEND": "tkagg"}
    subprocess.run([sys.executable, "-c", code], env=headless, check=True)
    assert (tmp_path / "a.png").stat().st_size > 0
