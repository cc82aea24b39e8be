"""The smallest, largest and empty inputs: a correct result, or one error that names the input."""

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from minicore import PatchCore, equations, fast
from minicore.backbones import Backbone
from minicore.datasets import mvtec
from minicore.errors import BackboneError, DatasetError, ImageError, ModelError
from minicore.evaluation.evaluate import evaluate, table
from minicore.images import Preprocessing, as_images, image_size, prepare, read_image

ENGINES = pytest.mark.parametrize("engine", ["fast", "equations"])
RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def refused(kind, path, make):
    with pytest.raises(kind) as error:
        make()
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


# Images


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_of_an_animation_the_first_frame_counts(tiny, tmp_path, suffix):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    path, options = tmp_path / f"a{suffix}", {"lossless": True} if suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=[second], duration=40, **options)
    with Image.open(path) as picture:
        assert picture.is_animated and picture.n_frames == 2
    assert np.array_equal(read_image(path), RGB) and image_size(path) == RGB.shape[:2]
    model = PatchCore(tiny, b=None, progress=False).fit([RGB, RGB[::-1]])
    assert model.anomaly_score([path]) == model.anomaly_score([RGB])


def test_an_animated_gif_is_refused_by_its_name(tmp_path):
    frames = [Image.fromarray(pixels) for pixels in (RGB, 255 - RGB)]
    for name in ("a.gif", "a.png"):  # whatever it is called
        path = tmp_path / name
        frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])
        said = refused(ImageError, path, lambda p=path: read_image(p))
        assert "expected a PNG, JPEG, BMP, TIFF or WebP image" in said


def test_a_small_file_that_claims_to_be_huge_is_refused_unread(tmp_path):
    def chunk(kind, content):
        sum_ = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)

    header = struct.pack(">2I5B", 20_000, 20_000, 8, 2, 0, 0, 0)
    path = tmp_path / "huge.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )
    assert path.stat().st_size < 100
    for read in (read_image, image_size):
        assert "400000000 pixels" in refused(ImageError, path, lambda r=read: r(path))


def test_one_pixel_is_an_image(tiny, tmp_path):
    path = tmp_path / "one.png"
    Image.fromarray(np.full((1, 1, 3), 90, np.uint8)).save(path)
    assert read_image(path).tolist() == [[[90, 90, 90]]] and image_size(path) == (1, 1)
    grey = [np.full((1, 1), 90, np.uint8)]
    model = PatchCore(tiny, b=None, progress=False).fit([path, grey[0] + 9])
    assert model.anomaly_score([path]) == model.anomaly_score(grey)
    assert model.predict([path]) == model.predict(grey)
    said = refused(ImageError, path, lambda: prepare(path, Preprocessing(None, 224)))
    assert "expected at least the crop's 224 × 224 pixels, found 1 × 1" in said


@pytest.mark.parametrize(
    "images, message",
    [
        (np.full((8, 8, 3), np.nan), "image: expected dtype uint8 .* found float64; scale"),
        (np.full((2, 8, 8, 3), np.inf, np.float32), "image 0: expected dtype uint8 .* float32"),
        ([RGB, RGB.astype(np.float32)], "image 1: expected dtype uint8"),
        ([RGB, RGB.astype(np.uint16)], "image 1: expected dtype uint8 .* found uint16"),
        (RGB.astype(np.int64), "image: expected dtype uint8 .* found int64"),
        (RGB > 9, "image: expected dtype uint8 .* found bool"),
        (RGB.astype(object), "image: expected dtype uint8 .* found object"),
        (RGB.astype(complex), "image: expected dtype uint8 .* found complex128"),
        (np.array("a.png"), "image: expected dtype uint8"),
        (np.uint8(3), "images: expected paths or uint8 arrays, found numpy.uint8"),
        (np.zeros((), np.uint8), r"image: expected shape .* found \(\)"),
        (RGB[0, :, 0], r"image: expected shape .* found \(30,\)"),
        (RGB[None, None], r"image: expected shape .* found \(1, 1, 20, 30, 3\)"),
        (RGB.transpose(2, 0, 1), r"image: expected shape .* found \(3, 20, 30\)"),
        (np.zeros((8, 8, 4), np.uint8), r"image: .* found \(8, 8, 4\); channels come last"),
        ([RGB, RGB[:0]], r"image 1: expected shape .* found \(0, 30, 3\)"),
        ([RGB, [1, 2]], "image 1: expected a path or a uint8 array, found list"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_arrays_that_are_no_images_are_refused_by_their_number(tiny, images, message):
    for use in (as_images, PatchCore(tiny).fit):
        with pytest.raises(ImageError, match=f"^{message}") as error:
            use(images)
        assert "\n" not in str(error.value)


# Names and links


@pytest.mark.parametrize("long", ["x" * 300, "/".join(["d" * 100] * 60), "é" * 200], ids=len)
def test_a_path_longer_than_the_disk_allows_names_nothing(tiny, gear, tmp_path, long):
    path = tmp_path / long
    model = PatchCore(tiny, progress=False).fit(gear.train)
    refused(ImageError, path, lambda: model.detect([path]))
    refused(ImageError, path, lambda: PatchCore(tiny).fit(path))
    refused(ModelError, path, lambda: PatchCore.load(path))
    refused(BackboneError, path, lambda: Backbone(f"{path}.onnx"))
    first = tmp_path / long.partition("/")[0]  # that is not there
    refused(DatasetError, first, lambda: mvtec(path, "gear"))
    named = tmp_path if "/" in long else first  # a category is one folder
    refused(DatasetError, named, lambda: mvtec(tmp_path, long))
    skipped = {}
    (found,) = model.stream([gear.test[0], path, gear.test[1]], skipped=skipped)
    assert len(found.scores) == 2 and list(skipped) == [1] and str(path) in str(skipped[1])


@pytest.mark.slow
def test_at_the_command_line_it_is_one_line_wherever_it_stands(run, tiny, mvtec_root, tmp_path):
    long, good = tmp_path / ("x" * 300), mvtec_root / "gear" / "train" / "good"
    model = PatchCore(tiny, progress=False).fit(good).save(tmp_path / "m")
    network = ["--backbone", tiny]
    for call in (
        ["fit", long, "-o", tmp_path / "out", *network],
        ["fit", good, "-o", long, *network],
        ["fit", good, "-o", tmp_path / "out", "--backbone", f"{long}.onnx"],
        ["score", long, good],
        ["score", model, long],
        ["score", model, good, "-o", long],
        ["score", model, good, "--maps", long],
        ["info", long],
        ["evaluate", long, *network],
        ["evaluate", mvtec_root, long.name, *network],
        ["evaluate", mvtec_root, "--json", long, *network],
        ["evaluate", mvtec_root, "--pictures", long, *network],
        ["demo", "gear", "--out", long, *network],
        ["bench", "--json", long],
        ["reproduce", long],
        ["report", long],
        ["backbone", "info", f"{long}.onnx"],
        ["backbone", "convert", long, tmp_path / "out.onnx"],
    ):
        code, out, error = run(*call)
        assert code == 1 and error.startswith("minicore: "), call[:2]
        assert out in ("", "image,score,distance,p_value,anomalous\n")
        assert error.count("\n") == 1 and long.name in error, error
        assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.usefixtures("links")
@pytest.mark.slow
def test_links_that_lead_round_in_a_circle_end(run, tiny, mvtec_root, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    for image in sorted((mvtec_root / "gear/train/good").iterdir())[:3]:
        (good / image.name).symlink_to(image)
    (good / "again").symlink_to(good)  # a folder in itself
    model = tmp_path / "m"
    assert run("fit", good, "-o", model, "--backbone", tiny)[0] == 0
    (good / "a.png").symlink_to(good / "b.png")
    (good / "b.png").symlink_to(good / "a.png")
    fit = ["fit", good, "-o", tmp_path / "other", "--backbone", tiny]
    for command in (fit, ["score", model, good]):
        code, _, error = run(*command)
        assert code == 1 and error.startswith(f"minicore: {good / 'a.png'}: expected a PNG")
        assert error.count("\n") == 1 and not (tmp_path / "other").exists()
    for link in ("a", "b"):
        (tmp_path / link).symlink_to(tmp_path / ("b" if link == "a" else "a"))
    for command in (["info", tmp_path / "a"], ["evaluate", tmp_path / "a"]):
        code, _, error = run(*command)
        assert code == 1 and str(tmp_path / "a") in error and error.count("\n") == 1


# Data


@pytest.mark.usefixtures("links")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["good", "anomalous"])
def test_with_one_class_to_test_on_what_is_not_defined_is_a_dash_and_null(
    run, tiny, mvtec_root, tmp_path, kind
):
    root = tmp_path / "gear"
    root.mkdir()
    (root / "train").symlink_to(mvtec_root / "gear/train")
    (root / "ground_truth").symlink_to(mvtec_root / "gear/ground_truth")
    (root / "test").mkdir()
    for folder in (mvtec_root / "gear/test").iterdir():
        if (folder.name == "good") == (kind == "good"):
            (root / "test" / folder.name).symlink_to(folder)
    options = ["--backbone", tiny, "--json", tmp_path / "n.json", "--pictures", tmp_path / "p"]
    code, out, error = run("evaluate", tmp_path, "gear", *options)
    assert code == 0 and "Warning" not in error and "nan" not in out.lower()
    heads, _, row = ([cell.strip() for cell in line.split("|")] for line in out.splitlines())
    shown = dict(zip(heads, row, strict=True))
    (found,) = json.loads((tmp_path / "n.json").read_text())["categories"]
    undefined = {"image AUROC": "image_auroc", "(eq 6 only)": "image_auroc_distance",
                 "AP": "average_precision", "best F1": "f1"}  # fmt: skip
    pixels = {"pixel AUROC": "pixel_auroc", "PRO": "pro"}
    if kind == "good":  # and no pixel is defective
        undefined |= pixels
    else:
        assert all(0 <= found[name] <= 1 for name in pixels.values())
    for head, name in undefined.items():
        assert shown[head] == "–" and found[name] is None
    absent = "missed" if kind == "good" else "false alarms"
    assert shown[absent] == "0" and found["n_test"] == (4 if kind == "good" else 6)
    assert [p.name for p in (tmp_path / "p/gear").iterdir()] == ["panels.png"]


def test_without_any_image_to_test_on_it_is_said(tiny, gear):
    nothing = replace(gear, test=[], labels=np.empty(0, int), masks=None, defects=[])
    with pytest.raises(ValueError, match=r"^expected at least one image, got none"):
        evaluate(PatchCore(tiny, progress=False), nothing)
    assert table([]).count("\n") == 1


# Parameters at and beyond their ends


@ENGINES
def test_the_share_kept_is_above_0_and_at_most_1(tiny, gear, engine):
    options = {"engine": engine, "b": None, "false_positive_rate": None, "progress": False}
    everything = PatchCore(tiny, coreset_ratio=1, **options).fit(gear.train[:2])
    assert sorted(everything.coreset_indices_) == list(range(2 * 64))
    assert everything.anomaly_score(gear.train[:2]).tolist() == [0, 0]
    assert len(PatchCore(tiny, coreset_ratio=1e-9, **options).fit(gear.train).memory_bank_) == 1
    for ratio in (0, 0.0, -1e-9, 1 + 1e-9, 2, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^coreset_ratio must be above 0 and at most 1, got"):
            PatchCore(tiny, coreset_ratio=ratio, **options).fit(gear.train)


@pytest.mark.parametrize("functions", [equations, fast], ids=lambda module: module.__name__)
def test_a_coreset_has_at_least_one_row_and_at_most_all(functions):
    M = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    assert sorted(functions.greedy_coreset(M, 7)) == list(range(7))
    assert list(functions.greedy_coreset(M, 1, start=4)) == [4]
    for l in (0, -1, 8, 10**9):
        with pytest.raises(ValueError, match=rf"^coreset size l must .* the 7 rows of M, got {l}$"):
            functions.greedy_coreset(M, l)
    for start in (-1, 7):
        with pytest.raises(ValueError, match=rf"^start must be one of the 7 rows .* got {start}$"):
            functions.greedy_coreset(M, 2, start=start)


@ENGINES
def test_b_is_at_most_the_rows_of_the_bank(tiny, gear, engine):
    options = {"engine": engine, "coreset_ratio": 0.05, "progress": False}
    for rate in (None, 0.05):  # without and with a trial coreset, which is smaller
        fit = PatchCore(tiny, b=39, false_positive_rate=rate, **options).fit
        with pytest.raises(ValueError, match=r"^b must be at most the \d+ rows .* got 39; lower b"):
            fit(gear.train)
    model = PatchCore(tiny, b=38, false_positive_rate=None, **options).fit(gear.train)
    assert len(model.memory_bank_) == 38 and np.isfinite(model.anomaly_score(gear.test)).all()


@pytest.mark.parametrize("name, most", [("patchsize", 17), ("stride", 8)])
def test_patchsize_and_stride_go_as_far_as_the_map(tiny, gear, name, most):
    options = {"b": None, "progress": False, "coreset_ratio": 0.5}
    assert PatchCore(tiny, **{name: most}, **options).fit(gear.train).grid_ in ((8, 8), (1, 1))
    message = f"^{name} must be at most {most} for a feature map of 8 × 8, got {most + 1}$"
    with pytest.raises(ValueError, match=message):
        PatchCore(tiny, **{name: most + 1}, **options).fit(gear.train)
