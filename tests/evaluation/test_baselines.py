"""Each baseline equals its own paper, written with SciPy and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.base import clone
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM as Svm

import minicore
from minicore import datasets, equations
from minicore.backbones import Backbone
from minicore.cli.outputs import save_pictures
from minicore.errors import ImageError
from minicore.evaluation.baselines import SPADE, MahalanobisAD, OneClassSVM, PaDiM
from minicore.evaluation.baselines.padim import _learn_more, whitening
from minicore.evaluation.evaluate import evaluate, table
from minicore.images import prepare
from minicore.patchcore.config import Config, Features

ALL = (SPADE, PaDiM, MahalanobisAD, OneClassSVM)
SMALL = {PaDiM: {"d": 7}, OneClassSVM: {"n_patches": 100}}  # for a network of 20 channels


def small(method, tiny, **options):
    return method(tiny, progress=False, **{**SMALL.get(method, {}), **options})


def feature_maps(tiny, images):
    network = Backbone(tiny)
    return tuple(network(np.stack([prepare(i, network.preprocessing) for i in images])).values())


def features(tiny, images, p):
    """Equations 1 to 3, literally: (n, 64, 20) float64."""
    patches = equations.patch_features(feature_maps(tiny, images), p, 1)
    return patches.reshape(len(images), 64, 20).astype(float)


def close(found, expected):
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-6)


def check_maps(found, sigma):
    close(found.maps, equations.anomaly_map(found.patch_scores, 64, 64, sigma))


# Each is what its paper says


@pytest.mark.slow
@pytest.mark.parametrize(("k", "kappa", "p"), [(3, 1, 3), (5, 4, 1), (50, 2, 3)])
def test_spade_is_nearest_images_then_nearest_patches_of_theirs(tiny, gear, k, kappa, p):
    found = small(SPADE, tiny, k=k, kappa=kappa, patchsize=p).fit(gear.train).detect(gear.test)
    train, test = features(tiny, gear.train, p), features(tiny, gear.test, p)
    images = NearestNeighbors(n_neighbors=min(k, 12)).fit(train.mean(axis=1))
    distances, chosen = images.kneighbors(test.mean(axis=1))
    close(found.scores, distances.mean(axis=1))
    for y, its in enumerate(chosen):
        gallery = np.concatenate([train[i] for i in its])
        patches = NearestNeighbors(n_neighbors=kappa).fit(gallery)
        expected = patches.kneighbors(test[y])[0].mean(axis=1)
        close(found.patch_scores[y].ravel(), expected)
    check_maps(found, 4.0)


@pytest.mark.parametrize("reduction", ["selection", "semi-orthogonal"])
@pytest.mark.parametrize(("d", "p", "sigma"), [(7, 3, 4.0), (20, 1, 0.0)])
def test_padim_is_a_mahalanobis_distance_at_each_position(tiny, gear, reduction, d, p, sigma):
    options = {"reduction": reduction, "d": d, "patchsize": p, "sigma": sigma}
    model = small(PaDiM, tiny, **options).fit(gear.train)
    found = model.detect(gear.test)
    W = model.reduction_.astype(float)
    train, test = features(tiny, gear.train, p) @ W, features(tiny, gear.test, p) @ W
    for position in range(64):
        sample = train[:, position]
        inverse = np.linalg.inv(np.cov(sample, rowvar=False) + 0.01 * np.eye(d))
        expected = [mahalanobis(x, sample.mean(axis=0), inverse) for x in test[:, position]]
        close(found.patch_scores.reshape(-1, 64)[:, position], expected)
    check_maps(found, sigma)
    assert np.array_equal(found.scores, found.maps.max(axis=(1, 2)))


def test_padim_selects_coordinates_or_turns_them(tiny, gear):
    selected, turned = (
        small(PaDiM, tiny, reduction=reduction).fit(gear.train).reduction_
        for reduction in ("selection", "semi-orthogonal")
    )
    for W in (selected, turned):
        assert W.shape == (20, 7)
        assert np.allclose(W.T @ W, np.eye(7), atol=1e-6)
    assert set(selected.ravel()) == {0, 1} and np.count_nonzero(turned) == turned.size


def test_all_coordinates_selected_or_turned_are_the_same_distance(tiny, gear):
    both = [
        small(PaDiM, tiny, reduction=reduction, d=20).fit(gear.train).detect(gear.test)
        for reduction in ("selection", "semi-orthogonal")
    ]
    close(both[0].patch_scores, both[1].patch_scores)


def test_padim_keeps_the_spread_of_features_far_from_zero():
    x = np.random.default_rng(0).normal(1e6, 3, (40, 2, 5)).astype(np.float32)
    means, scatter = np.zeros((2, 5)), np.zeros((2, 5, 5))
    for first in (0, 1, 17):  # in batches of 1, 16 and 23
        _learn_more(2, x[first : {0: 1, 1: 17, 17: 40}[first]], first, means, scatter)
    inverses = whitening(scatter, 40, 0.01)
    for p in range(2):
        sample = x[:, p].astype(float)
        Sigma = np.cov(sample, rowvar=False)
        assert np.allclose(means[p], sample.mean(axis=0), rtol=1e-12)
        assert np.allclose(scatter[p], np.tril(39 * Sigma), rtol=1e-9)
        L = inverses[p].astype(float)
        assert np.allclose(L.T @ L, np.linalg.inv(Sigma + 0.01 * np.eye(5)), rtol=1e-5, atol=1e-7)


def test_mahalanobis_is_the_sum_over_levels_of_what_global_pooling_leaves(tiny, gear):
    found = small(MahalanobisAD, tiny).fit(gear.train).detect(gear.test)
    expected = np.zeros(len(gear.test))
    both = zip(feature_maps(tiny, gear.train), feature_maps(tiny, gear.test), strict=True)
    for train, test in both:  # each level at its own resolution, never upsampled
        train, test = train.mean(axis=(2, 3)).astype(float), test.mean(axis=(2, 3)).astype(float)
        inverse = np.linalg.inv(ledoit_wolf(train)[0])
        expected += [mahalanobis(x, train.mean(axis=0), inverse) for x in test]
    close(found.scores, expected)


@pytest.mark.parametrize("gamma", ["nearest", "scale", 0.5])
def test_the_svm_is_that_of_scikit_learn_on_all_patches(tiny, gear, gamma):
    model = OneClassSVM(tiny, n_patches=12 * 64, nu=0.2, gamma=gamma, progress=False)
    found = model.fit(gear.train).detect(gear.test)
    x = features(tiny, gear.train, 3).reshape(-1, 20)
    if gamma == "nearest":
        gamma = 1 / np.mean(NearestNeighbors(n_neighbors=2).fit(x).kneighbors(x)[0][:, 1] ** 2)
    svm = Svm(nu=0.2, gamma=gamma).fit(x)
    outside = -svm.decision_function(features(tiny, gear.test, 3).reshape(-1, 20)).reshape(-1, 64)
    scale = np.abs(outside).max()
    assert np.allclose(found.patch_scores.reshape(-1, 64), outside, atol=1e-3 * scale)
    assert np.allclose(found.scores, outside.max(axis=1), atol=1e-3 * scale)
    check_maps(found, 4.0)


def test_the_svm_learns_from_as_many_patches_as_asked_whatever_the_batches(tiny, gear):
    everything = features(tiny, gear.train, 3).reshape(-1, 20)
    drawn = []
    for batch_size in (1, 8):
        model = OneClassSVM(tiny, n_patches=50, nu=0.99, batch_size=batch_size, progress=False)
        drawn.append(model.fit(gear.train).support_vectors_)  # with so large a nu all of them
    assert len(drawn[0]) == 50 and np.array_equal(*drawn)
    assert np.abs(drawn[0][:, None] - everything).max(axis=2).min(axis=1).max() < 1e-5
    assert len(np.unique(drawn[0], axis=0)) == 50


# What all promise


@pytest.fixture(scope="module")
def fitted(tiny, gear):
    return [small(method, tiny).fit(gear.train) for method in ALL]


def test_shapes_and_types_are_those_documented(fitted, gear):
    n = len(gear.test)
    for model in fitted:
        found = model.detect(gear.test)
        assert found.scores.shape == (n,) and found.scores.dtype == np.float64
        assert np.array_equal(found.distances, found.scores)
        assert model.grid_ == (8, 8) and model.input_size_ == (64, 64)
        assert isinstance(model.config_, Features) and not isinstance(model.config_, Config)
        if isinstance(model, MahalanobisAD):
            assert found.maps is found.patch_scores is None
            with pytest.raises(ValueError, match="MahalanobisAD scores whole images"):
                model.anomaly_map(gear.test)
            continue
        assert found.patch_scores.shape == (n, 8, 8) and found.patch_scores.dtype == np.float32
        assert found.maps.shape == (n, 64, 64) and found.maps.dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            model.anomaly_map(gear.test)[:] = 0


def test_what_is_remembered_is_counted_where_it_is_patches(fitted):
    spade, padim, gaussian, svm = (model.bank_rows_ for model in fitted)
    assert spade == 12 * 64 and padim is gaussian is None and 0 < svm <= 100


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("option", [{}, {"reduction": "semi-orthogonal"}])
def test_same_seed_same_bytes_on_any_threads(tiny, gear, method, option):
    if option and method is not PaDiM:
        pytest.skip("a parameter of PaDiM")
    answers = set()
    for n_threads in (1, 2, 2):
        model = small(method, tiny, n_threads=n_threads, **option).fit(gear.train)
        found = model.detect(gear.test)
        answers.add((found.scores.tobytes(), found.maps is not None and found.maps.tobytes()))
    assert len(answers) == 1


@pytest.mark.slow
@pytest.mark.parametrize("option", [{}, {"reduction": "semi-orthogonal"}])
def test_another_seed_draws_otherwise(tiny, gear, option):
    one, other = (small(PaDiM, tiny, seed=s, **option).fit(gear.train) for s in (0, 1))
    assert not np.array_equal(one.reduction_, other.reduction_)
    one, other = (small(OneClassSVM, tiny, seed=s).fit(gear.train) for s in (0, 1))
    assert not np.array_equal(one.anomaly_score(gear.test), other.anomaly_score(gear.test))


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
def test_it_is_an_estimator_to_scikit_learn(tiny, gear, method):
    model = small(method, tiny, patchsize=2)
    copy = clone(model)
    assert copy.get_params() == model.get_params() and copy.get_params()["patchsize"] == 2
    with pytest.raises(NotFittedError):
        copy.anomaly_score(gear.test)
    scores = model.fit(gear.train, None).anomaly_score(gear.test)
    assert np.array_equal(copy.fit(gear.train).score_samples(gear.test), -scores)
    with pytest.raises(ValueError, match="no threshold: compare anomaly_score with"):
        model.predict(gear.test)


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
def test_a_stream_of_batches_is_one_detection(tiny, gear, method):
    model = small(method, tiny, batch_size=4).fit(gear.train)
    parts = list(model.stream(gear.test))
    assert [len(part.scores) for part in parts] == [4, 4, 2]
    joined, whole = type(parts[0]).join(parts), model.detect(gear.test)
    for name, values in vars(whole).items():
        assert np.array_equal(values, getattr(joined, name))


@pytest.mark.slow
def test_they_are_evaluated_as_a_patchcore_is(tiny, gear, tmp_path):
    for method in ALL:
        result, found = evaluate(small(method, tiny), gear)
        assert result.image_auroc == result.image_auroc_distance
        assert result.false_positives is result.false_negatives is None
        pixels = {result.pixel_auroc, result.pixel_average_precision, result.pro}
        assert (pixels == {None}) == (method is MahalanobisAD)
        row = table([result]).splitlines()[2]
        assert "–" in row
        folder = tmp_path / method.__name__
        model = small(method, tiny).fit(gear.train)
        save_pictures(folder, model, gear, found)
        drawn = {path.name for path in folder.iterdir()}
        panels = set() if method is MahalanobisAD else {"panels.png"}
        assert drawn == {"histogram.png", "roc.png"} | panels


def test_a_data_set_without_masks_is_evaluated_too(tiny, gear):
    result, _ = evaluate(small(PaDiM, tiny), replace(gear, masks=None))
    assert result.image_auroc is not None and result.pixel_auroc is None


# Refusals


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        *((m, "patchsize", v) for m in ALL for v in (0, 1.5)),
        *((m, "sigma", v) for m in ALL for v in (-1, None)),
        *((m, "seed", v) for m in ALL for v in (-1, 0.5)),
        *((SPADE, name, v) for name in ("k", "kappa") for v in (0, 1.5, True)),
        (SPADE, "kappa", 129),  # of 2 images
        *((PaDiM, "d", v) for v in (0, 21, 1.5)),
        *((PaDiM, "epsilon", v) for v in (0, -1, float("nan"), "1")),
        (PaDiM, "reduction", "pca"),
        *((OneClassSVM, "n_patches", v) for v in (0, 1.5)),
        *((OneClassSVM, "nu", v) for v in (0, 1, None)),
        *((OneClassSVM, "gamma", v) for v in (0, -1, "auto", None)),
    ],
)
def test_a_bad_parameter_is_named_with_its_value(tiny, gear, method, name, value):
    model = small(method, tiny, **{name: value})
    with pytest.raises(ValueError, match=rf"^{name} must be .*{value!r}$"):
        model.fit(gear.train[:2])
    with pytest.raises(NotFittedError):
        model.anomaly_score(gear.test)


@pytest.mark.slow
def test_too_few_images_are_refused(tiny, gear):
    for method, fewest in zip(ALL, (1, 2, 2, 1), strict=True):
        model = small(method, tiny)
        with pytest.raises(ValueError, match=f"{method.__name__} needs at least {fewest} image"):
            model.fit(gear.train[: fewest - 1])
        assert np.isfinite(model.fit(gear.train[:fewest]).anomaly_score(gear.test)).all()


def test_several_networks_are_refused(tiny, gear):
    with pytest.raises(ValueError, match="backbone must be one network, got 2"):
        PaDiM([tiny, tiny]).fit(gear.train)


def test_positions_that_were_never_learnt_are_refused(tiny, gear):
    model = small(PaDiM, tiny, resize="none", crop="none").fit(gear.train[:, :64, :64])
    with pytest.raises(ImageError, match="expected 64 × 64 pixels like the training images"):
        model.anomaly_score(gear.test)


@pytest.mark.parametrize("method", ALL)
def test_a_fit_that_stops_halfway_leaves_nothing_fitted(tiny, gear, tmp_path, method):
    model = small(method, tiny).fit(gear.train)
    with pytest.raises(ImageError):
        model.fit([*gear.train, tmp_path / "missing.png"])
    with pytest.raises(NotFittedError):
        model.anomaly_score(gear.test)


# Outside


def test_the_room_opens_when_asked_for():
    assert minicore.evaluation.baselines.SPADE is SPADE and "evaluation" in dir(minicore)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "image", "pixel"),
    [
        (SPADE, 0.97, 0.97),
        (PaDiM, 0.98, 0.97),
        (MahalanobisAD, 0.98, None),
        (OneClassSVM, 0.98, 0.97),
    ],
)
def test_bottle_of_mvtec_ad_is_told_apart_by_each(shared, method, image, pixel):
    bottle = datasets.mvtec(shared / "data" / "mvtec256", "bottle")
    parts = ("train", "test", "labels", "masks", "defects")
    half = replace(bottle, **{part: getattr(bottle, part)[::2] for part in parts})
    result, _ = evaluate(method(shared / "weights" / "resnet18_l123.onnx"), half)
    assert result.image_auroc >= image
    assert (result.pixel_auroc is None) if pixel is None else result.pixel_auroc >= pixel
