"""What Windows and macOS do differently, simulated on any system.

docs/reliability.md lists what was run on Windows itself, and what was not.
"""

import ast
import errno
import io
import os
import sys
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from PIL import Image

import minicore
from minicore import PatchCore, datasets
from minicore.backbones import Backbone
from minicore.backbones.recording import record
from minicore.cli import app, main
from minicore.errors import MinicoreWarning, OutputError
from minicore.patchcore.bank import MemoryBank
from minicore.runtime import kernels, machine, system
from minicore.runtime.files import atomic_write, check_writable, identities
from minicore.runtime.kinds import SCORES, kind_of
from minicore.studies.reproduce import evidence
from minicore.studies.reproduce.lock import locked
from minicore.studies.reproduce.peak import peak_memory

PACKAGE = Path(minicore.__file__).parent
ROOM = PACKAGE / "runtime" / "system.py"
MODULES = {"fcntl", "msvcrt", "resource", "pwd", "grp", "termios", "winreg", "shlex"}
NAMES = {"sys.platform", "os.name", "os.uname", "platform.system", "sys.getwindowsversion"}
PLACES = ("/proc", "/dev", "/sys", "/tmp", "SIG")


def asks_for_the_system(path):
    """The expressions of a module that differ between systems, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {id(n.body[0].value) for n in ast.walk(tree)
                  if isinstance(n, documented) and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, (ast.Attribute, ast.Call)) else ""
        if isinstance(node, ast.Import):
            yield from MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield node.module
        elif text in NAMES or text.startswith(("hasattr(os,", "getattr(os,", "hasattr(signal")):
            yield text
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield from [node.value] if str(node.value).startswith(PLACES) else []


def test_one_file_asks_which_system_it_runs_on():
    found = {path: set(asks_for_the_system(path)) for path in PACKAGE.rglob("*.py")}
    assert {"fcntl", "msvcrt", "sys.platform", "os.name"} <= found.pop(ROOM)
    assert {str(path): names for path, names in found.items() if names} == {}


# Files


@pytest.fixture
def windows(monkeypatch):
    """Refuse to replace or delete an open file, as Windows does. Return the refused calls."""
    open_files, refused = Path("/proc/self/fd"), []
    if os.name != "nt" and not open_files.is_dir():
        pytest.skip("needs the list of open files of Linux")

    def is_open(path):
        def targets():
            for link in open_files.iterdir():
                try:
                    yield str(link.readlink())
                except OSError:  # the list itself
                    continue

        return os.path.realpath(path) in set(targets())

    def careful(name):
        real = getattr(Path, name)

        def call(path, *arguments, **options):
            for file in (path, *arguments):
                if is_open(file):
                    refused.append((name, Path(file)))
                    raise PermissionError(errno.EACCES, "The file is used by another process")
            return real(path, *arguments, **options)

        return call

    if os.name != "nt":
        for name in ("replace", "rename", "unlink"):
            monkeypatch.setattr(Path, name, careful(name))
        monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.setattr(system, "WAITS", (0.01, 0.02, 0.03))
    return refused


def test_a_file_that_is_open_for_a_moment_is_replaced(windows, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        monkeypatch.setattr("time.sleep", lambda _: reader.close())  # a scanner finishes
        with atomic_write(path, overwrite=True) as file:
            file.write(b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]
    assert os.name == "nt" or len(windows) == 1


def test_a_file_that_stays_open_is_named_and_kept(windows, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    message = "file: cannot be written: .*close it in other programs"
    refused = pytest.raises(OutputError, match=message)
    with path.open("rb"), refused, atomic_write(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_read_only_is_named_before_the_work(windows, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"")
    path.chmod(0o444)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    if os.name != "nt":  # root may write any file
        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OutputError, match=r"Permission denied; .*whether it is read-only"):
        check_writable(path, overwrite=True)
    path.chmod(0o644)


@pytest.mark.parametrize("name", ["aa:b", "a?b", 'a"b', "a|b", "a<b", "deep/a*", "x" * 300])
def test_a_name_that_windows_would_change_or_refuse_is_named(windows, tmp_path, name):
    for write in (check_writable, lambda path: atomic_write(path).__enter__()):
        with pytest.raises(OutputError, match=r"written: (a name can|File name too)"):
            write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_on_a_drive_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setattr("os.path.lexists", lambda _: False)
    with pytest.raises(OutputError, match="out: cannot be written: there is no "):
        check_writable(Path("deep", "out"))


def test_a_drive_without_file_numbers_protects_inputs_by_their_path(tmp_path, monkeypatch):
    path, other = tmp_path / "image.png", tmp_path / "other"
    (tmp_path / "x").mkdir()
    path.write_bytes(b"")
    other.write_bytes(b"")
    real = Path.stat

    def without_numbers(self, **options):
        found = real(self, **options)
        return os.stat_result((found.st_mode, 0, *found[2:]))

    monkeypatch.setattr(Path, "stat", without_numbers)
    inputs = identities([path])
    with pytest.raises(OutputError, match="the file is also read"):
        check_writable(tmp_path / "x" / ".." / "image.png", inputs=inputs)
    check_writable(other, inputs=inputs)


def test_a_category_has_the_name_on_the_disk_where_case_does_not_matter(mvtec_root, monkeypatch):
    monkeypatch.setattr("minicore.datasets.folders.is_folder", lambda _: True)
    assert datasets.category_name(mvtec_root, "GEAR/") == "gear"
    assert datasets.category_name(mvtec_root, "gear") == "gear"
    assert datasets.category_name(mvtec_root, "nut") == "nut"


def test_layers_whose_names_no_file_can_have_are_recorded(tiny, mvtec_root, tmp_path):
    onnx = pytest.importorskip("onnx")
    names = {"layer2": "block/Relu:0", "layer3": "BLOCK_RELU:0"}
    network = onnx.load(tiny)
    for node in network.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for output in network.graph.output:
        output.name = names[output.name]
    onnx.save(network, tmp_path / "net.onnx")
    opened = Backbone(tmp_path / "net.onnx")
    images = sorted((mvtec_root / "gear/train/good").iterdir())[:2]
    recorded = record(opened, images, tmp_path / "maps", progress=False)
    (read,) = recorded.feature_maps(images, opened.preprocessing, 2)
    (computed,) = opened.feature_maps(images, opened.preprocessing, 2)
    assert all(map(np.array_equal, read.networks[0], computed.networks[0]))
    allowed = {"index.json", "0.float32", "1.float32"}
    assert {path.name for path in (tmp_path / "maps").iterdir()} == allowed


def test_names_in_a_report_have_slashes_on_every_system(monkeypatch):
    monkeypatch.setattr(evidence, "Path", PureWindowsPath)
    assert evidence._names([r"C:\data\gear\test\good\1.png"]) == ("test/good/1.png",)


def test_a_table_that_windows_redirected_to_a_file_is_recognised(tmp_path, run, tiny, gear):
    model = PatchCore(tiny, progress=False).fit(gear.train).save(tmp_path / "m")
    Image.fromarray(gear.test[0]).save(tmp_path / "a.png")
    _, out, _ = run("score", model, tmp_path / "a.png")
    (tmp_path / "scores.csv").write_bytes(out.replace("\n", "\r\n").encode())
    assert kind_of(tmp_path / "scores.csv") == SCORES


# Services that a system lacks


def test_a_system_without_locks_warns_and_works(tmp_path, monkeypatch):
    def none(handle):
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it fails
    if os.name == "nt":
        monkeypatch.setattr(system, "lock", none)
    with pytest.warns(MinicoreWarning, match="no locks"), locked(tmp_path):
        pass


def test_a_system_without_proc_has_a_processor_and_no_peak(tmp_path, monkeypatch):
    for name in ("CPU", "STATUS", "CLEAR"):
        monkeypatch.setattr(system, name, tmp_path / "no" / "such")
    with peak_memory() as peak:
        pass
    assert peak.bytes is None
    assert machine.describe(1)["cpu"] == system.processor() != ""


def test_functions_that_only_some_systems_have_are_not_needed(tmp_path, monkeypatch):
    some = ("sched_getaffinity", "getloadavg", "getuid", "register_at_fork", "posix_fallocate")
    for name in some:
        monkeypatch.delattr(os, name, raising=False)
    assert system.cores() >= 1 and system.load() is None
    system.call_after_fork(print)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert kernels._private_folder() == tmp_path / "minicore-kernels-user"
    patches = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    with MemoryBank(1, "disk") as bank:
        bank.append(patches)
        assert np.array_equal(bank[0:4], patches.reshape(4, 2))


def test_a_command_is_quoted_for_the_shell_of_the_system(monkeypatch):
    command = ["minicore", "fit", "good parts", "it's"]
    monkeypatch.setattr(system, "WINDOWS", True)
    assert system.quoted(command) == 'minicore fit "good parts" it\'s'
    monkeypatch.setattr(system, "WINDOWS", False)
    assert system.quoted(command) == "minicore fit 'good parts' 'it'\"'\"'s'"


# Consoles


@pytest.fixture
def console(monkeypatch):
    """Run commands on a console with an old encoding."""

    def call(encoding, *arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        for stream in streams:
            stream.flush()
        out, error = (stream.buffer.getvalue().decode(encoding) for stream in streams)
        assert end.value.code in (0, None), error
        return out, error

    return call


@pytest.mark.slow
def test_every_command_works_as_on_windows(windows, console, tiny, mvtec_root, tmp_path):
    """No open file is replaced or deleted, and every symbol is printed with ASCII characters."""
    good, model, net = mvtec_root / "gear/train/good", tmp_path / "model", ("--backbone", tiny)
    new, out, run = tmp_path / "new", tmp_path / "out", tmp_path / "run"
    new.mkdir()
    for name in ("ᄒ.png", "né.png"):
        Image.open(next(good.iterdir())).rotate(90).save(new / name)
    for command in app.registered_commands:
        console("ascii", command.name or command.callback.__name__, "--help")
    console("ascii", "bench", "projection", "--repeats", 1, "--data", good, *net)
    for arguments in (
        ("fit", good, "-o", model, *net, "--bank-storage", "disk"),
        ("info", model),
        ("score", model, new, "-o", out / "scores.csv", "--maps", out / "maps"),
        ("update", model, new),
        ("export", model, out / "part.onnx", "--storage", "float16"),
        ("export", "--check", out / "part.onnx"),
        ("evaluate", mvtec_root, *net, "--json", out / "n.json", "--pictures", out / "pictures"),
        ("demo", "gear", *net, "--out", tmp_path / "demo", "--coreset", 0.01),
        ("reproduce", mvtec_root, "--out", run, "--rows", "PatchCore-10", "--seeds", "0,1",
         "--image-size", 64, *net),
        ("report", run),
    ):  # fmt: skip
        console("ascii", *arguments)
    console("ascii", "score", model, new, "-o", out / "scores.csv")  # replaces the file
    table, _ = console("ascii", "score", model, new)
    assert table.count("\n") == 3 and "\\u1112.png" in table
    assert windows == []
    hidden = [path.name for path in tmp_path.rglob(".*")]
    assert hidden == [".lock"]


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "cp437", "ascii"])
def test_a_table_stays_aligned_on_a_console_that_lacks_its_symbols(console, encoding):
    table, legend = console(encoding, "backbone", "list")
    columns = {line.find(" / ") for line in table.splitlines() if " / " in line}
    assert len(columns) == 1 and "ms: time per image" in legend
    assert ("–" if encoding == "cp1252" else "- means not measured") in legend
    assert ("224 × 224" if encoding in ("cp1252", "cp949") else "224 x 224") in legend


@pytest.mark.usefixtures("any_name")
def test_a_name_that_is_not_text_is_printed_as_its_bytes(monkeypatch, tiny, gear, tmp_path):
    model = PatchCore(tiny, progress=False).fit(gear.train).save(tmp_path / "m")
    name = os.fsencode(tmp_path) + b"/gr\xfcn.png"
    try:
        with open(name, "wb") as file:  # noqa: PTH123, a Path cannot have bytes
            Image.fromarray(gear.test[0]).save(file, "png")
    except OSError:
        pytest.skip("this file system wants Unicode")
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit) as end:
        main(["score", str(model), os.fsdecode(name)])
    assert end.value.code in (0, None) and name in out.buffer.getvalue()
