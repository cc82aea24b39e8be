"""`minicore bench`: it measures the real work, and its files are complete."""

import importlib
import json
import time

import numpy as np
import pytest
from PIL import Image

from minicore import equations, fast
from minicore.backbones import Backbone
from minicore.cli import main
from minicore.errors import MinicoreError
from minicore.studies import bench
from minicore.studies.bench import charts, peers, stages, stopwatch
from minicore.studies.bench.bound import bound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def material(tiny, gear):
    return bench.Material(list(gear.train), list(gear.test), Backbone(tiny, threads=1), name="gear")


@pytest.fixture(scope="module")
def result(material):
    """A complete run on few images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "SHORTEST", 0.0)
        patch.setattr(stages, "STEPS", 1e6)
        # On one thread: on a busy machine, several threads wait for each other at every pick.
        return bench.run(material, repeats=2, n_threads=1, progress=False)


@pytest.fixture(scope="module")
def grown(material):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "SHORTEST", 0.0)
        patch.setattr(stages, "STEPS", 1e6)
        return bench.run_growth(material, repeats=1, n_threads=1, progress=False)


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*arguments):
        typed = ["bench", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", ["minicore", *typed])
        with pytest.raises(SystemExit) as end:
            main(typed)
        return end.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def quick(monkeypatch, tiny):
    """Options of a run that takes a second: a tiny network and few images."""
    monkeypatch.setattr("minicore.studies.bench.material.TRAIN", 4)
    monkeypatch.setattr("minicore.studies.bench.material.TEST", 2)
    monkeypatch.setattr(stopwatch, "SHORTEST", 0.0)
    return ["--backbone", tiny, "--repeats", 2, "--threads", 1]


# Measuring


def test_every_stage_is_timed_on_every_side(result):
    found = {name: [t.side for t in timings] for name, timings in result.stages().items()}
    flat = ["faiss"] if peers.faiss() else []
    assert found == {
        "patches": ["equations", "fast", "memory copy"],
        "projection": ["fast", "matrix product"],
        "coreset": ["equations", "parallel loop", "parallel loop, float32", "fast",
                    "matrix product"],
        "bank": ["fast"],
        "nearest": ["equations", "scikit-learn", *flat, "fast", "matrix product"],
        "score": ["equations", "fast"],
        "map": ["equations", "fast"],
        "end to end": ["equations", "fast, 1 %", "fast, 10 %", "fast, 10 %, threshold",
                       "onnxruntime alone", "network alone"],
        "export": ["fast", "ONNX file", "network alone"],
    }  # fmt: skip
    assert all(len(t.seconds) == 2 and min(t.seconds) > 0 for t in result.timings)
    assert [t.side for t in result.timings if t.limit] == [
        "memory copy", "matrix product", "matrix product", "matrix product", "network alone",
        "network alone",
    ]  # fmt: skip


def test_results_of_the_fast_engine_are_compared_with_the_literal_loops(result):
    assert result.same == dict.fromkeys(["patches", "coreset", "nearest", "score", "map"], True)
    assert any(
        "equal to the results of the literal loops: patches, coreset" in line
        for line in result.notes()
    )


@pytest.mark.parametrize(("load", "noted"), [(0.9, False), (2.5, True), (None, False)])
def test_the_notes_mention_a_busy_machine(result, load, noted):
    changed = bench.Result(result.settings, {**result.machine, "cores": 2, "load": load})
    assert any("a busy machine" in line for line in changed.notes()) == noted


def test_a_difference_from_the_literal_loops_is_reported(material, monkeypatch):
    right = fast.greedy_coreset
    monkeypatch.setattr(fast, "greedy_coreset", lambda *a, **k: right(*a, **k)[::-1])
    wrong = bench.run(material, ["coreset"], repeats=1, n_threads=1, progress=False)
    assert wrong.same == {"coreset": False}
    assert "NOT EQUAL to the results of the literal loops: coreset" in wrong.notes()


@pytest.mark.parametrize("loop", [peers.plain_coreset, peers.plain_coreset_float32])
def test_the_plain_loops_are_algorithm_1(loop):
    M = np.random.default_rng(0).standard_normal((1500, 7)).astype(np.float32)
    assert np.array_equal(loop(M, 40, 3), equations.greedy_coreset(M, 40, 3))
    assert np.array_equal(loop(M[:5], 5, 1), equations.greedy_coreset(M[:5], 5, 1))


def test_the_time_of_a_part_is_scaled_to_the_whole_work():
    M = np.random.default_rng(0).standard_normal((100_000, 100)).astype(np.float32)
    by_name = {side.name: side for side in stages.coreset_of(M, 1001).sides}
    literal = by_name["equations"]
    assert literal.part == "20 of 1,001 picks" and literal.scale == 1000 / 19
    assert by_name["matrix product"].scale == pytest.approx(100_000 / 4096)
    assert not by_name["fast"].part and by_name["fast"].scale == 1


def test_sides_run_in_turn_and_the_first_call_is_not_counted(monkeypatch):
    monkeypatch.setattr(stopwatch, "SHORTEST", 0.0)
    order, slow = [], {"a"}

    def side(name):
        def work():
            order.append(name)
            time.sleep(0.1 if name in slow else 0.002)
            slow.discard(name)
            return name

        return bench.Side(name, work, scale=3.0)

    samples, first, results = bench.measure([side("a"), side("b")], 2)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert results == {"a": "a", "b": "b"}
    assert first[0] > 0.08 and first[1] < 0.05
    assert all(0.006 <= s < 0.1 for own in samples for s in own)


def test_random_vectors_have_the_shapes_of_the_images(material, tiny):
    random = bench.RandomMaterial(material.train, material.test, Backbone(tiny))
    for name in ("M", "queries", "psi_M", "bank"):
        assert getattr(random, name).shape == getattr(material, name).shape
    assert [a.shape for a in random.levels] == [a.shape for a in material.levels]
    assert abs(float(random.M.mean())) < 0.05 and float(random.M.std()) == pytest.approx(1, 0.05)
    found = bench.run(random, ["score", "whole"], repeats=1, progress=False)
    assert list(found.stages()) == ["score"]  # without images, end to end is skipped


def test_faiss_is_left_out_if_it_is_not_installed(material, monkeypatch):
    def absent(name, *rest):
        if name == "faiss":
            raise ImportError(name)
        return found(name, *rest)

    found = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    timed = bench.run(material, ["nearest"], repeats=1, progress=False)
    assert [t.side for t in timed.timings] == ["equations", "scikit-learn", "fast",
                                               "matrix product"]  # fmt: skip


def test_the_bound_never_exceeds_the_distance():
    rng = np.random.default_rng(0)
    bank, queries = rng.standard_normal((400, 40)), rng.standard_normal((30, 40))
    found = bound(bank.astype(np.float32), queries.astype(np.float32))
    assert (found.lower <= found.distances * (1 + 1e-6)).all()
    assert found.axes == (4, 8, 16, 32) and found.surviving.shape == (4, 30)
    assert (np.diff(found.surviving, axis=0) <= 0).all()  # more axes, fewer rows
    assert (found.surviving >= 1 / 400).all()  # the nearest row itself always survives


# Tables, files and figures


def test_json_contains_machine_settings_and_all_samples_and_can_be_loaded(result, tmp_path):
    path = tmp_path / "new" / "bench.json"
    result.save(path)
    stored = json.loads(path.read_text())
    assert set(stored) == {"minicore", "settings", "machine", "timings", "same", "curves"}
    assert stored["machine"]["cpu"] and stored["machine"]["versions"]["numpy"] == np.__version__
    assert {"data", "train", "test", "network", "embedding", "coreset", "repeats"} <= set(
        stored["settings"]
    )
    assert {"stage", "equation", "size", "side", "seconds", "first", "part", "limit"} == set(
        stored["timings"][0]
    )
    again = bench.Result.load(path)
    assert again == result and again.table() == result.table()


def test_the_table_is_markdown_with_one_row_per_side(result):
    lines = result.table().splitlines()
    assert len(lines) == 2 + len(result.timings)
    assert len({line.count("|") for line in lines}) == 1 and len({len(s) for s in lines}) == 1


def test_growth_has_one_curve_per_side_with_its_slope(grown, tmp_path):
    axes = {(c.stage, c.axis) for c in grown.curves}
    assert len(axes) == 5 and len(grown.growth_table().splitlines()) == 2 + len(grown.curves)
    grown.save(tmp_path / "growth.json")
    assert bench.Result.load(tmp_path / "growth.json") == grown
    curve = bench.Curve("coreset", "rows N", "", "fast", (10, 100), ((1.0, 3.0), (200.0, 200.0)))
    assert curve.slope == pytest.approx(2)


def test_figures_show_every_side_and_fit_the_page(result, grown, material):
    figures = {
        "comparison": charts.comparison(result.timings),
        "growth": charts.growth(grown.curves),
        "bound": charts.bound(bound(material.bank, material.queries[0])),
    }
    ticks = [t.get_text() for axes in figures["comparison"].axes for t in axes.get_yticklabels()]
    assert ticks == [t.side for t in result.timings if not t.limit]
    for name, figure in figures.items():
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert width <= 7.2, name
        assert box.x0 > -0.01 and box.y0 > -0.01, name
        assert box.x1 < width + 0.01 and box.y1 < height + 0.01, name


@pytest.mark.parametrize("draw", [charts.comparison, charts.growth])
def test_a_figure_without_data_is_refused(draw):
    with pytest.raises(ValueError, match="must not be empty"):
        draw([])


# The command


def test_the_command_prints_a_table_and_writes_json_and_pictures(run, quick, tmp_path):
    out, folder = tmp_path / "bench.json", tmp_path / "pictures"
    code, text, error = run("nearest", "map", *quick, "--json", out, "--pictures", folder)
    assert code == 0 and "| nearest (eq 6)" in text and "| map (section 3.3)" in text
    assert "coreset (eq 5)" not in text and str(out) in error
    assert json.loads(out.read_text())["settings"]["command"].startswith("minicore bench nearest")
    assert sorted(p.name for p in folder.iterdir()) == ["bench.png", "bound.png"]
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert 500 <= picture.width <= 1081


def test_growth_is_measured_instead_of_the_stages(run, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "STEPS", 1e6)
    code, text, _ = run("--growth", *quick, "--json", tmp_path / "g.json", "--pictures", tmp_path)
    assert code == 0 and "| coreset" in text and "picks l" in text and "first calls" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.json", "growth.png"]
    code, _, error = run("--growth", "coreset", *quick)
    assert code == 1 and "leave out coreset" in error


def test_data_can_be_a_folder_of_images_or_a_category(mvtec_root, monkeypatch):
    from minicore.studies.bench.material import read_images

    category = mvtec_root / "gear"
    name, train, test = read_images(category, full=True)
    assert (name.split("/")[-1], len(train), len(test)) == ("gear", 12, 10)
    name, train, test = read_images(category / "train" / "good", full=True)
    assert name == "gear/train/good"
    assert (len(train), len(test)) == (10, 2) and not set(train) & set(test)
    monkeypatch.setattr("minicore.studies.bench.material.TRAIN", 5)
    monkeypatch.setattr("minicore.studies.bench.material.TEST", 3)
    assert [len(x) for x in read_images(category, full=False)[1:]] == [5, 3]


def test_a_missing_folder_is_reported_in_one_line(run, tmp_path):
    code, out, error = run("--data", tmp_path / "nowhere")
    assert code == 1 and not out and error.count("\n") == 1
    assert error.startswith("minicore: ") and "nowhere" in error and "a folder of images" in error


def test_one_image_is_refused(tmp_path, gear):
    from minicore.studies.bench.material import read_images

    Image.fromarray(gear.train[0]).save(tmp_path / "one.png")
    with pytest.raises(MinicoreError, match="two images or more"):
        read_images(tmp_path, full=False)


def test_an_interrupted_run_leaves_no_files(run, quick, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fast, "anomaly_map", stop)
    code, out, _ = run(
        "coreset", "map", *quick, "--json", tmp_path / "b.json", "--pictures", tmp_path
    )
    assert code != 0 and not out and not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_refused_before_measuring(run, quick, tmp_path):
    began = time.perf_counter()
    code, out, error = run(*quick, "--json", tmp_path)
    assert code == 1 and not out and "a folder; name a file" in error
    assert time.perf_counter() - began < 5


def test_zero_rounds_are_refused(material):
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        bench.run(material, repeats=0)
