"""A fit over a cluster writes the bytes of a fit on one machine, whatever happens meanwhile."""

import contextlib
import os
import shutil
import signal
import warnings

import numpy as np
import pytest
from PIL import Image

from minicore import Ensemble, PatchCore
from minicore.cluster import InProcess, coordinator
from minicore.errors import ImageError, MinicoreError, ModelError, OutputError
from minicore.patchcore.over_cluster import cluster_fit
from minicore.patchcore.over_cluster.image_part import ImagePart
from minicore.runtime import container

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from minicore.cluster import dask_workers  # noqa: E402


@pytest.fixture
def few(monkeypatch):
    """Few candidates, so that there are many rounds."""
    monkeypatch.setattr(coordinator, "FEWEST", 16)
    monkeypatch.setattr(coordinator, "FEWEST_OF_PART", 2)
    monkeypatch.setattr(coordinator, "PER_PICK", 2)


@pytest.fixture
def folder(gear, tmp_path):
    """The training images as files; the last two are copies."""
    place = tmp_path / "good"
    place.mkdir()
    for i, image in enumerate([*gear.train, gear.train[3], gear.train[0]]):
        Image.fromarray(image).save(place / f"{i:02d}.png")
    return place


class Here(InProcess):
    """In place of a cluster: parts in this process, some of them made again before a call."""

    remake = 0.0

    def __init__(self, client, make, arguments):
        self.make, self.arguments, self.rng = make, arguments, np.random.default_rng(0)
        super().__init__([make(*own) for own in arguments])

    def call(self, method, arguments, done=None):
        for i in arguments:
            if self.rng.random() < self.remake:
                self.parts[i] = self.make(*self.arguments[i])
        return super().call(method, arguments, done)

    def close(self):
        pass


class Client:
    def wait_for_workers(self, n, timeout):
        pass

    def nthreads(self):
        return {"here": 2}


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(dask_workers, "DaskWorkers", Here)
    return Client()


def saved(model, tmp_path):
    return model.save(tmp_path / "model", overwrite=True).read_bytes()


COPIES = pytest.mark.filterwarnings("ignore:.*(copy|copies)")


@COPIES
@pytest.mark.parametrize("edges", [[0, 14], [0, 7, 14], [0, 1, 12, 13, 14], [0, 1, 3, 4, 6, 9, 14]])
def test_any_division_into_parts_gives_the_same_model(
    tiny, folder, here, few, edges, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster_fit, "_edges", lambda images, parts: edges)
    options = {"coreset_ratio": 0.2, "projection_dim": 8}
    over = PatchCore(tiny, **options).fit(folder, client=here)
    assert saved(over, tmp_path) == saved(PatchCore(tiny, **options).fit(folder), tmp_path)
    assert over.cluster_coreset_.rounds > 5 and over.made_.copies == 2


@COPIES
@pytest.mark.parametrize(
    "options",
    [
        {"engine": "equations", "projection_dim": 8},
        {"embedding": "paper", "dimension": (6, 10), "stride": 2},
        {"score": "top", "coreset_ratio": 0.3},
        {"b": None, "coreset_radius": 1.0},
        {"augment": "rotations", "angles": (0, 90), "coreset_ratio": 0.05},
        {"bank_storage": "disk"},
        {"bank_storage": "float16"},
        {"false_positive_rate": None},
        {"batch_size": 3, "coreset_ratio": 1.0},
    ],
    ids=str,
)
def test_all_options_give_the_model_of_one_machine(tiny, folder, here, few, options, tmp_path):
    over = PatchCore(tiny, **options).fit(folder, client=here, parts=3)
    assert saved(over, tmp_path) == saved(PatchCore(tiny, **options).fit(folder), tmp_path)


def test_arrays_equal_images_and_a_single_image_can_be_fitted(tiny, gear, here, tmp_path):
    over = PatchCore(tiny).fit(gear.train, client=here, parts=5)
    assert saved(over, tmp_path) == saved(PatchCore(tiny).fit(gear.train), tmp_path)
    single = PatchCore(tiny, coreset_ratio=0.5).fit(gear.train[:1], client=here)
    assert single.threshold_ is None and single.made_.images == 1


def test_the_members_of_an_ensemble_are_fitted_over_the_cluster(tiny, gear, here, tmp_path):
    models = [PatchCore(tiny, seed=seed) for seed in (0, 1)]
    over = Ensemble(models).fit(gear.train, client=here)
    assert saved(over, tmp_path) == saved(Ensemble(models).fit(gear.train), tmp_path)


@COPIES
@pytest.mark.parametrize("storage", ["float32", "disk"])
def test_parts_that_are_made_again_change_nothing(
    tiny, folder, here, few, storage, tmp_path, monkeypatch
):
    monkeypatch.setattr(Here, "remake", 0.2)
    options = {"coreset_ratio": 0.2, "bank_storage": storage}
    over = PatchCore(tiny, **options).fit(folder, client=here, parts=4)
    assert saved(over, tmp_path) == saved(PatchCore(tiny, **options).fit(folder), tmp_path)


def test_warnings_of_workers_are_repeated(tiny, folder, here):
    for name in ("03.png", "09.png", "12.png", "13.png"):
        dark = np.random.default_rng(len(name)).integers(4000, size=(128, 128), dtype=np.uint16)
        Image.fromarray(dark).save(folder / name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PatchCore(tiny).fit(folder, client=here, parts=2)
    texts = [str(each.message) for each in caught]
    assert len([text for text in texts if "read as almost black" in text]) == 1
    assert len([text for text in texts if "copies of others" in text]) == 1


@COPIES
def test_two_rounds_select_as_many_rows_and_report_their_radius(tiny, folder, here):
    over = PatchCore(tiny, selection="two-round", coreset_ratio=0.05)
    over.fit(folder, client=here, parts=3)
    exact = PatchCore(tiny, coreset_ratio=0.05).fit(folder)
    found = over.cluster_coreset_
    assert len(over.memory_bank_) == len(exact.memory_bank_)
    assert exact.coreset_radii_[-1] / 2 <= found.radius <= found.guarantee
    assert over.threshold_ > 0 and len(over.coreset_radii_) == 0


# Unfinished fits


class Stopped(Exception):
    pass


def stop_after(writes, monkeypatch):
    """End the fit when its picks are written for the last time."""
    left, write = [writes], container.write

    def limited(*arguments, **options):
        write(*arguments, **options)
        left[0] -= 1
        if not left[0]:
            raise Stopped

    monkeypatch.setattr(container, "write", limited)


@COPIES
@pytest.mark.parametrize("writes", [1, 4])
def test_a_fit_continues_from_its_last_picks(
    tiny, folder, here, few, writes, tmp_path, monkeypatch
):
    radius = float(PatchCore(tiny, coreset_ratio=0.2).fit(folder).coreset_radii_[-30])
    options, picks = {"coreset_ratio": 0.2, "coreset_radius": radius}, tmp_path / "m.picks"
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(writes, patch)
        PatchCore(tiny, **options).fit(folder, client=here, resume=picks)
    begun, _ = container.read(picks)
    over = PatchCore(tiny, **options).fit(folder, client=here, parts=5, resume=picks)
    assert saved(over, tmp_path) == saved(PatchCore(tiny, **options).fit(folder), tmp_path)
    assert not picks.exists() and over.cluster_coreset_.rounds > 0
    assert 1 < len(begun["rows"]) < len(over.memory_bank_)


@COPIES
def test_picks_of_other_options_or_images_are_refused(
    tiny, folder, here, few, tmp_path, monkeypatch
):
    picks = tmp_path / "m.picks"
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(2, patch)
        PatchCore(tiny).fit(folder, client=here, resume=picks)
    before = picks.read_bytes()
    with pytest.raises(ModelError, match=r"m\.picks: the picks of a fit with other options"):
        PatchCore(tiny, seed=1).fit(folder, client=here, resume=picks)
    shutil.copy(folder / "05.png", folder / "07.png")
    with pytest.raises(ModelError, match=r"m\.picks: the picks of other images: .*07\.png is new"):
        PatchCore(tiny).fit(folder, client=here, resume=picks)
    (folder / "13.png").unlink()
    with pytest.raises(ModelError, match=r"m\.picks: the picks of other images"):
        PatchCore(tiny).fit(folder, client=here, resume=picks)
    assert picks.read_bytes() == before


def test_damaged_picks_are_named(tiny, gear, here, tmp_path):
    (tmp_path / "m.picks").write_bytes(b"")
    with pytest.raises(ModelError, match=r"m\.picks: damaged; delete it to begin again"):
        PatchCore(tiny).fit(gear.train, client=here, resume=tmp_path / "m.picks")


def test_another_file_is_not_replaced_by_picks(tiny, gear, here, tmp_path):
    model = PatchCore(tiny).fit(gear.train)
    model.save(tmp_path / "model")
    (tmp_path / "notes").write_text("mine")
    before = (tmp_path / "model").read_bytes()
    with pytest.raises(ModelError, match="model: not the picks of an unfinished fit"):
        PatchCore(tiny).fit(gear.train, client=here, resume=tmp_path / "model")
    with pytest.raises(OutputError, match="notes"):
        PatchCore(tiny).fit(gear.train, client=here, resume=tmp_path / "notes")
    assert (tmp_path / "model").read_bytes() == before
    assert (tmp_path / "notes").read_text() == "mine"


# Refusals


@COPIES
def test_an_image_that_changes_during_the_fit_is_refused(tiny, folder, here, monkeypatch):
    class Changing(Here):
        def call(self, method, arguments, done=None):
            if method == "of_images" and next(iter(arguments.values()))[1] == "features":
                shutil.copy(folder / "05.png", folder / "07.png")
                self.parts = [self.make(*own) for own in self.arguments]
            return super().call(method, arguments, done)

    monkeypatch.setattr(dask_workers, "DaskWorkers", Changing)
    model = PatchCore(tiny)
    with pytest.raises(ImageError, match=r"07\.png: this image has changed during the fit"):
        model.fit(folder, client=here)
    assert not hasattr(model, "threshold_")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"whiten": True}, "whiten must be False"),
        ({"selection": "kmeans"}, "selection must be 'greedy' or 'two-round' for a fit over a clu"),
    ],
)
def test_what_cannot_be_computed_over_a_cluster_is_refused(tiny, gear, here, options, words):
    with pytest.raises(ValueError, match=words):
        PatchCore(tiny, **options).fit(gear.train, client=here)


def test_several_networks_and_a_wrong_number_of_parts_are_refused(tiny, gear, here):
    with pytest.raises(ValueError, match="one network"):
        PatchCore([tiny, tiny]).fit(gear.train, client=here)
    for parts in (0, 1.5, True):
        with pytest.raises(ValueError, match="parts must be a whole number"):
            PatchCore(tiny).fit(gear.train, client=here, parts=parts)


def test_two_rounds_need_a_cluster(tiny, gear):
    with pytest.raises(ValueError, match="without a cluster"):
        PatchCore(tiny, selection="two-round").fit(gear.train)


# A real cluster


@contextlib.contextmanager
def two_workers():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(processes=True, silence_logs=50, **options) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Dying(ImagePart):
    """A part whose worker is killed once, at some moment."""

    def __init__(self, packed, images, at, pixels):
        self.flag = images[0].parents[1] / "killed"
        if at > 0:
            self.die("in the network stage")
        super().__init__(packed, images, at, pixels)

    def farthest(self, known, rows, vectors, n):
        if known > 20:
            self.die("in a round")
        return super().farthest(known, rows, vectors, n)

    def scores(self, others, filled):
        self.die("at the end")
        return super().scores(others, filled)

    def die(self, moment):
        wanted = self.flag.with_name("moment").read_text()
        if moment == wanted and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@COPIES
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Dask's own, when a worker dies
@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize("moment", ["in the network stage", "in a round", "at the end"])
def test_a_killed_worker_changes_nothing(moment, tiny, folder, few, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_fit, "ImagePart", Dying)
    (tmp_path / "moment").write_text(moment)
    options = {"coreset_ratio": 0.2, "progress": False}
    with two_workers() as client:
        over = PatchCore(tiny, **options).fit(folder, client=client, parts=4)
    assert (tmp_path / "killed").exists()
    assert saved(over, tmp_path) == saved(PatchCore(tiny, **options).fit(folder), tmp_path)


@pytest.mark.slow
def test_an_error_on_a_worker_names_the_image(tiny, folder):
    (folder / "09.png").write_bytes(b"no image")
    with two_workers() as client, pytest.raises(ImageError, match=r"09\.png"):
        PatchCore(tiny, progress=False).fit(folder, client=client)


@pytest.mark.slow
def test_a_cluster_without_workers_is_named(tiny, gear, monkeypatch):
    monkeypatch.setattr(cluster_fit, "WAIT", 0.2)
    options = {"n_workers": 0, "dashboard_address": ":0", "silence_logs": 50}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(MinicoreError, match="no workers; start some: dask worker"),
    ):
        PatchCore(tiny).fit(gear.train, client=client)


@COPIES
@pytest.mark.slow
def test_the_command_writes_the_same_file(tiny, folder, run, tmp_path):
    arguments = "fit", folder, "--backbone", tiny, "-o"
    assert run(*arguments, tmp_path / "one")[0] == 0
    code, _, text = run(*arguments, tmp_path / "over", "--workers", 2)
    assert code == 0 and "coreset selected in" in text
    assert (tmp_path / "over").read_bytes() == (tmp_path / "one").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good", "one", "over"]
