"""The command line: what it prints, which files it writes, and its exit codes."""

import csv
import inspect
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer
from PIL import Image

import minicore
from minicore import PatchCore, datasets
from minicore.backbones.convert import graph
from minicore.cli import app, main, options
from minicore.cli.bench import StageName
from minicore.cli.messages import OPTIONS
from minicore.cli.outputs import ScoreWriter
from minicore.cli.reproduce import FigureName
from minicore.errors import DatasetError
from minicore.export import network_nodes, to_onnx
from minicore.export.check_images import CheckImages
from minicore.patchcore import bank, config
from minicore.patchcore.config import Config
from minicore.studies.bench import STAGES
from minicore.studies.reproduce import STUDIES

COMMANDS = [[], ["demo"], ["fit"], ["score"], ["evaluate"], ["info"], ["bench"], ["backbone"]]
COMMANDS += [["report"], ["export"], ["update"], ["course"], ["course", "release"]]
COMMANDS += [["course", "grade"]]
COMMANDS += [["backbone", name] for name in ("info", "list", "get", "convert")]


@pytest.fixture
def refused(run):
    def refused(*arguments):
        """Run a command that must fail. Return its line on standard error."""
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


# Options


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_text(run, command):
    code, out, error = run(*command, "--help")
    assert code == 0 and "Usage" in out and "--help" in out and not error


def test_help_shows_defaults_that_are_not_values(run):
    _, out, _ = run("fit", "--help")
    shown = " ".join(out.replace("│", " ").split())
    for default in ("layer2,layer3", "256", "224", "cores"):
        assert default in shown
    assert "the default" in shown and "network)" in shown


def test_help_imports_neither_numpy_nor_the_network():
    code = (
        "import sys; from minicore.cli import app; app(['--help'], standalone_mode=False); "
        "assert not {'numpy', 'numba', 'onnxruntime'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Usage" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "choices, library",
    [
        (get_args(options.Engine), get_args(config.Engine)),
        (get_args(options.Embedding), get_args(config.Embedding)),
        (get_args(options.BankStorage), get_args(bank.Storage)),
        (get_args(options.Score), get_args(config.Score)),
        (get_args(options.Augment), get_args(config.Augment)),
        (get_args(options.WeightStorage), get_args(graph.Storage)),
        (get_args(options.ExportStorage), get_args(network_nodes.Storage)),
        (get_args(options.CheckImages), get_args(CheckImages)),
        ([name.value for name in StageName], list(STAGES)),
        ([name.value for name in FigureName], list(STUDIES)),
    ],
)
def test_choices_are_those_of_the_library(choices, library):
    assert list(choices) == list(library)


def test_every_layout_has_a_loader():
    for layout in get_args(options.Layout):
        assert callable(datasets.LOADERS[layout])


def test_version_prints_the_version(run):
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
def test_a_wrong_command_line_ends_with_exit_code_2(run, arguments):
    code, out, error = run(*arguments)
    assert code == 2 and not out and "Traceback" not in error


# fit, score, info


def test_fit_describes_the_model_on_standard_error(run, good, tiny, tmp_path):
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
    assert "12 images; the model uses the central 48 × 48 pixels after resizing to 64" in error
    assert "tiny: 216 patch features of 20 values" in error and str(path) in error
    assert "about 30 % of new good images will score higher (an estimate, from the sc" in error
    assert "scores of 12 images)" in error
    assert "collect 38 more good images (50 in all)" in error
    c = PatchCore.load(path).config_
    assert (c.coreset_ratio, c.false_positive_rate, c.b, c.seed) == (0.5, 0.3, 3, 7)
    assert (c.layers, c.crop, c.resize) == (("layer2", "layer3"), 48, 64)


@pytest.mark.slow
def test_printed_scores_are_csv_and_equal_to_those_of_python(run, model, to_test):
    code, out, error = run("score", model, to_test[0].parents[0], *to_test[:2])
    assert code == 0 and error.count("\n") == 1
    rows = list(csv.DictReader(out.splitlines()))
    images = [*sorted(to_test[0].parent.iterdir()), *to_test[:2]]
    assert [row["image"] for row in rows] == [str(p) for p in images]
    fitted = PatchCore.load(model)
    found = fitted.detect(images)
    assert [float(row["score"]) for row in rows] == list(found.scores)
    assert [float(row["distance"]) for row in rows] == list(found.distances)
    assert [float(row["p_value"]) for row in rows] == list(fitted.p_value(images))
    assert [int(row["anomalous"]) for row in rows] == list((fitted.predict(images) < 0).astype(int))


def test_both_engines_print_the_same_scores_as_json_lines(run, model, to_test):
    texts = [
        run("score", model, *to_test, "--format", "jsonl", "--engine", engine)[1]
        for engine in ("fast", "equations")
    ]
    one, other = ([json.loads(line) for line in text.splitlines()] for text in texts)
    assert len(one) == len(to_test)
    for a, b in zip(one, other, strict=True):
        assert a["image"] == b["image"] and a["anomalous"] is b["anomalous"]
        assert a["score"] == pytest.approx(b["score"], rel=1e-5)


@pytest.mark.slow
def test_scores_and_maps_are_written_to_files(run, model, to_test, tmp_path):
    out, maps = tmp_path / "deep" / "scores.csv", tmp_path / "maps"
    code, text, error = run("score", model, *to_test[:3], "-o", out, "--maps", maps)
    assert (code, text) == (0, "") and str(out) in error
    assert len(list(csv.reader(out.read_text().splitlines()))) == 4
    assert {p.name for p in maps.iterdir()} == {f"{p.stem}.heat.png" for p in to_test[:3]}
    with Image.open(maps / f"{to_test[0].stem}.heat.png") as picture:
        picture.verify()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a$b_{1$.png", "gr\udcfcn.png", 'a,b "c".png'])
def test_an_image_can_have_any_file_name(run, model, good, tmp_path, name):
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


@pytest.mark.usefixtures("any_name")
def test_control_characters_in_a_name_are_escaped_in_the_picture(run, model, tmp_path, good):
    (tmp_path / "\x1b[2J\n.png").write_bytes(next(good.iterdir()).read_bytes())
    code, _, error = run("score", model, tmp_path, "--maps", tmp_path / "maps")
    assert code == 0 and "Glyph" not in error and "\x1b" not in error


def test_exit_code_is_3_if_an_image_is_anomalous(run, model, tmp_path, good):
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


def test_fit_has_options_for_whitening_and_the_score(run, good, tiny, tmp_path):
    path = tmp_path / "model"
    options = ["--backbone", tiny, "--whiten", "--score", "top"]
    assert run("fit", good, "--out", path, *options)[0] == 0
    found = json.loads(run("info", path)[1])
    config = found["config"]
    assert (config["whiten"], config["score"], config["b"]) == (True, "top", None)
    assert found["arrays"]["whitening"][1] == 20
    assert found["arrays"]["whitening"][2] == found["arrays"]["memory_bank"][2] < 20


def test_backbone_info_is_json(run, tiny):
    code, out, _ = run("backbone", "info", tiny)
    found = json.loads(out)
    assert code == 0 and found["layers"] == {"layer2": 8, "layer3": 12}
    assert found["strides"] == {"layer2": 8, "layer3": 16} and len(found["sha256"]) == 64


# evaluate, demo


@pytest.mark.slow
def test_evaluate_prints_a_table_and_writes_numbers_and_pictures(run, mvtec_root, tiny, tmp_path):
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


@pytest.mark.slow
def test_demo_runs_on_any_network(run, tiny, tmp_path):
    code, out, error = run("demo", "gear", "--backbone", tiny, "--out", tmp_path, "--coreset", 0.02)
    assert code == 0 and not error
    assert "network: tiny" in out and "| gear" in out and "patches (eq 1–3)" in out
    assert str((tmp_path / "demo.png").resolve()) in out and (tmp_path / "demo.png").is_file()


# Errors


@pytest.mark.slow
def test_a_missing_or_wrong_file_is_reported_in_one_line(
    refused, good, model, tiny, mvtec_root, tmp_path
):
    nowhere, out = tmp_path / "nowhere", tmp_path / "model"
    fit = ["fit", good, "-o", out, "--backbone", tiny]
    assert str(nowhere) in refused("fit", nowhere, "-o", out)
    assert "a folder; name a file" in refused("fit", good, "-o", tmp_path)
    assert "no network 'resnet0'" in refused("fit", good, "-o", out, "--backbone", "resnet0")
    assert "nowhere.onnx" in refused("fit", good, "-o", out, "--backbone", f"{nowhere}.onnx")
    assert "not a network" in refused("fit", good, "-o", out, "--backbone", __file__)
    assert "--coreset must be" in refused(*fit, "--coreset", 1.5)
    assert "layer9" in refused(*fit, "--layers", "layer2,layer9")
    assert "b must be at most" in refused(*fit, "--b", 10_000)
    assert "--batch-size must be" in refused(*fit, "--batch-size", 0)
    assert "--threads must be" in refused(*fit, "--threads", 0)
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


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(DatasetError):
        main(["--debug", "fit", str(tmp_path / "nowhere"), "-o", "model"])
    call = [sys.executable, "-m", "minicore", "--debug", "info", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ModelError" in done.stderr
    call.remove("--debug")
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_backbone_list_prints_cost_and_auroc_of_each_network(run, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICORE_CACHE", str(tmp_path))
    code, out, _ = run("backbone", "list")
    heads, *rows = out.splitlines()
    assert code == 0 and "GMAC" in heads and "bottle" in heads
    by_name = {row.split()[0]: row for row in rows}
    assert by_name["default"].endswith("default.onnx") and "100.00 / " in by_name["default"]
    assert by_name["wide_resnet50_2"].endswith(" no") and "512 + 1024" in by_name["wide_resnet50_2"]


# Messages


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--coreset", 10], "--coreset must be above 0 and at most 1, got 10.0; --coreset 0.1"),
        (["--coreset", 0], "--coreset must be above 0 and at most 1, got 0.0\n"),
        (["--fpr", 5], "--fpr must be between 0 and 1, got 5.0; --fpr 0.05 means 5 %"),
        (["--fpr", 1], "--fpr must be between 0 and 1, got 1.0; --fpr 0.01 means 1 %"),
        (["--threads", 9999], "--threads must be a whole number from 1 to 1024, got 9999"),
        (["--batch-size", -1], "--batch-size must be a whole number of at least 1, got -1"),
        (["--seed", -1], "--seed must be"),
        (["--patchsize", 99], "--patchsize must be at most"),
        (["--stride", 0], "--stride must be"),
        (
            ["--b", 9999],
            "--b must be at most the 77 rows of the memory bank, got 9999; lower --b or raise ",
        ),
        (["--b", 9999], "lower --b or raise --coreset\n"),
        (["--b", 1], "--b must be a whole number of at least 2, got 1\n"),
        (["--b", "1.5"], "--b 1.5: expected a whole number of at least 2, or none\n"),
        (["--crop", 99999], "--crop must be pixels"),
        (["--resize", 99999], "--resize must be pixels"),
    ],
    ids=str,
)
def test_an_error_names_the_option_not_the_parameter(
    refused, good, tiny, tmp_path, arguments, message
):
    error = refused("fit", good, "-o", tmp_path / "m", "--backbone", tiny, *arguments)
    assert message in error
    assert not any(name in error for name in OPTIONS if "_" in name) and "None" not in error


def test_every_replaced_name_is_a_parameter_and_an_option():
    known = {
        name
        for made in (PatchCore, Config, to_onnx, PatchCore.stream)
        for name in inspect.signature(made).parameters
    }
    assert set(OPTIONS) <= known
    commands = typer.main.get_command(app).commands
    options = [param for name in ("fit", "export", "score") for param in commands[name].params]
    assert set(OPTIONS.values()) <= {name for option in options for name in option.opts}


def test_a_file_of_the_wrong_kind_is_named_in_the_error(refused, good, model, tiny, tmp_path):
    film, image = tmp_path / "film.mp4", next(good.iterdir())
    film.write_bytes(b"film")
    error = refused("fit", film, "-o", tmp_path / "m", "--backbone", tiny)
    assert "film.mp4: expected a folder of good images, found a file that is not an image" in error
    assert ".png" in error and "did you mean" not in error
    error = refused("fit", image, "-o", tmp_path / "m", "--backbone", tiny)
    assert f"found one image; pass the folder that holds it, {good}" in error
    for command in (["info", good], ["score", good, image]):
        assert f"{good}: a folder; expected a model file" in refused(*command)


@pytest.mark.slow
def test_a_model_of_one_image_has_no_threshold_and_no_verdict(run, good, tiny, tmp_path):
    folder, path = tmp_path / "one", tmp_path / "m"
    folder.mkdir()
    (folder / "a.png").write_bytes(next(good.iterdir()).read_bytes())
    code, _, error = run("fit", folder, "-o", path, "--backbone", tiny, "--coreset", 0.5)
    assert code == 0 and error.startswith("1 image; the model uses")
    assert (
        "no threshold, so `minicore score` leaves the columns `p_value` and `anomalous` empty: "
        in error
    )
    assert ": a threshold needs" in error
    code, out, error = run("score", path, folder)
    assert code == 0 and out.splitlines()[1].endswith(",")
    assert error == (
        f"1 image, no verdict: {path} has no threshold; fit it on at least two different good "
        f"images\n"
    )


@pytest.mark.slow
def test_the_last_line_of_score_counts_anomalous_images_and_names_the_maps(
    run, model, to_test, tmp_path
):
    fitted = PatchCore.load(model)
    bad = int((fitted.predict(to_test) < 0).sum())
    code, _, error = run("score", model, *to_test, "-o", tmp_path / "s", "--maps", tmp_path / "h")
    assert code == 0 and error.splitlines()[-1] == (
        f"{bad} of {len(to_test)} images anomalous (score above {fitted.threshold_:.4f}); "
        f"heat maps: {tmp_path / 'h'}"
    )
    spoilt = tmp_path / "spoilt.png"
    spoilt.write_bytes(b"")
    code, _, error = run("score", model, spoilt, to_test[0], "--on-error", "skip")
    assert code == 4 and error.splitlines()[-2] == "1 of 2 images skipped"
    assert " of 1 image anomalous" in error.splitlines()[-1]


def test_info_describes_the_training_images(run, model, good):
    made = json.loads(run("info", model)[1])["made"]
    assert made["images"] == 12 and made["copies"] == 0 and made["folder"] == str(good.resolve())
    assert made["version"] == minicore.__version__ and made["when"] == "2023-11-14T22:13:20Z"


def test_a_warning_is_one_line(run, good, tiny, tmp_path, monkeypatch):
    folder = tmp_path / "copies"
    folder.mkdir()
    for i, image in enumerate([*good.iterdir()] * 2):
        (folder / f"{i}.png").write_bytes(image.read_bytes())
    code, _, error = run("fit", folder, "-o", tmp_path / "m", "--backbone", tiny)
    (line,) = (line for line in error.splitlines() if "minicore: warning" in line)
    assert code == 0 and line.startswith("minicore: warning: 12 of 24 training images are copies")
    # Counted without the copies: 50 are recommended, 12 are there.
    assert "collect 38 more good images (50 in all)" in error


@pytest.fixture
def own(mvtec_root, tmp_path):
    """Own data: good images, and test images in folders, without masks."""
    for kind in ("train/good", "test/good", *("test/" + d.name for d in defects(mvtec_root))):
        (tmp_path / "mine" / kind).mkdir(parents=True, exist_ok=True)
        for image in (mvtec_root / "gear" / kind).iterdir():
            (tmp_path / "mine" / kind / image.name).write_bytes(image.read_bytes())
    return tmp_path / "mine"


def defects(root):
    return [d for d in sorted((root / "gear" / "test").iterdir()) if d.name != "good"]


def cells(out):
    """Return the only row of a table as a dict by column."""
    heads, _, row = ([c.strip() for c in line.split("|")[1:-1]] for line in out.splitlines())
    return dict(zip(heads, row, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["train/good", "good", "train/Good"])
def test_own_data_without_masks_has_image_metrics_only(run, own, tiny, mvtec_root, place):
    (own / "train" / "good").rename(own / "aside")
    (own / "train").rmdir()
    (own / place).parent.mkdir(exist_ok=True)
    (own / "aside").rename(own / place)
    options = ["--backbone", tiny, "--pictures", own.parent / "pictures"]
    code, out, error = run("evaluate", own, "--layout", "folder", *options)
    assert code == 0 and "warning" not in error
    found, masked = cells(out), cells(run("evaluate", mvtec_root, "--backbone", tiny)[1])
    assert found["category"] == "mine" and found["pixel AUROC"] == found["PRO"] == "–"
    for name in ("image AUROC", "AP", "best F1", "false alarms", "missed", "bank rows"):
        assert found[name] == masked[name] != "–"
    assert (own.parent / "pictures" / "mine" / "panels.png").is_file()


@pytest.mark.slow
def test_a_run_reproduces_rows_on_own_data_too(run, own, tiny):
    options = ["--rows", "PatchCore-10", "--seeds", "0", "--backbone", tiny]
    options += ["--out", own.parent / "run", "--layout", "folder"]
    code, out, error = run("reproduce", own, *options)
    assert code == 0, error
    size = ["--resize", 256, "--crop", 224, "--coreset", 0.1]  # the paper's, as for every run
    scored = cells(run("evaluate", own, "--layout", "folder", "--backbone", tiny, *size)[1])
    (image, *_) = (line for line in out.splitlines() if line.startswith("| PatchCore-10"))
    assert scored["image AUROC"] in image
    assert "no categories" in run("reproduce", own, "mine", *options)[2]


def test_mvtec_without_ground_truth_has_image_metrics_only(run, own, tiny):
    code, out, error = run("evaluate", own.parent, "mine", "--backbone", tiny)
    assert code == 0 and cells(out)["PRO"] == "–" and cells(out)["image AUROC"] != "–"
    (line,) = (line for line in error.splitlines() if "minicore: warning" in line)
    assert "mine: no folder ground_truth, found test, train; without masks there are no" in line


def test_an_error_names_the_folder_where_good_images_belong(refused, own):
    (own / "train" / "good").rename(own / "train" / "fine")
    error = refused("evaluate", own, "--layout", "folder")
    assert f"in {own / 'train' / 'good'} or in {own / 'good'}, found neither" in error
    assert "no categories" in refused("evaluate", own, "mine", "--layout", "folder")


# Dangerous names


@pytest.mark.usefixtures("any_name")
def test_control_characters_and_bars_in_names_are_escaped(run, own, tiny, mvtec_root):
    named = own.with_name("a\033[2J|b")
    own.rename(named)
    code, out, error = run("evaluate", named, "--layout", "folder", "--backbone", tiny)
    assert code == 0 and "\033" not in out + error
    assert r"| a\x1b[2J\|b |" in out and r"a\x1b[2J|b: fitted" in error


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_scores_on_a_terminal_have_no_control_characters(monkeypatch, tmp_path):
    for screen, shown in ((Terminal(), r"a\x1b[2J.png"), (io.StringIO(), "a\033[2J.png")):
        monkeypatch.setattr(sys, "stdout", screen)
        with ScoreWriter(None, "csv") as writer:
            writer.write("a\033[2J.png", 1.0, 2.0, None, None)
        assert screen.getvalue().splitlines()[1] == f"{shown},1.0,2.0,,"


@pytest.mark.usefixtures("any_name")
@pytest.mark.parametrize("first", "=+-@\t")
def test_no_cell_of_a_csv_is_a_formula(run, model, good, tmp_path, monkeypatch, first):
    monkeypatch.chdir(tmp_path)
    name = first + "cmd()|x.png"
    (tmp_path / name).write_bytes(next(good.iterdir()).read_bytes())
    assert run("score", model, "--out", "scores.csv", "--", name)[0] == 0
    with (tmp_path / "scores.csv").open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["image"] == f".{os.sep}{name}" and Path(row["image"]).samefile(name)


# Export


@pytest.fixture(scope="module")
def part(model, tmp_path_factory):
    """An exported file."""
    path = tmp_path_factory.mktemp("export") / "part.onnx"
    with pytest.raises(SystemExit) as end:
        main(["export", str(model), str(path)])
    assert not end.value.code
    return path


def test_export_writes_a_file_and_prints_its_checks(run, model, tmp_path):
    path = tmp_path / "part.onnx"
    code, out, error = run("export", model, path)
    assert code == 0
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    assert rows[0] == ["image", "number", "minicore", "found", "difference"]
    assert [[row[0], row[1].split(" at ")[0]] for row in rows[1:]] == [
        [image, number]
        for image in "123"
        for number in ("score", "largest map value", "map", "p_value", "anomalous")
    ]
    for _, number, expected, found, difference in rows[1:]:
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
        assert float(difference) < 1e-5 if number != "anomalous" else float(expected) in (0, 1)
    megabytes = path.stat().st_size / 1e6
    assert f"{path}: {megabytes:.1f} MB, for images of 128 × 128 pixels" in error
    assert "the file contains two training images, and the negative of one" in error
    assert "--check-images drawn" in error and "float16" not in error


def test_export_names_what_the_options_do(run, model, tmp_path):
    options = ["--storage", "float16", "--check-images", "drawn", "--image-size", "96x100"]
    code, _, error = run("export", model, tmp_path / "x.onnx", *options, "--explain")
    assert code == 0 and "for images of 96 × 100 pixels" in error
    assert re.search(r"float16 changes scores and maps by up to 0\.0\d+ %", error)
    assert "training images" not in error
    code, _, error = run("export", model, tmp_path / "x.onnx", "--prepared")
    assert code == 0 and "for images of 64 × 64 pixels" in error


def test_export_of_a_model_without_threshold_or_training_images(run, tiny, gear, tmp_path):
    model = PatchCore(tiny, false_positive_rate=None, progress=False).fit(gear.train)
    model.save(tmp_path / "m")
    code, _, error = run("export", tmp_path / "m", tmp_path / "x.onnx")
    assert code == 0
    assert "no training images of this size were found, so the check images are drawn" in error
    assert (
        "the model has no threshold, so the file has no outputs `p_value` and `anomalous`" in error
    )


def test_check_prints_the_numbers_of_an_unchanged_file(run, part):
    code, out, error = run("export", "--check", part)
    assert code == 0 and len(out.splitlines()) == 16
    assert error == f"{part}: unchanged, and all numbers agree\n"
    assert run("export", "--check", part, "--provider", "CPUExecutionProvider")[0] == 0


@pytest.mark.parametrize(
    "name, message",
    [
        ("verdict/threshold", "changed since the export: threshold ("),
        ("eq5/memory_bank", "memory bank"),
        ("network/w1", "network"),
    ],
)
def test_check_of_a_changed_file_fails_with_both_numbers(refused, part, tmp_path, name, message):
    import onnx

    changed = onnx.load(part)
    constant = next(c for c in changed.graph.initializer if c.name == name)
    values = onnx.numpy_helper.to_array(constant) * np.float32(100)
    constant.CopyFrom(onnx.numpy_helper.from_array(np.asarray(values), name))
    onnx.save(changed, tmp_path / "changed.onnx")
    error = refused("export", "--check", tmp_path / "changed.onnx")
    assert "changed since the export: " in error and message in error
    assert re.search(r"check image \d: \w[\w ]* \S+ expected, \S+ found", error)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "expected MODEL and OUT, or --check FILE"),
        (["MODEL"], "expected MODEL and OUT, or --check FILE"),
        (["MODEL", "OUT", "--check", "PART"], "checks a file and writes none"),
        (["MODEL", "--check", "PART"], "checks a file and writes none"),
        (["MODEL", "OUT", "--provider", "CPUExecutionProvider"], "--provider: only with --check"),
        (["--check", "PART", "--provider", "None"], "--provider None: this onnxruntime has only"),
        (["--check", "MISSING"], "no such file; expected a file that minicore export wrote"),
        (["--check", "MODEL"], "damaged, or not a file that minicore export wrote"),
        (["MISSING", "OUT"], "missing"),
        (["PART", "OUT"], "an exported model; expected a model saved by minicore"),
        (["MODEL", "OUT", "--image-size", "128"], "--image-size 128: expected HEIGHTxWIDTH"),
        (["MODEL", "OUT", "--image-size", "none"], "--image-size none: expected HEIGHTxWIDTH"),
        (["MODEL", "OUT", "--image-size", "0x128"], "--image-size 0x128: expected"),
        (["MODEL", "OUT", "--image-size", "1x2x3"], "--image-size 1x2x3: expected"),
        (["MODEL", "OUT", "--image-size", "20000x128"], "--image-size must be at most 16384"),
        (["MODEL", "OUT", "--image-size", "9x9", "--prepared"], "--image-size must be (64, 64)"),
        (["MODEL", "MODEL"], "also read"),
        (["MODEL", "MODEL", "--overwrite"], "also read"),
        (["--check", "PART", "--explain"], "checks a file and writes none"),
        (["--check", "PART", "--image-size", "9x9"], "checks a file and writes none"),
        (["--check", "PART", "--storage", "float16"], "checks a file and writes none"),
        (["--check", "PART", "--check-images", "none"], "checks a file and writes none"),
        (["--check", "PART", "--prepared"], "checks a file and writes none"),
        (["--check", "PART", "--overwrite"], "checks a file and writes none"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_of_export_are_one_line(refused, model, part, tmp_path, arguments, message):
    files = {"MODEL": model, "PART": part, "OUT": tmp_path / "x", "MISSING": tmp_path / "missing"}
    assert message in refused("export", *(files.get(a, a) for a in arguments))
    assert not list(tmp_path.iterdir())
