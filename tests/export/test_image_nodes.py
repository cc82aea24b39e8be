"""The nodes that prepare an image compute the pixels of Pillow, to the last bit."""

import numpy as np
import onnxruntime
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from minicore.errors import ImageError, ParameterError
from minicore.export import image_nodes, to_onnx
from minicore.export.image_nodes import MOST_TAPS, pillow_weights, pixels
from minicore.images import Preprocessing, view
from minicore.images.preprocess import output_size
from minicore.runtime.onnx_graph import OPSET, OnnxGraph, import_onnx


def graph_of(size, preprocessing):
    """Return the session of a graph that only prepares images, and the names of its nodes."""
    g = OnnxGraph(import_onnx("a test", "test"))
    found = pixels(g, "image", size, preprocessing)
    graph = helper.make_graph(
        g.nodes,
        "pixels",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *size, 3])],
        [helper.make_tensor_value_info(found, TensorProto.FLOAT, None)],
        g.constants,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", OPSET)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session, [node.name for node in g.nodes]


def images_of(size):
    """Noise, black and white noise, and a slope: all values, and the largest differences."""
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    extreme = rng.integers(0, 2, (*size, 3), dtype=np.uint8) * 255
    slope = np.indices((*size, 3)).sum(axis=0).astype(np.uint8)
    return np.stack([noise, extreme, slope])


def assert_equal_pixels(size, preprocessing):
    """Compare with `view`. Return the names of the nodes."""
    images = images_of(size)
    session, names = graph_of(size, preprocessing)
    (found,) = session.run(None, {"image": images})
    expected = np.stack([view(image, preprocessing) for image in images])
    assert found.dtype == np.float32 and np.array_equal(found, expected.transpose(0, 3, 1, 2))
    return names


SIZES = [
    ((128, 128), {"resize": 72, "crop": 64}),
    ((64, 64), {"resize": 72, "crop": 64}),
    ((300, 300), {"resize": 256, "crop": 224}),
    ((101, 77), {"resize": 53, "crop": 51}),
    ((77, 101), {"resize": (110, 63), "crop": (65, 49)}),
    ((33, 47), {"resize": (99, 13), "crop": None}),
    ((33, 47), {"resize": (13, 99), "crop": None}),
    ((64, 50), {"resize": (64, 30), "crop": None}),
    ((50, 64), {"resize": (30, 64), "crop": (30, 33)}),
    ((64, 50), {"resize": (90, 50), "crop": None}),
    ((64, 50), {"resize": None, "crop": (31, 40)}),
    ((64, 50), {"resize": None, "crop": None}),
    ((5, 2), {"resize": 1, "crop": None}),
    ((13, 40), {"resize": (26, 7), "crop": 1}),
    ((1, 1), {"resize": (7, 5), "crop": None}),
    ((90, 70), {"resize": (1, 1), "crop": None}),
    ((90, 70), {"resize": (61, 83), "crop": 1}),
    ((2000, 16), {"resize": (40, 40), "crop": 32}),
    ((16, 2000), {"resize": (40, 40), "crop": 32}),
    ((1024, 1024), {"resize": 72, "crop": 64}),
]


@pytest.mark.parametrize("size, options", SIZES, ids=str)
def test_pixels_are_those_of_pillow(size, options):
    assert_equal_pixels(size, Preprocessing(**options))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_pixels_of_any_size_are_those_of_pillow(data):
    side = st.integers(1, 150)
    size = data.draw(st.tuples(side, side), "size")
    resize = data.draw(st.none() | st.integers(1, 100) | st.tuples(side, side), "resize")
    if isinstance(resize, int) and max(size) * resize > 300 * min(size):
        resize = (resize, resize)
    after = output_size(size, Preprocessing(resize=resize, crop=None))
    crop = data.draw(
        st.none() | st.tuples(st.integers(1, after[0]), st.integers(1, after[1])), "crop"
    )
    assert_equal_pixels(size, Preprocessing(resize=resize, crop=crop))


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="needs Pillow 13")
def test_the_order_of_the_passes_is_that_of_pillow():
    """Since version 13, Pillow resizes rows first if that needs fewer operations."""
    preprocessing = Preprocessing(resize=(40, 40), crop=32)
    first = [
        next(name for name in assert_equal_pixels(size, preprocessing) if "resized" in name)
        for size in ((2000, 16), (16, 2000))
    ]
    assert first == ["image/rows.resized", "image/columns.resized"]


def test_only_the_pixels_of_the_crop_are_computed():
    preprocessing = Preprocessing(resize=(400, 600), crop=32)
    assert assert_equal_pixels((800, 1200), preprocessing)[0] == "image/crop"


def test_an_axis_that_keeps_its_size_is_not_resized():
    names = assert_equal_pixels((64, 50), Preprocessing(resize=(64, 30), crop=None))
    assert "image/columns.resized" in names and "image/rows.resized" not in names
    names = assert_equal_pixels((64, 50), Preprocessing(resize=None, crop=None))
    assert names == ["image/float32", "image/channels_first"]


@settings(deadline=None, max_examples=60)
@given(before=st.integers(1, 400), after=st.integers(1, 400))
def test_each_row_of_weights_sums_to_one(before, after):
    weights = pillow_weights(before, after)
    assert weights.shape == (after, before) and (weights >= 0).all()
    assert np.allclose(weights.sum(axis=1) / 2**22, 1, atol=before * 2**-22)


def test_an_image_at_the_limit_is_exact_and_a_larger_one_is_refused():
    """All products and sums of float32 are whole numbers below 2²⁴."""
    most = MOST_TAPS // 2
    for size in ((most * 4, 8), (8, most * 4)):
        preprocessing = Preprocessing(resize=(4, 4), crop=None)
        assert_equal_pixels(size, preprocessing)
        white = np.full((1, *size, 3), 255, np.uint8)
        (found,) = graph_of(size, preprocessing)[0].run(None, {"image": white})
        assert (found == 255).all()
    with pytest.raises(
        ParameterError, match=f"image_size must be at most {most} times the size after resizing"
    ):
        graph_of(((most + 1) * 4, 8), Preprocessing(resize=(4, 4), crop=None))


def test_an_image_smaller_than_the_crop_is_refused():
    with pytest.raises(ImageError, match="image_size: expected at least the crop"):
        graph_of((60, 70), Preprocessing(resize=None, crop=64))


@pytest.mark.parametrize("shift", ["a filter", "a rounding"])
def test_another_pillow_is_refused(monkeypatch, model, tmp_path, shift):
    def other(image, preprocessing):
        if shift == "a rounding":
            found = view(image, preprocessing).copy()
            found[3, 5] += 1
            return found
        picture = Image.fromarray(image).resize((72, 72), Image.Resampling.BICUBIC)
        return np.array(picture.convert("RGB").crop((4, 4, 68, 68)))

    monkeypatch.setattr(image_nodes, "view", other)
    with pytest.raises(ImageError, match="this version of Pillow resizes with other weights"):
        to_onnx(model, tmp_path / "x.onnx", progress=False)
    assert not list(tmp_path.iterdir())
