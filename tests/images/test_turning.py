"""Turned images: exact where they can be, without black corners, decoded once."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from minicore.images import Preprocessing, batches, prepare, view
from minicore.images import preprocess as preprocess_module
from minicore.images.turning import turned_crop

WHOLE = Preprocessing(resize=None, crop=None)
rng = np.random.default_rng(0)


def smooth(h, w):
    """A colour image without fine detail, which interpolation changes little."""
    noise = rng.standard_normal((h, w, 3))
    blurred = ndimage.gaussian_filter(noise, (6, 6, 0))
    return np.clip(128 + 100 * blurred / abs(blurred).max(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [1, 2, 7, 64])
def test_a_square_image_is_turned_by_right_angles_without_interpolation(side):
    image = rng.integers(256, size=(side, side, 3), dtype=np.uint8)
    for quarters in range(-4, 5):
        expected = np.rot90(image, quarters)
        assert np.array_equal(view(image, WHOLE, 90 * quarters), expected)


def test_the_angle_0_is_no_turn():
    image = rng.integers(256, size=(50, 70, 3), dtype=np.uint8)
    sizes = Preprocessing(resize=48, crop=32)
    assert np.array_equal(view(image, sizes, 0), view(image, sizes))
    assert np.array_equal(view(image, sizes, 360), view(image, sizes))


@pytest.mark.parametrize("angle", [30, 45, -100.5])
@pytest.mark.parametrize("size", [(80, 80), (81, 80), (60, 95)])
def test_the_centre_is_that_of_another_implementation(size, angle):
    image = smooth(*size)
    expected = ndimage.rotate(image.astype(float), angle, reshape=False, order=3, mode="mirror")
    h, w = size
    box = (w // 2 - 15, h // 2 - 12, w // 2 + 14, h // 2 + 16)
    left, top, right, bottom = box
    found = turned_crop(image, angle, box).astype(float)
    assert found.shape == (28, 29, 3)
    assert abs(found - expected[top:bottom, left:right]).max() < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (17, 90), (64, 64)])
def test_corners_are_mirrored_not_black(size):
    image = np.full((*size, 3), 200, np.uint8)
    for angle in (1, 45, 90, 137):
        assert np.array_equal(view(image, WHOLE, angle), image)


def test_the_corners_of_the_crop_show_what_is_beside_the_crop():
    image = np.zeros((100, 100, 3), np.uint8)
    image[42:58, 2:12] = 255  # left of the crop
    sizes = Preprocessing(resize=None, crop=72)
    assert view(image, sizes).max() == 0
    turned = view(image, sizes, 45)  # counter-clockwise: to the lower left corner
    assert turned[60:, :12].max() > 200 and turned[:36].max() == turned[:, 36:].max() == 0


def test_the_part_is_turned_not_the_stretched_picture():
    image = smooth(90, 90)
    stretched = Preprocessing(resize=(60, 120), crop=None)
    for angle, turned in ((90, np.rot90(image)), (180, np.rot90(image, 2))):
        expected = view(turned, stretched).astype(float)
        found = view(image, stretched, angle).astype(float)
        assert abs(found - expected)[4:-4, 4:-4].max() < 4


def test_turned_copies_follow_their_image_and_the_file_is_decoded_once(tmp_path, monkeypatch):
    files, opened, original = [], [], preprocess_module.open_rgb
    for i in range(5):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(256, size=(24, 24, 3), dtype=np.uint8)).save(files[-1])

    def counted(path):
        opened.append(path)
        return original(path)

    expected = np.stack([
        prepare(view(file, WHOLE, angle), WHOLE) for file in files for angle in (0, 90, 200)
    ])  # fmt: skip
    monkeypatch.setattr(preprocess_module, "open_rgb", counted)
    found = list(batches(files, WHOLE, 4, angles=(0, 90, 200)))
    assert [len(batch) for batch in found] == [4, 4, 4, 3]
    assert np.array_equal(np.concatenate(found), expected)
    assert sorted(opened) == files


def test_batches_of_turned_copies_work_ahead_by_about_one_batch(monkeypatch):
    done = []

    def count(image, preprocessing, angles):
        done.append(1)
        return [np.zeros((3, 2, 2), np.float32)] * len(angles)

    monkeypatch.setattr("minicore.images.batching.prepare_turned", count)
    running = batches(np.zeros((40, 2, 2, 3), np.uint8), WHOLE, 4, angles=range(8))
    next(running)
    running.close()
    assert len(done) <= 2
