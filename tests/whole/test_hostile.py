"""Hostile files: no code in them runs, no path leaves its folder, nothing is sent anywhere."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicore
from minicore import PatchCore
from minicore.backbones import Backbone
from minicore.errors import BackboneError, ImageError, ModelError
from minicore.images import Preprocessing, prepare
from minicore.runtime import container

PACKAGE = Path(minicore.__file__).parent
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal",
           "yaml", "pty", "commands"}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "allow_pickle", "shell"}
# `minicore course grade` runs the code of students, as its documentation says, in this file only.
RUNS_CODE = {"submission": {"exec", "compile"}}
# It unpickles, on a worker of a cluster, what the coordinator has sent. Dask sends pickles anyway.
PICKLES = {"dask_stream": {"pickle"}}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_the_package_has_no_pickle_no_eval_and_no_shell(path):
    calls = CALLS - RUNS_CODE.get(path.stem, set())
    modules = MODULES - PICKLES.get(path.stem, set())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported = {name.name.split(".")[0] for name in node.names}
            assert not imported & modules
            assert "onnxruntime" not in imported or path.stem == "telemetry"  # which silences it
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in modules
            if node.module == "joblib":  # runs units in parallel; its files are pickles
                assert not {name.name for name in node.names} & {"load", "dump"}
        elif isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                assert function.id not in calls, ast.unparse(node)
            elif isinstance(function, ast.Attribute):  # re.compile is no code
                assert function.attr not in calls - {"compile"}, ast.unparse(node)
                assert ast.unparse(function) not in ("joblib.load", "joblib.dump")
            for word in node.keywords:
                value = word.value
                off = isinstance(value, ast.Constant) and value.value is False
                assert word.arg not in calls or off, ast.unparse(node)


def test_only_the_grading_of_notebooks_imports_the_file_that_runs_their_code():
    users = [p.stem for p in PACKAGE.rglob("*.py") if "course.submission" in p.read_text("utf-8")]
    assert sorted(users) == ["grading", "submission"]


RUN = """
import os, sys
import numpy as np
from minicore import Backbone
Backbone(sys.argv[1])(np.zeros((2, 3, 64, 64), np.float32))
if os.path.isdir("/proc/self/fd"):
    opened = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
    print([path for path in opened if path.startswith(os.environ["HOME"]) or "socket" in path])
"""


@pytest.mark.slow
def test_that_a_network_was_run_is_told_to_nobody(tiny, tmp_path):
    # onnxruntime 1.29 to 1.32 leave a database of reports there unless they are told not to, or
    # find that they are being tested.
    left_out = ("ORT_", "CI", "GITHUB_", "XDG_CACHE_HOME", "MINICORE_CACHE")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    environment["HOME"] = str(tmp_path)
    command = [sys.executable, "-c", RUN, str(tiny)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("[]\n", "")
    assert [*tmp_path.iterdir()] == []


@pytest.fixture
def beside(tiny, tmp_path):
    """Write the network with its weights in another file."""
    onnx = pytest.importorskip("onnx")
    (tmp_path / "net").mkdir()

    def write(location):
        model, content = onnx.load(tiny), b""
        for weight in model.graph.initializer:
            entries = {"location": location, "offset": len(content), "length": len(weight.raw_data)}
            content += weight.raw_data
            weight.ClearField("raw_data")
            weight.data_location = onnx.TensorProto.EXTERNAL
            for key, value in entries.items():
                weight.external_data.add(key=key, value=str(value))
        path = tmp_path / "net" / "a.onnx"
        path.write_bytes(model.SerializeToString())
        return path, content

    return write


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("where", ["../out.bin", "absolute", "link.bin"])
def test_weights_outside_the_folder_are_refused(beside, tmp_path, where):
    outside = tmp_path / "out.bin"
    path, content = beside(str(outside) if where == "absolute" else where)
    outside.write_bytes(content)
    (path.parent / "link.bin").symlink_to(outside)
    with pytest.raises(
        BackboneError, match=r"a\.onnx: its weights are outside its folder"
    ) as error:
        Backbone(path)
    assert "\n" not in str(error.value)


def test_other_weights_beside_the_same_graph_are_another_network(beside, gear, tmp_path):
    path, content = beside("weights.bin")
    with pytest.raises(BackboneError, match=r"weights\.bin.* is no file"):
        Backbone(path)
    (path.parent / "weights.bin").write_bytes(content)
    saved = PatchCore(path, progress=False).fit(gear.train).save(tmp_path / "m")
    PatchCore.load(saved)
    (path.parent / "weights.bin").write_bytes(content[::-1])
    with pytest.raises(ModelError, match="another network"):
        PatchCore.load(saved)


def test_a_model_that_lies_under_a_right_checksum_is_refused(tiny, gear, tmp_path):
    path = PatchCore(tiny, progress=False).fit(gear.train).save(tmp_path / "m")
    arrays, header = container.read(path)
    bank = arrays["memory_bank"]
    for entries, change in (
        ({"memory_bank": np.full_like(bank, np.nan)}, {}),
        ({"memory_bank": np.hstack([bank, bank])}, {}),
        ({}, {"threshold": "high"}),
        ({}, {"threshold": None}),
        ({}, {"scales": [1.0, 1.0]}),
        ({}, {"input_size": [2**40]}),
        ({}, {"config": 7}),
        ({}, {"config": {**header["config"], "layers": 7}}),
        ({}, {"members": 7}),
        ({}, {"members": [7]}),
    ):
        container.write(path, {**arrays, **entries}, {**header, **change})
        with pytest.raises(ModelError, match="damaged") as error:
            minicore.load(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_line_of_pixels_is_not_blown_up_to_gigabytes():
    line = np.zeros((1, 100_000, 3), np.uint8)
    with pytest.raises(ImageError, match="expected at most 178956970 pixels"):
        prepare(line, Preprocessing(256, 224))


@pytest.mark.parametrize("name, value", [("patchsize", 100), ("stride", 9), ("sigma", 65)])
def test_what_is_larger_than_the_map_is_named(tiny, gear, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be at most .* got {value}"):
        PatchCore(tiny, progress=False, **{name: value}).fit(gear.train)
