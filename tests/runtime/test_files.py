"""Files appear complete or not at all, and an error names the file that failed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicore.errors import DatasetError, MinicoreError, OutputError
from minicore.runtime.files import atomic_write


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "file.txt"
    with atomic_write(path, "w") as file:
        file.write("ä\n")
        assert not path.exists()
    assert path.read_bytes() == "ä\n".encode()
    assert names(path.parent) == ["file.txt"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("posix")  # Windows: tests/whole/test_systems.py
def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with atomic_write(path, overwrite=True) as file:
            file.write(b"new")
        assert reader.read() == b"old" and path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_stop_in_the_middle_leaves_what_was_there(tmp_path, error, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error), atomic_write(path, overwrite=True) as file:
        file.write(b"half")
        file.flush()
        raise error
    assert names(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


def test_a_failing_disk_leaves_what_was_there(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    message = r"file: cannot be written: No space left"
    with pytest.raises(OutputError, match=message), atomic_write(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("below", ["", "x", "x/y/z"])
def test_a_path_that_cannot_be_written_is_named(tmp_path, below):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / below if below else tmp_path
    with pytest.raises(OutputError) as caught, atomic_write(path) as file:
        file.write(b"")
    assert str(caught.value).startswith(f"{path}: cannot be written: ")
    assert isinstance(caught.value, MinicoreError) and isinstance(caught.value, OSError)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_a_folder_that_cannot_be_made_is_an_output_error():
    path = "/proc/no/such/folder/file"
    with pytest.raises(OutputError, match=f"^{path}: cannot be written"), atomic_write(path):
        pass


def test_trouble_of_the_block_keeps_its_own_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_write(tmp_path / "file"):
        (tmp_path / "elsewhere").read_bytes()
    # A DatasetError is an OSError too, without a file name.
    with pytest.raises(DatasetError, match=r"^no data$"), atomic_write(tmp_path / "file"):
        raise DatasetError("no data")
    message = f"^{re.escape(str(tmp_path / 'a' / 'b'))}: cannot"
    with pytest.raises(OutputError, match=message), atomic_write(tmp_path / "file"):
        (tmp_path / "a").touch()
        with atomic_write(tmp_path / "a" / "b"):
            pass
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("pipes")
def test_a_pipe_or_device_is_written_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = [sys.executable, "-c", f"print(open({str(pipe)!r}).read())"]
    with subprocess.Popen(reader, stdout=subprocess.PIPE, text=True) as process:
        with atomic_write(pipe, "w") as file:
            file.write("through")
        assert process.communicate(timeout=20)[0] == "through\n"
    assert pipe.is_fifo()
