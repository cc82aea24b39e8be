"""Writing an exported file: what is refused, what the file contains, and which files stay."""

import base64
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save, shape_inference
from PIL import Image
from sklearn.exceptions import NotFittedError

from minicore import Ensemble, PatchCore
from minicore.backbones import Backbone
from minicore.backbones.catalog import convert
from minicore.errors import BackboneError, ImageError, ModelError, OutputError
from minicore.evaluation.baselines import SPADE
from minicore.export import check, equation_nodes, onnx_file, to_onnx
from minicore.export.proof import open_runtime, read
from minicore.images import read_image
from minicore.runtime.kinds import EXPORT, kind_of

pytestmark = pytest.mark.slow  # most of them export a model

CHECKPOINT = Path(__file__).parents[1] / "golden" / "tiny_resnet.pth"


@pytest.fixture
def good(mvtec_root, tmp_path):
    """A folder of training images of the test's own."""
    return shutil.copytree(mvtec_root / "gear" / "train" / "good", tmp_path / "good")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "x.onnx"


def assert_nothing_was_written(out):
    assert not list(out.parent.iterdir())


# The bytes


def test_the_same_model_is_exported_to_the_same_bytes(fit, exported, out):
    for n_threads in (1, 2):
        made = to_onnx(fit(n_threads=n_threads), out, progress=False)
        assert out.read_bytes() == exported.read_bytes()
        assert made.file == out and made.image_size == (128, 128) and made.has_threshold


def test_a_loaded_model_is_exported_to_the_same_bytes(model, exported, tiny, tmp_path, out):
    to_onnx(PatchCore.load(model.save(tmp_path / "m"), tiny), out, progress=False)
    assert out.read_bytes() == exported.read_bytes()


def test_the_file_names_its_kind_and_its_configuration(model, exported):
    assert kind_of(exported) == EXPORT
    about = read(exported)[1]
    assert about["made"]["images"] == 12 and about["config"]["backbone_sha256"]
    assert about["image_size"] == [128, 128] and about["input_size"] == [64, 64]
    assert about["map_threshold"] == model.map_threshold_


def test_the_file_contains_no_folder_of_the_user(good, write_tiny, tmp_path, out):
    (tmp_path / "secret").mkdir()
    network = write_tiny(tmp_path / "secret" / "net.onnx")
    model = PatchCore(network, progress=False).fit(good)
    to_onnx(model, out, progress=False)
    assert read(out)[1]["config"]["backbone"] == "tiny"
    for word in (tmp_path.name, "secret", "net.onnx", "good", "000.png"):
        assert word.encode() not in out.read_bytes(), word


# The graph


@pytest.fixture(scope="module", params=["float32", "float16 and explain"])
def graph(request, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "x.onnx"
    options = {} if request.param == "float32" else {"storage": "float16", "explain": True}
    to_onnx(model, path, progress=False, **options)
    return load(path)


PREFIX = re.compile(r"(image|network\d*|eq[1-7]|map|verdict)/")


def test_the_name_of_each_node_begins_with_its_part(graph):
    outputs = {output.name for output in graph.graph.output}
    for node in graph.graph.node:
        assert PREFIX.match(node.name) or node.name in outputs, node.name
    found = {match[0] for node in graph.graph.node if (match := PREFIX.match(node.name))}
    assert {"image/", "network/", "eq2/", "eq3/", "eq6/", "eq7/", "map/", "verdict/"} <= found
    assert all(
        PREFIX.match(tensor.name) or tensor.name in {f"{o}.shape" for o in outputs}
        for tensor in graph.graph.initializer
    )


def test_each_name_is_used_once(graph):
    names = [node.name for node in graph.graph.node]
    values = [value for node in graph.graph.node for value in node.output]
    values += [tensor.name for tensor in graph.graph.initializer]
    assert len(set(names)) == len(names) and len(set(values)) == len(values)


def test_each_constant_and_node_is_used(graph):
    used = {value for node in graph.graph.node for value in node.input}
    used |= {output.name for output in graph.graph.output}
    assert not {tensor.name for tensor in graph.graph.initializer} - used
    assert not {value for node in graph.graph.node for value in node.output} - used


def test_all_operators_are_standard_and_old(graph):
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 17)]
    assert {node.domain for node in graph.graph.node} == {""}
    assert not graph.functions and graph.ir_version == 8
    onnx.checker.check_model(graph, full_check=True)


def test_the_default_network_is_exported_with_opset_17(gear, out):
    model = PatchCore(progress=False, resize=64, crop=64).fit(gear.train)
    to_onnx(model, out, progress=False)
    assert load(out).opset_import[0].version == 17


@pytest.mark.parametrize("embedding", ["concat", "paper"])
@pytest.mark.parametrize("tile", [None, 120])
def test_no_value_is_larger_than_queries_times_bank(fit, out, monkeypatch, embedding, tile):
    """768 rows, 64 queries for each image. All differences would be 20 times as large."""
    if tile is not None:
        monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 64 * tile)
    to_onnx(fit(coreset_ratio=1.0, embedding=embedding, dimension=20), out, progress=False)
    graph, n = load(out), 3
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = n
    graph = shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True).graph
    sizes = {
        value.name: int(np.prod([side.dim_value for side in value.type.tensor_type.shape.dim]))
        for value in graph.value_info
        if not value.name.startswith(("image/", "network/"))
    }
    assert len([size for size in sizes.values() if size]) > 20
    assert max(sizes.values()) <= n * 64 * (tile or 768)
    assert sizes.get("eq6/values") == (n * 64 * 768 if tile is None else None)


# Networks


def test_unused_nodes_and_weights_of_a_network_are_left_out(fit, tiny, exported, out):
    to_onnx(fit(layers=("layer2",)), out, progress=False)
    names = {tensor.name for tensor in load(out).graph.initializer}
    assert {"network/w1", "network/w3"} <= names and "network/w4" not in names
    assert "network/w4" in {tensor.name for tensor in load(exported).graph.initializer}


def changed_network(tiny, path, change):
    """Write a copy of the tiny network, changed by a function."""
    network = load(tiny)
    change(network)
    save(network, path)
    return path


@pytest.mark.parametrize("opset, expected", [(11, 17), (13, 17), (17, 17), (20, 20), (21, 21)])
def test_an_old_network_is_converted_and_a_new_one_is_kept(
    fit, gear, tiny, tmp_path, out, opset, expected
):
    def change(network):
        network.opset_import[0].version = opset
        network.ir_version = 8 if opset < 20 else 9 if opset == 20 else 10

    model = fit(changed_network(tiny, tmp_path / "net.onnx", change))
    to_onnx(model, out, progress=False)
    assert load(out).opset_import[0].version == expected
    found = open_runtime(out)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-5)


def test_joined_networks_of_different_opsets_use_the_later_one(
    fit, gear, tiny, write_tiny, tmp_path, out
):
    def change(network):
        network.opset_import[0].version, network.ir_version = 18, 8

    other = write_tiny(tmp_path / "other.onnx", seed=1)
    model = fit([other, changed_network(tiny, tmp_path / "net.onnx", change)])
    to_onnx(model, out, progress=False)
    assert load(out).opset_import[0].version == 18
    found = open_runtime(out)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-5)


def with_functions(network):
    """Replace each Relu by a function of the file."""
    function = helper.make_function(
        "local",
        "Rectify",
        ["x"],
        ["y"],
        [helper.make_node("Relu", ["x"], ["y"])],
        [helper.make_opsetid("", 13)],
    )
    network.functions.append(function)
    network.opset_import.append(helper.make_opsetid("local", 1))
    for node in network.graph.node:
        if node.op_type == "Relu":
            node.op_type, node.domain = "Rectify", "local"


def test_local_functions_of_a_network_are_replaced_by_their_nodes(fit, gear, tiny, tmp_path, out):
    model = fit(changed_network(tiny, tmp_path / "net.onnx", with_functions))
    to_onnx(model, out, progress=False)
    found = open_runtime(out)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-5)
    assert not load(out).functions and {n.domain for n in load(out).graph.node} == {""}
    assert [(o.domain, o.version) for o in load(out).opset_import] == [("", 17)]


def test_weights_beside_a_network_are_part_of_the_file(fit, gear, tiny, tmp_path, out):
    network, path = load(tiny), tmp_path / "net.onnx"
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    save(network, path, **options)
    model = fit(path)
    to_onnx(model, out, progress=False)
    (tmp_path / "weights.bin").unlink()
    alone = shutil.copy(out, tmp_path / "alone.onnx")
    found = open_runtime(alone)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-5)
    assert all(c.ok for c in check(alone)) and b"weights.bin" not in out.read_bytes()


def test_a_network_that_lists_its_weights_as_inputs_is_exported(fit, gear, tiny, tmp_path, out):
    """Files of ONNX IR version 3 must do so."""

    def change(network):
        network.ir_version = 3
        for w in network.graph.initializer:
            network.graph.input.append(helper.make_tensor_value_info(w.name, w.data_type, w.dims))

    model = fit(changed_network(tiny, tmp_path / "net.onnx", change))
    to_onnx(model, out, progress=False)
    found = open_runtime(out)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-5)
    assert [value.name for value in load(out).graph.input] == ["image"]


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_networks_that_minicore_converts_are_exported(fit, gear, tmp_path, out, storage):
    network = convert(CHECKPOINT, tmp_path / "net.onnx", storage=storage)
    model = fit(network, resize=72, crop=64)
    to_onnx(model, out, progress=False)
    found = open_runtime(out)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-5)
    to_onnx(model, out, storage="float16", progress=False)
    found = open_runtime(out)(gear.test)
    assert np.allclose(found["score"], model.anomaly_score(gear.test), rtol=1e-2)


def with_condition(network):
    """Replace the last Relu by one inside a condition."""
    graph, node = network.graph, network.graph.node.pop()
    branches = [
        helper.make_graph(
            [helper.make_node(kind, node.input, [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Relu", "Identity")
    ]
    graph.initializer.append(numpy_helper.from_array(np.array(True), "condition"))
    names = dict(zip(("then_branch", "else_branch"), branches, strict=True))
    graph.node.append(helper.make_node("If", ["condition"], node.output, **names))


def foreign(network):
    """Replace each Relu by an operator that only onnxruntime has."""
    network.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    for node in network.graph.node:
        if node.op_type == "Relu":
            node.op_type, node.domain = "QuickGelu", "com.microsoft"


def fixed(network):
    for value in (*network.graph.input, *network.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


@pytest.mark.parametrize(
    "change, message",
    [
        (foreign, "uses operators of com.microsoft, which not every runtime of ONNX has"),
        (with_condition, "uses the operator If, which contains a graph"),
        (fixed, "made for batches of 2; to export a model, write the network with a variable"),
    ],
)
def test_a_network_that_cannot_be_part_of_a_graph_is_refused(
    fit, tiny, tmp_path, out, change, message
):
    model = fit(changed_network(tiny, tmp_path / "net.onnx", change))
    with pytest.raises(BackboneError, match=message) as error:
        to_onnx(model, out, progress=False)
    assert str(error.value).startswith(f"{tmp_path / 'net.onnx'}: ")
    assert_nothing_was_written(out)


def test_weights_too_large_for_float16_are_refused(fit, wide, tmp_path, out):
    def change(network):
        (weights,) = network.graph.initializer
        values = numpy_helper.to_array(weights) * np.float32(1e5)
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))

    model = fit(changed_network(wide, tmp_path / "net.onnx", change), resize=64, crop=64)
    with pytest.raises(BackboneError, match="a weight of w is too large for float16"):
        to_onnx(model, out, storage="float16", progress=False)
    assert_nothing_was_written(out)


def test_features_too_large_for_float16_are_refused(fit, write_tiny, tmp_path, out):
    model = fit(write_tiny(tmp_path / "net.onnx", scale=1e7))
    with pytest.raises(ValueError, match="storage must be 'float32': a patch feature is too large"):
        to_onnx(model, out, storage="float16", progress=False)
    assert_nothing_was_written(out)


# Models and arguments


def test_other_detectors_are_refused_by_name(fit, gear, tiny, out):
    ensemble = Ensemble([PatchCore(tiny, progress=False)] * 2, progress=False).fit(gear.train)
    with pytest.raises(ModelError, match="an ensemble of scores cannot be exported: export each"):
        to_onnx(ensemble, out)
    with pytest.raises(ModelError, match="only a fitted PatchCore can be exported, not SPADE"):
        to_onnx(SPADE(tiny, progress=False).fit(gear.train), out)
    with pytest.raises(NotFittedError):
        to_onnx(PatchCore(tiny), out)
    assert_nothing_was_written(out)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"storage": "int8"}, ValueError, "storage must be 'float32' or 'float16', got 'int8'"),
        ({"check_images": "mine"}, ValueError, "check_images must be 'training' or 'drawn' or"),
        ({"image_size": (128, 20000)}, ValueError, "image_size must be at most 16384"),
        ({"image_size": (0, 128)}, ValueError, "image_size"),
        ({"image_size": (-1, 128)}, ValueError, "image_size"),
        ({"image_size": (128.0, 128.0)}, ValueError, "image_size"),
        ({"image_size": 128}, ValueError, "image_size"),
        ({"image_size": (128, 128, 3)}, ValueError, "image_size"),
        ({"image_size": "128"}, ValueError, "image_size"),
        ({"image_size": (128, 128), "prepared": True}, ValueError, "image_size must be .64, 64."),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused_by_name(model, out, options, error, message):
    with pytest.raises(error, match=message):
        to_onnx(model, out, progress=False, **options)
    assert_nothing_was_written(out)


def test_a_size_that_is_another_one_after_preprocessing_is_refused(fit, out):
    model = fit(resize=64, crop="none")
    with pytest.raises(ValueError, match=r"must be a size that is \(64, 64\) after"):
        to_onnx(model, out, image_size=(128, 200), progress=False)
    with pytest.raises(ImageError, match="image_size: expected at least the crop's 64 × 64"):
        to_onnx(fit(resize="none", crop=64), out, image_size=(50, 80), progress=False)
    assert_nothing_was_written(out)


def test_a_size_is_a_pair_of_whole_numbers_of_any_type(model, exported, out):
    for size in ([128, 128], tuple(np.array([128, 128]))):
        made = to_onnx(model, out, image_size=size, progress=False)
        assert made.image_size == (128, 128) and out.read_bytes() == exported.read_bytes()
    to_onnx(model, out, image_size=[64, 64], prepared=True, progress=False)


def test_without_a_common_size_of_the_images_a_size_is_needed(tiny, gear, out):
    images = [*gear.train, gear.train[0][:100]]
    with pytest.warns(UserWarning, match="sizes"):
        model = PatchCore(tiny, progress=False).fit(images)
    with pytest.raises(ModelError, match=r"different sizes; give the size .* --image-size"):
        to_onnx(model, out, progress=False)
    assert_nothing_was_written(out)
    assert to_onnx(model, out, image_size=(90, 80), progress=False).image_size == (90, 80)
    assert to_onnx(model, out, prepared=True, progress=False).image_size == (64, 64)


# Check images


def images_in(path):
    """The check images of a file, decoded as README describes it."""
    about = read(path)[1]
    return [
        np.frombuffer(zlib.decompress(base64.b64decode(entry["pixels"])), np.uint8).reshape(
            *about["image_size"], 3
        )
        for entry in about["check"]
    ]


def test_training_images_are_the_check_images_if_they_are_there(good, tiny, out):
    made = to_onnx(PatchCore(tiny, progress=False).fit(good), out, progress=False)
    assert made.check_images == "training"
    first, last, negative = images_in(out)
    assert np.array_equal(first, read_image(good / "000.png"))
    assert np.array_equal(last, read_image(good / "011.png"))
    assert np.array_equal(negative, 255 - last)


@pytest.mark.parametrize("case", ["gone", "other sizes", "a file", "empty", "damaged", "arrays"])
def test_without_training_images_they_are_drawn(good, gear, tiny, out, case):
    model = PatchCore(tiny, progress=False).fit(gear.train if case == "arrays" else good)
    if case == "other sizes":
        for file in good.iterdir():
            Image.open(file).resize((90, 90)).save(file)
    elif case == "damaged":
        for file in good.iterdir():
            file.write_bytes(b"x")
    else:
        shutil.rmtree(good)
        if case == "a file":
            good.touch()
        elif case == "empty":
            good.mkdir()
    with pytest.raises(ModelError, match=r"no training images of 128 × 128 pixels .* drawn"):
        to_onnx(model, out, check_images="training", progress=False)
    assert_nothing_was_written(out)
    assert to_onnx(model, out, progress=False).check_images == "drawn"
    assert [image.shape for image in images_in(out)] == 3 * [(128, 128, 3)]
    assert all(c.ok for c in check(out))


@pytest.mark.parametrize("case", ["other sizes", "too small", "damaged"])
def test_of_prepared_files_too(good, tiny, out, case):
    model = PatchCore(tiny, resize=64, crop="none", progress=False).fit(good)
    for file in good.iterdir():
        if case == "damaged":
            file.write_bytes(b"x")
        else:
            Image.open(file).resize((90, 140) if case == "other sizes" else (1, 1)).save(file)
    to_onnx(model, out, prepared=True, progress=False)
    assert [image.shape for image in images_in(out)] == 3 * [(64, 64, 3)]


def test_check_images_can_be_drawn_or_left_out(good, tiny, out):
    model = PatchCore(tiny, progress=False).fit(good)
    made = to_onnx(model, out, check_images="drawn", progress=False)
    assert made.check_images == "drawn" and len(made.checks) == 15
    pixels = [image.tobytes() for image in images_in(out)]
    assert not {read_image(file).tobytes() for file in good.iterdir()} & set(pixels)
    made = to_onnx(model, out, check_images="none", progress=False)
    assert made.check_images == "none" and len(made.checks) == 15  # but it was checked
    assert images_in(out) == []


def test_large_check_images_are_coarse(good, tiny, out):
    for file in good.iterdir():
        Image.open(file).resize((1000, 700)).save(file)
    made = to_onnx(PatchCore(tiny, progress=False).fit(good), out, progress=False)
    assert made.image_size == (700, 1000)
    for image in images_in(out):
        assert image.shape == (700, 1000, 3)
        blocks = image[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)
        assert np.array_equal(image, blocks[:700, :1000])
    assert out.stat().st_size < 2e6  # 6 MB of pixels


# Files that stay


@pytest.mark.usefixtures("links")
def test_the_network_is_never_replaced(fit, tiny, tmp_path):
    network = tmp_path / "net.onnx"
    shutil.copy(tiny, network)
    model, before = fit(network), network.read_bytes()
    (tmp_path / "link.onnx").symlink_to(network)
    for path in (network, tmp_path / "link.onnx"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="the file is also read"):
                to_onnx(model, path, overwrite=overwrite, progress=False)
    assert network.read_bytes() == before


def test_a_training_image_is_never_replaced(good, tiny):
    model, file = PatchCore(tiny, progress=False).fit(good), good / "000.png"
    before = file.read_bytes()
    with pytest.raises(OutputError, match="the file is also read"):
        to_onnx(model, file, overwrite=True, progress=False)
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["a model", "a network", "text", "another network"])
def test_another_file_is_replaced_only_with_overwrite(model, tiny, out, monkeypatch, kind):
    if kind == "a model":
        model.save(out)
    elif kind == "a network":
        convert(CHECKPOINT, out)
    elif kind == "text":
        out.write_text("mine")
    else:
        shutil.copy(tiny, out)
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(onnx_file, "network_models", None)  # refused before any work
        with pytest.raises(OutputError, match="--overwrite") as error:
            to_onnx(model, out, progress=False)
    assert f"is {kind};" in str(error.value) or "minicore did not make it" in str(error.value)
    assert out.read_bytes() == before
    to_onnx(model, out, overwrite=True, progress=False)
    assert kind_of(out) == EXPORT
    to_onnx(model, out, progress=False)  # an exported file replaces an exported file


def test_a_network_does_not_replace_an_exported_file(model, out):
    to_onnx(model, out, progress=False)
    with pytest.raises(OutputError, match="is an exported model"):
        convert(CHECKPOINT, out)
    with pytest.raises(OutputError, match="is an exported model"):
        model.save(out)


def test_an_exported_file_is_not_taken_for_a_model_or_a_network(exported):
    with pytest.raises(ModelError):
        PatchCore.load(exported)
    with pytest.raises(BackboneError):
        Backbone(exported)


@pytest.mark.parametrize("where", ["score", "map"])
def test_nothing_is_written_if_onnxruntime_disagrees(model, out, monkeypatch, where):
    def wrong(content, **options):
        run = open_runtime(content, **options)

        def runtime(images):
            outputs = run(images)
            outputs[where] = outputs[where] * np.float32(1.001)
            return outputs

        return runtime

    monkeypatch.setattr(onnx_file, "open_runtime", wrong)
    with pytest.raises(ModelError, match=r"not written, because onnxruntime disagrees") as error:
        to_onnx(model, out, progress=False)
    found, expected = map(float, re.findall(r"(\d\S*) instead of (\d\S*)$", str(error.value))[0])
    assert found / expected == pytest.approx(1.001, rel=1e-4)
    assert_nothing_was_written(out)


def test_a_graph_that_is_wrong_is_not_written(model, out, monkeypatch):
    """The last row of the bank is never found, and each distance is a little too large."""
    distances = equation_nodes.distances

    def wrong(g, P, M, rows):
        d = distances(g, P, M, rows)
        return g.node("Mul", [d, g.constant("eq6/wrong", np.float32(1.0003))], "eq6/too_large")

    monkeypatch.setattr(equation_nodes, "distances", wrong)
    with pytest.raises(ModelError, match="onnxruntime disagrees with minicore: score"):
        to_onnx(model, out, progress=False)
    assert_nothing_was_written(out)


@pytest.mark.parametrize(
    "place", ["_neighbours", "network_models", "_detect", "_serialised", "compare"]
)
def test_an_interrupted_export_writes_nothing(model, out, monkeypatch, place):
    def stop(*_, **__):
        raise KeyboardInterrupt

    out.write_text("earlier")
    monkeypatch.setattr(onnx_file, place, stop)
    with pytest.raises(KeyboardInterrupt):
        to_onnx(model, out, overwrite=True, progress=False)
    assert out.read_text() == "earlier" and len(list(out.parent.iterdir())) == 1


def test_a_file_beyond_2_gb_is_refused_before_it_is_written(model, out, monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST_FILE", 10_000)
    with pytest.raises(ModelError, match="an ONNX file has at most 2 GB; fit with a smaller"):
        to_onnx(model, out, progress=False)
    assert_nothing_was_written(out)
