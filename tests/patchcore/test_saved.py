"""Saved models: whole, refused when damaged, and refused with the wrong network."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime, timezone

import numpy as np
import pytest
from safetensors.numpy import save_file

import minicore
from minicore import PatchCore
from minicore.backbones import Backbone
from minicore.errors import BackboneError, MinicoreError, ModelError, OutputError
from minicore.fast.axes import AXES
from minicore.patchcore.config import Made
from minicore.runtime import container

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.empty(0)}


@pytest.fixture(scope="module")
def model(tiny, gear):
    return PatchCore(tiny).fit(gear.train)


@pytest.fixture
def path(model, tmp_path):
    return model.save(tmp_path / "gear.minicore")


def refused(path, *words, **options):
    with pytest.raises(ModelError) as caught:
        PatchCore.load(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message, message
    for word in words:
        assert word in message


def test_arrays_and_header_come_back(tmp_path):
    path = container.write(tmp_path / "m", ARRAYS, {"b": np.int64(3), "rate": None})
    arrays, header = container.read(path)
    assert header == {"format": container.FORMAT, "b": 3, "rate": None}
    for name, array in ARRAYS.items():
        assert np.array_equal(arrays[name], array) and arrays[name].dtype == array.dtype


def test_a_model_comes_back_with_identical_answers(model, path, gear):
    again = PatchCore.load(path, progress=False)
    before, after = model.detect(gear.test), again.detect(gear.test)
    for name in vars(before):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert again.config_ == model.config_
    assert again.input_size_ == model.input_size_ and again.grid_ == model.grid_
    assert np.array_equal(again.predict(gear.test), model.predict(gear.test))
    assert np.array_equal(again.calibration_scores_, model.calibration_scores_)
    assert again.map_threshold_ == model.map_threshold_
    assert np.array_equal(again.coreset_radii_, model.coreset_radii_)
    assert again.save(path.with_name("again")).read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def with_axes(wide, gear):
    """A model whose bank is large enough to be searched along principal axes."""
    model = PatchCore(wide, resize="none", crop="none", coreset_ratio=0.5, b=3).fit(gear.train)
    assert model._search.state()["axes"].shape == (512, AXES)
    return model


@pytest.mark.slow
def test_a_bank_comes_back_with_its_principal_axes(with_axes, gear, tmp_path, monkeypatch):
    path = with_axes.save(tmp_path / "m")
    before = with_axes.detect(gear.test)

    def found_again(*_, **__):
        raise AssertionError("the axes were to be taken from the file")

    module = importlib.import_module("minicore.fast.nearest")  # its name is also a function's
    monkeypatch.setattr(module, "principal_axes", found_again)
    again = PatchCore.load(path)
    after = again.detect(gear.test)
    for name in vars(before):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert again.save(tmp_path / "again").read_bytes() == path.read_bytes()
    with pytest.raises(AssertionError, match="taken from the file"):
        PatchCore.load(path).fit(gear.train)


@pytest.mark.slow
def test_a_model_without_axes_answers_the_same(with_axes, gear, tmp_path):
    arrays, header = container.read(with_axes.save(tmp_path / "m"))
    arrays = {name: array for name, array in arrays.items() if not name.startswith("search.")}
    old = PatchCore.load(container.write(tmp_path / "old", arrays, header))
    assert old.config_ == with_axes.config_
    before, after = with_axes.detect(gear.test), old.detect(gear.test)
    for name in vars(before):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_axes_that_cannot_be_right_are_refused(with_axes, tmp_path):
    path = with_axes.save(tmp_path / "m")
    arrays, header = container.read(path)
    axes = arrays["search.axes"]
    for change in ({"search.axes": 2 * axes}, {"search.axes": axes[1:]}, {"search.mean": axes}):
        container.write(path, {**arrays, **change}, header)
        refused(path, "damaged", "state must")


def test_a_loaded_model_can_be_fitted_again_to_the_same(path, gear, tmp_path):
    again = PatchCore.load(path).fit(gear.train)
    assert again.save(tmp_path / "again").read_bytes() == path.read_bytes()


def test_options_that_numpy_counted_are_saved_like_others(tiny, gear, tmp_path):
    plain = PatchCore(tiny, b=3, seed=1, coreset_ratio=0.5, dimension=(7, 9), resize=(72, 80))
    options = {"b": np.int64(3), "seed": np.uint8(1), "coreset_ratio": np.float32(0.5)}
    counted = PatchCore(tiny, **options, dimension=(np.int32(7), 9), resize=(np.int64(72), 80))
    files = [m.fit(gear.train).save(tmp_path / "m").read_bytes() for m in (plain, counted)]
    assert files[0] == files[1]


def test_a_network_found_elsewhere_is_accepted_and_another_is_not(path, tiny, write_tiny, tmp_path):
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(tiny.read_bytes())
    assert PatchCore.load(path, moved).backbone_.path == moved
    assert PatchCore.load(path, Backbone(tiny)).config_.backbone == str(tiny)
    other = write_tiny(tmp_path / "other.onnx", seed=1)
    refused(path, "another network", str(other), backbone=other)
    with pytest.raises(BackboneError, match=r"missing\.onnx"):
        PatchCore.load(path, tmp_path / "missing.onnx")


def test_a_network_that_has_gone_is_said_with_what_to_do(gear, write_tiny, tmp_path):
    network = write_tiny(tmp_path / "here.onnx")
    path = PatchCore(network).fit(gear.train).save(tmp_path / "m")
    network.unlink()
    refused(path, str(network), "pass the network it was fitted with")


def test_a_missing_empty_or_foreign_file_is_refused(tmp_path):
    refused(tmp_path / "missing", "no such file")
    refused(tmp_path, "a folder; expected a model file, such as", "part.minicore")
    for name, content in (("empty", b""), ("foreign", b"PK\3\4" * 99), ("text", b"{}" * 99)):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "damaged, or not a model")
    save_file(ARRAYS, tmp_path / "tensors")
    refused(tmp_path / "tensors", "not a model saved by minicore")


def test_a_model_cut_short_anywhere_is_refused(path):
    content = path.read_bytes()
    for n in (*(len(content) * percent // 100 for percent in range(100)), len(content) - 1):
        path.write_bytes(content[:n])
        refused(path, "damaged")
    path.write_bytes(content + b"\0")
    refused(path, "damaged")


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(path):
    content = path.read_bytes()
    arrays, header = container.read(path)
    places = np.random.default_rng(0).integers(len(content), size=150)
    for place in [*places, 0, 8, len(content) - 1]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found, said = container.read(path)
        except ModelError as error:
            assert str(path) in str(error)
        else:  # a blank of the padding
            assert said == header and all(np.array_equal(found[k], v) for k, v in arrays.items())
    assert content[100] != 0


def test_a_header_that_makes_no_sense_is_refused(model, path):
    arrays, header = container.read(path)
    config = header["config"]
    for change, word in (
        ({"config": {**config, "b": 0}}, "b must be"),
        ({"config": {**config, "unknown": 1}}, "unknown"),
        ({"config": {"seed": 1}}, "damaged"),
        ({"grid": None}, "damaged"),
        ({"format": 99}, "newer than this minicore"),
        ({"format": "one"}, "no valid format number"),
    ):
        container.write(path, arrays, {**header, **change})
        refused(path, word)
    del header["threshold"]
    container.write(path, arrays, header)
    refused(path, "threshold")
    for bank in (
        np.empty((0, 3), np.float32),
        arrays["memory_bank"][1:],
        ARRAYS["a"].astype(float),
    ):
        container.write(path, {**arrays, "memory_bank": bank}, {**header, "threshold": None})
        refused(path, "memory bank")


def test_saving_over_a_model_is_all_or_nothing(model, path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    content = path.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert path.read_bytes() == content and list(path.parent.iterdir()) == [path]


def test_a_model_that_cannot_be_written_says_where(model, path):
    with pytest.raises(OutputError, match=r"gear\.minicore[/\\]model: cannot be written"):
        model.save(path / "model")
    assert issubclass(OutputError, MinicoreError)


def test_there_is_no_pickle_in_a_model(path):
    size = int.from_bytes(path.read_bytes()[:8], "little")
    described = json.loads(path.read_bytes()[8 : 8 + size])
    names = {
        "memory_bank",
        "coreset_indices",
        "calibration_scores",
        "calibration_peaks",
        "__metadata__",
    }
    names |= {"coreset_radii", "image_digests", "search.mean", "search.axes"}
    assert set(described) == names
    assert {d["dtype"] for k, d in described.items() if k[0] != "_"} == {"F32", "I64", "F64", "U8"}


def test_a_model_says_how_many_images_from_which_folder_when_and_by_which_version(
    tiny, mvtec_root, gear, tmp_path, monkeypatch
):
    folder = mvtec_root / "gear" / "train" / "good"
    model = PatchCore(tiny).fit(folder)
    model.save(tmp_path / "m")
    when = "2023-11-14T22:13:20Z"  # SOURCE_DATE_EPOCH, which the tests set
    assert model.made_ == Made(12, 0, str(folder.resolve()), when, minicore.__version__, (128, 128))
    assert PatchCore.load(tmp_path / "m").made_ == model.made_
    stored = container.read(tmp_path / "m")[1]["made"]
    assert stored == {**asdict(model.made_), "image_size": [128, 128]}
    files = [*folder.iterdir(), *(mvtec_root / "gear" / "test" / "good").iterdir()]
    assert Made.of(files).folder == str((mvtec_root / "gear").resolve())
    assert Made.of(gear.train).folder is None
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    before = datetime.now(timezone.utc).replace(microsecond=0)
    now = datetime.fromisoformat(Made.of(files).when.replace("Z", "+00:00"))
    assert before <= now <= datetime.now(timezone.utc)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH must be seconds since 1970"):
        Made.of(files)


@pytest.mark.slow
def test_two_fits_differ_in_the_time_alone(tiny, gear, tmp_path, monkeypatch):
    found = []
    for epoch in ("1", "2"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        arrays, header = container.read(PatchCore(tiny).fit(gear.train).save(tmp_path / "m"))
        found.append((header.pop("made"), header, {k: a.tobytes() for k, a in arrays.items()}))
    assert found[0][0]["when"] != found[1][0]["when"]
    assert found[0][1:] == found[1][1:]
    assert {**found[0][0], "when": ""} == {**found[1][0], "when": ""}


@pytest.mark.parametrize("made", [None, {}, {"images": 1}, {"images": 0, "folder": None}])
def test_a_record_that_makes_no_sense_is_refused(path, made):
    arrays, header = container.read(path)
    container.write(path, arrays, {**header, "made": made})
    refused(path, "damaged", "made")


REWRITE = """
import sys, threading
import numpy as np
from minicore.runtime import container
from minicore.errors import ModelError

path = container.write(sys.argv[1], {"a": np.zeros(2**20)}, {})
content, done = path.read_bytes(), threading.Event()

def rewrite():
    while not done.is_set():
        path.write_bytes(content)

threading.Thread(target=rewrite, daemon=True).start()
for _ in range(100):
    try:
        container.read(path)
    except ModelError:
        pass
done.set()
"""


@pytest.mark.slow
def test_a_model_that_is_rewritten_in_place_while_it_is_read_ends_no_process(tmp_path):
    command = [sys.executable, "-c", REWRITE, str(tmp_path / "model")]
    assert subprocess.run(command, check=False).returncode == 0
