"""Synthetic parts: the same bytes from the same seed, and exact masks."""

import hashlib

import numpy as np
import pytest

from minicore import datasets
from minicore.datasets.drawn import CATEGORIES, DEFECTS, part
from minicore.images import Preprocessing

EVERY = [(category, defect) for category in CATEGORIES for defect in DEFECTS]


def test_there_are_enough_kinds_of_part_and_of_defect():
    assert datasets.SYNTHETIC == CATEGORIES and len(CATEGORIES) >= 4
    assert {"scratch", "spot", "stain", "missing", "misplaced"} < set(DEFECTS)


@pytest.mark.parametrize("category, defect", EVERY)
def test_the_mask_is_exactly_what_the_defect_changed(category, defect):
    for seed in range(2):
        good, bad, mask = part(category, defect, size=128, seed=(seed,))
        assert np.array_equal(mask, (good != bad).any(axis=-1))
        assert 0 < mask.mean() < 0.1
        # A defect is one to see, not one level's worth of arithmetic.
        assert np.abs(good.astype(int) - bad)[mask].max() > 12


@pytest.mark.slow
@pytest.mark.parametrize("category, defect", EVERY)
def test_defects_lie_inside_the_usual_crop(category, defect):
    for seed in range(3):
        _, _, mask = part(category, defect, size=128, seed=(seed, 1))
        assert mask[8:-8, 8:-8].sum() == mask.sum() > 4


def test_the_good_twin_does_not_depend_on_the_defect():
    twins = [part("gear", defect, size=128)[0] for defect in (None, *DEFECTS)]
    assert all(np.array_equal(twin, twins[0]) for twin in twins)


@pytest.mark.parametrize("category", CATEGORIES)
def test_same_seed_same_bytes_other_seed_other_bytes(category):
    few = {"n_train": 2, "n_good": 1, "n_defective": 2, "size": 128}
    one, again = (datasets.synthetic(category, **few, seed=3) for _ in range(2))
    assert np.array_equal(one.train, again.train) and np.array_equal(one.test, again.test)
    assert np.array_equal(one.masks, again.masks)
    other = datasets.synthetic(category, **few, seed=4)
    everything = np.concatenate([one.train, one.test, other.train, other.test])
    assert len({image.tobytes() for image in everything}) == len(everything)


@pytest.mark.slow
def test_the_bytes_are_those_of_every_other_machine():
    digest = hashlib.sha256()
    for category, defect in EVERY:
        digest.update(part(category, defect, size=128)[1].tobytes())
    assert digest.hexdigest() == BYTES


BYTES = "8e7a87b4baed47a1e2effc6f9c784d68ccfc55386a2979921ff013c8e7a3838c"


def test_asking_for_more_images_changes_none():
    few = datasets.synthetic("wood", n_train=2, n_good=1, n_defective=3, size=128)
    more = datasets.synthetic("wood", n_train=3, n_good=2, n_defective=4, size=128)
    assert np.array_equal(few.train, more.train[:2])
    assert np.array_equal(few.test[:1], more.test[:1])
    assert np.array_equal(few.test[1:], more.test[2:5])


def test_the_dataset_has_the_shape_of_every_other():
    made = datasets.synthetic("fabric", n_train=2, n_good=3, n_defective=7, size=128)
    assert made.train.shape == (2, 128, 128, 3) and made.train.dtype == np.uint8
    assert made.test.shape == (10, 128, 128, 3)
    assert made.labels.tolist() == [0] * 3 + [1] * 7
    assert made.defects == ["good"] * 3 + [*DEFECTS, DEFECTS[0]]
    assert np.array_equal(made.masks.any(axis=(1, 2)), made.labels == 1)
    read = made.read_masks(Preprocessing(resize=None, crop=112))
    assert np.array_equal(read, made.masks[:, 8:-8, 8:-8])
    assert repr(made).startswith("Dataset(fabric: 2 good images to train on; to test on 3 good, 7")


def test_pictures_look_alike_at_every_size():
    small, large = (part("blister", None, size=s)[0].astype(float) for s in (128, 256))
    halved = large.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - halved).mean() < 6


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"category: expected one of .*gear.*, found 'geer'"):
        datasets.synthetic("geer")
    with pytest.raises(ValueError, match=r"defect: expected one of .*, found 'rust'"):
        part("gear", "rust")
    with pytest.raises(ValueError, match=r"n_train, .* -1"):
        datasets.synthetic("gear", n_train=-1)
    with pytest.raises(ValueError, match="size 128 or more"):
        datasets.synthetic("gear", size=64)
