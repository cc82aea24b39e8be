"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from minicore.errors import MinicoreError, OutputError


@contextlib.contextmanager
def whole(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that takes its name only when the block has ended well.

    Until then it is a hidden file beside; whatever was there before stays as it was. Missing
    folders are made. What is no file to be replaced, such as ``/dev/stdout``, is written directly.

    Parameters
    ----------
    path : str or Path
    mode : {"wb", "w"}
        Text is UTF-8 with plain newlines.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    partial = _beside(target, "partial")
    text: dict[str, Any] = {}
    if "b" not in mode:  # the names of files need not be UTF-8: their bytes come back
        text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        _check_name(target)
        direct = target.exists() and not target.is_file()
        target.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # a ValueError of a NUL in the name
        raise _refused(target, error) from error
    try:
        if direct:
            with target.open(mode, **text) as file:
                yield file
            return
        try:
            with partial.open(mode.replace("w", "x"), **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as error:
        own = error.filename in (None, str(partial), str(target))
        if isinstance(error, MinicoreError) or not own:
            raise  # the block's own trouble with another file
        raise _refused(target, error) from error


def check_writable(path: str | Path) -> None:
    """Find out now, not after minutes of work, whether a file can be written.

    Parameters
    ----------
    path : str or Path
        What is there stays as it is.

    Raises
    ------
    OutputError
        If it cannot.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise OutputError(f"{target}: a folder; name a file in it, such as {target / 'result'}")
        if target.exists() and not target.is_file():
            return
        _check_name(target)  # the probe's own is shorter
        probe = _beside(target, "probe")
        target.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        raise _refused(target, error) from error


def _check_name(target: Path) -> None:
    """Fail on what can be no name, too long or with a NUL: pathlib takes it for one not there."""
    with contextlib.suppress(FileNotFoundError):
        target.lstat()


def _beside(target: Path, purpose: str) -> Path:
    """Name a hidden file that no other process or thread has: the same target, another name.

    Short, so that a file may have as long a name as the disk allows.
    """
    return target.parent / f".{target.name[:40]}.{secrets.token_hex(4)}.{purpose}"


def _refused(target: Path, error: OSError | ValueError) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"{target}: cannot be written: {reason}")


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; by a name longer than the disk allows there is none."""
    return _is(Path(path).is_file)


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; by a name longer than the disk allows there is none."""
    return _is(Path(path).is_dir)


def _is(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError as error:  # before Python 3.14
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def write_all(file: IO[bytes], array: np.ndarray) -> None:
    """Write the bytes of a contiguous array to an unbuffered file, which may take them in parts."""
    view = array.data.cast("B")
    while len(view):
        view = view[file.write(view) :]
