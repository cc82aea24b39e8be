"""Unusable images: an error, or they are skipped and listed and change no other result."""

import csv
import re

import numpy as np
import pytest
from PIL import Image

from minicore import Ensemble, PatchCore
from minicore.backbones import Backbone
from minicore.cli import main
from minicore.errors import ImageError, MinicoreWarning
from minicore.evaluation.baselines import PaDiM
from minicore.images import Preprocessing, batches

WHOLE = Preprocessing(resize=None, crop=None)
BAD = (
    (),
    (0,),
    (3,),
    (0, 1, 2, 3),
    (2, 3, 4, 5),
    (7, 8, 9),
    (0, 9),
    (1, 3, 5, 7),
    tuple(range(10)),
)


@pytest.fixture(scope="module")
def model(tiny, gear):
    return PatchCore(tiny, progress=False, batch_size=4).fit(gear.train)


@pytest.fixture(scope="module")
def averaged(tiny, write_tiny, gear, tmp_path_factory):
    other = write_tiny(tmp_path_factory.mktemp("network") / "other.onnx", seed=1)
    return Ensemble([PatchCore(n, batch_size=4, progress=False) for n in (tiny, other)]).fit(
        gear.train
    )


@pytest.fixture
def folder(gear, tmp_path):
    """Ten images in files."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(gear.test):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def spoil(folder, bad):
    """Make some of the images unusable, each in another way."""
    content = [b"", b"no image", (folder / "0.png").read_bytes()[:200]]
    for i in bad:
        (folder / f"{i}.png").write_bytes(content[i % 3])


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_full_and_in_order_whatever_is_left_out(folder, bad, workers):
    spoil(folder, bad)
    files, skipped = [folder / f"{i}.png" for i in range(10)], {}
    found = list(batches(files, WHOLE, 4, workers=workers, skipped=skipped))
    good = [files[i] for i in range(10) if i not in bad]
    expected = list(batches(good, WHOLE, 4))
    assert [len(batch) for batch in found] == [len(batch) for batch in expected]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert sorted(skipped) == list(bad)
    assert all(str(files[i]) in str(error) for i, error in skipped.items())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "averaged"])
@pytest.mark.parametrize("bad", BAD)
def test_the_others_score_as_they_do_alone(request, gear, folder, kind, bad):
    model = request.getfixturevalue(kind)
    files, good = [folder / f"{i}.png" for i in range(10)], [i for i in range(10) if i not in bad]
    alone = np.concatenate([f.scores for f in model.stream(gear.test[good])]) if good else []
    spoil(folder, bad)
    skipped, scores = {}, []
    left = (i for i in range(10) if i not in skipped)
    for found in model.stream(files, skipped=skipped):
        scores += [(next(left), score) for score in found.scores]
    assert [i for i, _ in scores] == good and sorted(skipped) == list(bad)
    assert np.array_equal([score for _, score in scores], alone)


def test_the_network_sees_no_image_twice(model, folder, monkeypatch):
    spoil(folder, (1, 6))
    seen = []
    real = Backbone.__call__

    def count(self, batch):
        seen.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(Backbone, "__call__", count)
    list(model.stream(folder, skipped={}))
    assert seen == [4, 4]


@pytest.mark.slow
def test_members_that_can_use_other_images_agree_on_those_all_can_use(tiny, gear):
    small = gear.test[:, :60, :60]
    mixed = [*gear.test[:3], *small[3:5], *gear.test[5:]]
    members = [PatchCore(tiny, crop=64, resize=size, progress=False) for size in ("none", 72)]
    ensemble = Ensemble([*members, members[0]]).fit(gear.train)
    skipped = {}
    found = list(ensemble.stream(mixed, skipped=skipped))
    assert sorted(skipped) == [3, 4] and sum(len(f.scores) for f in found) == 8


def test_an_image_of_another_size_is_left_out_too(tiny, gear):
    model = PatchCore(tiny, resize="none", crop="none", progress=False).fit(gear.train)
    skipped = {}
    mixed = [*gear.test[:2], gear.test[2][:100], *gear.test[3:]]
    assert sum(len(f.scores) for f in model.stream(mixed, skipped=skipped)) == 9
    assert list(skipped) == [2] and "choose a crop" in str(skipped[2])


def test_without_being_asked_it_stops_at_the_image(model, averaged, tiny, folder):
    spoil(folder, (5,))
    for some in (model, averaged):
        with pytest.raises(ImageError, match=r"5\.png"):
            list(some.stream(folder))
    # A fit cannot be asked: a model of fewer images than given would be another model.
    with pytest.raises(ImageError, match=r"5\.png"):
        PatchCore(tiny, progress=False).fit(sorted(folder.iterdir()))


# The command


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("model") / "gear.minicore")


@pytest.fixture
def score(saved, capsys):
    def score(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["score", str(saved), *map(str, arguments)])
        return end.value.code or 0, *capsys.readouterr()

    return score


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_the_rest_of_a_folder_is_scored_and_what_was_skipped_is_listed(score, folder, batch_size):
    whole = score(folder)[1].splitlines()
    spoil(folder, (0, 4, 5))
    code, out, error = score(folder, "--on-error", "skip", "--batch-size", batch_size)
    bad = [str(folder / f"{i}.png") for i in (0, 4, 5)]
    kept = [line for line in whole if not line.startswith(tuple(bad))]
    assert code == 4 and out.splitlines() == kept and len(kept) == 8
    *listed, count, last = error.splitlines()
    assert [line.split(": ")[1] for line in listed] == bad
    assert "an empty file" in listed[0] and count == "3 of 10 images skipped"
    assert "of 7 images anomalous" in last


@pytest.mark.slow
def test_files_and_maps_hold_the_rest_and_4_comes_before_3(score, folder, tmp_path):
    spoil(folder, (2,))
    out, maps = tmp_path / "scores.csv", tmp_path / "maps"
    code, _, error = score(
        folder, "-o", out, "--maps", maps, "--on-error", "skip", "--exit-code", "--batch-size", 3
    )
    assert code == 4 and f"9 scores: {out}" in error
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    names = [f"{i}.png" for i in range(10) if i != 2]
    assert [row["image"] for row in rows] == [str(folder / name) for name in names]
    assert sorted(p.name for p in maps.iterdir()) == [f"{n[:-4]}.heat.png" for n in names]
    assert any(row["anomalous"] == "1" for row in rows)


def test_nothing_skipped_is_nothing_said(score, folder):
    assert score(folder, "--on-error", "skip") == score(folder)


def test_by_default_one_bad_image_writes_nothing(score, folder, tmp_path):
    spoil(folder, (9,))
    out = tmp_path / "scores.csv"
    out.write_text("earlier")
    for arguments in ((), ("--on-error", "stop")):
        code, _, error = score(folder, "-o", out, "--overwrite", *arguments)
        assert code == 1 and error.count("\n") == 1 and "9.png" in error
    assert out.read_text() == "earlier" and sorted(tmp_path.iterdir()) == [folder, out]


# Images of a folder that are not among those scored


@pytest.fixture
def gate(gear, tmp_path):
    """Make a folder with one good image."""
    gate = tmp_path / "gate"
    gate.mkdir()
    Image.fromarray(gear.train[0]).save(gate / "003.png")
    return gate


@pytest.mark.slow
def test_a_defective_image_in_a_folder_is_seen_whatever_its_suffix(score, gate):
    bad = np.random.default_rng(0).integers(256, size=(128, 128, 3), dtype=np.uint8)
    assert score(gate, "--exit-code")[0] == 0
    Image.fromarray(bad).save(gate / "bad.jfif", format="JPEG", quality=95)
    assert score(gate, "--exit-code")[0] == 3
    (gate / "bad.jfif").rename(gate / "bad")
    code, out, error = score(gate, "--exit-code")
    assert code == 4 and len(out.splitlines()) == 2
    said = f"minicore: warning: {gate}: 1 image of another format or suffix ignored"
    assert error.startswith(said)
    assert error.count("\n") == 2 and "bad;" in error and "listing.py" not in error
    code, _, again = score(gate)
    assert code == 0 and again == error
    code, _, error = score(gate / "003.png", gate / "bad", "--exit-code")
    assert code == 3 and "warning" not in error
    assert score(gate, gate / "bad", "--exit-code")[0] == 3


def test_images_in_subfolders_are_said_and_count_for_the_exit_code(score, gate):
    (gate / "old").mkdir()
    (gate / "003.png").rename(gate / "old" / "003.png")
    Image.new("RGB", (128, 128)).save(gate / "black.png")
    code, _, error = score(gate, "--exit-code")
    assert code == 4 and "1 image in subfolders ignored: old" in error
    assert score(gate, gate / "old", "--exit-code")[0] == 3
    assert score(gate, gate / ".." / gate.name / "old", "--exit-code")[0] == 3  # another spelling


def test_files_that_are_no_images_change_neither_output_nor_exit_code(score, gate):
    (gate / "Thumbs.db").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(100))
    (gate / "notes.txt").write_text("checked")
    code, _, error = score(gate, "--exit-code")
    assert code == 0 and "warning" not in error


@pytest.mark.slow
def test_heat_maps_of_an_earlier_run_are_not_images_to_look_at(score, gate):
    for _ in range(2):
        assert score(gate, "--exit-code", "--maps", gate / "heat")[0] == 0


def test_a_folder_of_dark_images_is_one_line(score, gate):
    for i in range(20):
        Image.fromarray(np.full((128, 128), 1000 + i, np.uint16)).save(gate / f"{i}.png")
    _, _, error = score(gate)
    assert error.count("\n") == 2
    assert "16-bit grey without a value above 4095" in error and str(gate) in error


@pytest.mark.parametrize("kind", ["single", "averaged", "padim"])
def test_an_image_of_another_size_than_the_training_images_is_refused_or_left_out(
    tiny, gear, folder, kind
):
    whole = {"resize": "none", "crop": "none", "progress": False}
    model = PatchCore(tiny, **whole)
    if kind == "averaged":
        model = Ensemble([model, model], progress=False)
    if kind == "padim":
        model = PaDiM(tiny, d=8, **whole)
    model.fit(gear.train)
    large = Image.fromarray(gear.test[0]).resize((200, 256))
    large.save(folder / "0.png")
    expected = f"{folder / '0.png'}: expected 128 × 128 pixels like the training images, found 256"
    with pytest.raises(ImageError, match=re.escape(expected)):
        model.anomaly_score([folder / "0.png"])
    with pytest.raises(ImageError, match="image 0: expected 128 × 128 pixels"):
        model.anomaly_map(np.asarray(large))
    skipped = {}
    found = list(model.stream(folder, skipped=skipped))
    assert sum(len(f.scores) for f in found) == 9 and list(skipped) == [0]


def test_training_images_of_several_sizes_are_warned_of(tiny, gear):
    wide = np.zeros((90, 140, 3), np.uint8)
    said = r"2 different sizes: 12 of 128 × 128, 1 of 90 × 140 pixels;"
    with pytest.warns(MinicoreWarning, match=said):
        PatchCore(tiny, progress=False).fit([*gear.train, wide])
    more = [np.zeros((90 + i, 140, 3), np.uint8) + np.uint8(i) for i in range(5)]
    with pytest.warns(MinicoreWarning, match=r"6 different sizes: 12 of 128 × 128, .*3 more sizes"):
        PatchCore(tiny, progress=False).fit([*gear.train, *more])
