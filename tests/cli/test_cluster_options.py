"""``--cluster`` and ``--workers``: the output of one process, and one line for each error."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from minicore import PatchCore
from minicore.cli import cluster as cluster_options
from minicore.cli.cluster import open_cluster
from minicore.errors import MinicoreError
from minicore.runtime import progress

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch):
    """A busy machine takes long enough for a line, which the other command does not print."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", float("inf"))


@pytest.fixture(scope="module")
def parts(tiny, gear, mvtec_root, tmp_path_factory):
    """A model with a shortened copy of an image, and the folder of the images."""
    model = PatchCore(tiny, progress=False).fit(gear.train)
    return model.save(tmp_path_factory.mktemp("model") / "gear.minicore"), mvtec_root / "gear"


@pytest.fixture
def images(parts, tmp_path):
    """Four images, one of them damaged."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i, file in enumerate(sorted((parts[1] / "train" / "good").iterdir())[:4]):
        (folder / f"{i}.png").write_bytes(file.read_bytes()[: 50 if i == 2 else None])
    return folder


def test_workers_write_what_one_process_writes(parts, images, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("score", parts[0], "images", "--on-error", "skip", "--batch-size", 1)
    alone = run(*arguments)
    assert alone[0] == 4 and alone[1].count("\n") == 4 and "skipped: images" in alone[2]
    files = set(tmp_path.rglob("*"))
    assert run(*arguments, "--workers", 2) == alone
    assert set(tmp_path.rglob("*")) == files  # no folder of Dask


def test_a_running_cluster_writes_what_one_process_writes(parts, images, run, tmp_path):
    arguments = ("score", parts[0], images / "0.png", images / "1.png", "--maps", tmp_path / "maps")
    alone = run(*arguments)
    maps = {file: file.read_bytes() for file in (tmp_path / "maps").iterdir()}
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, silence_logs=50, **options) as cluster:
        address = cluster.scheduler_address
        assert run(*arguments, "--cluster", address, "--shards", 2) == alone
        short = address.removeprefix("tcp://")
        code, out, error = run("score", parts[0], images, "--cluster", short)
        assert run("score", parts[0], images) == (code, out, error) and code == 1
        code, out, error = run(*arguments, "--cluster", address, "--shards", 10**6)
        assert code == 1 and "minicore: --shards must be a whole number" in error
    assert maps == {file: file.read_bytes() for file in (tmp_path / "maps").iterdir()}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "tcp://host", "nonsense"])
def test_an_address_where_no_scheduler_answers_is_named(address, parts, run, monkeypatch):
    monkeypatch.setattr(cluster_options, "SECONDS", 0.2)
    code, out, error = run("score", parts[0], parts[1] / "train" / "good", "--cluster", address)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert f"--cluster {address}: no Dask scheduler answers" in error and "dask scheduler" in error


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("__version__", "9.1", "expected minicore-patchcore 9.1 on .* install one version"),
        ("NAME", "not-installed", "not-installed is not installed on the scheduler"),
    ],
)
def test_another_version_on_the_cluster_is_an_error(name, value, words, monkeypatch):
    monkeypatch.setattr(cluster_options, name, value)
    options = {"n_workers": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(processes=True, **options) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(MinicoreError, match=words), open_cluster(address, None):
            pass


def test_a_scheduler_without_workers_is_an_error(monkeypatch):
    monkeypatch.setattr(cluster_options, "SECONDS", 0.2)
    options = {"n_workers": 0, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(processes=True, **options) as cluster:
        address = cluster.scheduler_address
        expected = f"--cluster {address}: the scheduler has no worker.*dask worker {address}"
        with pytest.raises(MinicoreError, match=expected), open_cluster(address, None):
            pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cluster", "tcp://host:8786", "--workers", 2), "--cluster and --workers: choose one"),
        (("--shards", 2), "--shards needs --cluster or --workers"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words, parts, run):
    code, out, error = run("score", parts[0], parts[1] / "train" / "good", *options)
    assert (code, out, error.count("\n")) == (1, "", 1) and words in error


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(
            MinicoreError, match=r"--workers needs .* distributed: pip install .*cluster"
        ),
        open_cluster(None, 2),
    ):
        pass


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (distributed.KilledWorker("task", None, 3), "--workers: several workers ended .* --batch"),
        (distributed.CancelledError(), "--workers: the scheduler was stopped or restarted"),
        (AttributeError("scatter"), "--workers: the scheduler was stopped or restarted"),
    ],
)
def test_lost_workers_are_one_error(error, words, monkeypatch):
    closed = contextlib.nullcontext(SimpleNamespace(status="closed"))
    monkeypatch.setattr(cluster_options, "_local", lambda workers: closed)
    with pytest.raises(MinicoreError, match=words), open_cluster(None, 1):
        raise error


@pytest.mark.usefixtures("posix")
def test_ctrl_c_ends_the_command_and_its_workers_without_a_word(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, time\n"
        "from minicore.cli.cluster import open_cluster\n"
        "if __name__ == '__main__':\n"
        "    # A shell's job in the background, such as a run of all tests, ignores Ctrl-C.\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    with open_cluster(None, 1) as client:\n"
        "        tasks = client.submit(time.sleep, 600)\n"
        "        print('ready', flush=True)\n"
        "        try:\n"
        "            tasks.result()\n"
        "        except KeyboardInterrupt:\n"
        "            tasks.cancel()\n"
        "    print('ended', flush=True)\n"
    )
    command = [sys.executable, script]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, start_new_session=True, cwd=tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.communicate(timeout=200) == ("ended\n", "")
    assert list(tmp_path.iterdir()) == [script]
