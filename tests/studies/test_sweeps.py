"""Studies: rows that differ in one parameter, measured as rows of a table, and drawn."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from minicore import PatchCore, datasets
from minicore.cli import main
from minicore.evaluation.evaluate import evaluate
from minicore.patchcore.config import Config
from minicore.patchcore.selection import pick
from minicore.studies.reproduce import STUDIES, Row, Unit, reproduce, row, study, summary
from minicore.studies.reproduce.curves import curves, table
from minicore.studies.reproduce.figure import figure
from minicore.studies.reproduce.summary import Line

SIZE = 160  # pixels: 400 patches an image, so that 1 % of 12 images are 48 rows


@pytest.fixture(scope="module")
def three_levels(tiny, tmp_path_factory):
    """The tiny network with its layer1 as an output too; by default it is not used."""
    import onnx

    model = onnx.load(tiny)
    layer1 = onnx.helper.make_tensor_value_info("layer1", 1, ("n", 8, "h1", "w1"))
    model.graph.output.insert(0, layer1)
    path = tmp_path_factory.mktemp("network") / "three_levels.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def config(tiny, gear):
    """Any valid one."""
    return PatchCore(tiny, coreset_ratio=0.1, b=2).fit(gear.train[:1]).config_


@pytest.fixture
def command(three_levels, mvtec_root, tmp_path, capsys):
    """Run ``minicore reproduce`` on the small category; give the folder and what it printed."""

    def command(*options, code=0):
        arguments = [mvtec_root, "gear", "--out", tmp_path / "run", "--image-size", SIZE]
        arguments += ["--backbone", three_levels, *options]
        with pytest.raises(SystemExit) as end:
            main(["reproduce", *map(str, arguments)])
        assert (end.value.code or 0) == code
        return tmp_path / "run", capsys.readouterr()

    return command


def line(name, seed, category, milliseconds=1.0, n_train=100, **rates):
    figures = {"image_auroc": None, "image_auroc_distance": None, "pixel_auroc": None} | rates
    where = {"category": category, "milliseconds": milliseconds, "n_train": n_train}
    return Line(name, seed, where | figures, None, {})


def everything(its, categories=("bottle", "screw"), seeds=(0, 1)):
    """Give each row of a study numbers that tell it, its category and its seed."""
    return [
        line(
            one.name,
            seed,
            category,
            milliseconds=10.0 * (i + 1),
            n_train=one.n_train or 100 + 100 * c,
            image_auroc=0.5 + i / 100 + c / 10 + seed / 1000,
            image_auroc_distance=0.4,
            pixel_auroc=0.9,
        )
        for i, one in enumerate(its.rows)
        for c, category in enumerate(categories)
        for seed in seeds
    ]


# Other ways to select than the greedy one


def test_rows_at_random_are_drawn_by_the_seed_each_once(config):
    config = replace(config, selection="random", coreset_ratio=0.25)
    psi_M = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    picks, radii = pick(psi_M, config)
    assert len(set(picks)) == len(picks) == 100 and picks.min() >= 0 and picks.max() < 400
    assert not len(radii)
    fewer = pick(psi_M, replace(config, coreset_ratio=0.1))[0]
    assert np.array_equal(fewer, picks[:40])
    assert not np.array_equal(pick(psi_M, replace(config, seed=1))[0], picks)


def test_k_means_keeps_the_row_nearest_each_centre(config):
    rng = np.random.default_rng(0)
    centres = 100 * rng.normal(size=(5, 8))
    # Twenty rows a cluster lie in pairs around its centre, so that their mean is the centre; one
    # row at the centre itself is the one to keep.
    around = rng.normal(size=(5, 10, 8))
    rows = np.concatenate(
        [centres[:, None], centres[:, None] + around, centres[:, None] - around], 1
    )
    shuffled = rng.permutation(105)
    psi_M = rows.reshape(105, 8)[shuffled].astype(np.float32)
    picks, radii = pick(psi_M, replace(config, selection="kmeans", coreset_ratio=5 / 105))
    assert sorted(shuffled[picks]) == [0, 21, 42, 63, 84] and not len(radii)


def test_a_row_nearest_several_centres_is_kept_once(config):
    psi_M = np.zeros((64, 8), np.float32)
    psi_M[32:] = 1
    picks, _ = pick(psi_M, replace(config, selection="kmeans", coreset_ratio=0.25))
    assert picks.tolist() == [0, 32]  # of equal rows the lowest


def test_k_means_is_the_same_for_any_number_of_threads(config):
    from threadpoolctl import threadpool_limits

    psi_M = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    config = replace(config, selection="kmeans", coreset_ratio=0.02)
    expected = pick(psi_M, config)[0]
    with threadpool_limits(1):
        assert np.array_equal(pick(psi_M, config)[0], expected)


@pytest.mark.parametrize("selection", ["random", "kmeans"])
def test_a_model_says_how_its_rows_were_selected(selection, tiny, gear, tmp_path):
    model = PatchCore(tiny, coreset_ratio=0.1, selection=selection).fit(gear.train)
    every = PatchCore(tiny, coreset_ratio=1.0, false_positive_rate=None).fit(gear.train)
    M = every.memory_bank_[np.argsort(every.coreset_indices_)]
    assert np.array_equal(model.memory_bank_, M[model.coreset_indices_])  # real patches
    assert not len(model.coreset_radii_)
    again = PatchCore.load(model.save(tmp_path / "model.minicore"))
    assert again.config_.selection == again.selection == selection
    assert np.array_equal(again.anomaly_score(gear.test), model.anomaly_score(gear.test))


def test_models_from_before_there_was_a_choice_were_greedy(config):
    stored = config.to_json()
    del stored["selection"]
    assert Config.from_json(stored) == config and config.selection == "greedy"


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"selection": "best"}, "selection must be 'greedy' or 'random' or 'kmeans'"),
        ({"selection": "random", "coreset_radius": 1.0}, "coreset_radius must be None unless"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(wrong, words, tiny, gear):
    with pytest.raises(ValueError, match=words):
        PatchCore(tiny, **wrong).fit(gear.train[:1])


# What is measured


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "time"])
def test_rows_of_a_study_differ_in_one_parameter(name):
    its = study(name)

    def others(one):
        parameters = {"selection": "greedy", **one.parameters, "n_train": one.n_train}
        varied = {its.varies, "selection"} if name == "coreset" else {its.varies}
        return {k: v for k, v in parameters.items() if k not in varied}

    assert all(others(one) == others(its.rows[0]) for one in its.rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_rows_of_studies_are_rows_of_the_table(name):
    its = study(name)
    for one in its.rows:
        made = [other for n in STUDIES for other in study(n).rows if other.name == one.name]
        assert all(other == one for other in made)  # a name says all: units are found by it
        assert not set(one.name) & set('\\/:*?"<>|') and one.name == one.name.strip()
        if " " not in one.name:
            assert one == row(one.name)
    found = [replace(x, evaluation={**x.evaluation, "bank_rows": 1, "fit_seconds": 1.0})
             for x in everything(its)]  # fmt: skip
    assert all(f"| {one.name} " in summary.costs(found) for one in its.rows)


@pytest.mark.slow
def test_a_row_that_asks_for_other_layers_leaves_those_of_the_others(
    three_levels, mvtec_root, tmp_path
):
    rows = [
        row("PatchCore-1"),
        Row("PatchCore-1 levels 1", {"coreset_ratio": 0.01, "layers": ("layer1",)}),
    ]
    run = reproduce(mvtec_root, tmp_path / "run", rows, backbone=three_levels, seeds=[0],
                    image_size=SIZE, progress=False)  # fmt: skip
    parts = datasets.mvtec(mvtec_root, "gear")
    for one, layers in zip(rows, (("layer2", "layer3"), ("layer1",)), strict=True):
        model = PatchCore(three_levels, coreset_ratio=0.01, layers=layers, resize=183, crop=SIZE,
                          false_positive_rate=None, progress=False)  # fmt: skip
        found = run.load(Unit("gear", one.name, 0))
        assert found.config["layers"] == list(layers)
        assert np.array_equal(found.evidence.scores, evaluate(model, parts)[1].scores)


def test_more_images_than_there_are_are_not_asked_for():
    assert [point.label for point in study("shots").within(12).points] == [
        "1",
        "2",
        "5",
        "10",
        "all",
    ]


def test_an_unknown_study_is_refused():
    with pytest.raises(ValueError, match=r"figure: expected coreset, patchsize, .* got 'table'"):
        study("table")


# What is drawn


def test_what_is_drawn_is_what_was_measured():
    its = study("patchsize")
    found = [*everything(its), *everything(its, ["half-done"])[:-2], line("PaDiM", 0, "bottle")]
    drawn = curves(its, found, (0, 1))
    assert [(c.panel, c.category, c.main) for c in drawn] == [
        (panel, category, category == "mean")
        for panel in ("image AUROC", "pixel AUROC")
        for category in ("bottle", "screw", "mean")
    ]
    mean = drawn[2]
    assert [dot.x for dot in mean.dots] == [1, 3, 5, 7, 9, 11]
    for dot in mean.dots:
        i = [point.x for point in its.points].index(dot.x)
        assert dot.y.mean == pytest.approx(50 + i + 5 + 0.05)
        assert dot.y.high - dot.y.low == pytest.approx(0.1)
    assert [dot.y.low for dot in curves(its, found, [0])[2].dots] == pytest.approx(
        [dot.y.low for dot in mean.dots]
    )
    alone = curves(its, everything(its, ["bottle"]), (0, 1))
    assert [(c.category, c.main) for c in alone] == [("bottle", True)] * 2


def test_a_measured_axis_has_each_category_in_its_place():
    its = study("shots")
    bottle, screw, mean = curves(its, everything(its), (0, 1))[:3]
    assert [c.dots[-1].x for c in (bottle, screw, mean)] == [100, 200, 150]
    assert bottle.dots[-1].label == "all" and bottle.dots[0].x == 1


def test_the_plain_distance_is_drawn_beside_equation_7():
    its = study("reweighting")
    drawn = {(c.name, c.category): c for c in curves(its, everything(its), (0, 1))}
    assert [dot.y.mean for dot in drawn["equation 6 only", "mean"].dots] == pytest.approx([40] * 6)
    assert drawn["equation 7", "mean"].dots[0].y.mean > 50


def test_a_method_without_maps_is_missing_from_their_panel():
    its = study("time")
    found = [
        replace(x, evaluation={**x.evaluation, "pixel_auroc": None}) if x.row == "OCSVM" else x
        for x in everything(its)
    ]
    names = {(c.panel, c.name) for c in curves(its, found, (0, 1))}
    assert ("image AUROC", "OCSVM") in names and ("pixel AUROC", "OCSVM") not in names
    assert "–" in table(its, curves(its, found, (0, 1)))


@pytest.mark.parametrize("name", STUDIES)
def test_a_figure_shows_every_number_and_says_what_it_is(name):
    its = study(name)
    drawn = curves(its, everything(its), (0, 1))
    picture = figure(its, drawn)
    panels = list(dict.fromkeys(curve.panel for curve in drawn))
    assert [axes.get_ylabel() for axes in picture.axes] == [f"{p}, per cent" for p in panels]
    for axes, panel in zip(picture.axes, panels, strict=True):
        shown = {tuple(map(tuple, a.get_xydata())) for a in axes.get_lines()}
        for curve in drawn:
            if curve.panel == panel and curve.main:
                assert tuple((dot.x, dot.y.mean) for dot in curve.dots) in shown
        assert axes.get_xlabel() == its.axis
    assert table(its, drawn).count("\n") == 3 + len(its.points)  # a line a point, below a title


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="curves must not be empty"):
        figure(study("levels"), [])


# The command


@pytest.mark.slow
def test_the_command_draws_figures_from_one_folder(command):
    folder, printed = command("--figure", "levels", "--figure", "reweighting", "--seeds", "0,1")
    for name in ("levels", "reweighting"):
        assert (folder / f"figure-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert study(name).title in printed.out
    with (folder / "table.csv").open(newline="") as file:
        units = list(csv.DictReader(file))
    assert len(units) == 2 * (6 + 6 - 1)  # PatchCore-1 stands in both
    before = {path: path.stat().st_mtime_ns for path in folder.glob("units/*/*/*")}
    _, again = command("--figure", "levels", "--seeds", "0,1")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("units/*/*/*")} == before
    assert again.out.strip() in printed.out
    (rate,) = {100 * float(u["image_auroc"]) for u in units if u["row"] == "PatchCore-1 levels 1+2"
               and u["seed"] == "0"}  # fmt: skip
    cells = next(x for x in again.out.splitlines() if "| 1+2 " in x)
    assert f"{rate:.2f}" in cells


@pytest.mark.slow
def test_selections_and_few_images_are_studied_too(command):
    folder, printed = command(
        "--figure", "coreset", "--figure", "shots", "--b", "2", "--seeds", "0"
    )
    rows = {path.name for path in folder.glob("units/gear/*")}
    assert {
        "PatchCore-0.1 kmeans",
        "PatchCore-25 random",
        "PatchCore-25",
        "PatchCore-10 n=5",
    } <= rows
    assert "PatchCore-10 n=16" not in rows  # there are but 12
    assert "all" in printed.out and "k-means" in printed.out


def test_what_a_figure_varies_cannot_be_set(command):
    _, printed = command("--figure", "patchsize", "--patchsize", "5", code=1)
    assert "leave --patchsize out" in printed.err and printed.err.count("\n") == 1
