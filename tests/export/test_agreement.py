"""An exported file computes the scores and maps of its model."""

import numpy as np
import pytest
from onnx import load, numpy_helper, save
from onnx.reference import ReferenceEvaluator

from minicore import PatchCore, datasets, equations, trace
from minicore.backbones import Backbone
from minicore.errors import MinicoreWarning
from minicore.export import equation_nodes, to_onnx
from minicore.export.proof import open_runtime
from minicore.images import prepare, read_image, view
from minicore.patchcore.threshold import p_values

pytestmark = pytest.mark.slow  # each exports a model

TOLERANCE = 1e-5  # relative; of a map: relative to the image's largest value


def assert_agreement(outputs, model, images):
    """Compare scores, maps and verdicts with those of the model."""
    expected = model.detect(images)
    assert np.allclose(outputs["score"], expected.scores, rtol=TOLERANCE, atol=0)
    assert_maps_agree(outputs["map"], expected.maps)
    if model.threshold_ is not None:
        assert_p_values_agree(outputs["p_value"], expected.scores, model)
        assert np.array_equal(outputs["anomalous"], model.predict(images) == -1)
    assert outputs["score"].dtype == outputs["map"].dtype == np.float32


def assert_p_values_agree(found, scores, model):
    """Compare p-values; those of all scores within the tolerance are accepted."""
    lowest, highest = (
        p_values(scores * (1 + sign * TOLERANCE), model.calibration_scores_) for sign in (1, -1)
    )
    assert (lowest - TOLERANCE <= found).all() and (found <= highest + TOLERANCE).all()


def assert_maps_agree(found, expected):
    assert found.shape == expected.shape
    largest = expected.max(axis=(1, 2))
    assert (np.abs(found - expected).max(axis=(1, 2)) <= TOLERANCE * largest).all()


OPTIONS = {
    "defaults": {},
    "paper": {"embedding": "paper", "dimension": (16, 24)},
    "paper, equal dimensions": {"embedding": "paper", "dimension": 32},
    "paper, wider than the neighbourhoods": {"embedding": "paper", "dimension": (150, 301)},
    "paper, few values": {"embedding": "paper", "dimension": (5, 3)},
    "paper, more values joined than of the levels": {"embedding": "paper", "dimension": (7, 50)},
    "paper, patchsize 5, stride 2": {
        "embedding": "paper", "dimension": (17, 23), "patchsize": 5, "stride": 2,
        "coreset_ratio": 0.5,
    },
    "patchsize 1": {"patchsize": 1},
    "patchsize 2": {"patchsize": 2},
    "patchsize 5": {"patchsize": 5},
    "stride 2": {"stride": 2, "coreset_ratio": 0.3},
    "stride 3": {"stride": 3, "coreset_ratio": 0.5},
    "stride larger than the patch": {"patchsize": 1, "stride": 2, "coreset_ratio": 0.3},
    "finest layer": {"layers": ("layer2",)},
    "coarsest layer": {"layers": ("layer3",), "coreset_ratio": 0.3},
    "b = 2": {"b": 2},
    "the whole bank as neighbours": {
        "b": 38, "coreset_ratio": 0.05, "false_positive_rate": None,
    },
    "without equation 7": {"b": None},
    "one row": {"b": None, "coreset_ratio": 0.0005},
    "a small coreset": {"coreset_ratio": 0.05},
    "the whole bank": {"coreset_ratio": 1.0},
    "turned copies": {"augment": "rotations", "angles": (0, 45, 90)},
    "without smoothing": {"sigma": 0},
    "random selection": {"selection": "random"},
    "k-means": {"selection": "kmeans"},
    "score top": {"score": "top", "resize": "none", "crop": "none"},
    "score top of one patch": {"score": "top"},
    "whitened": {"whiten": True},
    "whitened, paper, stride 2": {
        "whiten": True, "embedding": "paper", "dimension": (16, 24), "stride": 2,
        "coreset_ratio": 0.3,
    },
    "whitened, a bank of float16": {"whiten": True, "bank_storage": "float16"},
    "no threshold": {"false_positive_rate": None},
    "a bank of float16": {"bank_storage": "float16"},
    "no resize": {"resize": "none", "crop": "none"},
    "resize of both axes": {"resize": (65, 72), "crop": (64, 56)},
    "cells that do not fit": {"resize": (70, 66), "crop": (65, 49)},
    "cells that do not fit, stride 2": {
        "resize": (70, 66), "crop": (65, 49), "stride": 2, "coreset_ratio": 0.3,
    },
    "cells that do not fit, paper": {
        "resize": (70, 66), "crop": (65, 49), "embedding": "paper", "dimension": (11, 13),
    },
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_score_and_map_agree_with_the_model(fit, gear, outputs_of, options):
    model = fit(**options)
    assert_agreement(outputs_of(model, gear.test), model, gear.test)


@pytest.fixture(scope="module")
def three_layers(write_tiny, tmp_path_factory):
    """The network with a third output, of stride 4."""
    path = write_tiny(tmp_path_factory.mktemp("network") / "three.onnx")
    network = load(path)
    finest = network.graph.output.add()
    finest.CopyFrom(network.graph.output[0])
    finest.name = "layer1"
    for axis, side in zip((1, 2, 3), (8, "y", "x"), strict=True):
        dim = finest.type.tensor_type.shape.dim[axis]
        dim.Clear()
        if axis == 1:
            dim.dim_value = side
        else:
            dim.dim_param = side
    save(network, path)
    return path


@pytest.mark.parametrize(
    "layers", [("layer1",), ("layer1", "layer3"), ("layer1", "layer2", "layer3")], ids=len
)
@pytest.mark.parametrize("embedding", ["concat", "paper"])
def test_one_two_and_three_layers_agree(fit, gear, outputs_of, three_layers, layers, embedding):
    model = fit(three_layers, layers=layers, embedding=embedding, dimension=(20, 30))
    assert_agreement(outputs_of(model, gear.test), model, gear.test)


@pytest.mark.parametrize("embedding", ["concat", "paper"])
def test_joined_features_of_networks_with_their_own_normalisation_agree(
    fit, gear, outputs_of, tiny, write_tiny, tmp_path, embedding
):
    other = write_tiny(tmp_path / "other.onnx", seed=1, scale=30)
    networks = [tiny, Backbone(other, mean=(0.1, 0.2, 0.3), std=(0.9, 0.5, 0.7))]
    model = fit(networks, embedding=embedding, dimension=(16, 24))
    assert len(set(model.scales_)) == 2 and 1 not in model.scales_
    assert_agreement(outputs_of(model, gear.test), model, gear.test)


def test_layers_of_joined_networks_can_be_chosen(fit, gear, outputs_of, tiny, write_tiny, tmp_path):
    networks = [tiny, write_tiny(tmp_path / "other.onnx", seed=1)]
    model = fit(networks, layers=("0.layer2", "1.layer2", "1.layer3"))
    assert_agreement(outputs_of(model, gear.test), model, gear.test)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_batch_has_any_number_of_images(model, gear, exported, n):
    outputs = open_runtime(exported)(gear.test[:n])
    assert outputs["score"].shape == outputs["anomalous"].shape == (n,)
    assert_agreement(outputs, model, gear.test[:n])


def test_an_image_has_the_same_results_in_any_batch(exported, gear):
    """The products of a larger batch may be added in another order."""
    run = open_runtime(exported)
    together = run(gear.test)
    for i, image in enumerate(gear.test):
        alone = run(image[None])
        assert alone["score"][0] == pytest.approx(together["score"][i], rel=1e-6)
        assert np.allclose(alone["map"][0], together["map"][i], rtol=1e-6)


def test_a_training_image_of_a_whole_bank_has_score_0(fit, gear, outputs_of):
    """The model computes exactly 0. The file computes features again, with other roundings.

    No relative tolerance accepts this, so the tolerance is relative to the length of a patch
    feature. The distance of two features that are equal except for rounding is below it.
    """
    model = fit(coreset_ratio=1.0)
    outputs = outputs_of(model, gear.train)
    assert (model.anomaly_score(gear.train) == 0).all()
    rounding = 1e-6 * np.linalg.norm(model.memory_bank_, axis=1).max()
    assert (outputs["score"] <= rounding).all() and (outputs["map"] <= rounding).all()
    assert (outputs["score"] >= 0).all()


def test_a_model_without_threshold_has_no_verdict(fit, gear, outputs_of):
    model = fit(images=gear.train[:1], coreset_ratio=0.5)
    outputs = outputs_of(model, gear.test)
    assert model.threshold_ is None and list(outputs) == ["score", "map"]
    assert_agreement(outputs, model, gear.test)


def test_a_prepared_image_has_the_results_of_the_whole_image(fit, gear, outputs_of):
    model = fit(resize=(70, 66), crop=(65, 49))
    prepared = [view(image, model.preprocessing_) for image in gear.test]
    assert_agreement(outputs_of(model, prepared, prepared=True), model, gear.test)


@pytest.mark.parametrize("size", [(128, 96), (96, 160), (77, 300), (64, 64)])
def test_images_of_another_size_are_resized_as_by_the_model(fit, outputs_of, size):
    model = fit(resize=64, crop=64)
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    images[:, : size[0] // 2] //= 3
    assert_agreement(outputs_of(model, images, image_size=size), model, images)


# Ties


def test_of_equal_rows_the_lowest_is_taken(fit, gear, outputs_of):
    images = gear.train[[0, 1] * 4]
    with pytest.warns(MinicoreWarning, match="copies"):
        model = fit(images=images, selection="random", coreset_ratio=0.9, b=5)
    _, first = np.unique(model.memory_bank_, axis=0, return_index=True)
    assert len(first) < len(model.memory_bank_) / 3  # most rows are copies
    test = np.concatenate([gear.train[:2], gear.test])
    outputs = outputs_of(model, test, explain=True)
    assert set(outputs["nearest_rows"].ravel()) <= set(first)
    for i, image in enumerate(test):
        assert np.array_equal(outputs["nearest_rows"][i], trace(model, image).nearest)
    assert_agreement({k: v[2:] for k, v in outputs.items()}, model, gear.test)


def test_of_patches_with_the_same_distance_the_first_decides(fit, gear, outputs_of):
    """All patches of a uniform image, away from its border, are equal."""
    model = fit(patchsize=1, layers=("layer2",), coreset_ratio=0.5)
    uniform = np.full((1, 128, 128, 3), 64, np.uint8)
    outputs = outputs_of(model, uniform, explain=True)
    found = trace(model, uniform[0])
    assert (found.patch_scores == found.s_star).sum() == 49
    assert outputs["deciding_patch"][0] == found.patch_scores.argmax()
    assert_agreement(outputs, model, uniform)


# Intermediate outputs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"embedding": "paper", "dimension": (16, 24)},
        {"stride": 2, "coreset_ratio": 0.3, "resize": (70, 66), "crop": (65, 49)},
        {"b": None},
        {"whiten": True, "score": "top", "resize": "none", "crop": "none"},
    ],
    ids=str,
)
def test_each_intermediate_output_is_that_of_the_trace(fit, gear, outputs_of, options):
    model = fit(**options)
    outputs = outputs_of(model, gear.test, explain=True)
    for i, image in enumerate(gear.test):
        assert_traced(
            {name: values[i] for name, values in outputs.items()}, trace(model, image), model
        )
    assert_agreement(outputs, model, gear.test)


def assert_traced(outputs, found, model):
    """Compare the outputs for one image with its trace."""
    expected = {
        "score": found.s,
        "map": found.map,
        "p_value": outputs["p_value"],
        "anomalous": found.s > found.threshold,
        **{f"level_{layer}": phi for layer, phi in found.feature_maps.items()},
        "patch_features": found.patches,
        "patch_distances": found.patch_scores,
        "nearest_rows": found.nearest,
        "deciding_patch": found.patch_scores.argmax(),
        "s_star": found.s_star,
    }
    if len(found.neighbours) > 1:
        expected |= {"neighbours": found.neighbours, "weight": found.weight}
    assert list(outputs) == list(expected)
    assert_p_values_agree(outputs["p_value"], np.array([found.s]), model)
    for name, value in expected.items():
        if np.asarray(value).dtype.kind == "f":
            largest = np.abs(value).max()
            assert np.allclose(outputs[name], value, rtol=0, atol=TOLERANCE * largest), name
        else:
            assert np.array_equal(outputs[name], value), name


def test_intermediate_outputs_of_several_networks_have_the_number_of_the_network(
    fit, gear, outputs_of, tiny, write_tiny, tmp_path
):
    model = fit([tiny, write_tiny(tmp_path / "other.onnx", seed=1)])
    outputs = outputs_of(model, gear.test[-1:], explain=True)
    assert [name for name in outputs if name.startswith("level_")] == [
        "level_0.layer2", "level_0.layer3", "level_1.layer2", "level_1.layer3",
    ]  # fmt: skip
    found = trace(model, gear.test[-1])
    assert_traced({name: values[0] for name, values in outputs.items()}, found, model)


# float16


def rounded(values):
    return values.astype(np.float16).astype(np.float32)


@pytest.mark.slow
def test_float16_agrees_with_the_equations_on_rounded_weights_and_bank(
    fit, gear, outputs_of, wide, tmp_path
):
    model = fit(wide, resize="none", crop="none", coreset_ratio=0.02)
    outputs = outputs_of(model, gear.test, storage="float16")

    network = load(wide)
    (weights,) = network.graph.initializer
    values = numpy_helper.to_array(weights)
    assert not np.array_equal(rounded(values), values)
    weights.CopyFrom(numpy_helper.from_array(rounded(values), weights.name))
    save(network, tmp_path / "rounded.onnx")
    backbone, bank = Backbone(tmp_path / "rounded.onnx"), rounded(model.memory_bank_)
    for i, image in enumerate(gear.test[-2:], len(gear.test) - 2):
        levels = tuple(backbone(prepare(image, model.preprocessing_)[None]).values())
        rows = equations.patch_features(levels, 3)[0].reshape(-1, 512)
        expected = equations.anomaly_score(rows, bank, 9)
        assert outputs["score"][i] == pytest.approx(expected, rel=TOLERANCE)
        distances = equations.nearest(rows, bank)[0].reshape(1, 16, 16)
        assert_maps_agree(outputs["map"][i, None], equations.anomaly_map(distances, 128, 128, 4.0))


def test_the_stated_rounding_is_that_of_the_check_images(fit, wide, tmp_path):
    model = fit(wide, resize="none", crop="none", coreset_ratio=0.02)
    files = {s: tmp_path / f"{s}.onnx" for s in ("float32", "float16")}
    made = {
        storage: to_onnx(model, path, storage=storage, progress=False)
        for storage, path in files.items()
    }
    assert made["float32"].rounding is None
    numbers = [
        np.array([c.expected for c in made[s].checks if c.what not in ("p_value", "anomalous")])
        for s in files
    ]
    stated = made["float16"].rounding
    assert stated == pytest.approx(np.abs(numbers[1] / numbers[0] - 1).max(), rel=1e-6)
    assert 1e-6 < stated < 1e-2
    large, small = (path.stat().st_size for path in files.values())
    numbers = model.memory_bank_.size + 512 * 3 * 8 * 8
    assert large - small == pytest.approx(2 * numbers, rel=0.02)


@pytest.mark.parametrize("options", [{}, {"embedding": "paper", "dimension": (16, 24)}], ids=str)
def test_float16_is_close_to_the_model(fit, gear, outputs_of, options):
    model = fit(**options)
    outputs = outputs_of(model, gear.test, storage="float16")
    assert np.allclose(outputs["score"], model.anomaly_score(gear.test), rtol=2e-3)


def test_float16_of_a_score_of_0_states_a_number(fit, mvtec_root, tmp_path):
    """The check images are training images, all of whose patches are in the bank."""
    model = fit(images=mvtec_root / "gear" / "train" / "good", coreset_ratio=1.0)
    made = to_onnx(model, tmp_path / "x.onnx", storage="float16", progress=False)
    assert made.check_images == "training" and 0 < made.rounding < 1


# The search in tiles


@pytest.mark.parametrize("tile", [1, 2, 7, 76, 77, 78])
def test_a_search_in_tiles_finds_the_same_rows(model, gear, outputs_of, monkeypatch, tile):
    assert len(model.memory_bank_) == 77
    whole = outputs_of(model, gear.test, explain=True)
    monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 64 * tile)
    tiled = outputs_of(model, gear.test, explain=True)
    assert np.array_equal(tiled["nearest_rows"], whole["nearest_rows"])
    for i, image in enumerate(gear.test):
        assert np.array_equal(tiled["nearest_rows"][i], trace(model, image).nearest)
    assert_agreement(tiled, model, gear.test)


def has_loop(path):
    return "Loop" in {node.op_type for node in load(path).graph.node}


def test_only_a_bank_larger_than_one_tile_has_a_loop(model, exported, tmp_path, monkeypatch):
    assert not has_loop(exported)
    for tile, expected in ((76, True), (77, False), (78, False)):
        monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 64 * tile)
        to_onnx(model, tmp_path / "x.onnx", progress=False)
        assert has_loop(tmp_path / "x.onnx") == expected


@pytest.mark.parametrize("tile", [1, 3, 64, 100])
def test_of_equal_rows_in_several_tiles_the_lowest_is_taken(
    fit, gear, outputs_of, monkeypatch, tile
):
    monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 64 * tile)
    with pytest.warns(MinicoreWarning, match="copies"):
        model = fit(images=gear.train[[0, 1, 0, 1]], selection="random", coreset_ratio=0.9)
    test = np.concatenate([gear.train[:2], gear.test])
    outputs = outputs_of(model, test, explain=True)
    for i, image in enumerate(test):
        assert np.array_equal(outputs["nearest_rows"][i], trace(model, image).nearest)


def test_a_tile_has_at_least_one_row(model, gear, outputs_of, monkeypatch):
    monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 1)
    assert_agreement(outputs_of(model, gear.test), model, gear.test)


# Other runtimes


@pytest.mark.parametrize(
    "options, tile",
    [
        ({}, None),
        ({}, 20),
        ({"embedding": "paper", "dimension": (16, 24), "stride": 2, "coreset_ratio": 0.3}, None),
        ({"b": None, "resize": (70, 66), "crop": (65, 49)}, 50),
        ({"whiten": True, "score": "top", "resize": "none", "crop": "none"}, None),
    ],
    ids=str,
)
def test_the_reference_evaluator_of_onnx_agrees(fit, gear, tmp_path, monkeypatch, options, tile):
    if tile is not None:
        monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 64 * tile)
    model = fit(**options)
    path, test = tmp_path / "x.onnx", gear.test[-2:]
    to_onnx(model, path, progress=False)
    assert has_loop(path) == (tile is not None)
    evaluator = ReferenceEvaluator(load(path))
    outputs = dict(zip(evaluator.output_names, evaluator.run(None, {"image": test}), strict=True))
    assert_agreement(outputs, model, test)


@pytest.mark.parametrize("tile", [None, 20])
def test_openvino_agrees(fit, gear, tmp_path, monkeypatch, tile):
    openvino = pytest.importorskip("openvino", reason="needs openvino")
    if tile is not None:
        monkeypatch.setattr(equation_nodes, "LARGEST_PRODUCT", 64 * tile)
    model = fit()
    to_onnx(model, tmp_path / "x.onnx", progress=False)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    run = openvino.Core().compile_model(tmp_path / "x.onnx", "CPU", hint)
    found = run({"image": gear.test})
    assert_agreement({o.get_any_name(): found[o] for o in run.outputs}, model, gear.test)


# Real images


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, options",
    [
        (None, {"coreset_ratio": 0.01}),
        (None, {"coreset_ratio": 0.1}),
        ("resnet50_l123.onnx", {"embedding": "paper", "coreset_ratio": 0.01, "n": 30}),
    ],
    ids=["1 %", "10 %", "ResNet-50"],
)
def test_real_images_agree(shared, outputs_of, network, options):
    bottle = datasets.mvtec(shared / "data" / "mvtec256", "bottle")
    options = dict(options)
    train = bottle.train[: options.pop("n", None)]
    backbone = None if network is None else shared / "weights" / network
    model = PatchCore(backbone, progress=False, **options).fit(train)
    test = [path for path, label in zip(bottle.test, bottle.labels, strict=True) if label][:12]
    test += [path for path, label in zip(bottle.test, bottle.labels, strict=True) if not label][:4]
    assert_agreement(outputs_of(model, [read_image(path) for path in test]), model, test)
