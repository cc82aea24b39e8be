"""A stopped command keeps the user's files and leaves no partial file."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minicore.errors import OutputError
from minicore.runtime.files import atomic_write, check_writable

pytestmark = pytest.mark.usefixtures("posix")

# Runs a command once for each stage and signal, and stops it at the start of the stage. One process
# for all runs: most of the time of one run is the start of a process.
STOPS = """
import importlib, os, signal, sys, time
from pathlib import Path
from minicore.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
out, places, arguments = Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
def left():
    # Heat maps that are whole may stay.
    files = [p for p in out.parent.rglob("*") if p.is_file()]
    return [p.name for p in files if (p.parent.name, p.suffix) != ("maps", ".png")]
for place in places:
    module, name = place.rsplit(".", 1)
    module = importlib.import_module(module)
    stage = getattr(module, name)
    for how, code in (signal.SIGTERM, 143), (signal.SIGINT, 130):
        def stop(*_, **__):
            os.kill(os.getpid(), how)
            for _ in range(300):
                time.sleep(0.1)  # in pieces: a signal just before one sleep would be seen after it
        setattr(module, name, stop)
        try:
            main(arguments)
        except SystemExit as end:
            found = end.code, out.read_text(), left()
        setattr(module, name, stage)
        assert found == (code, "earlier", [out.name]), (place, how, found)
        found = None
"""
FIT, SCORE, EVALUATE, CONVERT = "fit", "score", "evaluate", "convert"
BENCH, DEMO, EXPORT = "bench", "demo", "export"
STAGES = {
    FIT: [
        "minicore.backbones.feature_maps.batches",
        "minicore.patchcore.estimator.leave_one_out",
        "minicore.patchcore.estimator.pick",
        "minicore.patchcore.estimator.Search",
        "os.fsync",
    ],
    SCORE: [
        "minicore.patchcore.saved.load",
        "minicore.backbones.feature_maps.batches",
        "minicore.cli.outputs.save_heat_map",
        "os.fsync",
    ],
    EVALUATE: ["minicore.evaluation.metrics.pro", "os.fsync"],
    CONVERT: ["minicore.backbones.catalog.read_checkpoint", "os.fsync"],
    BENCH: ["minicore.studies.bench.run.measure", "os.fsync"],
    DEMO: ["minicore.cli.demo_run.evaluate", "os.fsync"],
    EXPORT: [
        "minicore.export.onnx_file._neighbours",
        "minicore.export.onnx_file.compare",
        "os.fsync",
    ],
}
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def model(tiny, gear, tmp_path_factory):
    from minicore import PatchCore

    path = tmp_path_factory.mktemp("model") / "m"
    return PatchCore(tiny, progress=False).fit(gear.train).save(path)


def command(kind, tiny, mvtec_root, model, out):
    """Give the command that leaves `out`; each replaces whatever is there."""
    good = mvtec_root / "gear/train/good"
    arguments = {
        FIT: ["fit", good, "-o", out, "--backbone", tiny],
        SCORE: ["score", model, good, "-o", out, "--maps", out.parent / "maps"],
        EVALUATE: ["evaluate", mvtec_root, "--json", out, "--backbone", tiny],
        CONVERT: ["backbone", "convert", GOLDEN / "tiny_resnet.pth", out],
        BENCH: ["bench", "map", "--repeats", 1, "--json", out, "--data", good, "--backbone", tiny],
        EXPORT: ["export", model, out, "--backbone", tiny],
        DEMO: ["demo", "gear", "--coreset", 0.01, "--out", out.parent, "--backbone", tiny],
    }[kind]
    return [*map(str, arguments), "--overwrite"]


def left(folder):
    return [p.name for p in folder.rglob("*") if p.is_file()]


HOW = pytest.mark.parametrize("how, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


def stopped(call, how, code, wait=lambda: None, **options):
    """Run a command until it says that it is there, and tell it to end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *call], text=True, **pipes, **options) as process:
        line = process.stdout.readline()
        while line and line != "there\n":
            line = process.stdout.readline()
        assert line, process.stderr.read()
        wait()
        assert process.poll() is None, process.stderr.read()
        process.send_signal(how)
        _, error = process.communicate(timeout=60)
        assert process.returncode == code and "Traceback" not in error, error


@pytest.mark.slow
@pytest.mark.parametrize("kind", STAGES)
def test_a_stop_at_any_stage_leaves_what_was_there(tiny, mvtec_root, model, tmp_path, kind):
    out = tmp_path / ("demo.png" if kind == DEMO else "out.onnx")
    out.write_text("earlier")
    call = [out, " ".join(STAGES[kind]), *command(kind, tiny, mvtec_root, model, out)]
    done = subprocess.run(
        [sys.executable, "-c", STOPS, *map(str, call)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


# Puts work without end in the place of a stage; only a stop ends it.
AT_WORK = """
import signal, sys
import numpy as np
from minicore import fast
from minicore.patchcore import estimator
from minicore.backbones import session
from minicore.cli import main
from minicore.patchcore import estimator
signal.signal(signal.SIGINT, signal.default_int_handler)
run = session.Backbone._run
def kernel(*_):
    M = np.random.default_rng(0).standard_normal((50_000, 32), dtype=np.float32)
    fast.greedy_coreset(M, 2)
    print("there", flush=True)
    while True:
        fast.greedy_coreset(M, 10_000)
def network(backbone, images):
    batch = np.zeros((64, 3, 512, 512), np.float32)
    print("there", flush=True)
    while True:
        run(backbone, batch)
if sys.argv[1] == "kernel":
    estimator.pick = kernel
else:
    session.Backbone._run = network
main(sys.argv[2:])
"""


@pytest.mark.slow
@HOW
@pytest.mark.parametrize("inside", ["kernel", "network"])
def test_a_stop_inside_a_kernel_or_the_network_is_heard(
    tiny, mvtec_root, model, tmp_path, inside, how, code
):
    out = tmp_path / "out"
    out.write_text("earlier")
    call = ["-c", AT_WORK, inside, *command(FIT, tiny, mvtec_root, model, out)]
    stopped(call, how, code, wait=lambda: time.sleep(0.3))
    assert out.read_text() == "earlier" and left(tmp_path) == ["out"]


FETCH = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from minicore.cli import main
print("there", flush=True)
main(["backbone", "get", "resnet18", "--url", sys.argv[1]])
"""


@pytest.mark.slow
@HOW
def test_a_stop_while_a_network_is_fetched_leaves_nothing(tmp_path, how, code):
    pytest.importorskip("pooch")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        asked = []

        def begin():
            """Answer with a beginning, and no more."""
            asked.append(server.accept()[0])
            asked[0].recv(4096)
            asked[0].sendall(
                b"HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000
            )
            until = time.monotonic() + 30
            while not any(p.stat().st_size for p in files()) and time.monotonic() < until:
                time.sleep(0.01)
            assert any(p.stat().st_size for p in files())  # it is being written

        def files():
            return [p for p in tmp_path.rglob("*") if p.is_file()]

        environment = {**os.environ, "MINICORE_CACHE": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        url = f"http://127.0.0.1:{server.getsockname()[1]}/resnet18.pth"
        stopped(["-c", FETCH, url], how, code, wait=begin, env=environment)
        asked[0].close()
    assert files() == []


# No room


LIMITED = """
import json, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # Python does so itself; then writing fails
from minicore.cli import main
import minicore.fast, minicore.cli.outputs  # compiled kernels are files too
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        print("exit code", end.code, file=sys.stderr)
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tiny, mvtec_root, model, tmp_path):
    out = tmp_path / "out.onnx"
    out.write_text("earlier")
    kinds = (FIT, SCORE, EVALUATE, CONVERT, EXPORT)
    calls = [command(kind, tiny, mvtec_root, model, out) for kind in kinds]
    calls = [[a for a in call if "maps" not in a] for call in calls]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(calls)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("minicore: ", "exit "))]
    error = f"minicore: {out}: cannot be written: File too large"
    assert lines == [error, "exit code 1"] * len(kinds)
    assert out.read_text() == "earlier" and left(tmp_path) == ["out.onnx"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["backbone", "list"], ["--version"]])
def test_a_full_standard_output_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minicore", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if not line.startswith("ms: ")]
    assert done.returncode == 1
    assert lines == ["minicore: standard output: cannot be written: No space left on device"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_a_folder_that_takes_no_files_is_found_out_before_the_work(tiny, mvtec_root, model, run):
    for kind in (FIT, SCORE, EVALUATE, EXPORT):
        code, _, error = run(*command(kind, tiny, mvtec_root, model, Path("/proc/out")))
        assert code == 1 and error.count("\n") == 1
        assert error.startswith("minicore: /proc/") and "cannot be written" in error


# Several at once


WRITE = """
import sys
from minicore.runtime.files import atomic_write
for _ in range(150):
    with atomic_write(sys.argv[1], overwrite=True) as file:
        for _ in range(4):
            file.write(sys.argv[2].encode() * 5000)
"""


@pytest.mark.slow
def test_of_two_processes_writing_one_file_each_reader_sees_one_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 20_000)
    calls = [[sys.executable, "-c", WRITE, str(path), letter] for letter in "ab"]
    writers = [subprocess.Popen(call) for call in calls]
    while any(writer.poll() is None for writer in writers):
        assert path.read_bytes() in (b"a" * 20_000, b"b" * 20_000)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_of_two_threads_writing_one_file_one_wins_whole(tmp_path):
    path, ready = tmp_path / "file", threading.Barrier(2, timeout=20)

    def write(letter):
        with atomic_write(path, overwrite=True) as file:
            ready.wait()  # both are open
            file.write(letter * 50_000)
            ready.wait()

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in (b"a" * 50_000, b"b" * 50_000)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path):
    path = tmp_path / ("é" * 127)
    check_writable(path)
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"
    for name in ("x" * 300, "a\0b"):
        for write in (check_writable, lambda path: atomic_write(path).__enter__()):
            with pytest.raises(OutputError, match="cannot be written"):
                write(tmp_path / name)
