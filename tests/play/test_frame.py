"""The numbers of the page are those of `PatchCore.detect` and `minicore.trace`."""

import numpy as np
import pytest

from minicore import PatchCore, equations, load, trace
from minicore.images import list_images, view
from minicore.patchcore.selection import pick, project
from minicore.patchcore.threshold import p_values
from minicore.play import frame, prepare
from minicore.play.examples import Examples, Opened, Parts
from minicore.play.frame import features


@pytest.fixture(scope="module")
def model(saved):
    return load(saved)


@pytest.fixture(scope="module")
def training(model):
    return list_images(model.made_.folder)


@pytest.fixture(scope="module")
def scene(model, training):
    return prepare(model, training)


@pytest.fixture(scope="module")
def fit(tiny, model, training):
    """Fit a model of its own for other parameters, on prepared pixels."""
    images = [view(path, model.preprocessing_) for path in training]

    def fit(**parameters):
        found = PatchCore(tiny, resize="none", crop="none", progress=False, **parameters)
        return found.fit(images)

    return fit


@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_a_frame_is_the_trace_of_the_same_pixels(scene, fit, pixels, engine):
    found, expected = frame(scene, pixels, engine=engine), trace(fit(coreset_ratio=0.25), pixels)
    values, arrays = found.values, found.arrays
    assert values["score"] == pytest.approx(expected.s, rel=1e-6)
    assert values["s_star"] == pytest.approx(expected.s_star, rel=1e-6)
    assert values["weight"] == pytest.approx(expected.weight, rel=1e-6)
    assert divmod(values["star"], 8) == expected.position
    assert values["anomalous"] == (expected.s > expected.threshold)
    model = fit(coreset_ratio=0.25)
    assert values["p_value"] == pytest.approx(
        p_values(expected.s, model.calibration_scores_), rel=1e-4
    )
    np.testing.assert_allclose(arrays["distances"], expected.patch_scores.ravel(), rtol=1e-6)
    np.testing.assert_array_equal(arrays["nearest"], expected.nearest.ravel())
    np.testing.assert_array_equal(arrays["neighbours"], expected.neighbours)
    np.testing.assert_allclose(
        arrays["neighbour_distances"], expected.neighbour_distances, rtol=1e-6
    )
    np.testing.assert_allclose(arrays["softmax"], expected.softmax, rtol=1e-6)
    np.testing.assert_allclose(arrays["map"], expected.map, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("engine", ["fast", "equations"])
@pytest.mark.parametrize(
    ("share", "b", "sigma"), [(0.25, 2, 4.0), (0.1, 9, 0.0), (0.05, 9, 7.5), (0.02, 13, 1.0)]
)
def test_a_frame_is_what_a_model_of_these_parameters_detects(
    scene, fit, pixels, share, b, sigma, engine
):
    found = frame(scene, pixels, share=share, b=b, sigma=sigma, engine=engine)
    model = fit(coreset_ratio=share, b=b, sigma=sigma)
    expected = model.detect(pixels)
    assert found.values["score"] == pytest.approx(expected.scores[0], rel=1e-6)
    assert found.values["s_star"] == pytest.approx(expected.distances[0], rel=1e-6)
    np.testing.assert_allclose(found.arrays["map"], expected.maps[0], rtol=1e-6, atol=1e-6)
    # A score is compared with the threshold of the same coreset and the same b.
    assert found.values["threshold"] == pytest.approx(model.threshold_, rel=1e-6)
    assert found.values["map_threshold"] == pytest.approx(model.map_threshold_, rel=1e-6)
    np.testing.assert_allclose(found.arrays["good_scores"], model.calibration_scores_, rtol=1e-6)


def test_thresholds_of_the_models_own_parameters_are_computed_in_the_same_way(scene, model):
    found = scene._calibration.thresholds(scene.search(1), model.config_)
    assert found.score == pytest.approx(model.threshold_, rel=1e-6)
    assert found.map == pytest.approx(model.map_threshold_, rel=1e-6)


def test_a_model_without_thresholds_gets_those_of_a_fit(fit, training, model, pixels):
    images = [view(path, model.preprocessing_) for path in training]
    bare = prepare(fit(coreset_ratio=1.0, false_positive_rate=None), images,
                   false_positive_rate=0.05)  # fmt: skip
    for share in (1.0, 0.25, None):  # None: a tenth
        values = frame(bare, pixels, share=share).values
        full = fit(coreset_ratio=share or 0.1)
        assert values["threshold"] == pytest.approx(full.threshold_, rel=1e-6)
        assert values["map_threshold"] == pytest.approx(full.map_threshold_, rel=1e-6)
        assert values["score"] == pytest.approx(full.detect(pixels).scores[0], rel=1e-6)
    shown = bare.message().values
    assert shown["first_share"] == 0.1 and shown["share"] == 1.0
    assert shown["threshold"] == pytest.approx(full.threshold_, rel=1e-6)
    np.testing.assert_allclose(shown["good_scores"], full.calibration_scores_, rtol=1e-6)


def test_there_is_no_threshold_if_the_trial_coreset_is_too_small(scene, pixels):
    values = frame(scene, pixels, share=0.02, b=15).values  # 15 of 768 rows, but 13 of 640
    assert values["threshold"] is values["anomalous"] is None


def test_without_training_images_only_the_models_own_threshold_is_available(model, pixels):
    alone = prepare(model)
    found = frame(alone, pixels)
    assert found.values["threshold"] == model.threshold_
    assert frame(alone, pixels, share=0.1).values["threshold"] is None
    assert alone.message().arrays["all_xy"].shape == (0, 2)
    assert alone.message().arrays["random_xy"].shape == (0, 2)
    assert found.arrays["level_0"].shape == (8, 8, 3)  # colours of the first image
    again = frame(alone, 255 - pixels).arrays["level_0"]
    np.testing.assert_array_equal(frame(alone, pixels).arrays["level_0"], found.arrays["level_0"])
    assert (again != found.arrays["level_0"]).any()


def test_other_training_images_are_left_out(model, training, tmp_path):
    assert len(prepare(model, training).message().arrays["all_xy"]) == 12 * 64
    assert len(prepare(model, training[::-1]).message().arrays["all_xy"]) == 0


@pytest.mark.parametrize("folder", ["first", "more"])
def test_an_updated_model_is_shown_with_the_images_that_are_available(
    tiny, mvtec_root, pixels, tmp_path, folder
):
    def copy(files, name):
        (tmp_path / name).mkdir(exist_ok=True)
        for file in files:
            (tmp_path / name / file.name).write_bytes(file.read_bytes())

    good = sorted((mvtec_root / "gear" / "train" / "good").iterdir())
    copy(good[:9], "first")
    model = PatchCore(tiny, coreset_ratio=0.25, progress=False).fit(tmp_path / "first")
    copy(good[9:], folder)
    model.update(good[9:])
    parts = Parts(model.save(tmp_path / "part.minicore"))
    opened = parts.open("part")
    values, arrays = opened.message().values, opened.message().arrays
    all_there = folder == "first"
    assert values["images"]["training"] == (12 if all_there else 9)
    assert values["rows"] == len(arrays["radii"]) == len(arrays["origins"]) == model.bank_rows_
    assert values["all_rows"] == 12 * 64 and arrays["origins"][-1, 0] >= 9
    assert arrays["radii"][-1] == np.float32(model.coreset_radii_[-1])
    assert (len(arrays["random_xy"]) > 0) == all_there
    assert (opened.image("training", 11) is not None) == all_there
    found = frame(opened.scene, pixels)
    assert found.values["threshold"] == model.threshold_
    assert (frame(opened.scene, pixels, share=0.1).values["threshold"] is None) != all_there
    assert parts.settings == all_there
    if not all_there:
        with pytest.raises(ValueError, match="training images are missing"):
            parts.open("part", patchsize=5)


def test_features_are_those_of_the_trace(scene, fit, pixels):
    expected = trace(fit(coreset_ratio=0.25), pixels).patches.reshape(64, -1)
    np.testing.assert_array_equal(features(scene, pixels, 37), expected[37])
    for position in (-1, 64):
        with pytest.raises(ValueError, match="from 0 to 63"):
            features(scene, pixels, position)


def test_the_scene_shows_the_coreset_where_it_was_picked(scene, model, pixels):
    message = scene.message()
    arrays, values = message.arrays, message.values
    assert values["rows"] == len(model.memory_bank_) == round(values["share"] * 768)
    np.testing.assert_allclose(arrays["radii"], model.coreset_radii_, rtol=1e-6)
    image, row, column = arrays["origins"][5]
    shown = view(scene.training[image], model.preprocessing_)
    found = frame(scene, shown)  # the training image of pick 5 contains it, at distance 0
    assert found.arrays["distances"][row * 8 + column] == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(
        found.arrays["xy"][row * 8 + column], arrays["bank_xy"][5], atol=1e-4
    )


def test_a_scene_of_turned_copies_shows_them_as_training_images(tiny, training):
    options = {"augment": "rotations", "angles": (0, 45, 90, 200), "coreset_ratio": 0.5}
    model = PatchCore(tiny, progress=False, **options).fit(training[:6])
    opened = Opened(1, "gear", prepare(model, training[:6]), Examples(training[:6]))
    scene, found = opened.scene, opened.message()
    assert found.values["angles"] == [0, 45, 90, 200] and found.values["images"]["training"] == 24
    assert scene.all_rows == len(scene.M) == 6 * 4 * 64
    assert found.values["share"] == 0.5 and found.values["threshold"] == model.threshold_
    scores = scene._calibration.thresholds(scene.search(1), model.config_).good_scores
    np.testing.assert_allclose(scores, model.calibration_scores_, rtol=1e-6)
    for number, row, column in found.arrays["origins"][:8]:
        shown = frame(scene, opened.image("training", number))
        assert shown.arrays["distances"][row * 8 + column] == pytest.approx(0, abs=1e-4)
    np.testing.assert_array_equal(
        opened.image("training", 23), view(training[5], model.preprocessing_, 200)
    )
    assert opened.image("training", 24) is None


def test_covering_radii_of_random_picks_are_those_of_the_equations(scene, model):
    from dataclasses import replace

    arrays = scene.message().arrays
    psi_M = project(scene.M, model.config_)
    picks, _ = pick(psi_M, replace(model.config_, selection="random", coreset_ratio=0.1))
    expected = equations.covering_radii(psi_M, picks)[arrays["random_counts"] - 1]
    np.testing.assert_allclose(arrays["random_radii"], expected, rtol=1e-5)
    assert arrays["random_counts"][-1] == len(picks) == len(arrays["random_xy"])
    np.testing.assert_allclose(
        arrays["random_xy"], scene.plane.coordinates(scene.M[picks]), atol=1e-6
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 0.0}, {"share": -0.1}, {"share": 1.1}, {"share": float("nan")},
        {"b": 1}, {"b": -3}, {"b": 10**9}, {"share": 0.01, "b": 9},
        {"sigma": -1.0}, {"sigma": float("inf")}, {"sigma": float("nan")}, {"sigma": 65.0},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_out_of_range_are_refused(scene, pixels, wrong):
    with pytest.raises(ValueError, match=r"coreset|b must|sigma"):
        frame(scene, pixels, **wrong)


def test_pixels_of_another_shape_or_type_are_refused(scene, pixels):
    for wrong in (pixels[:-1], pixels[..., :2], pixels.astype(np.float32)):
        with pytest.raises(ValueError, match="expected uint8 pixels"):
            frame(scene, wrong)


@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_a_frame_of_a_whitened_model_with_the_score_top_is_its_trace(tiny, gear, engine):
    options = {
        "whiten": True, "score": "top", "resize": "none", "crop": "none", "progress": False,
    }  # fmt: skip
    model = PatchCore(tiny, coreset_ratio=0.25, **options).fit(gear.train)
    scene, image = prepare(model, gear.train), gear.test[-1]
    found, expected = frame(scene, image, engine=engine), trace(model, image)
    for name in ("s_star", "weight", "threshold", "map_threshold"):
        assert found.values[name] == pytest.approx(getattr(expected, name), rel=1e-6), name
    assert found.values["score"] == pytest.approx(expected.s, rel=1e-6)
    np.testing.assert_allclose(found.arrays["map"], expected.map, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.arrays["neighbours"], expected.neighbours)
    assert len(features(scene, image, 0)) == expected.patches.shape[2]
    shown = scene.message().values
    assert (shown["top"], shown["whitened"]) == (expected.top, model.whiten)
    assert shown["dimension"] == expected.patches.shape[2]
    # a smaller coreset, with a threshold of its own
    smaller = PatchCore(tiny, **options).fit(gear.train)
    values = frame(scene, image, share=0.1, engine=engine).values
    assert values["score"] == pytest.approx(smaller.anomaly_score(image[None])[0], rel=1e-6)
    assert values["threshold"] == pytest.approx(smaller.threshold_, rel=1e-6)
