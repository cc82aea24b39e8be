"""augment="rotations": turned copies of training images in the memory bank, and nowhere else."""

import json

import numpy as np
import pytest
from matplotlib.text import Text

from minicore import PatchCore, images, load, plots, trace
from minicore.backbones import Backbone
from minicore.backbones.recording import Recording, record
from minicore.patchcore import detector
from minicore.patchcore.bank import MemoryBank, origins

RIGHT = (0, 90, 180, 270)
WHOLE = {"resize": "none", "crop": "none", "progress": False}
ALL = {"coreset_ratio": 1.0, "false_positive_rate": None, **WHOLE}  # keeps every row


def bank_of(model):
    """The whole memory bank, in its order."""
    M = np.empty_like(model.memory_bank_)
    M[model.coreset_indices_] = model.memory_bank_
    return M


def small(gear):
    """Three training images of 48 × 48 pixels: 6 × 6 patches."""
    return gear.train[:3, 40:88, 40:88]


@pytest.fixture(scope="module")
def turned(tiny, gear):
    """A model of three images at four angles that keeps all rows."""
    return PatchCore(tiny, augment="rotations", angles=RIGHT, **ALL).fit(small(gear))


def test_the_bank_contains_each_image_at_every_angle_image_by_image(tiny, gear, turned):
    copies = [np.rot90(image, k) for image in small(gear) for k in range(4)]
    plain = PatchCore(tiny, **ALL).fit(copies)
    assert len(turned.memory_bank_) == 3 * 4 * 6 * 6
    assert np.array_equal(bank_of(turned), bank_of(plain))
    assert turned.made_.images == 3


def test_every_45_degrees_is_the_default(tiny, gear):
    model = PatchCore(tiny, augment="rotations", progress=False).fit(gear.train[:2])
    assert model.config_.angles == (0, 45, 90, 135, 180, 225, 270, 315)
    assert len(model.memory_bank_) == round(0.1 * 2 * 8 * 64)
    plain = PatchCore(tiny, progress=False, b=2).fit(gear.train[:2])
    assert plain.config_.augment is plain.config_.angles is None and plain.config_.turns == (0,)


def test_0_degrees_alone_is_no_augmentation(tiny, gear):
    plain = PatchCore(tiny, progress=False).fit(gear.train)
    alone = PatchCore(tiny, augment="rotations", angles=[0], progress=False).fit(gear.train)
    for name in (
        "memory_bank_", "coreset_indices_", "coreset_radii_",
        "calibration_scores_", "calibration_peaks_",
    ):  # fmt: skip
        assert getattr(plain, name).tobytes() == getattr(alone, name).tobytes(), name
    assert (plain.threshold_, plain.map_threshold_) == (alone.threshold_, alone.map_threshold_)


def test_the_order_of_the_angles_and_full_turns_change_nothing(tiny, gear, turned):
    other = PatchCore(tiny, augment="rotations", angles=(450, 0, -90, 180), **ALL)
    other.fit(small(gear))
    assert other.config_.angles == turned.config_.angles
    assert np.array_equal(other.memory_bank_, turned.memory_bank_)


def test_test_images_are_never_turned(tiny, gear):
    network = Backbone(tiny)
    model = PatchCore(network, augment="rotations", angles=RIGHT, progress=False)
    model.fit(gear.train)
    plain = PatchCore(network, progress=False).fit(gear.train)
    ours, theirs = (next(m._patches(gear.test, "", progress=False)) for m in (model, plain))
    assert np.array_equal(ours.features, theirs.features)
    assert len(model.anomaly_score(gear.test)) == len(gear.test)


@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_no_threshold_compares_an_image_with_its_own_turned_copy(tiny, gear, engine):
    # A quarter turn does not change these images: their turned copies are at distance 0.
    symmetric = [np.maximum.reduce([np.rot90(image, k) for k in range(4)]) for image in small(gear)]
    options = {"coreset_ratio": 1.0, "b": None, "engine": engine, **WHOLE}
    plain = PatchCore(tiny, **options).fit(symmetric)
    model = PatchCore(tiny, augment="rotations", angles=RIGHT, **options).fit(symmetric)
    assert len(model.calibration_scores_) == len(plain.calibration_scores_) > 0
    assert model.calibration_scores_.min() > 0
    assert np.allclose(model.calibration_scores_, plain.calibration_scores_, rtol=1e-5)
    assert model.threshold_ == pytest.approx(plain.threshold_, rel=1e-5)


def test_both_engines_and_a_bank_on_disk_give_the_same(tiny, gear):
    options = {"augment": "rotations", "angles": (0, 45, 200), "coreset_ratio": 0.2}
    fast, literal, disk = (
        PatchCore(tiny, progress=False, **options, **other).fit(gear.train[:6])
        for other in ({}, {"engine": "equations"}, {"bank_storage": "disk"})
    )
    for other in (literal, disk):
        assert np.array_equal(fast.coreset_indices_, other.coreset_indices_)
        assert other.threshold_ == pytest.approx(fast.threshold_, rel=1e-5)
    assert np.array_equal(fast.memory_bank_, disk.memory_bank_)
    assert np.allclose(literal.anomaly_score(gear.test), fast.anomaly_score(gear.test), rtol=1e-5)


def test_rows_and_origins_are_inverse():
    with MemoryBank(3, "float32", 4) as M:
        M.append(np.zeros((12, 5, 7, 2), np.float32))
        assert M.rows.shape == (3, 4, 35)
        found = origins(np.arange(len(M)), M.grid, 4)
        image, turn, row, column = found.T
        assert np.array_equal(M.rows[image, turn, row * 7 + column], np.arange(len(M)))


def test_a_trace_names_the_angle_of_the_nearest_training_image(turned, gear):
    image, part = 1, np.rot90(small(gear)[1], 3)
    found = trace(turned, part)
    assert found.s_star == pytest.approx(0, abs=1e-5)
    assert (found.origins[..., 0] == image).all() and (found.angles == 270).all()
    assert found.origin[1:] == found.position and found.origin_angle == 270
    assert found.neighbour_angles[0] == 270 and len(found.neighbour_angles) == 9
    drawn = plots.trace(found, small(gear))
    shown = [a.images[0].get_array() for a in drawn.axes if a.images]
    assert np.array_equal(shown[7], images.view(small(gear)[image], found.preprocessing, 270))
    words = [text.get_text() for text in drawn.findobj(Text)]
    assert any("good image 1 turned 270°" in text for text in words)


def test_a_saved_model_stores_the_angles(tiny, gear, tmp_path, run):
    options = {"augment": "rotations", "angles": (0, 45.5), "progress": False}
    model = PatchCore(tiny, **options).fit(gear.train)
    path = model.save(tmp_path / "m")
    again = load(path, progress=False)
    assert again.config_ == model.config_ and again.angles == (0, 45.5)
    assert np.array_equal(again.anomaly_score(gear.test), model.anomaly_score(gear.test))
    assert np.array_equal(again.fit(gear.train).memory_bank_, model.memory_bank_)
    config = json.loads(run("info", path)[1])["config"]
    assert config["augment"] == "rotations" and config["angles"] == [0, 45.5]


def test_the_progress_bar_counts_turned_copies(tiny, gear, monkeypatch):
    counted, original = {}, detector.progress_bar

    def recorded(total, description, unit, **options):
        bar = original(total, description, unit, **options)
        counted[description] = total
        return bar

    monkeypatch.setattr(detector, "progress_bar", recorded)
    model = PatchCore(tiny, augment="rotations", angles=RIGHT, progress=False)
    model.fit(gear.train).detect(gear.test)
    assert counted == {"memory bank": 48, "score": 10}


def test_recorded_maps_are_not_taken_for_those_of_turned_images(tiny, mvtec_root, tmp_path):
    files = images.list_images(mvtec_root / "gear" / "train" / "good")
    network = Backbone(tiny)
    record(network, files, tmp_path / "maps", progress=False)
    options = {"augment": "rotations", "angles": RIGHT, "progress": False}
    recorded = PatchCore(Recording(network, tmp_path / "maps"), **options).fit(files)
    assert np.array_equal(
        recorded.memory_bank_, PatchCore(network, **options).fit(files).memory_bank_
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"augment": "flips"}, "augment must be 'rotations', got 'flips'"),
        ({"augment": True}, "augment must be 'rotations', got True"),
        ({"angles": (0, 90)}, r"angles must be None unless augment is 'rotations', got \(0, 90\)"),
        *(
            ({"augment": "rotations", "angles": angles}, "angles must be different numbers of deg")
            for angles in (
                (), (90, 180), (0, 0), (0, 360), (0, float("nan")), (0, float("inf")), (0, "90"),
                (0, True), 45, "0,90", None.__class__, np.zeros((2, 2)),
            )
        ),
    ],
)  # fmt: skip
def test_what_no_angles_are_is_refused(tiny, gear, options, message):
    with pytest.raises(ValueError, match=message):
        PatchCore(tiny, progress=False, **options).fit(gear.train)


def test_the_command_line_takes_angles(tiny, mvtec_root, tmp_path, run):
    good, out = mvtec_root / "gear" / "train" / "good", tmp_path / "m"
    command = ("fit", good, "-o", out, "--backbone", tiny)
    code, _, error = run(*command, "--augment", "rotations", "--angles", "0,90, 180,270")
    assert code == 0 and "12 images, each at 4 angles; the model uses" in error
    assert load(out).config_.angles == RIGHT
    for wrong, message in (
        (("--augment", "rotations", "--angles", "0;90"), "--angles 0;90: expected degrees"),
        (("--augment", "rotations", "--angles", "90"), "angles must be different numbers"),
        (("--angles", "0,90"), "angles must be None unless augment is 'rotations'"),
    ):
        code, _, error = run(*command, *wrong)
        assert code == 1 and message in error
