"""Scores over the workers of a Dask cluster are those of one process, to the bit."""

import itertools
import os
import pickle
import signal
import time

import numpy as np
import pytest
from PIL import Image

from minicore import Ensemble, PatchCore
from minicore.errors import BackboneError, ImageError, MinicoreWarning
from minicore.evaluation.baselines import SPADE, MahalanobisAD, OneClassSVM, PaDiM
from minicore.patchcore.search import Detection, Search

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from minicore.cluster.dask_stream import AHEAD, Packed, in_order  # noqa: E402
from minicore.patchcore.over_cluster import shards as shards_module  # noqa: E402
from minicore.patchcore.over_cluster.on_worker import opened  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Dask's own, when a worker dies
]
FIELDS = ("scores", "distances", "patch_scores", "maps")
MODELS = {
    "PatchCore": (PatchCore, {"coreset_ratio": 0.1}),
    "without equation 7": (PatchCore, {"b": None, "coreset_ratio": 0.02}),
    "top": (PatchCore, {"score": "top", "sigma": 2.0}),
    "whitened": (PatchCore, {"whiten": True, "stride": 2}),
    "equations": (PatchCore, {"engine": "equations", "coreset_ratio": 0.02}),
    "PaDiM": (PaDiM, {"d": 10}),
    "SPADE": (SPADE, {}),
    "MahalanobisAD": (MahalanobisAD, {}),
    "OneClassSVM": (OneClassSVM, {}),
}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=True, silence_logs=50, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def fitted(tiny, write_tiny, gear, tmp_path_factory):
    """Return a fitted detector of a kind, with batches of two images."""
    options = {"batch_size": 2, "progress": False}
    models = {}

    def fit(kind):
        if kind not in models and kind == "Ensemble":
            other = write_tiny(tmp_path_factory.mktemp("network") / "other.onnx", seed=1)
            members = [PatchCore(network, **options) for network in (tiny, other)]
            models[kind] = Ensemble(members, progress=False).fit(gear.train)
        elif kind not in models:
            method, own = MODELS[kind]
            models[kind] = method(tiny, **options, **own).fit(gear.train)
        return models[kind]

    return fit


@pytest.fixture
def model(fitted):
    return fitted("PatchCore")


@pytest.fixture
def folder(gear, tmp_path):
    """Ten images in files."""
    for i, image in enumerate(gear.test):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    return tmp_path


def assert_same(found, expected):
    """Compare batches."""
    assert [len(batch.scores) for batch in found] == [len(batch.scores) for batch in expected]
    ours, theirs = Detection.join(list(found)), Detection.join(list(expected))
    for name in FIELDS:
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


# ------------------------------------------------------------------- the same results


@pytest.mark.parametrize("kind", [*MODELS, "Ensemble"])
def test_every_detector_finds_what_it_finds_in_one_process(kind, fitted, client, gear):
    model = fitted(kind)
    assert_same(list(model.stream(gear.test, client=client)), list(model.stream(gear.test)))


@pytest.mark.parametrize("kind", [kind for kind in MODELS if MODELS[kind][0] is PatchCore])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_divided_bank_finds_what_the_whole_bank_finds(kind, shards, fitted, client, gear):
    model = fitted(kind)
    found = list(model.stream(gear.test, client=client, shards=shards))
    assert_same(found, list(model.stream(gear.test)))


def scale(client, workers):
    client.cluster.scale(workers)
    while len(client.nthreads()) != workers:
        time.sleep(0.05)


def test_three_workers_find_the_same(model, client, gear):
    scale(client, 3)
    expected = list(model.stream(gear.test))
    for shards in (None, 2):
        assert_same(list(model.stream(gear.test, client=client, shards=shards)), expected)
    scale(client, 2)


class InProcess:
    """Computes each task when it is submitted."""

    def submit(self, function, *arguments, pure):
        return function(*arguments)


@pytest.mark.parametrize("engine", ["fast", "equations"])
@pytest.mark.parametrize("shards", [1, 2, 3, 7, 60])
def test_ties_between_shards_go_to_the_lowest_row(model, engine, shards, monkeypatch):
    rng = np.random.default_rng(shards)
    bank = rng.integers(0, 3, (60, 5)).astype(np.float32)  # with equal rows and equal distances
    features = rng.integers(0, 3, (4, 8, 8, 5)).astype(np.float32)
    batch = shards_module.Batch(features, (64, 64), (8.0, 8.0), {})
    monkeypatch.setattr(shards_module, "_patches", lambda network, images: batch)
    copy = pickle.loads(pickle.dumps(model))
    copy.memory_bank_, copy.engine, copy._file = bank, engine, None
    start = shards_module.score_over_shards(copy, InProcess(), shards)()
    (found,), _, _ = start(None)
    s, s_star, distances = Search(bank, model.config_.b).score(features, engine)
    np.testing.assert_array_equal(found.scores, s)
    np.testing.assert_array_equal(found.distances, s_star)
    np.testing.assert_array_equal(found.patch_scores, distances)


# ------------------------------------------------------------------- unusable images


def spoil(folder, bad):
    for i in bad:
        (folder / f"{i}.png").write_bytes(b"no image")


@pytest.mark.parametrize("shards", [None, 2])
@pytest.mark.parametrize("bad", [(0, 1, 2, 3), (3,), (9,), tuple(range(10))])
def test_the_same_images_are_skipped(shards, bad, model, client, folder, monkeypatch):
    spoil(folder, bad)
    monkeypatch.chdir(folder)  # the workers have another working folder
    files = [f"{i}.png" for i in range(10)]
    ours, theirs = {}, {}
    found = list(model.stream(files, skipped=ours, client=client, shards=shards))
    expected = list(model.stream(files, skipped=theirs))
    assert list(map(str, ours.values())) == list(map(str, theirs.values()))
    assert list(ours) == list(theirs) == list(bad)
    assert all(len(batch.scores) <= 2 for batch in found)
    for name in FIELDS if found else ():
        ours, theirs = (getattr(Detection.join(b), name) for b in (found, expected))
        np.testing.assert_array_equal(ours, theirs)


def until_error(batches):
    found = []
    with pytest.raises(ImageError) as error:
        for batch in batches:
            found.append(batch)
    return found, str(error.value)


@pytest.mark.parametrize("shards", [None, 2])
def test_the_first_error_comes_after_the_batches_before_it(shards, model, client, folder, gear):
    whole = PatchCore(model.backbone_, resize="none", crop="none", batch_size=2, progress=False)
    whole.fit(gear.train)
    spoil(folder, (5, 6))
    arrays = [image[: 100 if i in (5, 6) else 128] for i, image in enumerate(gear.test)]
    for images in (folder, arrays):
        found, error = until_error(whole.stream(images, client=client, shards=shards))
        expected, text = until_error(whole.stream(images))
        assert len(found) == 2 and error == text and "5" in error.split(":")[0]
        assert_same(found, expected)


def test_a_worker_without_the_network_is_named_with_a_remedy(write_tiny, gear, client, tmp_path):
    network = write_tiny(tmp_path / "network.onnx")
    model = PatchCore(network, progress=False).fit(gear.train)
    network.rename(tmp_path / "elsewhere.onnx")
    for shards in (None, 2):
        with pytest.raises(BackboneError, match=r"network\.onnx: no such file.*all workers need"):
            list(model.stream(gear.test, client=client, shards=shards))


# ------------------------------------------------------------------- workers that die


class Dying(PatchCore):
    """A model that kills its worker once, in a task in the middle."""

    def _patches(self, images, *arguments, **options):
        if "5.png" in str(images) and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._patches(images, *arguments, **options)


@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize("shards", [None, 3])
def test_a_killed_worker_changes_nothing(shards, model, client, folder):
    dying = Dying(model.backbone_, batch_size=2, progress=False)
    vars(dying).update(vars(model), flag=folder / "killed")
    before = set(client.run(os.getpid).values())
    found = list(dying.stream(folder, client=client, shards=shards))
    assert dying.flag.exists()
    client.wait_for_workers(2)
    assert set(client.run(os.getpid).values()) != before
    assert_same(found, list(model.stream(folder)))


@pytest.mark.usefixtures("posix")
def test_the_only_worker_is_killed_and_nothing_changes(model, client, gear):
    scale(client, 1)
    images = [*gear.test, *gear.train] * 2  # arrays: they are lost too
    found = model.stream(images, client=client, shards=3)
    first = next(found)
    (worker,) = client.run(os.getpid).values()
    os.kill(worker, signal.SIGKILL)
    assert_same([first, *found], list(model.stream(images)))
    scale(client, 2)


# ------------------------------------------------------------------- what workers hold


def test_workers_read_their_rows_from_the_file_of_the_model(
    model, client, gear, tmp_path, monkeypatch
):
    sent = []
    send = shards_module.send

    def count(client, value):
        sent.extend([value] if isinstance(value, np.ndarray) else [])
        return send(client, value)

    monkeypatch.setattr(shards_module, "send", count)
    images = [tmp_path / "image.png"]
    Image.fromarray(gear.test[0]).save(images[0])
    expected = list(model.stream(images))
    file = model.save(tmp_path / "gear.minicore")
    for saved in (model, PatchCore.load(file, batch_size=2, progress=False)):
        assert_same(list(saved.stream(images, client=client, shards=2)), expected)
    assert sent == []
    file.write_bytes(file.read_bytes()[:-5000])  # now the rows are sent
    assert_same(list(saved.stream(images, client=client, shards=2)), expected)
    assert 1 <= len(sent) <= 2


def test_rows_that_differ_from_the_file_are_sent(tiny, client, gear, tmp_path):
    model = PatchCore(tiny, batch_size=2, progress=False, coreset_ratio=0.1).fit(gear.train[:6])
    model.save(tmp_path / "gear.minicore")
    model.update(gear.train[6:])
    expected = list(model.stream(gear.test))
    assert_same(list(model.stream(gear.test, client=client, shards=2)), expected)


def test_both_workers_hold_shards(model, client):
    parts = shards_module._hold(client, model, 2)
    distributed.wait(parts)
    assert len({place for places in client.who_has(parts).values() for place in places}) == 2


def test_networks_and_members_use_one_thread(fitted):
    detector = opened(Packed(fitted("Ensemble")))
    assert [member.n_threads for member in detector.members_] == [None, None]
    assert [member.backbone_.threads for member in detector.members_] == [1, 1]


def test_arrays_of_a_packed_object_can_be_changed_after_pickling():
    packed = pickle.loads(pickle.dumps(Packed({"rows": np.arange(5.0)}), protocol=5))
    packed = pickle.loads(pickle.dumps(packed, protocol=5))
    rows = packed.open()["rows"]
    assert rows.flags.writeable and packed.open()["rows"] is rows
    np.testing.assert_array_equal(rows, np.arange(5.0))


# ------------------------------------------------------------------- jobs


def square(i):
    return i * i


def test_few_jobs_are_on_the_way_and_the_rest_is_cancelled_at_the_end(client):
    begun = []

    def jobs():
        for i in itertools.count():
            begun.append(i)
            yield i

    results = in_order(client, jobs(), lambda: lambda i: client.submit(square, i, pure=False))
    assert [next(results) for _ in range(20)] == [(i, i * i) for i in range(20)]
    assert len(begun) <= 20 + AHEAD * 2
    results.close()
    limit = time.monotonic() + 10
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < limit
        time.sleep(0.05)


# ------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize("shards", [0, 10**6, True, 2.0])
def test_a_bank_cannot_be_divided_into_any_number(shards, model, gear):
    with pytest.raises(ValueError, match=r"shards must be a whole number from 1 to \d+, .* got"):
        list(model.stream(gear.test, client=InProcess(), shards=shards))


def test_shards_need_a_client_and_a_patchcore(fitted, model, gear):
    with pytest.raises(ValueError, match="shards must be None without a client"):
        list(model.stream(gear.test, shards=2))
    for kind in ("Ensemble", "PaDiM"):
        with pytest.raises(ValueError, match=f"shards must be None for {kind}"):
            list(fitted(kind).stream(gear.test, client=InProcess(), shards=2))


@pytest.mark.parametrize("shards", [None, 2])
def test_warnings_of_workers_are_repeated(shards, model, client, folder):
    Image.fromarray(np.full((128, 128), 4000, np.uint16)).save(folder / "dark.png")
    with pytest.warns(MinicoreWarning, match="read as almost black"):
        list(model.stream(folder, client=client, shards=shards))
