"""plots: what is drawn is what was given, in one style, without a display."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from minicore import plots
from minicore.evaluation import metrics
from minicore.plots import style

PICTURE, MAP, PREDICTED, TRUTH, SCALE = range(5)


@pytest.fixture
def scenes():
    """Two images (n, h, w, 3), their maps, and their masks: one good, one defective."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    masks = np.zeros((2, 32, 48), bool)
    masks[1, 8:20, 10:30] = True
    return images, (rng.random(masks.shape) + 2 * masks).astype(np.float32), masks


@pytest.fixture
def scored():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [40, 30])
    return labels, rng.normal(labels * 2, 1)


@pytest.fixture
def bank():
    """A memory bank (N, d) and its greedy coreset, the plain way."""
    features = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    picked = [0]
    distance = np.linalg.norm(features - features[0], axis=1)
    while len(picked) < 20:
        picked.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(features - features[picked[-1]], axis=1))
    return features, picked, distance.max()


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


def test_panels_show_image_map_prediction_and_truth(scenes):
    images, maps, masks = scenes
    figure = plots.panels(images, maps, masks, threshold=1.5)
    assert len(figure.axes) == 2 * 4 + 1
    heads = [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert heads == ["image", "anomaly map", "map ≥ 1.5", "ground truth"]
    for i in range(2):
        row = [axes.images[0].get_array() for axes in figure.axes[4 * i : 4 * i + 4]]
        assert np.allclose(row[PICTURE], images[i] / 255)
        for column, mask in ((PREDICTED, maps[i] >= 1.5), (TRUTH, masks[i])):
            coloured = np.ptp(row[column], axis=-1) > 1e-6  # elsewhere the picture is grey
            assert np.array_equal(coloured, mask)
    outlined = [len(axes.collections) for axes in figure.axes[:8]]
    assert outlined == [0, 0, 0, 0, 0, 1, 0, 1]


@pytest.mark.slow
def test_panels_leave_out_what_was_not_given(scenes):
    images, maps, masks = scenes
    assert len(plots.panels(images, maps).axes) == 2 * 2 + 1
    assert len(plots.panels(images, maps, masks).axes) == 2 * 3 + 1
    assert len(plots.panels(images[..., 0], maps, threshold=1).axes) == 2 * 3 + 1
    assert not plots.panels(images, maps).texts


def test_panels_share_one_scale(scenes):
    images, maps, _ = scenes
    assert plots.panels(images, maps).axes[-1].get_ylim() == (maps.min(), maps.max())
    figure = plots.panels(images, maps, threshold=9, vmin=0, vmax=5)
    assert figure.axes[-1].get_ylim() == (0, 5)
    assert not figure.axes[-1].lines  # a threshold off the scale has no place on it
    same = np.stack([maps[0], maps[0]])
    drawn = [a.images[0].get_array() for a in plots.panels(images[[0, 0]], same).axes[1:4:2]]
    assert np.array_equal(*drawn)


def test_equal_maps_can_be_drawn(scenes):
    images, maps, _ = scenes
    plots.panels(images, np.ones_like(maps))._repr_png_()


def test_panels_write_titles_labels_and_scores(scenes):
    images, maps, _ = scenes
    figure = plots.panels(
        images,
        maps,
        titles=["cut", "a very long name of a defect"],
        labels=[0, 1],
        scores=[2.6, 260],
    )
    words = [text.get_text() for text in figure.texts]
    expected = ["cut", "good", "score 2.60", "a very long", "name of a", "defect", "anomalous"]
    assert words == [*expected, "score 260"]
    long = plots.panels(images, maps, titles=["scratch_neck_0000001.png", "b"], limit=2)
    assert [t.get_text() for t in long.texts] == [
        "scratch_…00001.png", "threshold 2.00", "b", "threshold 2.00"
    ]  # fmt: skip
    colours = {text.get_text(): text.get_color() for text in figure.texts}
    assert (colours["good"], colours["anomalous"]) == (style.GOOD, style.ANOMALOUS)


@pytest.mark.slow
def test_no_words_are_cut_off(every_figure):
    for name, figure in every_figure().items():
        figure.draw_without_rendering()  # lays it out
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 > -0.01 and box.y0 > -0.01, name
        assert box.x1 < width + 0.01 and box.y1 < height + 0.01, name


def test_float_and_uint8_images_look_the_same(scenes):
    images, maps, _ = scenes
    floats = plots.panels(images.astype(np.float32) / 255, maps)
    assert floats._repr_png_() == plots.panels(images, maps)._repr_png_()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.zeros((2, 32, 47))}, r"images .* maps .* got \(2, 32, 48, 3\)"),
        ({"maps": np.zeros((0, 32, 48)), "images": np.zeros((0, 32, 48))}, "n ≥ 1"),
        ({"maps": np.full((2, 32, 48), np.nan)}, "maps must be finite"),
        ({"images": np.zeros((2, 32, 48), np.uint16)}, "images must be uint8.* uint16"),
        ({"masks": np.zeros((32, 48))}, r"masks must have the shape of maps, \(2, 32, 48\)"),
        ({"scores": [1.0]}, r"scores must be one per image, \(2,\), got \(1,\)"),
        ({"titles": "ab"}, "titles must be one per image"),
        ({"vmin": 2, "vmax": 2}, "vmin below vmax, got 2 and 2"),
    ],
)
def test_panels_name_what_does_not_fit(scenes, change, message):
    given = dict(zip(("images", "maps", "masks"), scenes, strict=True)) | change
    with pytest.raises(ValueError, match=message):
        plots.panels(**given)


def test_histogram_counts_every_image_and_no_bar_straddles_the_threshold(scored):
    labels, scores = scored
    threshold = float(np.median(scores))  # between scores
    axes = plots.histogram(labels, scores, threshold).axes[0]
    filled = list(axes.containers)  # the outlines are none
    assert [sum(p.get_height() for p in bars) for bars in filled] == [40, 30]
    right = [p for bars in filled for p in bars if p.get_x() >= threshold - 1e-9]
    left = [p for bars in filled for p in bars if p.get_x() + p.get_width() <= threshold + 1e-9]
    assert len(left) + len(right) == sum(map(len, filled))
    assert sum(p.get_height() for p in right) == np.sum(scores >= threshold)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "good (40)", "anomalous (30)", f"threshold {threshold:.3g}",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [None, -1e3, 0.5, 2.0, 1e3])
def test_histogram_takes_few_scores_equal_scores_and_one_class(threshold):
    for labels, scores in (([0], [2.0]), ([1, 1, 1], [2, 2, 2]), ([0, 1], [0.1, 0.7])):
        plots.histogram(labels, scores, threshold)._repr_png_()


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [1.0], r"same shape \(n,\), n ≥ 1, got \(2,\) and \(1,\)"),
        ([], [], "n ≥ 1"),
        ([0, 2], [1, 2], "labels must be 0"),
        ([0, 1], [1, np.inf], "scores must be finite"),
    ],
)
def test_histogram_names_what_is_wrong(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        plots.histogram(labels, scores)


def test_roc_draws_the_curve_and_states_its_area(scored):
    axes = plots.roc(*scored).axes[0]
    drawn = np.array([axes.lines[-1].get_xdata(), axes.lines[-1].get_ydata()])
    assert np.array_equal(drawn, metrics.roc_curve(*scored))
    assert f"AUROC {100 * metrics.image_auroc(*scored):.2f} %" in [t.get_text() for t in axes.texts]
    assert axes.get_xlim() == axes.get_ylim() == (0, 1)


def test_coreset_shows_every_pick_in_order_and_the_distance_it_minimises(bank):
    features, picked, farthest = bank
    figure = plots.coreset(features, picked)
    axes = figure.axes[0]
    everything, chosen = axes.collections
    assert len(everything.get_offsets()) == len(features)
    assert np.array_equal(chosen.get_array(), np.arange(20, 0, -1))
    assert axes.get_title(loc="left") == f"greedy, 20: farthest patch {farthest:.3g} away"
    centred = features - features.mean(axis=0)
    spread = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    assert np.sum(everything.get_offsets() ** 2) == pytest.approx(spread[:2].sum(), rel=1e-4)
    # The first pick is drawn last, where row 0 lies.
    assert np.allclose(chosen.get_offsets()[-1], everything.get_offsets()[0], atol=1e-5)


def test_random_rows_stand_beside_the_coreset_on_the_same_axes(bank):
    figure = plots.coreset(*bank[:2], beside_random=True, sample=100, seed=3)
    greedy, random = figure.axes[:2]
    assert greedy.get_xlim() == random.get_xlim() and greedy.get_ylim() == random.get_ylim()
    assert [len(c.get_offsets()) for c in random.collections] == [100, 20]
    assert random.get_title(loc="left").startswith("random, 20: ")


@pytest.mark.parametrize(
    ("features", "indices", "message"),
    [
        (np.ones(5), [0], r"features must be \(N, d\)"),
        (np.ones((5, 1)), [0], r"features must be .* got \(5, 1\)"),
        (np.ones((5, 3)), [], "indices must be"),
        (np.ones((5, 3)), [0, 5], "indices must be .* N = 5"),
        (np.ones((5, 3)), [-1], "indices must be"),
    ],
)
def test_coreset_names_what_is_wrong(features, indices, message):
    with pytest.raises(ValueError, match=message):
        plots.coreset(features, indices)


def test_timings_have_a_bar_and_a_number_each_from_top_to_bottom():
    seconds = {"decode": 0.31, "backbone": 2.4, "patches": 0.0189, "score": 19.4e-6}
    axes = plots.timings(seconds).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx(list(seconds.values()))
    assert [t.get_text() for t in axes.texts] == ["310 ms", "2.4 s", "18.9 ms", "19.4 µs"]
    assert axes.yaxis_inverted() and axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 19.4e-6 and axes.get_xlim()[1] > 2.4


@pytest.mark.parametrize("seconds", [{}, {"a": 0.0}, {"a": -1.0}, {"a": float("nan")}])
def test_timings_must_be_positive(seconds):
    with pytest.raises(ValueError, match="seconds must be positive and finite"):
        plots.timings(seconds)


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


def test_a_figure_shows_in_a_notebook_by_itself(scored):
    assert plots.roc(*scored)._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["figure.gif", "figure", "figure.pn"])
def test_an_unknown_suffix_is_named_with_those_known(scored, tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}.*suffix must be \.pdf, \.png, \.svg"):
        plots.save(plots.roc(*scored), tmp_path / name)


def test_a_missing_folder_is_made(scored, tmp_path):
    path = plots.save(plots.roc(*scored), tmp_path / "new" / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(scored, tmp_path, monkeypatch):
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(plots.roc(*scored), target, overwrite=True)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.slow
def test_the_readers_own_style_is_left_alone_and_does_not_leak_in(scored):
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
