"""The ONNX graph of a checkpoint computes the same maps as torch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from minicore.backbones.convert import resnet
from minicore.backbones.convert.checkpoint import read_checkpoint
from minicore.backbones.convert.resnet import ARCHITECTURES, Architecture, deduce, resnet_to_onnx
from minicore.backbones.telemetry import onnxruntime as ort
from minicore.errors import BackboneError, MinicoreError, OutputError

GOLDEN = Path(__file__).parents[1] / "golden"
onnx = pytest.importorskip("onnx", reason="needs onnx to write networks")


@pytest.fixture
def tiny():
    return dict(read_checkpoint(GOLDEN / "tiny_resnet.pth"))


def open_network(path, **options):
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = 1
    for key, value in options.items():
        setattr(settings, key, value)
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def run(path, image):
    session = open_network(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": image}), strict=True))


def difference(maps, reference):
    """Give the largest difference, relative to the largest value of each layer."""
    assert maps.keys() == reference.keys()
    return max(np.abs(maps[k] - reference[k]).max() / np.abs(reference[k]).max() for k in maps)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_torch_s_feature_maps(tmp_path, name):
    torch = pytest.importorskip("torch", reason="needs torch to compare with")
    from torch_resnet import TORCHVISION, ResNet, seeded

    kind, depths, groups, width_per_group, parameters = TORCHVISION[name]
    with torch.device("meta"):
        whole = ResNet(kind, depths, groups, width_per_group)
    assert sum(p.numel() for p in whole.parameters()) == parameters
    assert deduce(whole.state_dict()) == ARCHITECTURES[name]

    net = seeded(ResNet(kind, depths[:3], groups, width_per_group), seed=len(name))
    arrays = {key: value.numpy() for key, value in net.state_dict().items()}
    path = resnet_to_onnx(arrays, tmp_path / "net.onnx", name=name)
    for size in ((224, 224), (97, 131)):
        image = torch.randn(1, 3, *size)
        with torch.no_grad():
            reference = {layer: maps.numpy() for layer, maps in net(image).items()}
        found = difference(run(path, image.numpy()), reference)
        print(f"{name} {size}: {found:.1e}, {path.stat().st_size / 1e6:.1f} MB")
        assert found <= 1e-4


@pytest.mark.parametrize("file", ["tiny_resnet.pth", "tiny_resnet_legacy.pth"])
def test_a_checkpoint_of_torch_gives_the_maps_torch_gave(tmp_path, file):
    path = resnet_to_onnx(read_checkpoint(GOLDEN / file), tmp_path / "tiny.onnx")
    golden = dict(np.load(GOLDEN / "tiny_resnet.npz"))
    image = golden.pop("image")
    assert difference(run(path, image), golden) <= 1e-5


def test_the_architecture_is_deduced_from_the_arrays(tiny):
    expected = Architecture("bottleneck", (1, 2, 1), (4, 8, 16), (16, 32, 64), groups=2)
    assert deduce(tiny, 3) == expected
    assert deduce(tiny, 2) == expected.upto(2)


def test_the_graph_ends_at_the_last_layer_asked_for(tmp_path, tiny):
    path = resnet_to_onnx(tiny, tmp_path / "tiny.onnx", layers=["layer2"])
    graph = onnx.load(path).graph
    assert [output.name for output in graph.output] == ["layer2"]
    assert graph.node[-1].output == ["layer2"]
    assert not any("layer3" in tensor.name for tensor in graph.initializer)
    for key in list(tiny):
        if key.startswith("layer3"):
            del tiny[key]
    again = resnet_to_onnx(tiny, tmp_path / "again.onnx", layers=["layer2"])
    assert again.read_bytes() == path.read_bytes()


def test_batch_height_and_width_are_free(tmp_path, tiny):
    path = resnet_to_onnx(tiny, tmp_path / "tiny.onnx", layers=["layer3", "layer1"])
    image = np.random.default_rng(0).standard_normal((3, 3, 70, 33), dtype=np.float32)
    maps = run(path, image)
    assert [(name, m.shape) for name, m in maps.items()] == [
        ("layer3", (3, 64, 5, 3)),
        ("layer1", (3, 16, 18, 9)),
    ]
    assert difference(run(path, image[1:2]), {k: m[1:2] for k, m in maps.items()}) < 1e-5


@pytest.mark.parametrize(
    ("storage", "bytes_a_weight", "error"), [("float16", 2, 2e-3), ("int8", 1, 0.1)]
)
def test_narrow_storage_is_small_and_unpacked_as_the_file_is_opened(
    tmp_path, tiny, storage, bytes_a_weight, error
):
    full = resnet_to_onnx(tiny, tmp_path / "full.onnx")
    path = resnet_to_onnx(tiny, tmp_path / "narrow.onnx", storage=storage)
    convolutions = sum(array.size for key, array in tiny.items() if array.ndim == 4)
    saved = full.stat().st_size - path.stat().st_size
    assert saved > 0.5 * (4 - bytes_a_weight) * convolutions
    image = np.load(GOLDEN / "tiny_resnet.npz")["image"]
    assert 0 < difference(run(path, image), run(full, image)) < error
    open_network(path, optimized_model_filepath=str(tmp_path / "opened.onnx"))
    opened = {node.op_type for node in onnx.load(tmp_path / "opened.onnx").graph.node}
    assert not opened & {"Cast", "Mul", "DequantizeLinear"}


def test_metadata_say_what_the_file_is(tmp_path, tiny):
    path = resnet_to_onnx(
        tiny,
        tmp_path / "tiny.onnx",
        name="student",
        layers=["layer2", "layer3"],
        source="https://example.org/tiny.pth",
        source_sha256="ab" * 32,
        licence="MIT",
    )
    about = json.loads(open_network(path).get_modelmeta().custom_metadata_map["minicore"])
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    assert about == {
        "name": "student",
        "layers": {"layer2": 32, "layer3": 64},
        "preprocessing": {"resize": 256, "crop": 224, "mean": mean, "std": std},
        "source": "https://example.org/tiny.pth",
        "source_sha256": "ab" * 32,
        "licence": "MIT",
    }


def test_the_same_arrays_give_the_same_bytes(tmp_path, tiny):
    first = resnet_to_onnx(tiny, tmp_path / "a.onnx").read_bytes()
    turned = dict(reversed(tiny.items()))
    assert resnet_to_onnx(turned, tmp_path / "b.onnx").read_bytes() == first


def test_onnxruntime_1_17_can_read_the_file(tmp_path, tiny):
    model = onnx.load(resnet_to_onnx(tiny, tmp_path / "tiny.onnx"))
    assert model.ir_version <= 9
    assert [(o.domain, o.version <= 20) for o in model.opset_import] == [("", True)]


def without(name):
    return lambda arrays: arrays.pop(name)


def with_array(name, change):
    return lambda arrays: arrays.update({name: change(arrays.get(name))})


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (without("conv1.weight"), "no weight conv1.weight"),
        (without("layer3.0.conv1.weight"), "no weight layer3.0.conv1.weight"),
        (without("layer2.1.bn2.running_var"), "no weight layer2.1.bn2.running_var"),
        (without("layer2.0.downsample.0.weight"), "no weight layer2.0.downsample.0.weight"),
        (without("layer1.0.downsample.0.weight"), "added to a shortcut"),
        (with_array("conv1.weight", lambda w: w[:, :, :3, :3]), "conv1.weight is"),
        (with_array("conv1.weight", lambda w: w[:, :1]), "conv1.weight is"),
        (with_array("conv1.weight", np.ravel), "conv1.weight is"),
        (with_array("layer1.0.conv2.weight", lambda w: w[:, :0]), "layer1.0.conv2.weight is"),
        (with_array("layer2.1.conv2.weight", lambda w: w[:, :1]), "layer2.1.conv2.weight is"),
        (with_array("layer3.0.conv2.weight", lambda w: w[:, :4]), "different groups"),
        (with_array("bn1.weight", lambda w: w[:-1]), "bn1.weight is"),
        (
            with_array("bn1.bias", lambda w: w * np.nan),
            "bn1.bias contains values that are not finite",
        ),
        (with_array("bn1.running_var", lambda w: -w), "negative variance"),
        (with_array("bn1.weight", lambda w: np.float64(w) * 1e40), "overflows float32"),
        (
            with_array("layer1.0.se.fc1.weight", lambda _: np.ones(4)),
            "se.fc1.weight has no",
        ),
        (with_array("conv1.bias", lambda _: np.ones(4)), "conv1.bias has no place"),
        (dict.clear, "no weight layer1.0.conv1.weight"),
    ],
)
def test_arrays_of_another_network_are_refused_by_name(tmp_path, tiny, spoil, match):
    spoil(tiny)
    with pytest.raises(BackboneError, match=match) as caught:
        resnet_to_onnx(tiny, tmp_path / "tiny.onnx", source="some.pth")
    assert str(caught.value).startswith("some.pth: ")
    assert not list(tmp_path.iterdir())


def test_float16_refuses_weights_beyond_its_range(tmp_path, tiny):
    tiny["bn1.weight"] = tiny["bn1.weight"] * 1e6
    with pytest.raises(BackboneError, match=r"conv1\.weight overflows float16"):
        resnet_to_onnx(tiny, tmp_path / "tiny.onnx", storage="float16")


@pytest.mark.parametrize("name", ["resnet50", "wide_resnet50_2", "wide_resnet50_2_v2"])
def test_a_known_name_is_held_against_the_arrays(tmp_path, tiny, name):
    with pytest.raises(BackboneError, match="the weights are Architecture"):
        resnet_to_onnx(tiny, tmp_path / "tiny.onnx", name=name)


@pytest.mark.parametrize("wrong", [{"layers": ["layer5"]}, {"layers": []}, {"storage": "int4"}])
def test_wrong_arguments_are_value_errors(tmp_path, tiny, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        resnet_to_onnx(tiny, tmp_path / "tiny.onnx", **wrong)


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path, tiny, monkeypatch):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"tiny\.onnx: cannot be written: No space left"):
        resnet_to_onnx(tiny, path, overwrite=True)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_onnx_package_one_line_says_what_to_install(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MinicoreError, match=r'pip install "minicore-patchcore\[convert\]"'):
        resnet_to_onnx(tiny, tmp_path / "tiny.onnx")


def test_a_network_is_named_only_where_the_arrays_tell_it():
    def named(name, stages):
        return resnet._checked_name(None, ARCHITECTURES[name].upto(stages))

    for name in ARCHITECTURES:
        assert named(name, 3) == name
    assert named("resnet101", 2) == named("resnet50", 2) == "resnet"
