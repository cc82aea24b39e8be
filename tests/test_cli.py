"""The command line: what it prints where, what it leaves, and how it ends."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import minicore
from minicore import PatchCore
from minicore.cli import main
from minicore.errors import DatasetError

COMMANDS = [[], ["demo"], ["fit"], ["score"], ["evaluate"], ["info"], ["bench"], ["backbone"]]
COMMANDS += [["report"]]
COMMANDS += [["backbone", name] for name in ("info", "list", "get", "convert")]


@pytest.fixture
def refused(run):
    def refused(*arguments):
        """Run a command that fails as it should; return its one line."""
        code, _, error = run(*arguments)
        assert code == 1 and "Traceback" not in error
        assert error.startswith("minicore: ") and error.count("\n") == 1, error
        return error

    return refused


@pytest.fixture(scope="module")
def good(mvtec_root):
    return mvtec_root / "gear" / "train" / "good"


@pytest.fixture(scope="module")
def to_test(mvtec_root):
    return sorted((mvtec_root / "gear" / "test").glob("*/*.png"))


@pytest.fixture(scope="module")
def model(tiny, good, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "gear.minicore"
    with pytest.raises(SystemExit) as end:
        main(["fit", str(good), "-o", str(path), "--backbone", str(tiny)])
    assert not end.value.code
    return path


# Understanding the command line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run, command):
    code, out, error = run(*command, "--help")
    assert code == 0 and "Usage" in out and "--help" in out and not error


def test_the_version(run):
    assert run("--version") == (0, minicore.__version__ + "\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["fit"],
        ["fit", "folder"],
        ["demo", "--nonsense"],
        ["demo", "--seed", "x"],
        ["score", "model", "image", "--format", "xml"],
        ["evaluate", "root", "--layout", "nonsense"],
        ["demo", "--engine", "slow"],
    ],
    ids=" ".join,
)
def test_a_command_line_not_understood_ends_with_2(run, arguments):
    code, out, error = run(*arguments)
    assert code == 2 and not out and "Traceback" not in error


# fit, score, info


def test_fit_says_what_it_learned_on_standard_error(run, good, tiny, tmp_path):
    path = tmp_path / "new" / "model"
    options = ["--backbone", tiny, "--coreset", 0.5, "--fpr", 0.3, "--b", 3, "--seed", 7]
    more = [
        "--layers",
        "layer2, layer3",
        "--crop",
        48,
        "--resize",
        64,
        "--threads",
        1,
        "--batch-size",
        5,
    ]
    code, out, error = run("fit", good, "--out", path, *options, *more)
    assert (code, out) == (0, "")
    assert "12 images, of each the central 48 × 48 pixels after resizing to 64" in error
    assert "tiny: 216 patch features of 20 values" in error and str(path) in error
    assert "from 2 held out" not in error and "1 in 3" in error
    c = PatchCore.load(path).config_
    assert (c.coreset_ratio, c.false_positive_rate, c.b, c.seed) == (0.5, 0.3, 3, 7)
    assert (c.layers, c.crop, c.resize) == (("layer2", "layer3"), 48, 64)


def test_scores_on_the_screen_are_csv_and_those_of_python(run, model, to_test):
    code, out, error = run("score", model, to_test[0].parents[0], *to_test[:2])
    assert code == 0 and not error
    rows = list(csv.DictReader(out.splitlines()))
    images = [*sorted(to_test[0].parent.iterdir()), *to_test[:2]]
    assert [row["image"] for row in rows] == [str(p) for p in images]
    fitted = PatchCore.load(model)
    found = fitted.detect(images)
    assert [float(row["score"]) for row in rows] == list(found.scores)
    assert [float(row["distance"]) for row in rows] == list(found.distances)
    assert [int(row["anomalous"]) for row in rows] == list((fitted.predict(images) < 0).astype(int))


def test_scores_as_json_lines_are_the_same_from_both_engines(run, model, to_test):
    texts = [
        run("score", model, *to_test, "--format", "jsonl", "--engine", engine)[1]
        for engine in ("fast", "equations")
    ]
    one, other = ([json.loads(line) for line in text.splitlines()] for text in texts)
    assert len(one) == len(to_test)
    for a, b in zip(one, other, strict=True):
        assert a["image"] == b["image"] and a["anomalous"] is b["anomalous"]
        assert a["score"] == pytest.approx(b["score"], rel=1e-5)


def test_scores_and_maps_go_to_files(run, model, to_test, tmp_path):
    out, maps = tmp_path / "deep" / "scores.csv", tmp_path / "maps"
    code, text, error = run("score", model, *to_test[:3], "-o", out, "--maps", maps)
    assert (code, text) == (0, "") and str(out) in error
    assert len(list(csv.reader(out.read_text().splitlines()))) == 4
    assert {p.name for p in maps.iterdir()} == {f"{p.stem}.heat.png" for p in to_test[:3]}
    with Image.open(maps / f"{to_test[0].stem}.heat.png") as picture:
        picture.verify()


@pytest.mark.parametrize("name", ["a$b_{1$.png", "gr\udcfcn.png", 'a,b "c".png'])
def test_any_name_a_file_can_have_is_taken(run, model, good, tmp_path, name):
    try:
        (tmp_path / name).write_bytes(next(good.iterdir()).read_bytes())
    except OSError:
        pytest.skip("this file system wants Unicode")
    out, maps = tmp_path / "scores", tmp_path / "maps"
    for form in ("jsonl", "csv"):
        options = ["-o", out, "--maps", maps, "--format", form]
        assert run("score", model, tmp_path, *options)[0] == 0
    assert [p.name for p in maps.iterdir()] == [name.replace(".png", ".heat.png")]
    with out.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        assert next(csv.DictReader(lines))["image"] == str(tmp_path / name)


def test_exit_code_3_is_for_an_anomalous_image(run, model, tmp_path, good):
    noise = np.random.default_rng(0).integers(256, size=(128, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    first = next(iter(sorted(good.iterdir())))
    assert run("score", model, first, "--exit-code")[0] == 0
    assert run("score", model, first, tmp_path / "noise.png")[0] == 0
    assert run("score", model, first, tmp_path / "noise.png", "--exit-code")[0] == 3


def test_info_is_json(run, model, tiny):
    code, out, error = run("info", model)
    found = json.loads(out)
    assert code == 0 and not error
    assert found["config"]["backbone"] == str(tiny) and found["config"]["b"] == 9
    assert found["arrays"]["memory_bank"] == ["float32", 77, 20]


def test_backbone_info_is_json(run, tiny):
    code, out, _ = run("backbone", "info", tiny)
    found = json.loads(out)
    assert code == 0 and found["layers"] == {"layer2": 8, "layer3": 12}
    assert found["strides"] == {"layer2": 8, "layer3": 16} and len(found["sha256"]) == 64


# evaluate, demo


def test_evaluate_prints_a_table_and_leaves_numbers_and_pictures(run, mvtec_root, tiny, tmp_path):
    numbers, pictures = tmp_path / "n.json", tmp_path / "pictures"
    options = ["--backbone", tiny, "--json", numbers, "--pictures", pictures, "--seed", 2]
    code, out, error = run("evaluate", mvtec_root, *options)
    assert code == 0 and out.startswith("| category") and "| gear" in out
    assert "gear: fitted in" in error
    found = json.loads(numbers.read_text())
    assert found["minicore"] == minicore.__version__ and found["config"]["seed"] == 2
    (row,) = found["categories"]
    assert f"{row['image_auroc']:.2%}".rstrip("%") in out and 0 <= row["pro"] <= 1
    assert {p.name for p in (pictures / "gear").iterdir()} == {
        "panels.png", "histogram.png", "roc.png"
    }  # fmt: skip


def test_demo_runs_on_any_network(run, tiny, tmp_path):
    code, out, error = run("demo", "gear", "--backbone", tiny, "--out", tmp_path, "--coreset", 0.02)
    assert code == 0 and not error
    assert "network: tiny" in out and "| gear" in out and "patches (eq 1–3)" in out
    assert str((tmp_path / "demo.png").resolve()) in out and (tmp_path / "demo.png").is_file()


# Refusals


def test_what_is_missing_or_wrong_is_one_line(refused, good, model, tiny, mvtec_root, tmp_path):
    nowhere, out = tmp_path / "nowhere", tmp_path / "model"
    fit = ["fit", good, "-o", out, "--backbone", tiny]
    assert str(nowhere) in refused("fit", nowhere, "-o", out)
    assert "a folder; name a file" in refused("fit", good, "-o", tmp_path)
    assert "no network 'resnet0'" in refused("fit", good, "-o", out, "--backbone", "resnet0")
    assert "nowhere.onnx" in refused("fit", good, "-o", out, "--backbone", f"{nowhere}.onnx")
    assert "not a network" in refused("fit", good, "-o", out, "--backbone", __file__)
    assert "coreset_ratio must be" in refused(*fit, "--coreset", 1.5)
    assert "layer9" in refused(*fit, "--layers", "layer2,layer9")
    assert "b must be at most" in refused(*fit, "--b", 10_000)
    assert "batch_size" in refused(*fit, "--batch-size", 0)
    assert "threads" in refused(*fit, "--threads", 0)
    assert "cannot be written" in refused("fit", good, "-o", model / "m", "--backbone", tiny)
    assert not out.exists()
    image = next(good.iterdir())
    assert "no such file" in refused("score", nowhere, image)
    assert "damaged, or not a model" in refused("score", __file__, image)
    assert "damaged, or not a model" in refused("info", image)
    assert "nowhere.png" in refused("score", model, f"{nowhere}.png", "-o", out)
    assert "cannot be written" in refused("score", model, image, "-o", model / "scores")
    assert not out.exists()
    assert str(nowhere) in refused("evaluate", nowhere)
    assert "bolt" in refused("evaluate", mvtec_root, "bolt", "--backbone", tiny)
    assert "no categories" in refused("evaluate", mvtec_root, "gear", "--layout", "mtd")
    assert "teapot" in refused("demo", "teapot", "--backbone", tiny, "--out", tmp_path)


def test_a_model_refuses_another_network(refused, model, to_test, write_tiny, tmp_path):
    other = write_tiny(tmp_path / "other.onnx", seed=1)
    assert "another network" in refused("score", model, to_test[0], "--backbone", other)


def test_debug_shows_the_error_itself(tmp_path):
    with pytest.raises(DatasetError):
        main(["--debug", "fit", str(tmp_path / "nowhere"), "-o", "model"])
    call = [sys.executable, "-m", "minicore", "--debug", "info", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ModelError" in done.stderr
    call.remove("--debug")
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_backbone_list_says_what_each_network_costs_and_how_it_did(run, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICORE_CACHE", str(tmp_path))
    code, out, _ = run("backbone", "list")
    heads, *rows = out.splitlines()
    assert code == 0 and "GMAC" in heads and "bottle" in heads
    by_name = {row.split()[0]: row for row in rows}
    assert by_name["default"].endswith("default.onnx") and "100.00 / " in by_name["default"]
    assert by_name["wide_resnet50_2"].endswith(" no") and "512 + 1024" in by_name["wide_resnet50_2"]
