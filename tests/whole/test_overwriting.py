"""No output replaces an input or a file that minicore did not make."""

import hashlib
import importlib
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from minicore import Ensemble, PatchCore, plots
from minicore.backbones import Backbone
from minicore.backbones.catalog import convert
from minicore.backbones.recording import record
from minicore.cli.outputs import heat_map_names
from minicore.errors import OutputError
from minicore.export import to_onnx
from minicore.runtime.files import atomic_write, check_writable, identities
from minicore.runtime.kinds import made_by_minicore
from minicore.studies.bench import stopwatch
from minicore.studies.bench.result import Result

pytest.importorskip("onnx", reason="needs onnx to write networks")

CHECKPOINT = Path(__file__).parents[1] / "golden" / "tiny_resnet.pth"


# What each command reads and writes


@pytest.fixture(scope="module")
def template(tiny, mvtec_root, tmp_path_factory):
    """A folder with one input of each kind."""
    from minicore.cli import main

    world = tmp_path_factory.mktemp("template") / "world"
    shutil.copytree(mvtec_root, world / "data")
    for name, source in (("good", "train/good"), ("new", "test/good")):
        shutil.copytree(mvtec_root / "gear" / source, world / name)
    shutil.copy(tiny, world / "net.onnx")
    shutil.copy(CHECKPOINT, world / "checkpoint.pth")
    model = PatchCore(world / "net.onnx", progress=False).fit(str(world / "good"))
    model.save(world / "model")
    with pytest.raises(SystemExit) as end:
        rows = ["--rows", "PatchCore-10", "--seeds", "0", "--threads", "1"]
        network = ["--backbone", str(world / "net.onnx"), "--image-size", "64"]
        main(["reproduce", str(world / "data"), "-o", str(world / "run"), *rows, *network])
    assert not end.value.code
    return world


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    monkeypatch.setattr("minicore.studies.bench.material.TRAIN", 4)
    monkeypatch.setattr("minicore.studies.bench.material.TEST", 2)
    monkeypatch.setattr(stopwatch, "SHORTEST", 0.0)
    return tmp_path / "world"


NETWORK = ["--backbone", "net.onnx", "--threads", 1]
MODEL = ["model", "new", "--backbone", "net.onnx"]
UNIT = "run/units/gear/PatchCore-10/seed0.safetensors"
GOOD, TEST, MASK = "good/000.png", "data/gear/test/good/000.png", "data/gear/ground_truth"
# The command, up to its output; what the output's folder is called, where that is what is given,
# and the file in it; files that the command reads.
COMMANDS = {
    "fit": (["fit", "good", *NETWORK, "-o"], None, [GOOD, "good/007.png", "net.onnx"]),
    "score --out": (["score", *MODEL, "-o"], None, ["new/001.png", "model", "net.onnx"]),
    "score --maps": (["score", *MODEL, "--maps"], "000.heat.png", ["new/000.png", "model"]),
    "evaluate --json": (
        ["evaluate", "data", *NETWORK, "--json"],
        None,
        [TEST, "data/gear/train/good/003.png", MASK, "net.onnx"],
    ),
    "evaluate --pictures": (
        ["evaluate", "data", *NETWORK, "--pictures"],
        "gear/roc.png",
        [TEST, MASK, "net.onnx"],
    ),
    "demo": (["demo", "gear", "--coreset", 0.01, *NETWORK, "--out"], "seconds.png", ["net.onnx"]),
    "bench --json": (
        ["bench", "map", "--repeats", 1, "--data", "good", *NETWORK, "--json"],
        None,
        [GOOD, "good/011.png", "net.onnx"],
    ),
    "bench --pictures": (
        ["bench", "map", "--repeats", 1, "--data", "good", *NETWORK, "--pictures"],
        "bound.png",
        [GOOD, "net.onnx"],
    ),
    "report": (["report", "run", "-o"], None, ["run/settings.json", UNIT]),
    "backbone convert": (["backbone", "convert", "checkpoint.pth"], None, ["checkpoint.pth"]),
    "export": (["export", "model", "--backbone", "net.onnx"], None, ["model", "net.onnx"]),
}
each_command = pytest.mark.parametrize("command", COMMANDS)
names_its_file = pytest.mark.parametrize(
    "command", [c for c, its in COMMANDS.items() if not its[1]]
)
draws_images = pytest.mark.parametrize(
    "command", ["score --maps", "evaluate --pictures", "bench --pictures"]
)


def content(folder):
    """MD5 of every file, by its path; links are followed, and named as links too."""
    return {
        str(path.relative_to(folder)): (
            path.is_symlink(),
            hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


def read_by(world, command):
    """Give files that a command reads, of a folder its first."""
    paths = [world / name for name in COMMANDS[command][2]]
    return [p if p.is_file() else next(f for f in p.rglob("*") if f.is_file()) for p in paths]


def place(world, command):
    """Give the output as it is named on the command line, and the file that is written."""
    inside = COMMANDS[command][1]
    out = world / "out" / "result"
    return out, out if inside is None else out / inside


@pytest.fixture
def refuse(run, world, monkeypatch):
    """Run a command that must be refused before it works, and check that nothing changed."""

    def work(*_, **__):
        raise AssertionError("the command went to work before it refused")

    def refuse(command, out, flags=([], ["--overwrite"])):
        monkeypatch.setattr("minicore.images.batching.prepare_turned", work)
        monkeypatch.setattr("minicore.datasets.synthetic", work)
        monkeypatch.setattr("minicore.backbones.catalog.read_checkpoint", work)
        monkeypatch.setattr(importlib.import_module("minicore.studies.report.page"), "page", work)
        before = content(world)
        for flag in flags:
            code, printed, error = run(*COMMANDS[command][0], out, *flag)
            assert content(world) == before
            assert code == 1 and not printed, (printed, error)
            assert error.startswith("minicore: ") and error.count("\n") == 1, error
        return error

    return refuse


# An output that is an input


@pytest.mark.usefixtures("links")
@pytest.mark.slow
@names_its_file
def test_an_input_is_never_replaced(world, refuse, command):
    for path in read_by(world, command):
        short = path.relative_to(world)
        winding = short.parent / ".." / short.parent.name if short.parent.name else Path("new/..")
        for spelled in (path, short, winding / path.name):
            error = refuse(command, spelled)
            assert str(spelled) in error and "also read" in error and "another name" in error


@pytest.mark.slow
@each_command
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_an_input_is_never_replaced_through_a_link(world, refuse, command, link):
    for path in read_by(world, command):
        out, target = place(world, command)
        target.parent.mkdir(parents=True, exist_ok=True)
        link(path, target)
        error = refuse(command, out)
        assert f"{target}: the file is also read as " in error
        assert str(path.relative_to(world)) in error
        target.unlink()


@pytest.mark.usefixtures("links")
@pytest.mark.slow
@names_its_file
def test_an_input_is_never_replaced_through_a_link_to_its_folder(world, refuse, command):
    (world / "elsewhere").symlink_to(world)
    for path in read_by(world, command):
        spelled = world / "elsewhere" / path.relative_to(world)
        assert "also read as" in refuse(command, spelled)


@pytest.mark.slow
@names_its_file
def test_an_input_is_never_replaced_in_another_case(world, refuse, command):
    if not (world / "NEW").exists():
        pytest.skip("needs a disk that takes upper and lower case for the same")
    for path in read_by(world, command):
        assert "also read as" in refuse(command, path.with_name(path.name.upper()))


@pytest.mark.slow
@names_its_file
def test_a_folder_is_no_output(world, refuse, command):
    assert "a folder; name a file in it" in refuse(command, "good")


@pytest.mark.usefixtures("links")
@pytest.mark.slow
@draws_images
def test_a_folder_of_input_images_takes_no_pictures(world, refuse, command):
    folder = {"score --maps": "new", "bench --pictures": "good"}.get(command, "pictures")
    if folder == "pictures":  # an evaluation draws in a folder of it, called like the category
        (world / "pictures").mkdir()
        (world / "pictures" / "gear").symlink_to(world / "data/gear/test/good")
    (world / "there").symlink_to(world / folder)
    for spelled in (folder, f"data/../{folder}", world / folder, "there"):
        error = refuse(command, spelled)
        assert str(spelled) in error and "images are read from this folder" in error


# An output that somebody else made


def foreign(path, kind):
    """Write a file as other software makes it."""
    if kind == "photograph":
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path, "png")
    elif kind == "figure":
        import matplotlib.figure

        matplotlib.figure.Figure((1, 1)).savefig(path, format="png")
    elif kind == "text":
        path.write_text("minicore: image,score,distance,p_value,anomalous\n")
    elif kind == "table":
        path.write_text("image,score,distance,p_value,anomalous,remark\na.png,1,1,0.5,0,dust\n")
    elif kind == "JSON":
        path.write_text(json.dumps({"mine": 1, "minicore": "1.0"}))
    elif kind == "page":
        path.write_text("<!DOCTYPE html>\n<html><title>minicore</title></html>")
    elif kind == "model":
        save_file({"memory_bank": np.zeros(3)}, path, {"format": "pt"})
    elif kind == "network":
        from onnx import TensorProto, helper, save

        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        node = helper.make_node("Identity", ["x"], ["y"])
        graph = helper.make_graph([node], "g", [x], [helper.make_empty_tensor_value_info("y")])
        network = helper.make_model(graph, producer_name="pytorch")
        helper.set_model_props(network, {"minicore": "{}"})  # a note for minicore, not its mark
        save(network, path)
    return path


KINDS = ["photograph", "figure", "text", "table", "JSON", "page", "model", "network"]


@pytest.mark.slow
@each_command
def test_a_file_that_somebody_else_made_stays(world, refuse, command):
    out, target = place(world, command)
    target.parent.mkdir(parents=True)
    for kind in KINDS:
        foreign(target, kind)
        error = refuse(command, out, [[]])
        assert str(target) in error and "minicore did not make it" in error
        assert "another name" in error and "--overwrite" in error


@pytest.mark.slow
@each_command
def test_overwrite_replaces_it_and_what_minicore_made_is_replaced_without(world, run, command):
    out, target = place(world, command)
    target.parent.mkdir(parents=True)
    foreign(target, "photograph")
    before = content(world)
    files = []
    for flag in (["--overwrite"], []):
        code, _, error = run(*COMMANDS[command][0], out, *flag)
        assert code == 0, error
        assert made_by_minicore(target)
        after = content(world)
        files.append(set(after))
        changed = {name for name in before if after[name] != before[name]}
        assert changed == {str(target.relative_to(world))}
    assert files[0] == files[1]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_tables_of_scores_replace_each_other(world, run, format):
    for _ in range(2):
        assert run("score", *MODEL, "-o", "out", "--format", format)[0] == 0
        assert made_by_minicore("out")
    lines = Path("out").read_text().splitlines()
    assert len(lines) == len(list((world / "new").iterdir())) + (format == "csv")


@pytest.mark.slow
def test_maps_of_images_called_like_maps_go_elsewhere(world, run):
    for name in ("000.heat.png", "heat.png"):
        shutil.copy(world / GOOD, world / "new" / name)
    before = content(world / "new")
    assert run("score", *MODEL, "--maps", "new/maps")[0] == 0
    assert before.items() <= content(world / "new").items()
    assert len(list((world / "new" / "maps").iterdir())) == len(before)


@pytest.mark.usefixtures("links")
@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["score", *MODEL, "--maps", "d", "-o", "d/000.heat.png"],
        ["score", *MODEL, "--maps", "d", "-o", "link/000.HEAT.png"],
        ["score", *MODEL, "--maps", "d", "-o", "d"],
        ["evaluate", "data", *NETWORK, "--pictures", "d", "--json", "d/gear/roc.png"],
        [*COMMANDS["bench --pictures"][0], "d", "--json", "d/bound.png"],
    ],
    ids=["a map", "by a link", "the folder of maps", "a picture", "a figure"],
)
def test_no_output_replaces_another_of_the_same_call(world, run, command):
    (world / "link").symlink_to("d")
    before = content(world)
    code, printed, error = run(*command)
    assert code == 1 and not printed and "rename one of them" in error
    assert content(world) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "out", "kind"),
    [
        ("fit", "scores", "a table of scores"),
        ("score --out", "other", "a model"),
        ("score --out", "run/settings.json", "the settings of a run"),
        ("evaluate --json", "run/settings.json", "the settings of a run"),
        ("bench --json", "net2.onnx", "a network"),
        ("report", "run/settings.json", "the file is also read"),
        ("export", "other", "a model"),
        ("export", "net2.onnx", "a network"),
    ],
)
def test_what_minicore_made_is_not_replaced_by_another_kind(world, run, refuse, command, out, kind):
    assert run("score", *MODEL, "-o", "scores")[0] == 0
    shutil.copy("model", "other")
    shutil.copy(Path(__file__).parents[2] / "weights" / "default.onnx", "net2.onnx")
    assert kind in refuse(command, out, flags=([],))


def test_the_demo_puts_no_pictures_among_photographs(world, run):
    before = content(world)
    code, printed, error = run("demo", "gear", *NETWORK, "--out", Path(GOOD).parent)
    assert code == 1 and not printed and "contains images that minicore did not make" in error
    assert content(world) == before


def test_another_kind_that_appears_while_a_function_works_stays(tmp_path):
    (tmp_path / "x").write_text("image,score,distance,p_value,anomalous\n")
    refused = pytest.raises(OutputError, match="exists, and is a table of scores")
    with refused, atomic_write(tmp_path / "x", "w") as file:
        file.write('{"minicore": "1", "config": 0}')
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.slow
def test_one_foreign_file_among_many_heat_maps_stops_all(world, run, refuse):
    assert run("score", *MODEL, "--maps", "maps")[0] == 0
    foreign(world / "maps" / "002.heat.png", "photograph")
    assert "maps/002.heat.png" in refuse("score --maps", "maps", [[]])


@pytest.mark.slow
def test_a_run_takes_no_folder_that_holds_something_else(world, run):
    arguments = ["reproduce", "data", "--rows", "PatchCore-10", "--seeds", 0, *NETWORK]
    for folder in ("data", "new", "data/gear/train/good", "."):
        before = content(world)
        code, printed, error = run(*arguments, "-o", folder)
        assert code == 1 and not printed and content(world) == before
        assert error.startswith(f"minicore: {folder}: contains ") and "no run of" in error


# The functions of Python


@pytest.fixture
def writers(world):
    """Functions that write, and the inputs that each must leave alone."""
    network = world / "net.onnx"
    single = PatchCore(network, progress=False)
    model = single.fit(str(world / "good"))
    several = Ensemble([single, PatchCore(network, patchsize=1, progress=False)], progress=False)
    several = several.fit(str(world / "good"))
    figure = plots.timings({"a": 1.0})
    return {
        "PatchCore.save": (model.save, [network]),
        "Ensemble.save": (several.save, [network]),
        "plots.save": (lambda path, **flag: plots.save(figure, path, **flag), []),
        "convert": (
            lambda path, **flag: convert(world / "checkpoint.pth", path, **flag),
            [world / "checkpoint.pth"],
        ),
        "to_onnx": (
            lambda path, **flag: to_onnx(model, path, progress=False, **flag),
            [network, world / GOOD],
        ),
        "Result.save": (Result({}, {}).save, []),
    }


@pytest.mark.slow
def test_functions_keep_the_same_rule(world, writers):
    before = content(world)
    for name, (write, inputs) in writers.items():
        for suffix in (".png", ".svg", ".pdf") if name == "plots.save" else (".x",):
            path = foreign(world / f"{name}{suffix}", "photograph")
            written = path.read_bytes()
            with pytest.raises(OutputError, match="minicore did not make it"):
                write(path)
            assert path.read_bytes() == written
            write(path, overwrite=True)
            assert path.read_bytes() != written and made_by_minicore(path)
            write(path)
            path.unlink()
        for its in inputs:
            for overwrite in (False, True):
                with pytest.raises(OutputError, match="also read"):
                    write(its, overwrite=overwrite)
    assert content(world) == before


def test_maps_are_recorded_in_no_folder_that_holds_something_else(world):
    network, images = Backbone(world / "net.onnx"), sorted((world / "good").iterdir())
    before = content(world / "good")
    with pytest.raises(OutputError, match="is not part of a recording"):
        record(network, images, world / "good", progress=False)
    assert content(world / "good") == before


# The rule itself


def test_what_minicore_made_is_known_by_its_content(tmp_path):
    moving = plots.animation([plots.timings({"a": 1.0}), plots.timings({"b": 1.0})])
    (tmp_path / "gif").write_bytes(moving)
    assert made_by_minicore(tmp_path / "gif")
    (tmp_path / "empty").touch()
    assert made_by_minicore(tmp_path / "empty")  # nothing is lost with it
    assert made_by_minicore(Path(__file__).parents[2] / "weights" / "default.onnx")
    for kind in KINDS:
        assert not made_by_minicore(foreign(tmp_path / kind, kind)), kind
    Image.new("P", (4, 4)).save(tmp_path / "other", "gif", comment=b"not by minicore")
    (tmp_path / "lines").write_text('["image", 1]\n')
    (tmp_path / "deep").write_text("[" * 10**5)
    for name in ("other", "lines", "deep", "missing"):
        assert not made_by_minicore(tmp_path / name)


@pytest.mark.parametrize(
    "write", [check_writable, lambda *a, **k: atomic_write(*a, **k).__enter__()]
)
def test_a_file_is_known_by_its_place_on_the_disk(tmp_path, write):
    path = tmp_path / "input"
    path.touch()
    inputs = identities([tmp_path / "missing", path, "\0"])
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="also read"):
            write(tmp_path / "." / "input", inputs=inputs, overwrite=overwrite)


def test_what_appears_while_a_command_works_stays(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(OutputError, match="minicore did not make it"), atomic_write(path) as file:
        file.write(b"new")
        path.write_bytes(b"somebody else's")
    assert path.read_bytes() == b"somebody else's" and list(tmp_path.iterdir()) == [path]


def test_a_check_leaves_no_folder(tmp_path):
    check_writable(tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "x", tmp_path / "a" / ("x" * 300) / "b"):
        with pytest.raises(OutputError, match="cannot be written"):
            check_writable(path)


@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_file_keeps_its_permissions_and_a_new_one_has_the_usual(tmp_path, mode):
    path, new = tmp_path / "file", tmp_path / "new"
    path.touch()
    path.chmod(mode)
    before = os.umask(0o027)
    try:
        for target in (path, new):
            with atomic_write(target) as file:
                partial = next(p for p in tmp_path.iterdir() if p.name.endswith(".partial"))
                expected = mode if target == path else 0o640
                assert stat.S_IMODE(partial.stat().st_mode) == expected  # never more, even briefly
                file.write(b"x")
            assert stat.S_IMODE(target.stat().st_mode) == expected
    finally:
        os.umask(before)


@pytest.mark.usefixtures("links")
def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    for name in ("there", "not there yet"):
        link, target = tmp_path / f"link to {name}", tmp_path / "far" / name
        if name == "there":
            target.touch()
        link.symlink_to(target)
        check_writable(link)
        with atomic_write(link) as file:
            file.write(b"new")
        assert link.is_symlink() and not target.is_symlink() and target.read_bytes() == b"new"
    assert len(list((tmp_path / "far").iterdir())) == 2 == len(list(tmp_path.glob("link*")))


@pytest.mark.usefixtures("links")
def test_a_link_that_leads_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for write in (check_writable, lambda path: atomic_write(path).__enter__()):
        with pytest.raises(OutputError, match="a: cannot be written"):
            write(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


# Names of heat maps


def names(*images):
    found = [path.name for path in heat_map_names(list(images), Path("maps"))]
    assert all(name.endswith(".heat.png") and "/" not in name for name in found)
    assert len({name.casefold() for name in found}) == len(images)
    assert all(len(os.fsencode(name)) <= 255 for name in found)
    return found


def test_names_of_heat_maps_fit_and_differ():
    deep = "/".join(["folder"] * 100)
    assert names(f"{deep}/a.png", f"{deep}/a.png") == ["a_0.heat.png", "a_1.heat.png"]
    assert names(f"/x/{deep}/a.png", f"/y/{deep}/a.png")[0].startswith("x_folder_")
    assert names("x/a.png", "y/A.png") == ["x_a.heat.png", "y_A.heat.png"]
    assert names("a.png", "a.jpg", "b.png")[2] == "b_2.heat.png"
    assert names("a_0.png", "a.png", "a.jpg")
    long = "ü" * 125
    shortened = names(f"{long}.png")[0]
    assert shortened.startswith("ü" * 50) and "..." in shortened
    assert names(f"{long[:60]}1{long[:60]}.png", f"{long[:60]}2{long[:60]}.png")
    assert names("gr\udcfcn" * 40 + ".png")


@pytest.mark.slow
def test_maps_of_a_deeply_nested_image_given_twice_are_written(world, run):
    deep = world.joinpath(*["a folder with a long name"] * 12)
    deep.mkdir(parents=True)
    for name in ("x.png", f"{'y' * 251}.png"):
        shutil.copy(world / GOOD, deep / name)
        code, out, error = run(
            "score", "model", deep / name, deep / name, "--maps", f"maps {name[0]}"
        )
        assert code == 0, error
        assert out.count("\n") == 3 and len(list((world / f"maps {name[0]}").iterdir())) == 2
