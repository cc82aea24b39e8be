"""The estimator: what it returns, what it refuses, and that nothing else changes an answer."""

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from minicore import PatchCore, datasets, equations, fast, trace
from minicore.backbones import Backbone
from minicore.errors import BackboneError, ImageError
from minicore.evaluation.evaluate import evaluate
from minicore.patchcore import detector

FAST = list(pkgutil.iter_modules(fast.__path__))
DEFAULT = Path(__file__).parents[2] / "weights" / "default.onnx"


class Counting(Backbone):
    """Count the images that the network sees."""

    seen = 0

    def __call__(self, batch):
        self.seen += len(batch)
        return super().__call__(batch)


@pytest.fixture(scope="module")
def model(tiny, gear):
    return PatchCore(tiny).fit(gear.train)


def same(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


# What comes out


def test_shapes_and_types_are_those_documented(model, gear):
    n = len(gear.test)
    assert model.grid_ == (8, 8) and model.input_size_ == (64, 64)
    assert model.memory_bank_.shape == (round(0.1 * 12 * 64), 20)
    assert model.memory_bank_.dtype == np.float32 and model.coreset_indices_.dtype == np.int64
    assert len(set(model.coreset_indices_)) == len(model.memory_bank_)
    found = model.detect(gear.test)
    assert found.scores.shape == found.distances.shape == (n,)
    assert found.scores.dtype == found.distances.dtype == np.float64
    assert found.patch_scores.shape == (n, 8, 8) and found.patch_scores.dtype == np.float32
    assert found.maps.shape == (n, 64, 64) and found.maps.dtype == np.float32
    assert (found.scores <= found.distances).all() and (found.patch_scores >= 0).all()
    assert np.array_equal(found.distances, found.patch_scores.max(axis=(1, 2)))


def test_signs_are_those_of_scikit_learn(model, gear):
    scores, labels = model.anomaly_score(gear.test), model.predict(gear.test)
    assert np.array_equal(model.score_samples(gear.test), -scores)
    assert np.array_equal(model.decision_function(gear.test), model.threshold_ - scores)
    assert labels.dtype == np.int64 and set(labels) <= {1, -1}
    assert np.array_equal(labels == -1, scores > model.threshold_)
    assert np.array_equal(PatchCore(model.backbone_).fit_predict(gear.test[:4]).shape, (4,))


@pytest.mark.slow
def test_it_is_an_estimator_to_scikit_learn(tiny, gear):
    model = PatchCore(tiny, coreset_ratio=0.3)
    assert model.set_params(b=4).get_params()["b"] == 4
    assert model.fit(gear.train, None) is model
    copy = clone(model.set_params(backbone=model.backbone_))
    assert copy.get_params()["coreset_ratio"] == 0.3 and not hasattr(copy, "memory_bank_")
    assert same(copy.fit(gear.train).detect(gear.test), model.detect(gear.test))
    with pytest.raises(NotFittedError):
        PatchCore(tiny).predict(gear.test)


@pytest.mark.slow
def test_every_row_of_the_bank_is_a_patch_of_the_training_images(tiny, gear):
    whole = PatchCore(tiny, coreset_ratio=1.0, false_positive_rate=None).fit(gear.train)
    bank = np.empty_like(whole.memory_bank_)
    bank[whole.coreset_indices_] = whole.memory_bank_
    part = PatchCore(tiny, coreset_ratio=0.2, batch_size=5).fit(gear.train)
    assert np.array_equal(part.memory_bank_, bank[part.coreset_indices_])
    assert np.allclose(whole.anomaly_score(gear.train), 0, atol=1e-5)


@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_a_radius_ends_the_coreset_as_soon_as_every_patch_is_within_it(tiny, gear, engine):
    options = {"engine": engine, "b": 2}
    model = PatchCore(tiny, coreset_ratio=1.0, false_positive_rate=None, **options).fit(gear.train)
    radii = model.coreset_radii_
    M = np.empty_like(model.memory_bank_)  # no wider than the projection, which is left out
    M[model.coreset_indices_] = model.memory_bank_
    assert len(radii) == len(M) and radii[-1] == 0 and (np.diff(radii) <= 0).all()
    asked = radii[40]
    short = PatchCore(tiny, coreset_ratio=1.0, coreset_radius=asked, **options).fit(gear.train)
    l = np.flatnonzero(radii <= asked)[0] + 1
    assert np.array_equal(short.coreset_indices_, model.coreset_indices_[:l])
    assert np.array_equal(short.coreset_radii_, radii[:l])
    farthest = equations.nearest(M, short.memory_bank_)[0].max()
    assert farthest == pytest.approx(radii[l - 1], rel=1e-6) and farthest <= asked * (1 + 1e-6)
    few = PatchCore(tiny, coreset_ratio=0.02, coreset_radius=asked, **options).fit(gear.train)
    assert np.array_equal(few.coreset_indices_, model.coreset_indices_[: round(0.02 * len(M))])
    assert few.coreset_radii_[-1] > asked


# One pass


@pytest.mark.slow
def test_scores_and_maps_run_the_network_once(tiny, gear, mvtec_root):
    network = Counting(tiny)
    model = PatchCore(network).fit(gear.train)
    assert network.seen == len(gear.train)
    files = sorted((mvtec_root / "gear" / "test" / "good").iterdir())
    for images in (gear.test, files):
        network.seen = 0
        model.anomaly_score(images), model.anomaly_map(images), model.predict(images)
        assert network.seen == len(images)
    model.fit(gear.train)
    model.anomaly_score(files)
    assert network.seen == len(files) * 2 + len(gear.train)


def test_changed_images_are_looked_at_again(model, gear, tmp_path):
    path = tmp_path / "image.png"
    answers = []
    for image in gear.test[[0, 5]]:
        Image.fromarray(image).save(path)
        answers.append(model.anomaly_score(path)[0])
    assert answers == list(model.anomaly_score(gear.test[[0, 5]]))
    images = gear.test[:1].copy()
    before = model.anomaly_score(images)[0]
    images[0] = 255 - images[0]
    assert model.anomaly_score(images)[0] != before


def test_the_remembered_answer_cannot_be_changed_by_accident(model, gear):
    with pytest.raises(ValueError, match="read-only"):
        model.anomaly_map(gear.test)[:] = 0


def test_stream_gives_what_detect_gives_in_batches(model, gear):
    parts = list(model.stream(gear.test))
    assert [len(part.scores) for part in parts] == [8, 2]
    assert same(type(parts[0]).join(parts), model.detect(gear.test))


@pytest.mark.slow
def test_files_arrays_and_lists_give_one_answer(model, gear, mvtec_root):
    folder = mvtec_root / "gear" / "test" / "good"
    images = gear.test[gear.labels == 0]
    for source in (folder, str(folder), sorted(folder.iterdir()), list(images)):
        assert np.array_equal(model.anomaly_score(source), model.anomaly_score(images))


def test_a_name_that_is_not_unicode_is_a_file_like_others(model, gear, tmp_path):
    path = tmp_path / "gr\udcfcn.png"  # ü in latin-1, as old archives have it
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("this file system wants Unicode")
    Image.fromarray(gear.test[0]).save(path)
    assert model.anomaly_score([path]) == model.anomaly_score(gear.test[:1])


# What changes nothing, and what does


@pytest.mark.slow
def test_the_literal_engine_uses_nothing_of_fast(tiny, gear, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("minicore.fast is used")

    for module in (fast, *(importlib.import_module(f"minicore.fast.{m.name}") for m in FAST)):
        for name, value in list(vars(module).items()):
            made_there = getattr(value, "__module__", "").startswith("minicore.fast")
            if callable(value) and (made_there or name in fast.__all__):
                monkeypatch.setattr(module, name, refuse)
    model = PatchCore(tiny, engine="equations", projection_dim=8, progress=False).fit(gear.train)
    assert model.threshold_ is not None and model.detect(gear.test[:2]).maps.shape == (2, 64, 64)
    assert trace(model, gear.test[0]).s == model.detect(gear.test[:1]).scores[0]
    assert model.update(gear.test[:4]).sum() > 0
    with pytest.raises(AssertionError, match="fast is used"):
        PatchCore(tiny, progress=False).fit(gear.train)


def test_one_image_is_listed_once_and_seen_by_the_network_once(tiny, gear, monkeypatch, tmp_path):
    calls = []

    def counted(name, function):
        def call(*arguments, **options):
            calls.append(name)
            return function(*arguments, **options)

        return call

    model = PatchCore(tiny, progress=False).fit(gear.train)
    for module in (detector, sys.modules[trace.__module__]):
        monkeypatch.setattr(module, "as_images", counted("images", module.as_images))
    monkeypatch.setattr(Backbone, "_run", counted("network", Backbone._run))
    score = model.anomaly_score(gear.test[:1])
    assert calls == ["images", "network"]
    assert trace(model, gear.test[:1]).s == score[0] and calls == ["images", "network"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"projection_dim": 7, "patchsize": 2, "b": 2},
        {"embedding": "paper", "dimension": (6, 10), "stride": 2, "sigma": 0.0},
        {"layers": ("layer3",), "b": None, "coreset_ratio": 0.5},
    ],
)
def test_both_engines_give_one_answer(tiny, gear, options):
    fast, literal = (
        PatchCore(tiny, engine=engine, **options).fit(gear.train)
        for engine in ("fast", "equations")
    )
    assert np.array_equal(fast.coreset_indices_, literal.coreset_indices_)
    one, other = fast.detect(gear.test), literal.detect(gear.test)
    for name, value in vars(one).items():
        assert np.allclose(value, getattr(other, name), rtol=1e-5, atol=1e-5), name
    assert fast.threshold_ == pytest.approx(literal.threshold_, rel=1e-5)
    assert fast.map_threshold_ == pytest.approx(literal.map_threshold_, rel=1e-5)


@pytest.mark.slow
def test_same_seed_same_bytes_on_any_threads_and_batch_size(tiny, gear, tmp_path):
    options = [{"n_threads": 1}, {"n_threads": 2}, {"n_threads": 2}, {"batch_size": 5}]
    models = [PatchCore(tiny, projection_dim=8, **o).fit(gear.train) for o in options]
    files = {m.save(tmp_path / "m").read_bytes() for m in models}
    assert len(files) == 1
    assert len({m.anomaly_map(gear.test).tobytes() for m in models}) == 1


def test_another_seed_picks_another_coreset(tiny, gear):
    one, other = (PatchCore(tiny, seed=seed).fit(gear.train) for seed in (0, 1))
    assert one.coreset_indices_[0] != other.coreset_indices_[0]
    assert not np.array_equal(np.sort(one.coreset_indices_), np.sort(other.coreset_indices_))


@pytest.mark.slow
def test_without_equation_7_the_score_is_the_distance_of_equation_6(model, tiny, gear):
    plain = PatchCore(tiny, b=None).fit(gear.train).detect(gear.test)
    assert np.array_equal(plain.scores, plain.distances)
    assert np.array_equal(plain.distances, model.detect(gear.test).distances)
    assert (model.detect(gear.test).scores < plain.scores).any()


def test_resize_and_crop_override_the_network(tiny, gear):
    model = PatchCore(tiny, resize=(96, 128), crop=(80, 128)).fit(gear.train)
    assert model.input_size_ == (80, 128) and model.grid_ == (10, 16)
    assert model.anomaly_map(gear.test[:2]).shape == (2, 80, 128)
    assert (model.config_.resize, model.config_.crop) == ((96, 128), (80, 128))
    assert PatchCore(tiny, resize=64).fit(gear.train).config_.crop == 64  # of the network


@pytest.mark.slow
def test_memory_grows_with_the_bank_and_not_with_the_images(tiny, tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i:02d}.png" for i in range(48)]
    for path in paths:
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(path)
    options = {"resize": 256, "crop": 256, "coreset_ratio": 0.001, "b": 2, "batch_size": 4}
    model = PatchCore(tiny, **options, false_positive_rate=None)
    model.fit(paths[:4])
    peaks = []
    for n in (16, 48):
        tracemalloc.start()
        model.fit(paths[:n])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    bank, images = (32 * size for size in (32 * 32 * 20 * 4, 256 * 256 * 3 * 4))
    assert peaks[1] - peaks[0] < 2.5 * bank < images / 3


# Refusals


@pytest.mark.parametrize(
    "name, value",
    [
        *(("coreset_ratio", v) for v in (0, -0.1, 1.5, float("nan"), "1%", None)),
        *(("sigma", v) for v in (-1, float("inf"), None)),
        *(("false_positive_rate", v) for v in (0, 1, -0.05, "5%")),
        *((name, v) for name in ("patchsize", "stride") for v in (0, -1, 1.5, True, None)),
        *(("b", v) for v in (1, 0, -1, 1.5, True)),
        *(("projection_dim", v) for v in (0, 1.5)),
        *(("seed", v) for v in (-1, 0.5, None)),
        *(("dimension", v) for v in (0, (1, 2, 3), (4, 0), None)),
        *(("resize", v) for v in (0, -1, (64,), "64")),
        *(("crop", v) for v in (0, 1.5)),
        *((name, v) for name in ("batch_size", "n_threads") for v in (0, -1)),
        ("embedding", "sum"),
        ("engine", "slow"),
        *(("coreset_radius", v) for v in (-1, float("nan"), "1")),
        ("b", 10_000),
    ],
)
def test_a_bad_parameter_is_named_with_its_value(tiny, gear, name, value):
    with pytest.raises(ValueError) as caught:
        PatchCore(**{"backbone": tiny, name: value}).fit(gear.train[:2])
    message = str(caught.value)
    assert name.removeprefix("n_") in message and repr(value).strip("()") in message
    assert "\n" not in message


def test_layers_must_be_there_and_agree_with_a_backbone_given(tiny, gear):
    with pytest.raises(BackboneError, match="layer9"):
        PatchCore(tiny, layers=("layer9",)).fit(gear.train)
    network = Backbone(tiny, layers=["layer3"])
    with pytest.raises(ValueError, match=r"layers must be those of the Backbone.*'layer2'"):
        PatchCore(network, layers=("layer2",)).fit(gear.train)
    assert PatchCore(network, layers=["layer3"]).fit(gear.train).config_.layers == ("layer3",)
    assert PatchCore(tiny, layers=("layer3",)).fit(gear.train).memory_bank_.shape[1] == 12


def test_no_images_and_wrong_images_are_refused(model, tiny, gear, tmp_path):
    for look in (PatchCore(tiny).fit, model.detect):
        with pytest.raises(ValueError, match="at least one image"):
            look([])
        with pytest.raises(ImageError, match="uint8"):
            look(gear.train.astype(float))
        with pytest.raises(ImageError, match="missing"):
            look([tmp_path / "missing.png"])


def test_a_fit_that_stops_halfway_leaves_no_model_of_two_halves(tiny, gear, tmp_path):
    model = PatchCore(tiny).fit(gear.train)
    with pytest.raises(ImageError):
        model.set_params(patchsize=5).fit([*gear.train, tmp_path / "missing.png"])
    with pytest.raises(NotFittedError):
        model.anomaly_score(gear.test)
    model.set_params(patchsize=3).fit(gear.train)
    with pytest.raises(ValueError, match="b must be"):  # found out at the very end
        model.set_params(b=10_000, false_positive_rate=None).fit(gear.train)
    with pytest.raises(NotFittedError):
        model.anomaly_score(gear.test)


# The outside


def test_importing_minicore_loads_nothing_heavy():
    heavy = ["numba", "onnxruntime", "matplotlib", "sklearn", "scipy", "PIL", "tqdm"]
    code = f"import sys, minicore; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not DEFAULT.is_file(), reason="needs weights/default.onnx")
def test_the_network_that_ships_finds_defects():
    parts = datasets.synthetic("gear", n_train=20, n_good=6, n_defective=12)
    result, _ = evaluate(PatchCore(coreset_ratio=0.05), parts)
    assert result.image_auroc > 0.9 and result.pixel_auroc > 0.9


@pytest.mark.slow
def test_bottle_of_mvtec_ad_is_as_good_as_published(shared):
    bottle = datasets.mvtec(shared / "data" / "mvtec256", "bottle")
    network = shared / "weights" / "resnet18_l123.onnx"
    result, found = evaluate(PatchCore(network, "concat", coreset_ratio=0.01), bottle)
    assert result.image_auroc >= 0.995 and result.pixel_auroc >= 0.975
    assert found.maps.shape == (len(bottle.test), 224, 224)


def test_a_replaced_file_of_equal_size_and_time_is_scored_anew(tiny, gear, tmp_path):
    path, other = tmp_path / "part.bmp", tmp_path / "other.bmp"
    Image.fromarray(gear.test[0]).save(path)
    Image.fromarray(gear.test[-1]).save(other)
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert other.stat().st_size == stat.st_size
    model = PatchCore(tiny, projection_dim=8, progress=False).fit(gear.train)
    before = model.anomaly_score(path)
    shutil.copy2(other, path)  # as `cp -p`
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert model.anomaly_score(path) == model.anomaly_score(other) != before


def test_the_same_files_run_the_network_once(tiny, gear, tmp_path, monkeypatch):
    path = tmp_path / "part.png"
    Image.fromarray(gear.test[0]).save(path)
    model = PatchCore(tiny, projection_dim=8, progress=False).fit(gear.train)
    first = model.detect(path)
    monkeypatch.setattr(type(model.backbone_), "_run", None)
    assert model.detect(path) is first


@pytest.mark.slow
def test_two_threads_that_ask_for_different_images_get_their_own_answers(tiny, gear):
    model = PatchCore(tiny, projection_dim=8, progress=False).fit(gear.train)
    alone = [model.anomaly_score(image).item() for image in gear.test]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            together = pool.map(lambda image: model.anomaly_score(image).item(), gear.test)
            assert list(together) == alone
