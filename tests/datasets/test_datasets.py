"""Loaders find images and masks, and their errors name what is missing."""

import re

import numpy as np
import pytest
from PIL import Image

from minicore import datasets
from minicore.errors import DatasetError, ImageError, MinicoreWarning
from minicore.images import Preprocessing

WHOLE = Preprocessing(resize=None, crop=None)


def picture(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 10, 3), 90, np.uint8) if pixels is None else pixels).save(path)
    return path


def mask(path, x, value=255):
    pixels = np.zeros((8, 10), np.uint8)
    pixels[:, x] = value
    return picture(path, pixels)


def names(paths, root):
    return [p.relative_to(root).as_posix() for p in paths]


@pytest.fixture
def mvtec(tmp_path):
    root = tmp_path / "mvtec"
    for name in (
        "train/good/001",
        "train/good/000",
        "test/good/000",
        "test/hole/000",
        "test/cut/000",
    ):
        picture(root / f"nut/{name}.png")
    for x, defect in enumerate(("cut", "hole")):
        mask(root / f"nut/ground_truth/{defect}/000_mask.png", x)
    return root


def test_mvtec_pairs_every_anomalous_image_with_its_mask(mvtec):
    nut = datasets.mvtec(mvtec, "nut")
    assert nut.name == "nut" and names(nut.train, mvtec / "nut/train/good") == [
        "000.png",
        "001.png",
    ]
    assert names(nut.test, mvtec / "nut/test") == ["good/000.png", "cut/000.png", "hole/000.png"]
    assert nut.labels.tolist() == [0, 1, 1] and nut.labels.dtype == np.int64
    assert nut.defects == ["good", "cut", "hole"]
    assert nut.masks[0] is None
    assert names(nut.masks[1:], mvtec / "nut/ground_truth") == [
        "cut/000_mask.png",
        "hole/000_mask.png",
    ]
    assert repr(nut) == (
        "Dataset(nut: 2 good images to train on; to test on 1 good, 2 anomalous, with masks)"
    )


def test_masks_are_read_in_the_order_of_the_test_images(mvtec):
    masks = datasets.mvtec(mvtec, "nut").read_masks(WHOLE)
    assert masks.shape == (3, 8, 10) and masks.dtype == bool
    assert not masks[0].any() and masks[1, :, 0].all() and masks[2, :, 1].all()
    assert masks.sum() == 16
    assert datasets.mvtec(mvtec, "nut").read_masks(Preprocessing(16, 4)).shape == (3, 4, 4)


def test_a_mask_of_another_size_than_its_image_is_found_out(mvtec):
    path = picture(mvtec / "nut/ground_truth/cut/000_mask.png", np.zeros((8, 9), np.uint8))
    with pytest.raises(ImageError, match=f"{re.escape(str(path))}: expected 8 × 10 .* found 8 × 9"):
        datasets.mvtec(mvtec, "nut").read_masks(WHOLE)


def test_test_images_of_different_sizes_need_a_crop(mvtec):
    picture(mvtec / "nut/test/good/001.png", np.zeros((9, 10, 3), np.uint8))
    nut = datasets.mvtec(mvtec, "nut")
    with pytest.raises(DatasetError, match=r"001\.png.*choose a crop"):
        nut.read_masks(WHOLE)
    assert nut.read_masks(Preprocessing(None, 6)).shape == (4, 6, 6)


def test_hidden_files_and_other_suffixes_are_no_images(mvtec):
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (mvtec / "nut/train/good" / name).touch()
    (mvtec / "nut/test/.hidden").mkdir()
    assert len(datasets.mvtec(mvtec, "nut").train) == 2


def test_a_misspelt_category_gets_a_suggestion(mvtec):
    with pytest.raises(DatasetError, match=r"no 'nit' in .*mvtec, found nut; did you mean 'nut'\?"):
        datasets.mvtec(mvtec, "nit")


def test_a_root_one_level_off_is_recognised(mvtec):
    root = re.escape(str(mvtec))
    with pytest.raises(DatasetError, match=f"found a category; pass {root} and 'nut'"):
        datasets.mvtec(mvtec / "nut", "nut")
    with pytest.raises(DatasetError, match=f"found it in {root}; pass {root}"):
        datasets.mvtec(mvtec.parent, "nut")


def test_a_missing_folder_says_what_is_there_instead(mvtec):
    (mvtec / "nut/train/good").rename(mvtec / "nut/train/god")
    with pytest.raises(DatasetError, match=r"train[/\\]good: expected the good images.*found god"):
        datasets.mvtec(mvtec, "nut")
    with pytest.raises(DatasetError, match=r"nowhere: expected .*; no 'nowhere' in "):
        datasets.mvtec(mvtec.parent / "nowhere/at/all", "nut")


def test_data_without_masks_warns_and_has_none(mvtec):
    (mvtec / "nut/ground_truth").rename(mvtec / "nut/masks")
    said = r"nut: no folder ground_truth, found masks, test, train; without masks there are no"
    with pytest.warns(MinicoreWarning, match=said):
        nut = datasets.mvtec(mvtec, "nut")
    own = datasets.folder(mvtec / "nut/train/good", mvtec / "nut/test")
    for found in (nut, own):
        assert found.labels.tolist() == [0, 1, 1] and found.masks is None


def test_a_folder_of_masks_that_is_missing_for_one_defect_is_an_error(mvtec):
    (mvtec / "nut/ground_truth/cut").rename(mvtec / "nut/cut")
    with pytest.raises(DatasetError, match=r"ground_truth[/\\]cut: expected masks"):
        datasets.mvtec(mvtec, "nut")


@pytest.mark.parametrize("name", ["Good", "GOOD"])
def test_good_is_good_in_capitals(mvtec, name):
    (mvtec / "nut/test/good").rename(mvtec / f"nut/test/{name}")
    found = datasets.folder(mvtec / "nut/train/good", mvtec / "nut/test")
    assert found.labels.tolist() == [0, 1, 1] and found.defects[0] == "good"
    assert datasets.mvtec(mvtec, "nut").labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", ["OK", "normal"])
def test_no_folder_called_good_is_warned_of(mvtec, name):
    (mvtec / "nut/test/good").rename(mvtec / f"nut/test/{name}")
    said = rf"test: no folder is called 'good', so every image counts as anomalous, .*'{name}'"
    with pytest.warns(MinicoreWarning, match=said):
        found = datasets.folder(mvtec / "nut/train/good", mvtec / "nut/test")
    assert found.labels.tolist() == [1, 1, 1]


def test_a_missing_or_doubtful_mask_names_the_image(mvtec):
    mask(mvtec / "nut/ground_truth/cut/000.png", 0)
    with pytest.raises(
        DatasetError, match=r"cut[/\\]000\.png: expected one mask.*000\.png and 000_mask"
    ):
        datasets.mvtec(mvtec, "nut")
    (mvtec / "nut/ground_truth/cut/000.png").unlink()
    (mvtec / "nut/ground_truth/cut/000_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"cut[/\\]000\.png: expected one mask.*found none"):
        datasets.mvtec(mvtec, "nut")


def test_an_empty_folder_is_an_error_naming_its_subfolders(mvtec):
    with pytest.raises(
        DatasetError, match="found none; its subfolders are ground_truth, test, train"
    ):
        datasets.folder(mvtec / "nut")


def test_categories_are_the_folders_laid_out_as_mvtec(mvtec):
    (mvtec / "empty").mkdir()
    picture(mvtec / "bolt/train/good/0.png")
    assert datasets.categories(mvtec) == ["bolt", "nut"]


def test_loco_unites_the_masks_of_an_image_and_keeps_validation_apart(tmp_path):
    base = tmp_path / "pushpins"
    for name in ("train/good/000", "validation/good/000", "test/good/000",
                 "test/logical_anomalies/000", "test/structural_anomalies/000"):  # fmt: skip
        picture(base / f"{name}.png")
    mask(base / "ground_truth/logical_anomalies/000/000.png", 2, value=255)
    mask(base / "ground_truth/logical_anomalies/000/001.png", 5, value=254)
    mask(base / "ground_truth/structural_anomalies/000/000.png", 7)
    pins = datasets.mvtec_loco(tmp_path, "pushpins")
    assert pins.defects == ["good", "logical_anomalies", "structural_anomalies"]
    assert names(pins.validation, base) == ["validation/good/000.png"]
    found = pins.read_masks(WHOLE)
    assert [np.flatnonzero(m[0]).tolist() for m in found] == [[], [2, 5], [7]]
    (base / "validation/good/000.png").unlink()
    (base / "validation/good").rmdir()
    assert datasets.mvtec_loco(tmp_path, "pushpins").validation == []


def test_btad_calls_good_ok_and_masks_may_have_another_suffix(tmp_path):
    for name in ("train/ok/0000", "test/ok/0000", "test/ko/0000"):
        picture(tmp_path / f"01/{name}.bmp")
    mask(tmp_path / "01/ground_truth/ko/0000.png", 3)
    product = datasets.btad(tmp_path, "01")
    assert product.defects == ["good", "ko"] and product.labels.tolist() == [0, 1]
    assert np.flatnonzero(product.read_masks(WHOLE)[1, 0]).tolist() == [3]


@pytest.fixture
def visa(tmp_path):
    rows = ["object,split,label,image,mask"]
    for part, label, name in (
        ("train", "normal", "Normal/1.JPG"), ("train", "normal", "Normal/0.JPG"),
        ("test", "anomaly", "Anomaly/0.JPG"), ("test", "normal", "Normal/2.JPG"),
    ):  # fmt: skip
        picture(tmp_path / "candle/Data/Images" / name)
        truth = "candle/Data/Masks/Anomaly/0.png" if label == "anomaly" else ""
        rows.append(f"candle,{part},{label},candle/Data/Images/{name},{truth}")
    mask(tmp_path / "candle/Data/Masks/Anomaly/0.png", 4, value=1)
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_visa_follows_its_table(visa):
    candle = datasets.visa(visa, "candle")
    assert [p.name for p in candle.train] == ["0.JPG", "1.JPG"]
    assert candle.labels.tolist() == [1, 0] and candle.defects == ["anomaly", "good"]
    assert np.flatnonzero(candle.read_masks(WHOLE)[0, 0]).tolist() == [4]


def test_visa_tables_with_surprises_are_errors(visa):
    table = visa / "split_csv/1cls.csv"
    with pytest.raises(
        DatasetError, match=r"no 'candel' in .*1cls\.csv, found candle; did you mean"
    ):
        datasets.visa(visa, "candel")
    with pytest.raises(DatasetError, match=r"2cls\.csv: expected the table.* found 1cls\.csv"):
        datasets.visa(visa, "candle", "2cls")
    whole = table.read_text()
    table.write_text(whole.replace("Normal/2.JPG", "Normal/9.JPG"))
    with pytest.raises(DatasetError, match=r"expected the file .*9\.JPG"):
        datasets.visa(visa, "candle")
    for escape in ("../../secret.png", "/etc/passwd", "C:\\secret.png", "..\\secret.png"):
        table.write_text(whole.replace("candle/Data/Images/Normal/2.JPG", escape))
        with pytest.raises(DatasetError, match="expected paths inside"):
            datasets.visa(visa, "candle")
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match=r"expected the columns object,.*found a,b"):
        datasets.visa(visa, "candle")


def test_kolektor_is_anomalous_where_the_mask_is_not_empty(tmp_path):
    for n in range(1, 11):
        for part in range(2):
            picture(tmp_path / f"kos{n:02}/Part{part}.jpg")
            mask(tmp_path / f"kos{n:02}/Part{part}_label.bmp", 1, 255 if (n, part) == (7, 1) else 0)
    sdd = datasets.kolektor_sdd(tmp_path)
    assert len(sdd.train) == 15 and sdd.labels.tolist() == [0, 0, 0, 0, 1]
    assert names(sdd.test[-1:], tmp_path) == ["kos07/Part1.jpg"]
    assert not set(sdd.train) & set(sdd.test)
    assert np.flatnonzero(sdd.read_masks(WHOLE)[-1, 0]).tolist() == [1]
    with pytest.raises(DatasetError, match="kos01"):
        datasets.kolektor_sdd(tmp_path / "kos01")


def test_magnetic_tiles_hold_out_a_fifth_of_the_good_ones(tmp_path):
    for n in range(10):
        picture(tmp_path / f"MT_Free/Imgs/exp1_num_{n}.jpg")
        mask(tmp_path / f"MT_Free/Imgs/exp1_num_{n}.png", 0, value=0)
    for kind in ("Blowhole", "Uneven"):
        picture(tmp_path / f"MT_{kind}/Imgs/exp2.jpg")
        mask(tmp_path / f"MT_{kind}/Imgs/exp2.png", 6)
    tiles = datasets.mtd(tmp_path)
    assert len(tiles.train) == 8 and tiles.labels.tolist() == [0, 0, 1, 1]
    assert tiles.defects == ["good", "good", "blowhole", "uneven"]
    assert np.flatnonzero(tiles.read_masks(WHOLE)[2, 0]).tolist() == [6]
    with pytest.raises(ValueError, match="held_out"):
        datasets.mtd(tmp_path, held_out=1)


def test_a_drawn_split_is_the_same_everywhere_and_another_for_another_seed(tmp_path):
    for n in range(20):
        picture(tmp_path / f"MT_Free/Imgs/{n:02}.jpg")
    held = {seed: [int(p.stem) for p in datasets.mtd(tmp_path, seed=seed).test] for seed in (0, 1)}
    assert held == {0: [0, 9, 12, 15], 1: [0, 2, 4, 10]}


def test_a_folder_of_good_images_is_enough(tmp_path):
    picture(tmp_path / "good/b.png")
    picture(tmp_path / "good/a.jpg")
    own = datasets.folder(tmp_path / "good")
    assert [p.name for p in own.train] == ["a.jpg", "b.png"]
    assert own.test == [] and own.labels.shape == (0,) and own.masks is None
    with pytest.raises(DatasetError, match="good: expected masks, found none"):
        own.read_masks(WHOLE)


def test_a_folder_may_have_tests_and_ground_truth_elsewhere(tmp_path):
    picture(tmp_path / "good/a.png")
    picture(tmp_path / "new/good/a.png")
    picture(tmp_path / "new/dent/b.png")
    own = datasets.folder(tmp_path / "good", tmp_path / "new")
    assert own.labels.tolist() == [0, 1] and own.masks is None
    mask(tmp_path / "truth/dent/b.png", 2)
    own = datasets.folder(tmp_path / "good", tmp_path / "new", tmp_path / "truth")
    assert own.read_masks(WHOLE)[1, :, 2].all()
    with pytest.raises(DatasetError, match="expected subfolders, 'good' and one for each defect"):
        datasets.folder(tmp_path / "good", tmp_path / "good")


@pytest.mark.parametrize("category, counts", [("bottle", (209, 20, 63)), ("screw", (320, 41, 119))])
def test_real_categories_have_their_published_counts(shared, category, counts):
    found = datasets.mvtec(shared / "data/mvtec256", category)
    bad = int(found.labels.sum())
    assert (len(found.train), len(found.test) - bad, bad) == counts
    masks = found.read_masks(Preprocessing())
    assert masks.shape == (len(found.test), 224, 224)
    assert not masks[found.labels == 0].any()
    assert masks[found.labels == 1].any(axis=(1, 2)).all()
