"""Recorded feature maps produce the same results without running the network again."""

import json
from pathlib import Path

import numpy as np
import pytest

from minicore import Backbone, PatchCore, datasets
from minicore.backbones.recording import Recording, record
from minicore.errors import BackboneError, OutputError


class Silent(Recording):
    """A recording of a network that must not be asked."""

    def _run(self, images):
        raise AssertionError("the network was run")


@pytest.fixture(scope="module")
def network(tiny):
    return Backbone(tiny)


@pytest.fixture(scope="module")
def parts(mvtec_root):
    return datasets.mvtec(mvtec_root, "gear")


@pytest.fixture
def folder(network, parts, tmp_path):
    record(network, [*parts.train, *parts.test], tmp_path / "maps")
    return tmp_path / "maps"


def test_a_model_of_recorded_maps_is_the_model_of_the_images(network, parts, folder):
    recorded = PatchCore(Silent(network, folder), batch_size=5).fit(parts.train)
    computed = PatchCore(network).fit(parts.train)
    assert recorded.config_ == computed.config_
    assert np.array_equal(recorded.memory_bank_, computed.memory_bank_)
    assert np.array_equal(recorded.image_digests_, computed.image_digests_)
    ours, theirs = recorded.detect(parts.test[::-2]), computed.detect(parts.test[::-2])
    assert np.array_equal(ours.scores, theirs.scores)
    assert np.array_equal(ours.maps, theirs.maps)


def test_some_layers_of_a_recording_are_those_layers(network, tiny, parts, folder):
    one = PatchCore(Silent(network, folder, ["layer3"])).fit(parts.train)
    other = PatchCore(Backbone(tiny, layers=["layer3"])).fit(parts.train)
    assert np.array_equal(one.memory_bank_, other.memory_bank_)
    with pytest.raises(BackboneError, match="layer1 not recorded, only layer2, layer3"):
        Recording(network, folder, ["layer1"])


@pytest.mark.slow
def test_images_that_were_not_recorded_go_through_the_network(network, parts, folder, gear):
    recording = Recording(network, folder)
    model = PatchCore(recording).fit(parts.train)
    drawn = PatchCore(network).fit(parts.train).anomaly_score(gear.test)
    assert np.array_equal(model.anomaly_score(gear.test), drawn)
    other_size = PatchCore(recording, crop=48).fit(parts.train)
    assert other_size.input_size_ == (48, 48)


def test_the_network_runs_once_for_the_same_files(network, parts, tmp_path, monkeypatch):
    images, folder = list(parts.test), tmp_path / "maps"
    record(network, images, folder)
    monkeypatch.setattr(Backbone, "_run", Silent._run)
    record(network, images, folder)
    with pytest.raises(AssertionError, match="the network was run"):
        record(network, images[:3], folder)


def test_a_recording_of_other_files_or_another_network_is_replaced(
    network, write_tiny, parts, tmp_path
):
    folder = tmp_path / "maps"
    record(network, parts.test, folder)
    other = Backbone(write_tiny(tmp_path / "other.onnx", seed=1))
    found = record(other, parts.test, folder)
    first, *_ = found.feature_maps(parts.test, other.preprocessing, 4)
    from minicore.images import batches

    expected = other(next(batches(parts.test, other.preprocessing, 4)))
    assert all(map(np.array_equal, first.networks[0], expected.values()))


@pytest.mark.parametrize("spoil", ["shorter", "no index", "other format", "no JSON"])
def test_an_incomplete_recording_is_none(network, parts, folder, spoil):
    index = folder / "index.json"
    if spoil == "shorter":
        maps = folder / "0.float32"
        maps.write_bytes(maps.read_bytes()[:-1])
    elif spoil == "no index":
        index.unlink()
    elif spoil == "other format":
        index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 99}))
    else:
        index.write_text("{")
    with pytest.raises(BackboneError, match="no complete recording"):
        Recording(network, folder)
    images = [*parts.train, *parts.test]
    assert record(network, images, folder).seconds_an_image > 0


def test_nothing_is_left_of_a_recording_that_fails(network, parts, tmp_path, monkeypatch):
    def full(file, what):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minicore.backbones.recording._write", lambda *_: full(None, None))
    with pytest.raises(OutputError, match="feature maps of 10 images: No space left on device"):
        record(network, parts.test, tmp_path / "maps")
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_image_is_named_and_nothing_is_left(network, parts, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png"):
        record(network, [*parts.test, broken], tmp_path / "maps")
    assert [p.name for p in Path(tmp_path).iterdir()] == ["broken.png"]
