import os
import struct
import threading
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from minicore import images
from minicore.errors import ImageError, MinicoreWarning
from minicore.images import Preprocessing, as_images, batches, prepare, read_image, read_mask, view
from minicore.images.decode import image_size
from minicore.images.listing import fingerprint, left_out

WHOLE = Preprocessing(resize=None, crop=None)
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 30), np.uint16)


def saved(path, pixels, **options):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


def test_lossless_formats_give_back_the_pixels(tmp_path):
    for suffix, options in (
        (".png", {}),
        (".bmp", {}),
        (".tiff", {}),
        (".webp", {"lossless": True}),
    ):
        read = read_image(saved(tmp_path / f"a{suffix}", RGB, **options))
        assert read.dtype == np.uint8 and np.array_equal(read, RGB), suffix


def test_jpeg_comes_close_and_the_suffix_does_not_matter(tmp_path):
    smooth = np.broadcast_to(np.linspace(0, 255, 30).astype(np.uint8)[None, :, None], (20, 30, 3))
    path = saved(tmp_path / "a.bin", smooth.copy(), format="JPEG", quality=95)
    assert np.abs(read_image(path).astype(int) - smooth).max() < 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_modes_read_as_pillow_converts_them(tmp_path, mode):
    picture = (
        Image.fromarray(RGB).convert("L").convert("LA")
        if mode == "LA"
        else (Image.fromarray(RGB).convert(mode))
    )
    read = read_image(saved(tmp_path / "a.png", picture))
    assert np.array_equal(read, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_cmyk_reads_as_pillow_converts_it(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(RGB).convert("CMYK"))
    with Image.open(path) as picture:
        assert picture.mode == "CMYK"
        expected = np.asarray(picture.convert("RGB"))
    assert np.array_equal(read_image(path), expected)


def test_alpha_is_dropped_not_composited(tmp_path):
    clear = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    assert np.array_equal(read_image(saved(tmp_path / "a.png", clear)), RGB)


@pytest.mark.parametrize("transparency", [3, bytes([0, 128, 255, 7])])
def test_a_transparent_palette_keeps_its_colours_without_a_warning(tmp_path, transparency):
    picture = Image.fromarray(RGB).quantize(8)
    path = saved(tmp_path / "a.png", picture, transparency=transparency)
    assert np.array_equal(read_image(path), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix):
    read = read_image(saved(tmp_path / f"a{suffix}", GREY16))
    assert np.array_equal(read, np.repeat(np.rint(GREY16 / 257).astype(np.uint8)[..., None], 3, 2))


def test_16_bits_big_endian_are_scaled_alike(tmp_path):
    picture = Image.frombytes("I;16B", GREY16.shape[::-1], GREY16.astype(">u2").tobytes())
    read = read_image(saved(tmp_path / "a.tiff", picture))
    assert np.array_equal(read[..., 0], np.rint(GREY16 / 257))


def test_32_bits_that_fit_16_are_scaled_and_others_refused(tmp_path):
    fits = read_image(saved(tmp_path / "a.tiff", GREY16.astype(np.int32)))
    assert np.array_equal(fits[..., 0], np.rint(GREY16 / 257))
    path = saved(tmp_path / "b.tiff", np.full((4, 4), 70000, np.int32))
    with pytest.raises(ImageError, match=r"b\.tiff: expected values from 0 to 65535, found 70000"):
        read_image(path)


def test_floating_point_is_refused_with_a_remedy(tmp_path):
    path = saved(tmp_path / "a.tiff", np.zeros((4, 4), np.float32))
    with pytest.raises(ImageError, match=r"a\.tiff.*floating-point.*save it as 8 or 16 bits"):
        read_image(path)


UPRIGHT = [None, lambda a: a, np.fliplr, lambda a: a[::-1, ::-1], np.flipud,
           lambda a: a.transpose(1, 0, 2), lambda a: np.rot90(a, -1),
           lambda a: a[::-1, ::-1].transpose(1, 0, 2), np.rot90]  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    path = saved(tmp_path / f"a{suffix}", RGB, exif=exif, **options)
    upright = UPRIGHT[orientation](RGB)
    assert np.array_equal(read_image(path), upright)
    assert image_size(path) == upright.shape[:2]


def test_the_first_frame_of_several_is_read(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    for suffix, options in ((".png", {}), (".tiff", {}), (".webp", {"lossless": True})):
        path = tmp_path / f"a{suffix}"
        first.save(path, save_all=True, append_images=[second], **options)
        assert np.array_equal(read_image(path), RGB), suffix


def test_bad_files_are_one_line_naming_the_file(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    whole = saved(tmp_path / "whole.png", RGB).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(RGB).save(tmp_path / "rare.ppm")
    found = {"empty.png": "an empty file", "text.png": "cannot identify", "cut.png": "truncated",
             "rare.ppm": "cannot identify", "absent.png": "no such file"}  # fmt: skip
    for name, what in found.items():
        with pytest.raises(ImageError, match=what) as caught:
            read_image(tmp_path / name)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name}: expected ") and "\n" not in message
    with pytest.raises(ImageError, match="found a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", RGB)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(80):
        damaged = whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole.copy()
        if len(damaged) == len(whole):
            damaged[rng.integers(min(len(whole), 200), size=3)] = rng.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            assert read_image(path).dtype == np.uint8
        except ImageError as error:
            assert str(path) in str(error)


def test_a_decompression_bomb_is_an_image_error(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match=r"a\.png.*decompression bomb.*MAX_IMAGE_PIXELS"):
        read_image(path)


def triangle(image, h, w):
    """Antialiased bilinear by definition: a triangle as wide as the shrinkage, normalised."""

    def matrix(n_in, n_out):
        scale = n_in / n_out
        support = max(scale, 1)
        centres = (np.arange(n_out) + 0.5) * scale
        offsets = np.arange(n_in)[None] + 0.5 - centres[:, None]
        weights = np.maximum(1 - np.abs(offsets) / support, 0)
        return weights / weights.sum(axis=1, keepdims=True)

    return np.einsum("yh,xw,hwc->yxc", matrix(image.shape[0], h), matrix(image.shape[1], w), image)


@pytest.mark.parametrize(
    "resize, shape",
    [(10, (10, 15)), (40, (40, 60)), (13, (13, 19)), ((9, 25), (9, 25)), (None, (20, 30))],
)
def test_resize_is_antialiased_bilinear_of_the_shorter_side_or_exact(resize, shape):
    seen = view(RGB, Preprocessing(resize=resize, crop=None))
    assert seen.shape == (*shape, 3)
    # Pillow works in 8 bits between its two passes, hence up to one level.
    assert np.abs(seen - triangle(RGB.astype(float), *shape)).max() <= 1.01
    tall = view(RGB.transpose(1, 0, 2), Preprocessing(resize=resize, crop=None))
    assert isinstance(resize, tuple) or tall.shape == (shape[1], shape[0], 3)


@pytest.mark.parametrize("size, crop, first", [(20, 10, 5), (21, 10, 6), (23, 10, 6), (20, 15, 2)])
def test_the_crop_is_central_and_rounds_half_to_even_as_torchvision(size, crop, first):
    ramp = np.broadcast_to(np.arange(size, dtype=np.uint8), (size, size))
    seen = view(ramp, Preprocessing(resize=None, crop=crop))
    assert seen.shape == (crop, crop, 3) and seen[0, 0, 0] == first


def test_an_image_smaller_than_the_crop_is_an_error_naming_it(tmp_path):
    path = saved(tmp_path / "small.png", RGB)
    with pytest.raises(ImageError, match=r"small\.png: .*crop's 24 × 24 pixels, found 20 × 30"):
        view(path, Preprocessing(resize=None, crop=24))


def test_prepare_is_the_view_scaled_and_normalised():
    preprocessing = Preprocessing(resize=16, crop=(12, 14), mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    x = prepare(RGB, preprocessing)
    expected = (view(RGB, preprocessing) / 255 - (0.1, 0.2, 0.3)) / (1, 2, 3)
    assert x.dtype == np.float32 and x.shape == (3, 12, 14) and x.flags.c_contiguous
    np.testing.assert_allclose(x, expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-6)


def test_preprocessing_from_json_equals_the_one_written_by_hand():
    loaded = Preprocessing([8, 9], 5, [0.5, 0.5, 0.5], [1, 1, 1])
    assert loaded == Preprocessing((8, 9), 5, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
    assert hash(loaded)
    for wrong in ({"resize": 0}, {"crop": (1, 2, 3)}, {"std": (1, 0, 1)}, {"mean": (1, 2)}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be "):
            Preprocessing(**wrong)


def test_every_kind_of_source_becomes_a_list(tmp_path):
    for name in ("b.png", "a.JPG", "._a.png"):
        saved(tmp_path / name, RGB)
    (tmp_path / "notes.txt").touch()
    listed = [tmp_path / "a.JPG", tmp_path / "b.png"]
    assert as_images(tmp_path) == listed
    assert as_images(str(tmp_path / "b.png")) == [tmp_path / "b.png"]
    assert as_images([str(p) for p in listed]) == listed
    assert as_images([]) == []
    assert [i.shape for i in as_images(np.zeros((5, 8, 9, 3), np.uint8))] == [(8, 9, 3)] * 5
    grey = as_images(RGB[..., 0])[0]
    assert np.array_equal(grey, np.repeat(RGB[..., :1], 3, 2))
    assert as_images(RGB)[0] is RGB


@pytest.mark.parametrize(
    "source, message",
    [
        (RGB / 255, "expected dtype uint8 .* found float64"),
        (np.zeros((2, 8, 9), np.uint8), r"expected shape .* found \(2, 8, 9\)"),
        (np.zeros((8, 9, 4), np.uint8), "without alpha"),
        (np.zeros((2, 3, 8, 9), np.uint8), "image 0: .*channels come last"),
        (np.zeros((0, 9), np.uint8), "expected shape"),
        ([RGB, None], "image 1: expected a path or a uint8 array, found NoneType"),
        (3, "expected paths or uint8 arrays, found int"),
    ],
)
def test_wrong_arrays_say_what_is_wrong(source, message):
    with pytest.raises(ImageError, match=message):
        as_images(source)


def decoders():
    return [t for t in threading.enumerate() if t.name.startswith("minicore-decode")]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_keep_the_order_whoever_finishes_first(monkeypatch, workers):
    def slow(image, preprocessing, angles):
        time.sleep(0.002 * (7 - image[0, 0, 0] % 7))
        return [np.full((3, 2, 2), image[0, 0, 0], np.float32)]

    monkeypatch.setattr("minicore.images.batching.prepare_turned", slow)
    source = np.broadcast_to(np.arange(23, dtype=np.uint8)[:, None, None, None], (23, 2, 2, 3))
    found = list(batches(source, WHOLE, 5, workers=workers))
    assert [len(b) for b in found] == [5, 5, 5, 5, 3]
    assert np.concatenate(found)[:, 0, 0, 0].tolist() == list(range(23))
    assert not decoders()


def test_batches_work_ahead_by_one_batch_and_no_further(monkeypatch):
    done = []

    def count(image, preprocessing, angles):
        done.append(1)
        return [np.zeros((3, 2, 2), np.float32)]

    monkeypatch.setattr("minicore.images.batching.prepare_turned", count)
    running = batches(np.zeros((40, 2, 2, 3), np.uint8), WHOLE, 4)
    next(running)
    deadline = time.monotonic() + 5
    while len(done) < 8 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(done) == 8
    running.close()
    assert len(done) == 8 and not decoders()


def test_a_bad_file_surfaces_in_its_turn_and_leaves_no_threads(tmp_path):
    files = [saved(tmp_path / f"{i}.png", RGB) for i in range(6)]
    files[4].write_bytes(b"broken")
    running = batches(files, WHOLE, 2)
    assert len(next(running)) == len(next(running)) == 2
    with pytest.raises(ImageError, match=r"4\.png"):
        next(running)
    assert not decoders()


def test_images_of_different_sizes_need_a_crop(tmp_path):
    files = [saved(tmp_path / "a.png", RGB), saved(tmp_path / "b.png", RGB[:, :25])]
    with pytest.raises(
        ImageError, match=r"b\.png: expected 20 × 30 .* found 20 × 25; choose a crop"
    ):
        list(batches(files, WHOLE, 1))
    assert next(batches(files, Preprocessing(None, 16), 2)).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="batch_size"):
        batches(files, WHOLE, 0)


def test_masks_follow_the_image_by_nearest_neighbour():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:44] = True
    halved = read_mask(mask, Preprocessing(20, None))
    assert halved.dtype == bool and np.array_equal(halved, mask[1::2, 1::2])
    assert np.array_equal(read_mask(mask, Preprocessing(20, 10)), halved[5:15, 10:20])


def test_masks_count_whatever_is_not_zero(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 4:20] = 1
    mask[11:15, 4:20] = 255
    palette = Image.fromarray(mask).convert("P")
    for name, pixels in {
        "a.png": mask, "b.bmp": mask, "c.png": mask.astype(np.uint16), "d.png": palette,
        "e.png": np.dstack([mask] * 3), "f.png": np.dstack([mask] * 3 + [mask * 0 + 255]),
        "g.png": Image.fromarray(mask > 0),
    }.items():  # fmt: skip
        read = read_mask(saved(tmp_path / name, pixels), WHOLE)
        assert np.array_equal(read, mask > 0), name


def test_a_jpeg_mask_is_cut_at_half(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    assert np.array_equal(read_mask(saved(tmp_path / "m.jpg", mask, quality=60), WHOLE), mask > 0)


def test_a_folder_of_masks_means_their_union(tmp_path):
    parts = [np.eye(8, dtype=np.uint8) * 255, np.eye(8, dtype=np.uint8)[::-1] * 255]
    for i, part in enumerate(parts):
        saved(tmp_path / f"00{i}.png", part)
    assert np.array_equal(read_mask(tmp_path, WHOLE), (parts[0] | parts[1]) > 0)


def test_a_mask_of_another_size_than_its_image_is_an_error(tmp_path):
    path = saved(tmp_path / "m.png", np.zeros((20, 31), np.uint8))
    with pytest.raises(ImageError, match=r"m\.png: expected 20 × 30 .* found 20 × 31"):
        read_mask(path, WHOLE, size=(20, 30))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_mask_of_no_finite_numbers_is_refused_not_taken_for_a_defect(value):
    mask = np.zeros((8, 8), np.float32)
    mask[2, 3] = value
    with pytest.raises(ImageError, match=r"^mask: expected 0 .*, found NaN or infinity; replace"):
        read_mask(mask, WHOLE)
    for kind in (complex, object, "S1"):
        with pytest.raises(ImageError, match=r"^mask: expected bool or numbers, found dtype"):
            read_mask(mask.astype(bool).astype(kind), WHOLE)
    with pytest.raises(ImageError, match=r"^mask: expected a mask \(h, w\), found shape \(8, 8, 1"):
        read_mask(np.zeros((8, 8, 1)), WHOLE)


def test_real_images_are_prepared_as_the_reference_defines_it(shared):
    path = shared / "data/mvtec256/screw/test/good/000.png"
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))[16:240, 16:240]
    expected = (pixels / np.float32(255) - np.float32(images.IMAGENET_MEAN)) / np.float32(
        images.IMAGENET_STD
    )
    assert np.array_equal(prepare(path, Preprocessing()), expected.transpose(2, 0, 1))


# ------------------------------------------------------------------- masks of every format

SHAPE = np.zeros((32, 32), bool)
SHAPE[5:21, 7:26] = True  # across the 8 × 8 blocks of JPEG


@pytest.mark.parametrize("background", [0, 1])
def test_a_palette_mask_is_read_by_its_colours_whatever_their_numbers(tmp_path, background):
    palette = Image.fromarray(np.where(SHAPE, 1 - background, background).astype(np.uint8))
    palette = palette.convert("P")
    colours = [[0, 0, 0], [255, 255, 255]] if background == 0 else [[255, 255, 255], [0, 0, 0]]
    palette.putpalette([*colours[0], *colours[1]])
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", palette), WHOLE), SHAPE)


def test_a_quantized_mask_is_the_mask(tmp_path):
    two = Image.fromarray(SHAPE.astype(np.uint8) * 255).quantize(2)
    for suffix in (".png", ".bmp", ".tiff"):
        assert np.array_equal(read_mask(saved(tmp_path / f"m{suffix}", two), WHOLE), SHAPE), suffix


@pytest.mark.parametrize(
    "name, options",
    [("m.jpg", {"quality": 60}), ("m.tiff", {"compression": "jpeg", "quality": 60}),
     ("m.webp", {"quality": 50}), ("a.webp", {"quality": 50, "exif": Image.Exif().tobytes()})],
)  # fmt: skip
def test_a_lossy_mask_is_cut_at_half_in_every_format(tmp_path, name, options):
    grey = np.where(SHAPE, 255, 0).astype(np.uint8)
    path = saved(tmp_path / name, np.dstack([grey] * 3), **options)
    blurred = read_image(path).max(axis=-1)
    assert ((blurred > 0) != SHAPE).any(), "the compression must blur, or nothing is tested"
    assert np.array_equal(read_mask(path, WHOLE), SHAPE)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_lossless_webp_mask_of_ones_counts(tmp_path, frames):
    ones = Image.fromarray(np.dstack([SHAPE.astype(np.uint8)] * 3))
    more = {"save_all": True, "append_images": [Image.new("RGB", ones.size)]} if frames > 1 else {}
    path = saved(tmp_path / "m.webp", ones, lossless=True, **more)
    assert np.array_equal(read_mask(path, WHOLE), SHAPE)


def test_a_floating_point_mask_counts_what_is_not_zero_and_refuses_nan(tmp_path):
    half = np.where(SHAPE, 0.5, 0).astype(np.float32)
    assert np.array_equal(read_mask(saved(tmp_path / "m.tiff", half), WHOLE), SHAPE)
    half[0, 0] = np.nan
    with pytest.raises(ImageError, match=r"m\.tiff: expected 0 .*found NaN or infinity; replace"):
        read_mask(saved(tmp_path / "m.tiff", half), WHOLE)


def test_negative_numbers_in_a_mask_are_not_zero(tmp_path):
    path = saved(tmp_path / "m.tiff", np.where(SHAPE, -1, 0).astype(np.int32))
    assert np.array_equal(read_mask(path, WHOLE), SHAPE)


@pytest.mark.parametrize(
    "background, defect",
    [(a, b)
     for a in [(0, 0, 0, 0), (255, 255, 255, 0), (0, 0, 0, 255)]
     for b in [(0, 0, 0, 255), (255, 255, 255, 255), (255, 0, 0, 200)] if a != b],
)  # fmt: skip
def test_a_mask_with_alpha_is_right_or_refused(tmp_path, background, defect):
    pixels = np.where(SHAPE[..., None], defect, background).astype(np.uint8)
    path = saved(tmp_path / "m.png", pixels)
    if (background, defect) == ((255, 255, 255, 0), (0, 0, 0, 255)):
        with pytest.raises(ImageError, match=r"m\.png: .*one shape in its colours and another"):
            read_mask(path, WHOLE)
    else:
        assert np.array_equal(read_mask(path, WHOLE), SHAPE)


def test_masks_whose_transparency_is_a_grey_value_or_in_a_palette(tmp_path):
    grey = Image.fromarray(SHAPE.astype(np.uint8) * 255)
    for name, picture in {"l.png": grey, "p.png": grey.convert("P")}.items():
        path = saved(tmp_path / name, picture, transparency=0)
        assert np.array_equal(read_mask(path, WHOLE), SHAPE), name
    both = np.dstack([SHAPE * np.uint8(0), SHAPE * np.uint8(255)])  # LA: the shape is in alpha
    path = saved(tmp_path / "la.png", Image.fromarray(both))
    assert np.array_equal(read_mask(path, WHOLE), SHAPE)


# ------------------------------------------------------------------------- 12 bits in 16


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_twelve_bits_in_a_16_bit_file_are_warned_of(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", (GREY16 // 16).astype(np.uint16))
    with pytest.warns(
        MinicoreWarning, match=rf"a\{suffix}: 16-bit grey without a value above 4095"
    ):
        read = read_image(path)
    assert read.max() <= 16


def test_a_folder_of_dark_images_gives_one_warning(tmp_path):
    dark = (GREY16 // 16).astype(np.uint16)
    files = [saved(tmp_path / f"{i}.png", dark) for i in range(20)]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        assert sum(len(batch) for batch in batches(files, WHOLE, 4)) == 20
    assert len(found) == 1 and str(tmp_path) in str(found[0].message)


def test_other_16_bit_images_give_none(tmp_path):
    for name, pixels in {"black.png": GREY16 * 0, "bright.png": GREY16 | 4096}.items():
        read_image(saved(tmp_path / name, pixels))


def test_a_tiff_of_twelve_bits_is_scaled_from_4095(tmp_path):
    values = np.array([[0, 1, 2048, 4095]], np.uint16)
    packed = b"".join(
        ((int(a) << 12) | int(b)).to_bytes(3, "big") for a, b in values.reshape(-1, 2)
    )
    header = b"II*\0" + struct.pack("<I", 8 + len(packed) + len(packed) % 2)
    tags = [(256, 4, 4), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, 1), (279, 4, len(packed))]  # fmt: skip
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    path = tmp_path / "a.tiff"
    path.write_bytes(header + packed + b"\0" * (len(packed) % 2) + directory + b"\0" * 4)
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 128, 255]


# ------------------------------------------------------------------------------ folders


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".dib", ".JPG", ".tif"])
def test_other_suffixes_of_known_formats_are_listed_and_read(tmp_path, suffix):
    kind = {".dib": "DIB", ".tif": "TIFF"}.get(suffix, "JPEG")
    path = saved(tmp_path / f"a{suffix}", RGB, format=kind)
    assert as_images(tmp_path) == [path]
    assert read_image(path).shape == RGB.shape


def test_images_that_a_listing_leaves_out_are_named(tmp_path):
    listed = saved(tmp_path / "a.png", RGB)
    for name, kind in {"b": "PNG", "c.gif": "GIF", "d.jp2": "JPEG", "e.x": "WEBP"}.items():
        saved(tmp_path / name, RGB, format=kind)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    for folder in ("old", "old/deep", ".hidden"):
        (tmp_path / folder).mkdir()
        saved(tmp_path / folder / "x.png", RGB)
    with pytest.warns(MinicoreWarning) as found:
        assert as_images(tmp_path) == [listed]
    (message,) = [str(one.message) for one in found]
    assert message.startswith(f"{tmp_path}: 5 images of another format or suffix ignored: b, ")
    assert "c.gif" in message and "2 images in subfolders ignored: old;" in message
    assert len(left_out(tmp_path)) == 7


@pytest.mark.usefixtures("pipes")
def test_a_pipe_with_the_name_of_an_image_is_left_out_not_waited_for(tmp_path):
    listed = saved(tmp_path / "a.png", RGB)
    os.mkfifo(tmp_path / "b.png")
    with pytest.warns(MinicoreWarning, match="1 image of another format .* ignored: b.png;"):
        assert as_images(tmp_path) == [listed]


@pytest.mark.usefixtures("pipes")
def test_what_comes_through_a_pipe_is_never_known_already(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert fingerprint([tmp_path / "a.png"]) != fingerprint([tmp_path / "a.png"])


@pytest.mark.usefixtures("links")
def test_images_behind_a_link_to_a_folder_are_left_out_too(tmp_path):
    gate, elsewhere = tmp_path / "gate", tmp_path / "elsewhere"
    for folder in (gate, elsewhere / "deep"):
        folder.mkdir(parents=True)
        saved(folder / "a.png", RGB)
    saved(elsewhere / "b.png", RGB)
    (gate / "again").symlink_to(gate)
    (gate / "more").symlink_to(elsewhere)
    with pytest.warns(MinicoreWarning, match="1 image in subfolders ignored: more;"):
        as_images(gate)
    assert left_out(gate) == [gate / "more" / "b.png"]


@pytest.mark.parametrize("kind", [object, str, bytes])
def test_an_array_of_paths_is_refused_with_the_remedy(kind):
    with pytest.raises(ImageError, match="; pass paths as a list"):
        as_images(np.array(["a.png", "b.png"]).astype(kind))


def test_files_that_are_no_images_are_not_worth_a_word(tmp_path):
    saved(tmp_path / "a.png", RGB)
    texts = {"notes.txt": "BMW", "labels.csv": "image,label", "P5.md": "P5 of ten", "empty": ""}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "Thumbs.db").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(100))
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(100))
    (tmp_path / "table.xlsx").write_bytes(b"PK\3\4" + bytes(100))
    saved(tmp_path / ".hidden.gif", RGB)
    (tmp_path / "empty folder").mkdir()
    assert len(as_images(tmp_path)) == 1  # a warning would fail the test
    assert left_out(tmp_path) == []


def test_a_folder_with_images_in_subfolders_only_is_an_error_that_says_so(tmp_path):
    (tmp_path / "good").mkdir()
    saved(tmp_path / "good" / "a.png", RGB)
    with pytest.raises(ImageError, match="found none; its subfolders are good"):
        as_images(tmp_path)
    saved(tmp_path / "b.gif", RGB)
    with pytest.raises(ImageError, match=r"found none; 1 image of another format .*: b\.gif; save"):
        as_images(tmp_path)


# ----------------------------------------------------------------------------- identity


def test_a_file_of_equal_size_and_time_is_another_image_by_its_content(tmp_path):
    path = saved(tmp_path / "a.bmp", RGB)
    before, time_before = fingerprint([path]), path.stat().st_mtime_ns
    assert fingerprint([path]) == before
    saved(path, 255 - RGB)
    os.utime(path, ns=(time_before, time_before))
    assert fingerprint([path]) != before
    assert fingerprint([path, path]) != fingerprint([path])
    assert fingerprint([tmp_path / "absent"]) and fingerprint([tmp_path])


def test_equal_pixels_have_equal_digests(tmp_path):
    other = RGB.copy()
    other[0, 0, 0] ^= 1
    files = [saved(tmp_path / "a.png", RGB), saved(tmp_path / "b.tiff", RGB)]
    digests = []
    list(batches([RGB, *files, other], WHOLE, 3, digests=digests))
    assert [len(digest) for digest in digests] == [16] * 4
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert digests[0].hex() == "08227e485be6dc447f41915285d1ee7b"  # on any machine
