"""Studies of one parameter: rows, curves and figures."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from minicore import PatchCore, datasets
from minicore.cli import main
from minicore.evaluation.evaluate import evaluate
from minicore.studies.reproduce import STUDIES, Row, Unit, reproduce, row, study, summary
from minicore.studies.reproduce.curves import curves, table
from minicore.studies.reproduce.figure import figure
from minicore.studies.reproduce.summary import Line

SIZE = 160  # pixels: 400 patches an image, so that 1 % of 12 images are 48 rows


@pytest.fixture(scope="module")
def three_levels(tiny, tmp_path_factory):
    """The tiny network with layer1 as an additional output, which is not used by default."""
    import onnx

    model = onnx.load(tiny)
    layer1 = onnx.helper.make_tensor_value_info("layer1", 1, ("n", 8, "h1", "w1"))
    model.graph.output.insert(0, layer1)
    path = tmp_path_factory.mktemp("network") / "three_levels.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def command(three_levels, mvtec_root, tmp_path, capsys):
    """Run ``minicore reproduce`` on the small category. Return the folder and the output."""

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


def all_lines(sweep, categories=("bottle", "screw"), seeds=(0, 1)):
    """Return lines of all rows of a study. Their numbers depend on row, category and seed."""
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
        for i, one in enumerate(sweep.rows)
        for c, category in enumerate(categories)
        for seed in seeds
    ]


# Rows


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "time"])
def test_rows_of_a_study_differ_in_one_parameter(name):
    sweep = study(name)

    def others(one):
        parameters = {"selection": "greedy", **one.parameters, "n_train": one.n_train}
        varied = {sweep.varies, "selection"} if name == "coreset" else {sweep.varies}
        return {k: v for k, v in parameters.items() if k not in varied}

    assert all(others(one) == others(sweep.rows[0]) for one in sweep.rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_row_with_a_name_of_the_table_is_the_row_of_the_table(name):
    sweep = study(name)
    for one in sweep.rows:
        made = [other for n in STUDIES for other in study(n).rows if other.name == one.name]
        assert all(other == one for other in made)  # units are found by the name of their row
        assert not set(one.name) & set('\\/:*?"<>|') and one.name == one.name.strip()
        if " " not in one.name:
            assert one == row(one.name)
    found = [replace(x, evaluation={**x.evaluation, "bank_rows": 1, "fit_seconds": 1.0})
             for x in all_lines(sweep)]  # fmt: skip
    assert all(f"| {one.name} " in summary.costs(found) for one in sweep.rows)


@pytest.mark.slow
def test_a_row_with_other_layers_does_not_change_other_rows(three_levels, mvtec_root, tmp_path):
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


def test_points_that_need_too_many_images_are_left_out():
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


# Curves and figures


def test_curves_contain_the_measured_numbers():
    sweep = study("patchsize")
    found = [*all_lines(sweep), *all_lines(sweep, ["half-done"])[:-2], line("PaDiM", 0, "bottle")]
    drawn = curves(sweep, found, (0, 1))
    assert [(c.panel, c.category, c.main) for c in drawn] == [
        (panel, category, category == "mean")
        for panel in ("image AUROC", "pixel AUROC")
        for category in ("bottle", "screw", "mean")
    ]
    mean = drawn[2]
    assert [dot.x for dot in mean.dots] == [1, 3, 5, 7, 9, 11]
    for dot in mean.dots:
        i = [point.x for point in sweep.points].index(dot.x)
        assert dot.y.mean == pytest.approx(50 + i + 5 + 0.05)
        assert dot.y.high - dot.y.low == pytest.approx(0.1)
    assert [dot.y.low for dot in curves(sweep, found, [0])[2].dots] == pytest.approx(
        [dot.y.low for dot in mean.dots]
    )
    alone = curves(sweep, all_lines(sweep, ["bottle"]), (0, 1))
    assert [(c.category, c.main) for c in alone] == [("bottle", True)] * 2


def test_a_measured_axis_has_its_own_x_for_each_category():
    sweep = study("shots")
    bottle, screw, mean = curves(sweep, all_lines(sweep), (0, 1))[:3]
    assert [c.dots[-1].x for c in (bottle, screw, mean)] == [100, 200, 150]
    assert bottle.dots[-1].label == "all" and bottle.dots[0].x == 1


def test_the_distance_of_equation_6_is_a_second_curve():
    sweep = study("reweighting")
    drawn = {(c.name, c.category): c for c in curves(sweep, all_lines(sweep), (0, 1))}
    assert [dot.y.mean for dot in drawn["equation 6 only", "mean"].dots] == pytest.approx([40] * 6)
    assert drawn["equation 7", "mean"].dots[0].y.mean > 50


def test_a_method_without_maps_has_no_pixel_auroc():
    sweep = study("time")
    found = [
        replace(x, evaluation={**x.evaluation, "pixel_auroc": None}) if x.row == "OCSVM" else x
        for x in all_lines(sweep)
    ]
    names = {(c.panel, c.name) for c in curves(sweep, found, (0, 1))}
    assert ("image AUROC", "OCSVM") in names and ("pixel AUROC", "OCSVM") not in names
    assert "–" in table(sweep, curves(sweep, found, (0, 1)))


@pytest.mark.parametrize("name", STUDIES)
def test_a_figure_shows_every_number_and_has_labels(name):
    sweep = study(name)
    drawn = curves(sweep, all_lines(sweep), (0, 1))
    picture = figure(sweep, drawn)
    panels = list(dict.fromkeys(curve.panel for curve in drawn))
    assert [axes.get_ylabel() for axes in picture.axes] == [f"{p}, per cent" for p in panels]
    for axes, panel in zip(picture.axes, panels, strict=True):
        shown = {tuple(map(tuple, a.get_xydata())) for a in axes.get_lines()}
        for curve in drawn:
            if curve.panel == panel and curve.main:
                assert tuple((dot.x, dot.y.mean) for dot in curve.dots) in shown
        assert axes.get_xlabel() == sweep.axis
    assert table(sweep, drawn).count("\n") == 3 + len(sweep.points)


def test_a_figure_without_curves_is_refused():
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
    assert len(units) == 2 * (6 + 6 - 1)  # PatchCore-1 belongs to both
    before = {path: path.stat().st_mtime_ns for path in folder.glob("units/*/*/*")}
    _, again = command("--figure", "levels", "--seeds", "0,1")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("units/*/*/*")} == before
    assert again.out.strip() in printed.out
    (rate,) = {100 * float(u["image_auroc"]) for u in units if u["row"] == "PatchCore-1 levels 1+2"
               and u["seed"] == "0"}  # fmt: skip
    cells = next(x for x in again.out.splitlines() if "| 1+2 " in x)
    assert f"{rate:.2f}" in cells


@pytest.mark.slow
def test_studies_of_selections_and_few_images_can_be_measured(command):
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
    assert "PatchCore-10 n=16" not in rows  # there are only 12
    assert "all" in printed.out and "k-means" in printed.out


def test_a_parameter_that_a_figure_varies_cannot_be_set(command):
    _, printed = command("--figure", "patchsize", "--patchsize", "5", code=1)
    assert "leave --patchsize out" in printed.err and printed.err.count("\n") == 1
