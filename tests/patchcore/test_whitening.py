"""Whitening: the covariance that is promised, and the same model however it is computed."""

import numpy as np
import pytest

from minicore import PatchCore, equations, load
from minicore.backbones import Backbone
from minicore.equations import section3
from minicore.errors import ModelError
from minicore.images import prepare
from minicore.patchcore import bank
from minicore.patchcore.whitening import KEPT, SHRINKAGE, covariance, whitening_matrix
from minicore.runtime import container


@pytest.fixture(scope="module")
def rows():
    """Correlated features, whose mean is far from 0."""
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((3000, 12)) @ (
        rng.standard_normal((12, 12)) * 2.0 ** -np.arange(12)
    )
    return (mixed + 7).astype(np.float32)


@pytest.fixture(scope="module")
def model(tiny, gear):
    return PatchCore(tiny, whiten=True).fit(gear.train)


def test_the_covariance_is_that_of_numpy_for_any_size_of_block(rows, monkeypatch):
    expected = np.cov(rows.T.astype(float), bias=True)
    for block in (bank.BLOCK, 700):
        monkeypatch.setattr("minicore.patchcore.whitening.BLOCK", block)
        np.testing.assert_allclose(covariance(rows), expected, rtol=1e-9, atol=1e-12)


def test_whitened_features_have_the_variance_of_the_formula_in_every_direction(rows):
    C = covariance(rows)
    W = whitening_matrix(C)
    eigenvalues = np.linalg.eigvalsh(C)[::-1]
    k = W.shape[1]
    share = np.cumsum(eigenvalues) / eigenvalues.sum()
    assert 1 < k < 12 and share[k - 2] < KEPT <= share[k - 1]
    kept = eigenvalues[:k]
    expected = kept / ((1 - SHRINKAGE) * kept + SHRINKAGE * kept.mean())
    found = covariance(equations.project(rows, W))
    np.testing.assert_allclose(found, np.diag(expected), atol=2e-6)
    assert expected[0] > 1 > expected[-1] > 0.1  # nearly equal: without the shrinkage all are 1


def test_the_signs_of_the_directions_do_not_depend_on_the_library(rows, monkeypatch):
    C = covariance(rows)
    W = whitening_matrix(C)
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda C: (eigh(C)[0], -eigh(C)[1]))
    assert np.array_equal(whitening_matrix(C), W)


def test_equal_features_cannot_be_whitened():
    with pytest.raises(ValueError, match=r"^whiten needs patch features that vary"):
        whitening_matrix(covariance(np.zeros((5, 3), np.float32)))


def test_the_bank_has_the_features_of_section_3_times_the_matrix(model, gear):
    images = np.stack([prepare(image, model.preprocessing_) for image in gear.train])
    levels = tuple(model.backbone_(images).values())
    M = section3.memory_bank(levels)
    W = whitening_matrix(covariance(M))
    assert np.array_equal(model.whitening_, W) and 1 < W.shape[1] < W.shape[0] == 20
    assert np.array_equal(
        section3.memory_bank(levels, W=W)[model.coreset_indices_], model.memory_bank_
    )
    found = model.detect(gear.test)
    for i in (0, -1):
        levels = tuple(model.backbone_(prepare(gear.test[i], model.preprocessing_)[None]).values())
        s, S = section3.score(levels, model.memory_bank_, (64, 64), W=W)
        assert s == pytest.approx(found.scores[i], rel=1e-6)
        np.testing.assert_allclose(S, found.maps[i], rtol=1e-5, atol=1e-6)


def test_both_engines_find_the_same_whitened_model(tiny, gear, model):
    literal = PatchCore(tiny, whiten=True, engine="equations").fit(gear.train)
    for name in ("whitening_", "memory_bank_", "coreset_indices_"):
        assert np.array_equal(getattr(literal, name), getattr(model, name)), name
    one, other = model.detect(gear.test), literal.detect(gear.test)
    for name, value in vars(one).items():
        assert np.allclose(value, getattr(other, name), rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("options", [{"n_threads": 1}, {"n_threads": 2, "batch_size": 5}], ids=str)
def test_neither_threads_nor_batches_change_a_byte(tiny, gear, model, tmp_path, options):
    again = PatchCore(tiny, whiten=True, **options).fit(gear.train)
    files = [m.save(tmp_path / "m").read_bytes() for m in (model, again)]
    assert files[0] == files[1]


def test_the_model_comes_back_from_its_file(model, gear, tmp_path):
    again = load(model.save(tmp_path / "m"), progress=False)
    assert again.config_ == model.config_ and again.whiten is True
    before, after = model.detect(gear.test), again.detect(gear.test)
    for name in vars(before):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert again.save(tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize("storage", ["disk", "float16"])
def test_a_bank_on_disk_is_the_same_and_float16_nearly(tiny, gear, model, storage):
    other = PatchCore(tiny, whiten=True, bank_storage=storage).fit(gear.train)
    if storage == "disk":
        assert np.array_equal(other.memory_bank_, model.memory_bank_)
        assert other.threshold_ == model.threshold_
    rounded = other.memory_bank_.astype(np.float16).astype(np.float32)
    assert np.array_equal(rounded, other.memory_bank_) == (storage == "float16")
    scores = [m.anomaly_score(gear.test) for m in (model, other)]
    np.testing.assert_allclose(*scores, rtol=0 if storage == "disk" else 0.02)


def test_several_networks_are_scaled_joined_and_then_whitened(tiny, write_tiny, gear, tmp_path):
    networks = [tiny, write_tiny(tmp_path / "other.onnx", seed=1, scale=100.0)]
    model = PatchCore(networks, whiten=True).fit(gear.train)
    images = np.stack([prepare(image, model.preprocessing_) for image in gear.train])
    blocks = [
        equations.patch_features(tuple(Backbone(path)(images).values())) * np.float32(scale)
        for path, scale in zip(networks, model.scales_, strict=True)
    ]
    M = np.concatenate(blocks, axis=3).reshape(-1, 40)
    assert np.array_equal(model.whitening_, whitening_matrix(covariance(M)))
    expected = equations.project(M, model.whitening_)[model.coreset_indices_]
    assert np.array_equal(model.memory_bank_, expected)


def test_a_fit_without_whitening_forgets_the_matrix(tiny, gear):
    model = PatchCore(tiny, whiten=True).fit(gear.train)
    model.set_params(whiten=False).fit(gear.train)
    plain = PatchCore(tiny).fit(gear.train)
    assert model.whitening_ is None and np.array_equal(model.memory_bank_, plain.memory_bank_)


@pytest.mark.parametrize(
    "change",
    [
        lambda W: None,
        lambda W: W.astype(np.float64),
        lambda W: W[:, 1:],
        lambda W: W[1:],
        lambda W: W.ravel(),
        lambda W: np.where(W > 0, np.float32(np.inf), W),
    ],
    ids=["missing", "float64", "a column less", "a row less", "one axis", "infinite"],
)
def test_a_matrix_that_does_not_fit_is_refused(model, tmp_path, change):
    path = model.save(tmp_path / "m")
    arrays, header = container.read(path)
    W = change(arrays.pop("whitening"))
    container.write(path, arrays if W is None else {**arrays, "whitening": W}, header)
    with pytest.raises(ModelError, match="m: damaged: ") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_matrix_of_a_model_that_is_not_whitened_is_refused(tiny, gear, model, tmp_path):
    path = PatchCore(tiny).fit(gear.train).save(tmp_path / "m")
    arrays, header = container.read(path)
    container.write(path, {**arrays, "whitening": model.whitening_}, header)
    with pytest.raises(ModelError, match="m: damaged: "):
        load(path)
