"""However a command ends, what the user had is there, and nothing half-written is."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minicore.errors import OutputError
from minicore.files import check_writable, whole

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

# Stops at the named function of a stage, says so, and waits there to be told to end.
HALT = """
import importlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
module, name = sys.argv[1].rsplit(".", 1)
module = importlib.import_module(module)
def halt(*_, **__):
    print("there", flush=True)
    time.sleep(120)
setattr(module, name, halt)
from minicore.cli import main
main(sys.argv[2:])
"""
FIT, SCORE, EVALUATE, CONVERT = "fit", "score", "evaluate", "convert"
STAGES = [
    (FIT, "minicore.features.batches"),
    (FIT, "minicore.patchcore.held_out_scores"),
    (FIT, "minicore.patchcore.pick"),
    (FIT, "minicore.patchcore.Search"),
    (FIT, "os.fsync"),
    (SCORE, "minicore.ensemble.load"),
    (SCORE, "minicore.features.batches"),
    (SCORE, "minicore.outputs.save_heat_map"),
    (SCORE, "os.fsync"),
    (EVALUATE, "minicore.metrics.pro"),
    (EVALUATE, "os.fsync"),
    (CONVERT, "minicore.backbones.catalog.read_checkpoint"),
    (CONVERT, "os.fsync"),
]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def model(tiny, gear, tmp_path_factory):
    from minicore import PatchCore

    path = tmp_path_factory.mktemp("model") / "m"
    return PatchCore(tiny, progress=False).fit(gear.train).save(path)


def command(kind, tiny, mvtec_root, model, out):
    """Give the command that leaves `out`; each replaces what is there."""
    good = mvtec_root / "gear/train/good"
    arguments = {
        FIT: ["fit", good, "-o", out, "--backbone", tiny],
        SCORE: ["score", model, good, "-o", out, "--maps", out.parent / "maps"],
        EVALUATE: ["evaluate", mvtec_root, "--json", out, "--backbone", tiny],
        CONVERT: ["backbone", "convert", GOLDEN / "tiny_resnet.pth", out],
    }[kind]
    return [str(argument) for argument in arguments]


def left(folder):
    """Files in a folder; the heat maps that are whole may stay."""
    return [p.name for p in folder.rglob("*") if p.is_file() and p.parent.name != "maps"]


@pytest.mark.parametrize("how, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("kind, place", STAGES, ids=lambda value: value.rpartition(".")[2])
def test_a_stop_at_any_stage_leaves_what_was_there(
    tiny, mvtec_root, model, tmp_path, kind, place, how, code
):
    out = tmp_path / "out.onnx"
    out.write_text("earlier")
    call = [sys.executable, "-c", HALT, place, *command(kind, tiny, mvtec_root, model, out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(call, text=True, **pipes) as process:
        line = process.stdout.readline()
        while line and line != "there\n":
            line = process.stdout.readline()
        assert line, process.stderr.read()
        process.send_signal(how)
        _, error = process.communicate(timeout=60)
        assert process.returncode == code and "Traceback" not in error, error
    assert out.read_text() == "earlier" and left(tmp_path) == ["out.onnx"]


# No room


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # Python does so itself; then writing fails
from minicore.cli import main
import minicore.fast, minicore.outputs  # compiled kernels are files too
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
main(sys.argv[1:])
"""


@pytest.mark.parametrize("kind", [FIT, SCORE, EVALUATE, CONVERT])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tiny, mvtec_root, model, tmp_path, kind):
    out = tmp_path / "out.onnx"
    out.write_text("earlier")
    call = [a for a in command(kind, tiny, mvtec_root, model, out) if "maps" not in a]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *call], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == f"minicore: {out}: cannot be written: File too large"
    assert out.read_text() == "earlier" and left(tmp_path) == ["out.onnx"]


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
def test_a_folder_that_takes_no_files_is_found_out_before_the_work(tiny, mvtec_root, model):
    for kind in (FIT, SCORE, EVALUATE):
        call = command(kind, tiny, mvtec_root, model, Path("/proc/out"))
        done = subprocess.run(
            [sys.executable, "-m", "minicore", *call], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("minicore: /proc/") and "cannot be written" in done.stderr


# Several at once


WRITE = """
import sys
from minicore.files import whole
for _ in range(150):
    with whole(sys.argv[1]) as file:
        for _ in range(4):
            file.write(sys.argv[2].encode() * 5000)
"""


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
        with whole(path) as file:
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
    with whole(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"
    for name in ("x" * 300, "a\0b"):
        for write in (check_writable, lambda path: whole(path).__enter__()):
            with pytest.raises(OutputError, match="cannot be written"):
                write(tmp_path / name)
