"""More good images: each of their patches is then within the radius of the fit."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.exceptions import NotFittedError

from minicore import PatchCore, equations, trace
from minicore.errors import ImageError, MinicoreWarning, ModelError
from minicore.patchcore import update
from minicore.patchcore.bank_parts import GrowingSearch
from minicore.patchcore.features import Patches
from minicore.patchcore.search import Search
from minicore.patchcore.selection import pick, project
from minicore.patchcore.threshold import threshold
from minicore.patchcore.update import _GrowingBank, find_growth
from minicore.runtime import container
from minicore.runtime.clock import Seconds

OPTIONS = {"coreset_ratio": 0.2, "projection_dim": 8, "seed": 3, "progress": False}


@pytest.fixture(scope="module")
def fitted(tiny, gear, tmp_path_factory):
    """The file of a model of the first six images."""
    model = PatchCore(tiny, **OPTIONS).fit(gear.train[:6])
    return model.save(tmp_path_factory.mktemp("model") / "six.minicore")


@pytest.fixture
def model(fitted):
    return PatchCore.load(fitted, progress=False)


def content(model, path):
    """Return the bytes of the saved model."""
    return model.save(path / "content").read_bytes()


def patches(model, images):
    """Return the patches of images as the model stores them, (N, D)."""
    batches = model._patches(images, "", progress=False)
    rows = np.concatenate(
        [batch.features.reshape(-1, batch.features.shape[3]) for batch in batches]
    )
    return rows.astype(np.float16).astype(np.float32) if model.bank_storage == "float16" else rows


def farthest(model, rows):
    r"""Return the largest distance of a row to the bank, in $\psi$, by the literal loops."""
    config = replace(model.config_, engine="equations")
    bank = project(model.memory_bank_, config)
    return equations.nearest(project(rows, config), bank)[0].max()


# ------------------------------------------------------------------- the promise


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bank_storage": "float16"},
        {"bank_storage": "disk", "coreset_ratio": 0.02, "b": 2},
        {"coreset_ratio": 1.0},
        {"coreset_radius": 0.03, "coreset_ratio": 1.0},
        {"embedding": "paper", "dimension": 16, "stride": 2, "b": None},
        {"projection_dim": 128},  # more than the features have: no projection
    ],
    ids=str,
)
def test_every_good_patch_ever_seen_is_within_the_radius_of_the_bank(tiny, gear, options):
    model = PatchCore(tiny, **{**OPTIONS, **options}).fit(gear.train[:4])
    r, fitted = model.coreset_radii_[-1], len(model.memory_bank_)
    assert farthest(model, patches(model, gear.train)) > r  # so there is something to learn
    rows = [*model.update(gear.train[4:7]), *model.update(gear.train[7:])]
    assert farthest(model, patches(model, gear.train)) <= r
    assert len(model.memory_bank_) == fitted + sum(rows) and len(model.coreset_radii_) == fitted


def test_the_promise_holds_for_several_networks(tiny, write_tiny, gear, tmp_path):
    other = write_tiny(tmp_path / "other.onnx", seed=1, scale=5.0)
    model = PatchCore([tiny, other], **OPTIONS).fit(gear.train[:4])
    assert min(model.scales_) != max(model.scales_)
    assert model.update(gear.train[4:]).sum() > 0
    assert farthest(model, patches(model, gear.train)) <= model.coreset_radii_[-1]


@pytest.fixture(scope="module")
def config(fitted):
    return PatchCore.load(fitted).config_


def literal(M, images, r, config):
    """Continue Algorithm 1 as it is written: one row after another, all distances again."""
    bank, picks = list(M), []
    for image in images:
        psi_P = project(image, config)
        while True:
            distances = equations.nearest(psi_P, project(np.array(bank), config))[0][:, 0]
            if not (distances > r).any():
                break
            picks.append(int(distances.argmax()))
            bank.append(image[picks[-1]])
    return picks, np.array(bank)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 5),
    D=st.sampled_from([2, 5, 12]),
    ratio=st.sampled_from([0.05, 0.3, 1.0]),
    spread=st.sampled_from([0.0, 0.5, 2.0]),
    ties=st.booleans(),
)
def test_an_update_is_the_literal_continuation_of_algorithm_1(
    config, seed, n, D, ratio, spread, ties
):
    rng = np.random.default_rng(seed)

    def draw(*shape):  # whole numbers have many equal distances and equal rows
        return (rng.integers(0, 4, shape) if ties else rng.normal(size=shape)).astype(np.float32)

    M, images = draw(30, D), draw(n, 2, 3, D)
    images += np.float32(spread) * rng.integers(0, 3, (n, 1, 1, D)).astype(np.float32)
    config = replace(config, coreset_ratio=ratio, b=None, projection_dim=6, seed=seed % 7)
    picks, radii = pick(project(M, config), config)
    expected, bank = literal(M[picks], images.reshape(n, 6, D), radii[-1], config)
    for engine in ("fast", "equations"):
        model = SimpleNamespace(
            engine=engine, seconds_=Seconds(), config_=config, memory_bank_=M[picks],
            coreset_radii_=radii, _search=Search(M[picks], None),
        )  # fmt: skip
        growing = _GrowingBank(model)
        batches = [images[:2], images[2:]] if n > 2 else [images]  # of any size
        found = [growing.learn(Patches(p, (16, 24), (8.0, 8.0)), [False] * len(p)) for p in batches]
        assert [p for each in found for one in each.picks for p in one] == expected
        added = [one for each in found for one in each.features]
        assert np.array_equal(np.concatenate([M[picks], *added]), bank)
        assert all((d > radii[-1]).all() for each in found for d in each.distances)
        scores = np.concatenate([each.scores for each in found])
        before = np.cumsum([len(picks), *(len(one) for one in added)])[:-1]
        nearest = [
            equations.nearest(image.reshape(-1, D), bank[:l])[0].max()
            for image, l in zip(images, before, strict=True)
        ]
        np.testing.assert_allclose(scores, nearest, rtol=1e-6)
    assert (
        equations.nearest(project(images.reshape(-1, D), config), project(bank, config))[0].max()
        <= (radii[-1])
    )


@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_a_search_that_grows_finds_what_a_search_in_all_rows_finds(engine, monkeypatch):
    monkeypatch.setattr("minicore.patchcore.bank_parts.PART", 20)
    rng = np.random.default_rng(0)
    M, queries = rng.integers(0, 4, (100, 5)), rng.integers(0, 4, (2, 8, 8, 5))  # with many ties
    M, queries = M.astype(np.float32), queries.astype(np.float32)
    growing = GrowingSearch(Search(M[:30], 4))
    rows = queries.reshape(-1, 5)
    begun = growing.begin(rows, engine)
    for first, end in ((30, 31), (31, 31), (31, 45), (45, 52), (52, 90), (90, 100)):
        growing.append(M[first:end])
        whole = Search(M[:end], 4)
        for k in (1, 4):
            for ours, theirs in zip(
                growing.nearest(rows, k, engine), whole.nearest(rows, k, engine), strict=True
            ):
                assert np.array_equal(ours, theirs)
        found = growing.finish(rows, begun, engine)
        for ours, theirs in zip(found, whole.nearest(rows, 1, engine), strict=True):
            assert np.array_equal(ours, theirs)
        for ours, theirs in zip(
            growing.decide(queries, *found, engine), whole.score(queries, engine), strict=True
        ):
            assert np.array_equal(ours, theirs)


# ------------------------------------------------------------------- what it returns


def test_the_rows_of_each_image_are_counted_and_numbered_in_order(tiny, gear):
    # The whole memory bank, as if all images were in one fit.
    every = PatchCore(tiny, coreset_ratio=1.0, false_positive_rate=None, progress=False)
    every.fit(gear.train)
    M = every.memory_bank_[np.argsort(every.coreset_indices_)]
    model = PatchCore(tiny, **OPTIONS).fit(gear.train[:6])
    l = model.bank_rows_
    rows = model.update(gear.train[6:])
    assert rows.shape == (6,) and rows.dtype == np.int64 and rows.sum() > 0
    assert np.array_equal(M[model.coreset_indices_], model.memory_bank_)
    assert len(set(model.coreset_indices_)) == model.bank_rows_
    image = model.coreset_indices_[l:] // 64
    assert np.array_equal(image, np.repeat(np.arange(6, 12), rows))
    assert (model.made_.images, model.made_.copies, model.made_.updated) == (12, 0, 6)


def test_the_order_of_the_images_counts(fitted, gear):
    forward, backward = (PatchCore.load(fitted, progress=False) for _ in range(2))
    rows = forward.update(gear.train[6:])
    other = backward.update(gear.train[6:][::-1])
    assert not np.array_equal(rows, other[::-1])
    assert set(backward.coreset_indices_) != set(forward.coreset_indices_)


def test_several_updates_with_files_between_them_are_one_update(fitted, model, gear, tmp_path):
    model.update(gear.train[6:])
    again = PatchCore.load(fitted, progress=False)
    for first, end in ((6, 7), (7, 11), (11, 12)):
        again.update(gear.train[first:end])
        again = PatchCore.load(again.save(tmp_path / "m"), progress=False)
    assert content(again, tmp_path) == content(model, tmp_path)


def test_threads_and_batches_change_nothing(fitted, gear, tmp_path):
    found = set()
    for options in ({"n_threads": 1}, {"n_threads": 2, "batch_size": 1}, {"batch_size": 5}):
        model = PatchCore.load(fitted, progress=False, **options)
        model.update(gear.train[6:])
        found.add(content(model, tmp_path))
    assert len(found) == 1


def test_both_engines_learn_the_same_rows(fitted, gear):
    one, other = (PatchCore.load(fitted, engine=e, progress=False) for e in ("fast", "equations"))
    assert np.array_equal(one.update(gear.train[6:]), other.update(gear.train[6:]))
    assert np.array_equal(one.coreset_indices_, other.coreset_indices_)
    np.testing.assert_allclose(one.calibration_scores_, other.calibration_scores_, rtol=1e-5)
    np.testing.assert_allclose(one.calibration_peaks_, other.calibration_peaks_, rtol=1e-5)


def test_a_patch_is_traced_to_the_new_image(model, gear):
    l = model.bank_rows_
    model.update(gear.train[6:])
    image, at = divmod(int(model.coreset_indices_[l]), 64)
    found = trace(model, gear.train[image])
    assert found.patch_scores.flat[at] == 0 and found.nearest.flat[at] == l
    assert tuple(found.origins.reshape(-1, 3)[at]) == (image, *divmod(at, 8))


# ------------------------------------------------------------------- the thresholds


def test_each_image_is_scored_by_the_model_before_it_was_learned(fitted, model, gear):
    step = PatchCore.load(fitted, progress=False)
    scores, peaks = list(step.calibration_scores_), list(step.calibration_peaks_)
    for image in gear.train[6:]:
        found = step.detect(image)
        scores.append(found.scores[0])
        peaks.append(found.maps.max())
        step.update(image)
    model.update(gear.train[6:])
    assert np.array_equal(model.calibration_scores_, scores)
    np.testing.assert_allclose(model.calibration_peaks_, peaks, rtol=1e-6)
    assert model.threshold_ == threshold(np.array(scores), 0.05)
    assert model.map_threshold_ == threshold(model.calibration_peaks_, 0.05)
    assert np.array_equal(model.anomaly_score(gear.test), step.anomaly_score(gear.test))


def test_without_a_rate_there_is_no_threshold(tiny, gear):
    model = PatchCore(tiny, **OPTIONS, false_positive_rate=None).fit(gear.train[:6])
    assert model.update(gear.train[6:]).sum() > 0
    assert model.threshold_ is model.map_threshold_ is None and not model.calibration_scores_.size


def test_a_model_of_one_image_gets_a_threshold(tiny, gear):
    model = PatchCore(tiny, **OPTIONS).fit(gear.train[:1])
    assert model.threshold_ is None
    model.update(gear.train[1:2])
    assert model.threshold_ is None and len(model.calibration_scores_) == 1
    model.update(gear.train[2:])
    assert len(model.calibration_scores_) == 11
    assert model.threshold_ == threshold(model.calibration_scores_, 0.05)


# ------------------------------------------------------------------- copies


def test_images_that_were_learned_already_are_skipped(model, gear, tmp_path):
    before = model.calibration_scores_
    copy = tmp_path / "copy.png"
    Image.fromarray(gear.train[2]).save(copy)  # a file with the pixels of an array
    images = [gear.train[7], copy, gear.train[7], gear.train[8]]
    with pytest.warns(MinicoreWarning, match="2 of 4 images are skipped, for example .*copy.png"):
        rows = model.update(images)
    assert rows[1] == rows[2] == 0 and (model.made_.images, model.made_.updated) == (8, 2)
    assert len(model.calibration_scores_) == len(before) + 2
    assert model.image_digests_.shape == (8, 16)
    assert model.coreset_indices_.max() < 8 * 64  # a skipped image has no number
    unchanged = content(model, tmp_path)
    again = PatchCore.load(tmp_path / "content", progress=False)
    with pytest.warns(MinicoreWarning, match="1 of 1 images is skipped, for example image 0"):
        assert again.update(gear.train[8]).tolist() == [0]
    assert content(again, tmp_path) == unchanged


# ------------------------------------------------------------------- errors


def refuses(model, images, words, path, error=ValueError):
    """Check that an update raises one clear error and changes nothing."""
    before = content(model, path)
    with pytest.raises(error, match=words):
        model.update(images)
    assert content(model, path) == before


def test_what_cannot_be_learned_changes_nothing(model, gear, tmp_path):
    refuses(model, [], "update needs at least one image, got none", tmp_path)
    missing = [*gear.train[6:9], tmp_path / "missing.png"]
    refuses(model, missing, "missing.png: expected a PNG", tmp_path, ImageError)


@pytest.mark.parametrize("where", ["project", "threshold", "Search"])
def test_a_stop_at_any_stage_changes_nothing(model, gear, tmp_path, monkeypatch, where):
    def stop(*_, **__):
        raise KeyboardInterrupt("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(update, where, stop)
        refuses(model, gear.train[6:], "stopped", tmp_path, KeyboardInterrupt)
    assert model.update(gear.train[6:]).sum() > 0


@pytest.mark.parametrize(
    "changed",
    [
        {"coreset_ratio": 0.5},
        {"seed": 4},
        {"false_positive_rate": None},
        {"layers": ("layer2",)},
        {"crop": 48},
        {"bank_storage": "float16"},
    ],
    ids=str,
)
def test_a_changed_parameter_is_refused(model, gear, tmp_path, changed):
    (name,) = changed
    then = getattr(model, name)
    model.set_params(**changed)
    refuses(model, gear.train[6:], f"{name} must be .*as in the fit .*fit again", tmp_path)
    model.set_params(**{name: then}, engine="equations", batch_size=3)
    assert model.update(gear.train[6:]).sum() > 0


def test_another_network_is_refused(model, write_tiny, gear, tmp_path):
    model.set_params(backbone=write_tiny(tmp_path / "other.onnx", seed=1))
    refuses(model, gear.train[6:], "backbone must be the network of the fit", tmp_path)


@pytest.mark.parametrize("selection", ["random", "kmeans"])
def test_a_coreset_without_a_radius_is_refused(tiny, gear, tmp_path, selection):
    model = PatchCore(tiny, **OPTIONS, selection=selection).fit(gear.train[:6])
    refuses(model, gear.train[6:], f"{selection}.* has no radius.*fit it again", tmp_path)


def test_a_model_without_a_fit_is_refused(tiny, gear):
    with pytest.raises(NotFittedError):
        PatchCore(tiny).update(gear.train)


def test_a_loaded_model_keeps_a_step_that_was_left_out(tiny, gear, tmp_path):
    model = PatchCore(tiny, **OPTIONS, resize="none", crop="none").fit(gear.train[:6])
    again = PatchCore.load(model.save(tmp_path / "m"), progress=False)
    assert again.resize == again.crop == "none"
    assert np.array_equal(again.update(gear.train[6:]), model.update(gear.train[6:]))


def test_images_of_another_size_are_refused_or_warned_of(tiny, gear, tmp_path):
    model = PatchCore(tiny, **OPTIONS, resize="none", crop="none").fit(gear.train[:6])
    with pytest.warns(MinicoreWarning, match="image 1 has 96 × 128 pixels, and .* 128 × 128"):
        refuses(
            model, [gear.train[6], gear.train[7][:96]], "expected 128 × 128 pixels like the "
            "training images, found 96 × 128", tmp_path, ImageError,
        )  # fmt: skip
    resized = PatchCore(tiny, **OPTIONS).fit(gear.train[:6])
    assert resized.made_.image_size == (128, 128)
    with pytest.warns(MinicoreWarning, match="parts may differ in scale"):
        resized.update([gear.train[7][:100, :100]])
    assert resized.made_.image_size is None


@pytest.mark.parametrize(
    "entry, value, words",
    [
        ("image_digests", np.zeros((7, 16), np.uint8), "7 images|images, digests"),
        ("image_digests", np.zeros((8, 16), np.int8), "images, digests of int8"),
        ("coreset_radii", np.empty(0), "0 radii"),
        ("coreset_radii", -np.ones(3), "negative radii"),
        ("coreset_radii", np.ones(9999), "9999 radii"),
        ("updated", 8, "updated must be less than 8 images"),
        ("updated", -1, "updated must be a whole number"),
        ("updated", 0, "radii"),
    ],
    ids=str,
)
def test_a_file_with_wrong_entries_is_refused(model, gear, tmp_path, entry, value, words):
    model.update(gear.train[6:8])
    path = model.save(tmp_path / "m")
    arrays, header = container.read(path)
    if entry in arrays:
        arrays[entry] = value
    else:
        header["made"][entry] = value
    container.write(path, arrays, header)
    with pytest.raises(ModelError, match=f"damaged: .*{words}"):
        PatchCore.load(path)


def test_a_growth_describes_the_new_rows(model, gear):
    growth = find_growth(model, gear.train[6:9])
    assert growth.squares.shape == (len(growth.features), 4)
    image, at = growth.origins[0]
    row, column = divmod(int(at), 8)
    assert growth.squares[0].tolist() == [8 * row, 8 * column, 8, 8]
    assert np.array_equal(patches(model, gear.train[6 + image][None])[at], growth.features[0])
