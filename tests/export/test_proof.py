"""`check` accepts an unchanged file on a correct runtime, and nothing else."""

import base64
import json
import subprocess
import sys
import zlib

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, load, numpy_helper, save

from minicore.errors import ModelError
from minicore.export import check, to_onnx
from minicore.export.proof import KEY, PARTS, TOLERANCE, checksums, open_runtime, read


@pytest.fixture
def changed(exported, tmp_path):
    """Change a copy of the exported file with a function of the model. Return its path."""

    def changed(change):
        model = load(exported)
        change(model)
        save(model, tmp_path / "changed.onnx")
        return tmp_path / "changed.onnx"

    return changed


def constant(model, name):
    return next(c for c in model.graph.initializer if c.name == name)


def set_values(model, name, change):
    """Replace the values of a constant."""
    tensor = constant(model, name)
    values = numpy_helper.to_array(tensor).copy()
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(values), values.dtype), name))


def refused(path, **options):
    """Check a file that must be refused. Return the message, which is one line."""
    with pytest.raises(ModelError) as error:
        check(path, **options)
    message = str(error.value)
    assert message.isprintable(), message
    return message


def about_of(path):
    return read(path)[1]


def set_about(model, change):
    """Change the entry `minicore` of the metadata; the change may return its text."""
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    about = json.loads(entry.value)
    text = change(about)
    entry.value = text if isinstance(text, str) else json.dumps(about)


# A correct file


def test_a_fresh_file_passes(exported):
    found = check(exported)
    assert [(c.image, c.what.split(" at ")[0]) for c in found] == [
        (image, what)
        for image in (1, 2, 3)
        for what in ("score", "largest map value", "map", "p_value", "anomalous")
    ]
    assert all(c.ok for c in found)
    assert max(c.difference for c in found) < 1e-5


def test_expected_numbers_are_those_of_the_model(model, exported):
    about = about_of(exported)
    for entry in about["check"]:
        pixels = zlib.decompress(base64.b64decode(entry["pixels"]))
        image = np.frombuffer(pixels, np.uint8).reshape(128, 128, 3)
        found = model.detect([image])
        assert entry["score"] == pytest.approx(found.scores[0], rel=1e-6)
        assert entry["map_largest"] == pytest.approx(found.maps.max(), rel=1e-6)
        assert entry["p_value"] == model.p_value([image])[0]
        assert entry["anomalous"] == (found.scores[0] > model.threshold_)
    assert about["threshold"] == model.threshold_ and about["config"]["b"] == 9


def test_a_check_image_is_good_and_another_is_anomalous(exported):
    assert {entry["anomalous"] for entry in about_of(exported)["check"]} == {True, False}


@pytest.mark.parametrize(
    "options",
    [{"storage": "float16"}, {"explain": True}, {"prepared": True}, {"check_images": "drawn"}],
    ids=str,
)
def test_a_file_with_options_passes(model, tmp_path, options):
    to_onnx(model, tmp_path / "x.onnx", progress=False, **options)
    assert all(c.ok for c in check(tmp_path / "x.onnx"))


def test_a_file_without_threshold_passes(fit, tmp_path):
    model = fit(false_positive_rate=None)
    to_onnx(model, tmp_path / "x.onnx", progress=False)
    assert "anomalous" not in {c.what for c in check(tmp_path / "x.onnx")}


def test_scores_of_0_pass(fit, mvtec_root, tmp_path):
    """Two check images are training images whose patches are all in the bank."""
    model = fit(images=mvtec_root / "gear" / "train" / "good", coreset_ratio=1.0)
    to_onnx(model, tmp_path / "x.onnx", progress=False)
    expected = [c.expected for c in check(tmp_path / "x.onnx") if c.what == "score"]
    assert expected[:2] == [0, 0] and expected[2] > 0


# A changed file


def test_a_changed_threshold_fails_with_both_thresholds(model, changed):
    path = changed(lambda m: set_values(m, "verdict/threshold", lambda v: v * 1.5))
    message = refused(path)
    threshold = model.threshold_
    assert f"changed since the export: threshold ({threshold:.6g} → " in message
    assert f"→ {1.5 * threshold:.6g})" in message


def test_a_changed_threshold_that_changes_a_verdict_fails_with_both_verdicts(changed):
    message = refused(changed(lambda m: set_values(m, "verdict/threshold", lambda v: v * 1000)))
    assert "anomalous 1 expected, 0 found" in message


def test_a_changed_row_of_the_bank_fails_with_both_numbers(exported, changed):
    def far(rows):
        rows[:] += 0.5
        return rows

    message = refused(changed(lambda m: set_values(m, "eq5/memory_bank", far)))
    expected = about_of(exported)["check"][0]["score"]
    assert f"check image 1: score {expected:.6g} expected, " in message and " found" in message
    assert message.endswith("changed since the export: memory bank")


def test_a_tiny_change_of_one_row_fails(changed):
    def tiny(rows):
        rows[-1, -1] = np.nextafter(rows[-1, -1], np.float32(np.inf))
        return rows

    message = refused(changed(lambda m: set_values(m, "eq5/memory_bank", tiny)))
    assert message.endswith("changed.onnx: changed since the export: memory bank")


def test_a_tiny_change_of_a_bank_of_float16_fails(model, tmp_path):
    to_onnx(model, tmp_path / "x.onnx", storage="float16", progress=False)
    changed = load(tmp_path / "x.onnx")
    set_values(changed, "eq5/memory_bank.float16", lambda rows: np.nextafter(rows, np.float16(9)))
    save(changed, tmp_path / "x.onnx")
    assert "changed since the export: memory bank" in refused(tmp_path / "x.onnx")


@pytest.mark.parametrize("factor", [1 + 1e-6, 3])
def test_a_changed_weight_of_the_network_fails(changed, factor):
    message = refused(changed(lambda m: set_values(m, "network/w2", lambda v: v * factor)))
    assert message.endswith("changed since the export: network")
    assert ("expected" in message) == (factor == 3)


@pytest.mark.parametrize(
    "name",
    ["image/columns.high_weights", "eq6/squared_norms", "eq7/neighbours_of_rows", "map/rows"],
)
def test_a_changed_constant_of_an_equation_fails(changed, name):
    def one(values):
        values.reshape(-1)[-1] += 1
        return values

    path = changed(lambda m: set_values(m, name, one))
    assert refused(path).endswith("changed since the export: equations")


@pytest.mark.parametrize(
    "node, attribute, part",
    [("eq2/layer2/mean", "count_include_pad", "equations"), ("network/c4", "group", "network")],
)
def test_a_changed_attribute_of_a_node_fails(changed, node, attribute, part):
    def change(model):
        (found,) = (n for n in model.graph.node if n.name == node)
        kept = [a for a in found.attribute if a.name != attribute]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(attribute, int(part == "network"))])

    assert refused(changed(change)).endswith(f"changed since the export: {part}")


def test_a_changed_size_of_the_input_fails(changed):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 256

    assert "changed.onnx: " in refused(changed(change))


def test_a_removed_node_fails(changed):
    def change(model):
        del model.graph.node[[n.name for n in model.graph.node].index("map")]

    assert "changed.onnx: " in refused(changed(change))


def test_a_renamed_output_fails(changed):
    def change(model):
        for output in model.graph.output:
            if output.name == "score":
                output.name = "eq7/score"
                del output.type.tensor_type.shape.dim[:]

    assert "score" in refused(changed(change))


@pytest.mark.parametrize("name", ["score", "map_largest"])
def test_a_changed_expected_number_fails_with_both_numbers(exported, changed, name):
    before = about_of(exported)["check"][1][name]

    def change(about):
        about["check"][1][name] = before * 1.001

    message = refused(changed(lambda m: set_about(m, change)))
    what = {"score": "score", "map_largest": "largest map value"}[name]
    assert f"check image 2: {what} {1.001 * before:.6g} expected, {before:.6g} found" in message


def test_a_changed_expected_verdict_fails(changed):
    def change(about):
        about["check"][2]["anomalous"] = False

    path = changed(lambda m: set_about(m, change))
    assert "check image 3: anomalous 0 expected, 1 found" in refused(path)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_checksum_fails(changed, part):
    path = changed(lambda m: set_about(m, without("sha256", part)))
    assert f"changed since the export: {part}" in refused(path)


def test_not_a_number_in_the_bank_fails(changed):
    message = refused(changed(lambda m: set_values(m, "eq5/memory_bank", lambda v: v * np.nan)))
    assert "found nan" in message or "nan found" in message


def test_checksums_do_not_depend_on_the_order_of_constants(exported):
    graph = load(exported).graph
    before = checksums(graph)
    constants = list(graph.initializer)[::-1]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    assert checksums(graph) == before and set(before) == set(PARTS)


# A runtime that disagrees


def made_wrong(path, name, change):
    """Return a runtime that changes one output."""
    run = open_runtime(path)

    def runtime(images):
        outputs = dict(run(images))
        outputs[name] = change(outputs[name])
        return outputs

    return runtime


@pytest.mark.parametrize("name, what", [("score", "score"), ("map", "largest map value")])
@pytest.mark.parametrize("factor", [1.001, 0.999, np.nan, np.inf])
def test_a_runtime_with_other_numbers_fails_with_both(exported, name, what, factor):
    runtime = made_wrong(exported, name, lambda values: values * np.float32(factor))
    expected = about_of(exported)["check"][0][{"score": "score", "map": "map_largest"}[name]]
    message = refused(exported, runtime=runtime)
    assert f"check image 1: {what} {expected:.6g} expected, " in message
    if np.isfinite(factor):
        assert f"{expected * factor:.6g} found" in message
    assert "changed since the export" not in message


def test_a_runtime_within_the_tolerance_passes(exported):
    for factor in (1 + TOLERANCE / 2, 1 - TOLERANCE / 2):
        runtime = made_wrong(exported, "map", lambda values, f=factor: values * f)
        assert max(c.difference for c in check(exported, runtime=runtime)) > 0.4 * TOLERANCE


def test_a_runtime_with_another_p_value_fails(exported):
    runtime = made_wrong(exported, "p_value", lambda values: values + 0.01)
    assert "check image 3: p_value" in refused(exported, runtime=runtime)


def test_a_runtime_with_another_verdict_fails(exported):
    runtime = made_wrong(exported, "anomalous", np.logical_not)
    assert "anomalous" in refused(exported, runtime=runtime)


@pytest.mark.parametrize("name", ["score", "map", "p_value", "anomalous"])
def test_a_runtime_without_an_output_fails(exported, name):
    run = open_runtime(exported)

    def runtime(images):
        return {k: v for k, v in run(images).items() if k != name}

    assert name in refused(exported, runtime=runtime)


@pytest.mark.parametrize("name", ["score", "map"])
def test_a_runtime_with_an_empty_output_fails(exported, name):
    assert name in refused(exported, runtime=made_wrong(exported, name, lambda values: values[:0]))


def test_a_runtime_gets_one_image_at_a_time(exported):
    run, shapes = open_runtime(exported), []

    def runtime(images):
        shapes.append((images.dtype, images.shape))
        return run(images)

    check(exported, runtime=runtime)
    assert shapes == 3 * [(np.uint8, (1, 128, 128, 3))]


@pytest.mark.parametrize(
    "place, message",
    [
        (b"\x1a\x0beq7/softmax", "changed since the export: equations"),  # the name of a node
        (b"\x12\x0beq7/softmax", "not a file CPUExecutionProvider can run: "),  # of a value
    ],
)
def test_a_name_that_is_not_utf_8_fails_and_prints_nothing(
    exported, tmp_path, capfd, place, message
):
    content, path = exported.read_bytes(), tmp_path / "x"
    assert content.count(place) == 1
    path.write_bytes(content.replace(place, place.replace(b"soft", b"\xe8oft")))
    assert f"{path}: {message}" in refused(path)
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_fails_is_not_replaced_by_the_cpu(exported, monkeypatch):
    """onnxruntime replaces it by default, and the check would pass on the CPU."""
    started = []

    def fails(*_, **options):
        started.append(options["providers"])
        assert options["enable_fallback"] == 0
        raise RuntimeError("no device")

    known = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    message = refused(exported, provider="CUDAExecutionProvider")
    assert message.endswith("not a file CUDAExecutionProvider can run: no device")
    assert started == [["CUDAExecutionProvider"]]


def test_an_unknown_provider_is_refused_with_the_known_ones(exported):
    message = refused(exported, provider="NoSuchProvider")
    assert message.startswith("--provider NoSuchProvider: this onnxruntime has only ")
    assert "CPUExecutionProvider" in message


# Another file


def test_a_file_without_check_images_is_refused(model, tmp_path):
    to_onnx(model, tmp_path / "x.onnx", check_images="none", progress=False)
    assert "has no check images; export it again with check images" in refused(tmp_path / "x.onnx")


def test_another_file_is_refused(tiny, model, tmp_path):
    (tmp_path / "text").write_text("score")
    (tmp_path / "empty").touch()
    model.save(tmp_path / "model")
    for name in ("text", "model"):
        assert "damaged, or not a file that minicore export wrote" in refused(tmp_path / name)
    for path in (tiny, tmp_path / "empty"):
        assert "not one that minicore export wrote" in refused(path)
    for path, what in ((tmp_path / "missing", "no such file"), (tmp_path, "a folder")):
        assert f"{path}: {what}" in refused(path)


def test_a_cut_file_is_refused(exported, tmp_path):
    content = exported.read_bytes()
    for share in (0.01, 0.3, 0.6, 0.99, 0.9999):
        (tmp_path / "cut").write_bytes(content[: int(share * len(content))])
        assert str(tmp_path / "cut") in refused(tmp_path / "cut")


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_file_with_a_changed_byte_passes_or_is_refused(exported, tmp_path_factory, share, value):
    """Some bytes are names of types, or of tools, which change no result."""
    content = bytearray(exported.read_bytes())
    content[int(share * len(content))] = value
    path = tmp_path_factory.mktemp("byte") / "x.onnx"
    path.write_bytes(content)
    try:
        check(path)
    except ModelError as error:
        assert str(error).isprintable()


# Damaged metadata


def bomb(about):
    return base64.b64encode(zlib.compress(bytes(10**8), 9)).decode()


def first(**values):
    """Change values of the first check image."""
    return lambda about: about["check"][0].update(values)


def every(**values):
    """Change values of the metadata."""
    return lambda about: about.update(values)


def without(*keys):
    def change(about):
        for key in keys[:-1]:
            about = about[key]
        del about[keys[-1]]

    return change


HUGE = 10**400  # a whole number of JSON that no float can be
DAMAGE = {
    "empty": lambda about: "",
    "not JSON": lambda about: "{",
    "a list": lambda about: "[]",
    "a list of lists": lambda about: "[" * 2000,
    "a number": lambda about: "7",
    "a string": lambda about: '"check"',
    "nothing": lambda about: "{}",
    "null": lambda about: "null",
    "no image_size": without("image_size"),
    "no threshold": without("threshold"),
    "no check": without("check"),
    "no sha256": without("sha256"),
    "no pixels": without("check", 0, "pixels"),
    "no score": without("check", 0, "score"),
    "no score_within": without("check", 0, "score_within"),
    "no map_largest": without("check", 0, "map_largest"),
    "no map_within": without("check", 0, "map_within"),
    "image_size of one": every(image_size=[128]),
    "image_size of text": every(image_size=["128", "128"]),
    "image_size of a text": every(image_size="ab"),
    "image_size null": every(image_size=None),
    "image_size a number": every(image_size=128),
    "image_size of fractions": every(image_size=[128.5, 128]),
    "image_size of floats": every(image_size=[128.0, 128.0]),
    "image_size true": every(image_size=[True, True]),
    "image_size 0": every(image_size=[0, 128]),
    "image_size negative": every(image_size=[-128, 128]),
    "image_size both negative": every(image_size=[-128, -128]),
    "image_size huge": every(image_size=[10**6, 10**6]),
    "image_size beyond an integer": every(image_size=[10**30, 10**30]),
    "image_size of another shape": every(image_size=[64, 256]),
    "image_size smaller": every(image_size=[64, 64]),
    "threshold of text": every(threshold="high"),
    "threshold of digits": every(threshold="1.5"),
    "threshold a list": every(threshold=[1.0]),
    "threshold NaN": every(threshold=float("nan")),
    "threshold beyond a float": every(threshold=HUGE),
    "check a number": every(check=5),
    "check a text": every(check="abc"),
    "check an object": every(check={"pixels": ""}),
    "check null": every(check=None),
    "check of numbers": every(check=[1, 2]),
    "check of lists": every(check=[[]]),
    "check of nothing": every(check=[{}]),
    "check empty": every(check=[]),
    "sha256 a list": every(sha256=[]),
    "sha256 a text": every(sha256="0" * 64),
    "sha256 of numbers": every(sha256=dict.fromkeys(PARTS, 5)),
    "sha256 null": every(sha256=None),
    "pixels a number": first(pixels=5),
    "pixels null": first(pixels=None),
    "pixels not base64": first(pixels="~~~"),
    "pixels not ASCII": first(pixels="é"),
    "pixels not zlib": first(pixels=base64.b64encode(b"x" * 99).decode()),
    "pixels empty": first(pixels=""),
    "pixels too few": first(pixels=base64.b64encode(zlib.compress(b"x" * 99)).decode()),
    "pixels a bomb": lambda about: about["check"][0].update(pixels=bomb(about)),
    "score of text": first(score="high"),
    "score of digits": first(score="1.5"),
    "score null": first(score=None),
    "score a list": first(score=[1]),
    "score NaN": first(score=float("nan")),
    "score infinite": first(score=float("inf")),
    "score beyond a float": first(score=HUGE),
    "score_within of digits": first(score_within="1"),
    "score_within NaN": first(score_within=float("nan")),
    "score_within negative": first(score_within=-1),
    "map_largest of digits": first(map_largest="1"),
    "map_within of digits": first(map_within="1"),
    "map_within beyond a float": first(map_within=HUGE),
    "anomalous of text": first(anomalous="yes"),
    "anomalous of digits": first(anomalous="7"),
    "anomalous null": first(anomalous=None),
    "anomalous 2": first(anomalous=2),
}


def test_a_transposed_map_is_found_out(exported):
    run = open_runtime(exported)

    def transposed(images):
        outputs = run(images)
        return {**outputs, "map": outputs["map"].transpose(0, 2, 1)}

    with pytest.raises(ModelError, match=r"check image 1: map at \d+, \d+ \d"):
        check(exported, runtime=transposed)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_metadata_is_refused_in_one_line(changed, damage):
    message = refused(changed(lambda m: set_about(m, damage)))
    assert "changed.onnx: " in message and len(message) < 500


# The entry README


def readme_of(path):
    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["README"]


def test_readme_is_short_and_names_input_and_outputs(exported):
    lines = readme_of(exported).splitlines()
    assert 18 <= len(lines) <= 25 and max(map(len, lines)) <= 100
    for line in (
        "  image      uint8 (n, 128, 128, 3): upright RGB images (not BGR).",
        "  score      float32 (n): higher is more anomalous",
        "  map        float32 (n, 64, 64): the same for each pixel of the image after resizing",
        "             to 72 x 72 pixels, in rows 4 to 67 and columns 4 to 67",
        f"  anomalous  bool (n): score > {about_of(exported)['threshold']:.7g}",
        "   zlib. The result is one image: 128 x 128 x 3 bytes, row by row, each pixel as red, "
        "green, blue.",
    ):
        assert line in lines
    assert readme_of(exported).isascii()


def test_input_and_outputs_are_those_that_readme_names(exported):
    session = onnxruntime.InferenceSession(exported)
    assert {i.name: (i.type, i.shape) for i in session.get_inputs()} == {
        "image": ("tensor(uint8)", ["n", 128, 128, 3])
    }
    assert {o.name: (o.type, o.shape) for o in session.get_outputs()} == {
        "score": ("tensor(float)", ["n"]),
        "map": ("tensor(float)", ["n", 64, 64]),
        "p_value": ("tensor(float)", ["n"]),
        "anomalous": ("tensor(bool)", ["n"]),
    }


FOLLOW = """
import base64, json, sys, zlib
import numpy as np
import onnxruntime
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
entry = json.loads(session.get_modelmeta().custom_metadata_map["minicore"])
H, W = session.get_inputs()[0].shape[1:3]
agreed = 0
for check in entry["check"]:
    pixels = zlib.decompress(base64.b64decode(check["pixels"]))
    image = np.frombuffer(pixels, np.uint8).reshape(1, H, W, 3)
    names = ["score", "map", "p_value", "anomalous"]
    score, heat, p, anomalous = (v[0] for v in session.run(names, {"image": image}))
    agreed += (
        abs(score - check["score"]) <= check["score_within"]
        and abs(heat.max() - check["map_largest"]) <= check["map_within"]
        and abs(heat[check["map_row"], check["map_column"]] - check["map_largest"])
        <= check["map_within"]
        and abs(p - check["p_value"]) <= check["p_value_within"]
        and anomalous == check["anomalous"]
    )
assert "minicore" not in sys.modules
print(agreed, "of", len(entry["check"]))
"""


@pytest.mark.parametrize("factor, agreed", [(1, 3), (1.001, 0)])
def test_the_steps_of_readme_need_no_minicore(changed, factor, agreed):
    """A file with larger distances is found out too."""
    path = changed(lambda m: set_values(m, "map/rows", lambda rows: rows * factor))
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{agreed} of 3"


def test_readme_of_other_files_is_true_too(fit, model, tmp_path):
    to_onnx(model, tmp_path / "a.onnx", check_images="none", prepared=True, progress=False)
    text = readme_of(tmp_path / "a.onnx")
    assert "To check" not in text and "RGB images (not BGR), already resized and cropped." in text
    assert "uint8 (n, 64, 64, 3)" in text
    to_onnx(fit(false_positive_rate=None), tmp_path / "b.onnx", progress=False)
    assert "missing, because the model has no threshold" in readme_of(tmp_path / "b.onnx")
