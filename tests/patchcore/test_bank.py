"""The whole memory bank: the same rows however it is kept, and nothing left behind."""

import errno
import os
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from minicore import PatchCore
from minicore.errors import OutputError
from minicore.patchcore import bank
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.selection import project

STORAGES = ("float32", "float16", "disk")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder of temporary files of our own, to see what is in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def batches(n=7, size=3, width=20):
    """Patch features whose values float16 holds exactly."""
    rng = np.random.default_rng(0)
    patches = rng.integers(-2000, 2000, size=(n, 5, 4, width)).astype(np.float32)
    return patches, [patches[first : first + size] for first in range(0, n, size)]


def filled(storage):
    patches, parts = batches()
    M = MemoryBank(len(patches), storage)
    for part in parts:
        M.append(part)
    return M, patches.reshape(-1, patches.shape[-1])


@pytest.mark.parametrize("storage", STORAGES)
def test_rows_come_back_as_they_were_put_in(storage, monkeypatch):
    M, expected = filled(storage)
    with M:
        assert M.shape == expected.shape and len(M) == len(expected)
        rows = np.array([139, 0, 7, 7])
        for some in (slice(None), slice(130, 200), slice(0, 0), rows):
            assert M[some].dtype == np.float32 and np.array_equal(M[some], expected[some])
        monkeypatch.setattr(bank, "BLOCK", 64)
        factors = np.where(np.arange(20) < 8, 0.5, 2).astype(np.float32)
        M.transform(lambda rows: rows * factors, 20)
        assert np.array_equal(M[:], expected * factors)
        kept = [1, 12, 5]
        M.transform(lambda rows: rows[:, kept], 3)
        assert M.shape == (140, 3) and np.array_equal(M[:], (expected * factors)[:, kept])
        assert np.array_equal(M[rows], M[:][rows])
    assert len(M) == 0


def test_a_bank_in_memory_is_read_without_a_copy():
    with MemoryBank(2, "float32") as M:
        M.append(np.ones((2, 3, 3, 4), np.float32))
        assert M.grid == (3, 3)
        assert np.shares_memory(M[:9], M[:]) and M[:].nbytes == 2 * 9 * 4 * 4


@pytest.mark.slow
def test_the_projection_is_that_of_the_whole_whatever_the_storage(tiny, gear):
    config = PatchCore(tiny, projection_dim=7).fit(gear.train).config_
    rng = np.random.default_rng(0)
    patches = rng.integers(-9, 9, size=(3, 64, 64, 20)).astype(np.float32)  # more than a block
    found = []
    for storage in STORAGES:
        with MemoryBank(3, storage) as M:
            M.append(patches)
            found.append(project(M, config).tobytes())
            rows = np.arange(len(M))
            found.append(project(M, config, rows).tobytes())
    assert len(set(found)) == 1 and len(patches) * 64 * 64 > bank.BLOCK


def test_on_disk_the_model_is_the_same_to_the_bit(tiny, gear, temporary):
    there = []

    class Watched(MemoryBank):
        def append(self, patches):
            super().append(patches)
            there.append(self._file.tell())

    options = {"projection_dim": 8, "batch_size": 5}
    plain = PatchCore(tiny, **options).fit(gear.train)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicore.patchcore.estimator.MemoryBank", Watched)
        disk = PatchCore(tiny, bank_storage="disk", **options).fit(gear.train)
    assert there == [n * 64 * 20 * 4 for n in (5, 10, 12)]
    assert np.array_equal(disk.memory_bank_, plain.memory_bank_)
    assert disk.threshold_ == plain.threshold_ and disk.map_threshold_ == plain.map_threshold_
    assert disk.config_.bank_storage == "disk"
    assert list(temporary.iterdir()) == []


def test_half_precision_rounds_the_bank_and_nothing_else(tiny, gear, tmp_path):
    plain, half = (
        PatchCore(tiny, coreset_ratio=1.0, b=None, bank_storage=storage).fit(gear.train)
        for storage in ("float32", "float16")
    )
    exact, rounded = (np.empty_like(m.memory_bank_) for m in (plain, half))
    exact[plain.coreset_indices_] = plain.memory_bank_
    rounded[half.coreset_indices_] = half.memory_bank_
    assert rounded.dtype == np.float32
    assert np.array_equal(rounded, exact.astype(np.float16)) and not np.array_equal(rounded, exact)
    difference = np.linalg.norm(exact - rounded, axis=1).max()
    scores = plain.anomaly_score(gear.test), half.anomaly_score(gear.test)
    assert 0 < np.abs(scores[0] - scores[1]).max() <= difference * 1.001  # triangle inequality

    sizes = [m.save(tmp_path / m.bank_storage).stat().st_size for m in (plain, half)]
    assert sizes[0] - sizes[1] > 0.4 * exact.nbytes
    again = PatchCore.load(tmp_path / "float16")
    assert again.memory_bank_.dtype == np.float32
    assert np.array_equal(again.anomaly_map(gear.test), half.anomaly_map(gear.test))
    assert again.save(tmp_path / "again").read_bytes() == (tmp_path / "float16").read_bytes()


def test_features_too_large_for_half_precision_are_refused():
    with MemoryBank(1, "float16") as M, pytest.raises(ValueError, match=r"reach 7e\+04.*65504"):
        M.append(np.full((1, 2, 2, 3), 7e4, np.float32))


def test_an_unknown_storage_is_refused(tiny, gear):
    with pytest.raises(ValueError, match=r"bank_storage must be 'float32' or .*'disk', got 'ram'"):
        PatchCore(tiny, bank_storage="ram").fit(gear.train)


# Trouble with the disk


def test_a_disk_without_room_is_said_before_any_work(temporary):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot reserve room in a file")
    free = os.statvfs(temporary).f_bavail * os.statvfs(temporary).f_frsize
    width = -(-free * 2 // (1000 * 16 * 4))
    with MemoryBank(1000, "disk") as M, pytest.raises(OutputError) as caught:
        M.append(np.broadcast_to(np.float32(0), (1, 4, 4, width)))
    message = str(caught.value)
    assert message.startswith(f"{temporary}: cannot hold a memory bank of") and "TMPDIR" in message
    assert "\n" not in message and list(temporary.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_said_and_leaves_nothing(tiny, gear, temporary):
    class Full:
        """A file on a disk that takes three batches."""

        def __init__(self, file):
            self._file, self._left = file, 3

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, view):
            self._left -= 1
            if self._left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._file.write(view[: len(view) // 2 or 1])  # in pieces, as a disk may

    real = tempfile.TemporaryFile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", lambda **options: Full(real(**options)))
        model = PatchCore(tiny, bank_storage="disk", batch_size=4)
        with pytest.raises(OutputError, match="No space left on device; set TMPDIR"):
            model.fit(gear.train)
    assert not hasattr(model, "threshold_") and list(temporary.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tiny, gear, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"missing: cannot hold a memory bank of .* GB: No such"):
        PatchCore(tiny, bank_storage="disk").fit(gear.train)


FIT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
import sys, time
import numpy as np
from minicore import PatchCore
from minicore.backbones import feature_maps
real = feature_maps.batches
def slow(*args, **options):
    for i, batch in enumerate(real(*args, **options)):
        yield batch
        if i == 2:
            print("halfway", flush=True)
            for _ in range(600):
                time.sleep(0.1)  # in pieces: a signal just before one sleep would be seen after it
feature_maps.batches = slow
images = np.random.default_rng(0).integers(256, size=(64, 64, 64, 3), dtype=np.uint8)
PatchCore(sys.argv[1], bank_storage="disk", resize="none", crop="none").fit(images)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_fit_that_is_stopped_leaves_no_file(tiny, tmp_path, how):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", FIT, str(tiny)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        assert process.stdout.readline() == "halfway\n", process.stderr.read()
        process.send_signal(getattr(signal, how))
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert list(tmp_path.glob("minicore*")) == []
