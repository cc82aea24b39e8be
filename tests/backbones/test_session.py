"""Backbone runs any ONNX file of feature maps and raises a clear error for other files."""

import hashlib
import json
import pickle

import numpy as np
import pytest
from onnx import TensorProto, helper, save
from onnx.numpy_helper import from_array

from minicore.backbones.session import Backbone
from minicore.errors import BackboneError
from minicore.images import Preprocessing

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
INPUT = ("image", FLOAT, ("n", 3, "h", "w"))


def write(path, nodes, outputs, *, inputs=(INPUT,), weights=None, metadata=None):
    """Write an ONNX file; inputs and outputs are (name, type, shape)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        helper.set_model_props(model, {"minicore": text})
    save(model, path)
    return path


def network(path, names=("layer1", "layer2", "layer3"), size=("n", "h", "w"), **more):
    """Write a small network: one convolution, of stride 2, and a ReLU a layer."""
    rng = np.random.default_rng(0)
    nodes, outputs, weights = [], [], {}
    previous, c, n = "image", 3, size[0]
    for i, name in enumerate(names):
        wider = 8 << i
        weights[f"w{i}"] = rng.standard_normal((wider, c, 3, 3)).astype(np.float32)
        arguments = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("Conv", [previous, f"w{i}"], [f"c{i}"], **arguments))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [name]))
        outputs.append((name, FLOAT, (n, wider, f"h{i}", f"w{i}")))
        previous, c = name, wider
    shape = (n, 3, *size[1:])
    return write(path, nodes, outputs, inputs=[("image", FLOAT, shape)], weights=weights, **more)


def one_node(path, operator, *output, inputs=(INPUT,), **arguments):
    """Write a network of one operator on the image."""
    node = helper.make_node(operator, [inputs[0][0]], [output[0]], **arguments)
    return write(path, [node], [output], inputs=inputs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def images(n, h=40, w=48):
    return np.random.default_rng(n).standard_normal((n, 3, h, w)).astype(np.float32)


def refused(path, *words, **arguments):
    with pytest.raises(BackboneError) as caught:
        Backbone(path, **arguments)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert message.isprintable() and len(message) < len(str(path)) + 300
    for word in words:
        assert word in message
    return message


# What a file says of itself


def test_metadata_names_the_network_and_its_preprocessing(path):
    says = {
        "name": "tiny",
        "preprocessing": {"resize": 48, "crop": [40, 48], "mean": [0, 0, 0], "std": [1, 1, 2]},
        "source": "here",
        "licence": "MIT",
    }
    backbone = Backbone(network(path, metadata=says))
    assert backbone.name == "tiny" and backbone.metadata == says
    assert backbone.preprocessing == Preprocessing(48, (40, 48), (0, 0, 0), (1, 1, 2))
    assert backbone.widths == {"layer2": 16, "layer3": 32}
    assert backbone.strides == {"layer2": 4, "layer3": 8}
    assert backbone.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    said = backbone.describe()
    assert said["name"] == "tiny" and said["source"] == "here" and said["licence"] == "MIT"
    assert said["layers"] == backbone.widths and said["file"] == str(path)
    json.dumps(said)


def test_a_file_without_metadata_is_named_after_itself_and_gets_the_papers_preprocessing(path):
    backbone = Backbone(network(path))
    assert backbone.name == "net" and backbone.metadata == {}
    assert backbone.preprocessing == Preprocessing()
    assert repr(backbone) == "Backbone('net', layers=('layer2', 'layer3'))"


def test_arguments_override_the_metadata(path):
    network(path, metadata={"preprocessing": {"resize": 64, "crop": 56, "std": [1, 1, 1]}})
    backbone = Backbone(path, crop=32, mean=(0.5, 0.5, 0.5))
    assert backbone.preprocessing == Preprocessing(64, 32, (0.5, 0.5, 0.5), (1, 1, 1))


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ("{", "JSON"),
        ("[1]", "object"),
        ({"preprocessing": 3}, "preprocessing"),
        ({"preprocessing": {"std": [1, 0, 1]}}, "std"),
        ({"preprocessing": {"resize": "big"}}, "resize"),
        ({"preprocessing": {"resize": 10**6}}, "up to 16384"),
        ({"preprocessing": {"crop": True}}, "crop"),
        ({"preprocessing": {"mean": [10**400, 0, 0]}}, "preprocessing"),
        ({"preprocessing": {"std": [float("nan")] * 3}}, "std"),
        ("[" * 100_000, "JSON"),
        ('{"a":' + "9" * 5000 + "}", "metadata"),
        ("[" + "1," * 100_000 + "1]", "object"),
        ({"name": "\x1b[31mred"}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "a" * 10_000}, "name"),
    ],
)
def test_unusable_metadata_is_refused(path, metadata, word):
    refused(network(path, metadata=metadata), "metadata", word)


# Layers


def test_layers_are_layer2_and_layer3_else_every_map(path, tmp_path):
    assert Backbone(network(path)).layers == ("layer2", "layer3")
    others = Backbone(network(tmp_path / "other.onnx", names=("a", "b", "layer9")))
    assert others.layers == ("a", "b", "layer9")
    assert list(others(images(1))) == ["a", "b", "layer9"]


def test_layers_asked_for_come_in_the_order_asked(path):
    network(path)
    maps = Backbone(path, layers=["layer3", "layer1"])(images(2))
    assert [(name, phi.shape) for name, phi in maps.items()] == [
        ("layer3", (2, 32, 5, 6)),
        ("layer1", (2, 8, 20, 24)),
    ]
    assert Backbone(path, layers="layer2").layers == ("layer2",)


def test_an_unknown_layer_is_named_beside_those_there_are(path):
    refused(network(path), "layer4", "layer1", "layer3", layers=["layer2", "layer4"])
    refused(path, "layer1", layers=[])


# Files that are no backbones


def test_a_missing_file_is_named(path):
    assert "no such file" in refused(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, share):
    whole = network(path).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path)


def test_something_else_than_onnx_is_refused(path):
    path.write_text("<html>Not found</html>")
    refused(path)


@pytest.mark.parametrize(
    "image",
    [
        ("image", DOUBLE, ("n", 3, "h", "w")),
        ("image", TensorProto.UINT8, ("n", 3, "h", "w")),
        ("image", FLOAT, ("n", 3)),
        ("image", FLOAT, (3, "h", "w")),
        ("image", FLOAT, ("n", "h", "w", 3, 1)),
        ("image", FLOAT, ("n", 1, "h", "w")),
    ],
)
def test_an_input_that_is_no_float_batch_of_rgb_images_is_refused(path, image):
    one_node(path, "Identity", "layer2", *image[1:], inputs=[image])
    refused(path, "(n, 3, h, w)", image[0])


def test_two_inputs_are_refused(path):
    node = helper.make_node("Add", ["image", "second"], ["layer2"])
    inputs = (INPUT, ("second", *INPUT[1:]))
    write(path, [node], [("layer2", *INPUT[1:])], inputs=inputs)
    refused(path, "one float input", "second")


def test_outputs_that_are_no_maps_are_refused(path):
    one_node(path, "Flatten", "logits", FLOAT, ("n", "c"))
    refused(path, "no feature map", "logits")
    refused(path, "logits", layers=["logits"])


def test_maps_of_another_type_are_refused(path, tmp_path):
    one_node(path, "Cast", "layer2", DOUBLE, ("n", 3, "h", "w"), to=DOUBLE)
    with pytest.raises(BackboneError, match="float32"):
        Backbone(path)(images(1))
    swapped = tmp_path / "swapped.onnx"  # the batch is not the first axis
    one_node(swapped, "Transpose", "layer2", FLOAT, ("h", "w", "c", "n"), perm=[2, 3, 1, 0])
    with pytest.raises(BackboneError, match="feature maps"):
        Backbone(swapped)(images(2))


def test_an_output_whose_name_would_write_on_the_terminal_is_refused(path):
    one_node(path, "Relu", "a\x1b[31m\nb", FLOAT, ("n", 3, "h", "w"))
    refused(path, r"'a\x1b[31m\nb'")


def test_maps_of_no_channels_are_refused(path):
    none = {"a": np.array([0]), "one": np.array([1])}
    node = helper.make_node("Slice", ["image", "a", "a", "one"], ["layer2"])
    write(path, [node], [("layer2", FLOAT, ("n", "c", "h", "w"))], weights=none)
    with pytest.raises(BackboneError, match="expected float32 feature maps"):
        Backbone(path)(images(1))


def test_maps_finer_than_the_image_are_refused(path):
    conv = helper.make_node("Conv", ["image", "w"], ["layer2"], pads=[300, 1, 0, 1])
    weights = {"w": np.ones((4, 3, 3, 3), np.float32)}
    write(path, [conv], [("layer2", FLOAT, ("n", 4, "h2", "w2"))], weights=weights)
    network, image = Backbone(path), images(1)
    h, w = image.shape[2:]
    with pytest.raises(BackboneError, match=rf"{h + 298} × {w} for an image of {h} × {w}, finer"):
        network(image)


def test_a_network_that_fails_says_so_once(path, capfd):
    node = helper.make_node("Conv", ["image", "w"], ["layer2"], pads=[1, 1, 1, 1], group=0)
    weights = {"w": np.ones((4, 3, 3, 3), np.float32)}
    write(path, [node], [("layer2", FLOAT, ("n", 4, "h", "w"))], weights=weights)
    with pytest.raises(BackboneError) as caught:
        Backbone(path)(images(1))
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")  # onnxruntime would have written to standard error too


# Running


def naive(path, batch, layers):
    from minicore.backbones.telemetry import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [
        np.concatenate(maps)
        for maps in zip(*(session.run(layers, {"image": x[None]}) for x in batch), strict=True)
    ]


def assert_same_maps_however_run(path, batch, batch_sizes=(1, 2, 3, 8), threads=(1, 2)):
    expected = naive(path, batch, ["layer2", "layer3"])
    for at_once in batch_sizes:
        for cores in threads:
            maps = Backbone(path, batch_size=at_once, threads=cores)(batch)
            for phi, one_by_one in zip(maps.values(), expected, strict=True):
                np.testing.assert_array_equal(phi, one_by_one)


def test_maps_are_the_same_to_the_bit_for_any_batch_size_and_threads(path):
    assert_same_maps_however_run(network(path), images(8, 64, 64))


@pytest.mark.slow
def test_maps_of_a_resnet_are_the_same_to_the_bit(shared):
    path = shared / "weights" / "resnet18_l123.onnx"
    assert_same_maps_however_run(path, images(8, 64, 96))


def test_batch_size_bounds_what_is_run_at_once(path, monkeypatch):
    backbone = Backbone(network(path), batch_size=3)
    run, sizes = backbone._run, []
    monkeypatch.setattr(backbone, "_run", lambda x: sizes.append(len(x)) or run(x))
    assert len(backbone(images(8))["layer2"]) == 8
    assert sizes == [3, 3, 2]


def test_a_file_for_one_batch_size_and_image_size_is_filled_up(path, tmp_path):
    free = Backbone(network(tmp_path / "free.onnx"))
    fixed = Backbone(network(path, size=(4, 40, 48)), batch_size=8)
    assert fixed.batch_size == 4 and fixed.preprocessing.crop == (40, 48)
    for n in (1, 4, 6):
        expected = free(images(n))
        for layer, phi in fixed(images(n)).items():
            np.testing.assert_array_equal(phi, expected[layer])
    assert fixed.widths == {"layer2": 16, "layer3": 32}
    assert fixed.strides == {"layer2": 4, "layer3": 8}
    with pytest.raises(BackboneError, match="network failed"):
        fixed(images(4, 32, 32))


@pytest.mark.parametrize("shape", [(3, 8, 8), (0, 3, 8, 8), (2, 1, 8, 8), (2, 8, 8, 3)])
def test_a_batch_of_another_shape_is_refused(path, shape):
    with pytest.raises(ValueError, match=r"\(n, 3, h, w\)"):
        Backbone(network(path))(np.zeros(shape, np.float32))


@pytest.mark.parametrize("argument", ["batch_size", "threads"])
def test_counts_below_1_are_refused(path, argument):
    with pytest.raises(ValueError, match=argument):
        Backbone(network(path), **{argument: 0})


def test_a_pickle_is_read_in_any_folder_and_finds_a_named_network_of_the_machine(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.chdir(tiny.parent)
    stored = pickle.dumps(Backbone(tiny.name))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(stored).path == tiny
    named = Backbone("default")
    state = named.__getstate__() | {"path": tmp_path / "elsewhere.onnx"}
    other = Backbone.__new__(Backbone)
    other.__setstate__(state)
    assert other.path == named.path and other.files == named.files
