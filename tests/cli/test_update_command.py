"""``minicore update``: what it prints, what it writes, and what it leaves alone."""

import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from minicore import Ensemble, PatchCore
from minicore.cli.update_model import LINES, _summary, _table
from minicore.patchcore.update import find_growth


@pytest.fixture(scope="module")
def template(tiny, mvtec_root, tmp_path_factory):
    """A model of eight good images, and a folder of other images: three good, one defective."""
    world = tmp_path_factory.mktemp("update")
    good = sorted((mvtec_root / "gear/train/good").iterdir())
    for name, files in (("old", good[:8]), ("more good", good[8:11])):
        (world / name).mkdir()
        for file in files:
            shutil.copy(file, world / name)
    noise = np.random.default_rng(0).integers(256, size=(128, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(world / "more good" / "zz bad.png")
    model = PatchCore(tiny, coreset_ratio=0.2, progress=False).fit(world / "old")
    model.save(world / "part.minicore")
    return world


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_update_prints_the_rows_of_each_image_and_replaces_the_model(run, world):
    before = PatchCore.load("part.minicore")
    expected = PatchCore.load("part.minicore", progress=False)
    rows = expected.update("more good")
    code, out, error = run("update", "part.minicore", "more good")
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["rows", "added", "score", "image"]
    assert [int(line.split()[0]) for line in lines] == rows.tolist()
    assert [line.endswith(".png") for line in lines] == [True] * 4
    assert "zz bad.png" in lines[3] and " * " in lines[3]  # above the threshold
    l = before.bank_rows_
    assert f"{rows.sum():,} new rows from 4 new images; the memory bank had {l:,} rows" in error
    assert f"4 new images added {rows.mean():.1f} rows per image" in error
    assert f"those of the fit {l / 8:.1f}; close to 0" in error
    assert "above the threshold" in error and "zz bad.png" in error
    assert f"anomalous above {expected.threshold_:.4f} (before: {before.threshold_:.4f})" in error
    assert error.splitlines()[-1] == "model: part.minicore"
    found = PatchCore.load("part.minicore")
    assert np.array_equal(found.memory_bank_, expected.memory_bank_)
    made = json.loads(run("info", "part.minicore")[1])["made"]
    assert (made["images"], made["updated"], made["copies"]) == (12, 4, 0)


def test_show_draws_the_new_patches_and_changes_nothing(run, world):
    before = contents(world)
    code, out, error = run("update", "part.minicore", "more good", "--show", "new.png")
    assert code == 0
    with Image.open("new.png") as picture:
        picture.verify()
    assert before == {k: v for k, v in contents(world).items() if k != "new.png"}
    *_, line = error.splitlines()
    assert line.startswith("the model is not changed; if all new patches are good: minicore update")
    command = shlex.split(line.partition(": ")[2])
    assert command == ["minicore", "update", "part.minicore", "more good"]
    code, again, _ = run(*command[1:])  # adds what was shown
    assert code == 0 and again == out
    assert contents(world)["part.minicore"] != before["part.minicore"]


def test_another_model_file_leaves_the_first_as_it_was(run, world):
    before = contents(world)["part.minicore"]
    assert run("update", "part.minicore", "more good", "-o", "new/part.minicore")[0] == 0
    assert contents(world / "new").keys() == {"part.minicore"}
    assert (world / "part.minicore").read_bytes() == before
    code, out, error = run("update", "new/part.minicore", "more good", "-o", "again.minicore")
    assert code == 0 and out.count("copy") == 4
    assert "warning: 4 of 4 images are skipped, for example more good" in error
    assert contents(world)["again.minicore"] == (world / "new/part.minicore").read_bytes()


@pytest.mark.parametrize("place", ["os.fsync", "minicore.patchcore.update.continue_coreset"])
def test_a_stopped_update_leaves_the_model_as_it_was(run, world, monkeypatch, place):
    def stop(*_, **__):
        raise KeyboardInterrupt

    before = contents(world)
    monkeypatch.setattr(place, stop)
    code, *_ = run("update", "part.minicore", "more good")
    assert code == 130 and contents(world) == before


def test_what_cannot_be_updated_is_one_line_and_changes_nothing(run, world, tiny):
    options = {"coreset_ratio": 0.2, "progress": False}
    Ensemble([PatchCore(tiny, **options)] * 2, progress=False).fit("old").save("several")
    PatchCore(tiny, selection="random", **options).fit("old").save("random")
    (world / "photo.png").write_bytes(next((world / "old").iterdir()).read_bytes())
    (world / "empty").mkdir()
    before = contents(world)
    folder = "more good"
    for arguments, words in (
        (["several", folder], "an ensemble of scores cannot be updated; fit it again"),
        (["random", folder], "a coreset selected by 'random' has no radius"),
        (["missing", folder], "missing: no such file"),
        (["part.minicore", "nowhere"], "nowhere"),
        (["part.minicore", "empty"], "empty: expected image files"),
        (["part.minicore", folder, "-o", "part.minicore"], "the file is also read"),
        (["part.minicore", folder, "-o", "photo.png"], "minicore did not make it"),
        (["part.minicore", folder, "--show", "photo.png"], "minicore did not make it"),
        (["part.minicore", folder, "--show", "part.minicore.svg/x.txt"], "the suffix must be"),
        (["part.minicore", folder, "--show", f"{folder}/new.png"], "images are read from this"),
        (["part.minicore", folder, "--batch-size", 0], "--batch-size must be"),
        (["part.minicore", folder, "--threads", 0], "--threads must be"),
    ):
        code, out, error = run("update", *arguments)
        assert code == 1 and not out and "Traceback" not in error, error
        assert error.startswith("minicore: ") and error.count("\n") == 1 and words in error, error
    assert contents(world) == before


def test_many_images_are_added_up_by_tens(world):
    model = PatchCore.load("part.minicore", progress=False)
    growth = find_growth(
        model, np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    )
    growth.__dict__["rows"] = np.arange(LINES + 5)
    growth.__dict__["copies"] = np.zeros(LINES + 5, bool)
    head, *lines = _table(growth, model.threshold_)
    assert head.split() == ["rows", "added", "images"] and len(lines) == 4
    assert lines[0].split() == ["45", "1", "to", "10"]
    assert lines[-1].split() == [str(sum(range(30, 35))), "31", "to", "35"]
    text = " ".join(_summary(growth, model))
    assert f"the last 10 new images added {np.arange(25, 35).mean():.1f} rows per image" in text
