"""Files that appear whole or not at all, and that replace nothing which is not minicore's.

One rule for everything that is written. An existing file is replaced if minicore made it and it is
of the same kind, which its content shows (`kind_of`), or if the caller asks for it with
`overwrite`. A file that the same
call reads is never replaced, however its path is spelled and through whatever link it is reached.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from minicore.errors import MinicoreError, OutputError

Inputs: TypeAlias = Mapping[tuple[int, int], Path]  # see `identities`
NO_INPUTS: Inputs = {}

FIELDS = ("image", "score", "distance", "anomalous")  # the columns of a table of scores
HEAD = 2**16  # bytes that a mark is looked for in
MODEL, NETWORK, PICTURE, REPORT = "a model", "a network", "a picture", "a report"
RUN, NUMBERS, SCORES = "the settings of a run", "a file of numbers", "a table of scores"
MARKS = tuple(  # how a file that minicore wrote begins, and its kind
    (re.compile(mark, re.DOTALL), kind)
    for mark, kind in (
        (rb'.{8}\{"__metadata__":\{"minicore":', MODEL),  # safetensors with one key in its header
        (rb"\x08.\x12\x08minicore", NETWORK),  # ONNX, which has its producer after its version
        (rb"\x89PNG.*\x11tEXtSoftware\0minicore", PICTURE),
        (rb"GIF8.*!\xfe\x08minicore\0", PICTURE),  # a comment of eight bytes
        (rb"<\?xml.*<dc:title>minicore</dc:title>", PICTURE),  # SVG
        (rb'<!DOCTYPE html>.*<meta name="generator" content="minicore', REPORT),
        (rb'\s*\{\s*"minicore": "[^"]*",\s*"command":.*"data_sha256":', RUN),
        (rb'\s*\{\s*"minicore": "[^"]*",', NUMBERS),  # JSON with the version first
        (",".join(FIELDS).encode() + rb"\n", SCORES),
    )
)
PDF_MARK = b"/Creator (minicore)"  # near the end


@contextlib.contextmanager
def whole(
    path: str | Path,
    mode: str = "wb",
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
) -> Iterator[IO[Any]]:
    """Open a file for writing that takes its name only when the block has ended well.

    Until then it is a hidden file beside; whatever was there before stays as it was. Missing
    folders are made. A link stays: the file that it leads to is written. A file that is replaced
    keeps its permissions. What is no file to be replaced, such as ``/dev/stdout``, is written
    directly.

    Parameters
    ----------
    path : str or Path
    mode : {"wb", "w"}
        Text is UTF-8 with plain newlines.
    inputs : dict
        From `identities`: the files that the call reads.
    overwrite : bool, default False
        Whether a file that minicore did not make may be replaced.

    Raises
    ------
    OutputError
        If the file cannot be written, or must not be replaced.
    """
    named = Path(path)
    text: dict[str, Any] = {}
    if "b" not in mode:  # the names of files need not be UTF-8: their bytes come back
        text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        _check_name(named)
        direct = named.exists() and not named.is_file()
        target = named if direct else Path(os.path.realpath(named))
        partial = beside(target, "partial")
        _check_replaceable(named, inputs, overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OutputError:
        raise
    except (OSError, ValueError) as error:  # a ValueError of a NUL in the name
        raise _refused(named, error) from error
    try:
        if direct:
            with target.open(mode, **text) as file:
                yield file
            return
        try:
            with partial.open(mode.replace("w", "x"), **text) as file:
                _copy_permissions(target, partial)
                yield file
                file.flush()
                os.fsync(file.fileno())
            # Minutes may have passed; now the kind is known as well.
            _check_replaceable(named, inputs, overwrite, kind_of(partial))
            partial.replace(target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as error:
        own = error.filename in (None, str(partial), str(target))
        if isinstance(error, MinicoreError) or not own:
            raise  # the block's own trouble with another file
        raise _refused(named, error) from error


def check_writable(
    path: str | Path,
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
    kind: str | None = None,
) -> None:
    """Find out now, not after minutes of work, whether a file can be written.

    Parameters
    ----------
    path : str or Path
        What is there stays as it is, and no folder is made.
    inputs, overwrite
        As for `whole`.
    kind : str, optional
        What will be written, as `kind_of` calls it.

    Raises
    ------
    OutputError
        If it cannot, or if what is there must not be replaced.
    """
    named = Path(path)
    try:
        if named.is_dir():
            raise OutputError(f"{named}: a folder; name a file in it, such as {named / 'result'}")
        if named.exists() and not named.is_file():
            return
        _check_name(named)  # the probe's own is shorter
        _check_replaceable(named, inputs, overwrite, kind)
        folder = Path(os.path.realpath(named)).parent
        missing = []
        while not os.path.lexists(folder):
            missing.append(folder.name)
            folder = folder.parent
        for name in missing:
            _check_name(folder / name)
        probe = beside(folder / "x", "probe")
        probe.touch()
        probe.unlink()
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        raise _refused(named, error) from error


def check_apart(folder: str | Path, images: Iterable[str | Path]) -> None:
    """Refuse a folder for pictures that images are read from: pictures would become images.

    Parameters
    ----------
    folder : str or Path
        It need not exist.
    images : iterable of str or Path
        Files.

    Raises
    ------
    OutputError
        If an image is directly in it.
    """
    if identities([folder]).keys() & identities({Path(image).parent for image in images}).keys():
        raise OutputError(f"{folder}: images are read from this folder; give another folder")


def check_outputs(
    outputs: Iterable[tuple[str | Path, str]],
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
) -> None:
    """Check all outputs of a call: each can be written, and none would replace another.

    Parameters
    ----------
    outputs : iterable of (str or Path, str)
        Files and their kinds (`kind_of`).
    inputs, overwrite
        As for `whole`.

    Raises
    ------
    OutputError
        As `check_writable`; also if two have one name, where upper and lower case count as the
        same, or if one is the folder of another.
    """
    named: dict[Path, str | Path] = {}
    for output, kind in outputs:
        check_writable(output, inputs=inputs, overwrite=overwrite, kind=kind)
        real = Path(folded(os.path.realpath(output)))
        if real in named:
            raise OutputError(f"{output}: two outputs have this name; give one another name")
        named[real] = output
    for name in named:
        for folder in name.parents:
            if folder in named:
                raise OutputError(
                    f"{named[folder]}: both a file and a folder of outputs; give one another name"
                )


def folded(name: str) -> str:
    """Return a name as a disk compares it that ignores case and forms of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()


def identities(paths: Iterable[str | Path]) -> dict[tuple[int, int], Path]:
    """Identify files by device and number, which are the same for every spelling and link.

    Parameters
    ----------
    paths : iterable of str or Path
        Files that are not there are left out.

    Returns
    -------
    dict of (int, int) to Path
    """
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            found.setdefault(_identity(path), Path(path))
    return found


def made_here(path: str | Path) -> bool:
    """Return whether minicore wrote a file, by its content; the file's name does not count.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool
        True for an empty file as well: nothing is lost with it. False for one that cannot be read.
    """
    return kind_of(path) is not None


def kind_of(path: str | Path) -> str | None:
    """Return what minicore wrote to a file, by the file's content.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str or None
        `MODEL`, `SCORES` … An empty text for an empty file. None for one that minicore did not
        write, or that cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
            if head.startswith(b"%PDF"):
                file.seek(max(0, os.fstat(file.fileno()).st_size - HEAD))
                return PICTURE if PDF_MARK in file.read() else None
    except OSError:
        return None
    if not head:
        return ""
    if _is_score_line(head):
        return SCORES
    return next((kind for mark, kind in MARKS if mark.match(head)), None)


def _is_score_line(head: bytes) -> bool:
    try:
        return tuple(json.loads(head.split(b"\n")[0])) == FIELDS
    except (ValueError, TypeError, RecursionError):
        return False


def _check_replaceable(
    path: Path, inputs: Inputs, overwrite: bool, kind: str | None = None
) -> None:
    """Refuse to replace an input; unless that is asked for, also a foreign file or another kind."""
    if not path.is_file():
        return
    read = inputs.get(_identity(path))
    if read is not None:
        same = "" if read == path else f" as {read}"
        raise OutputError(f"{path}: the file is also read{same}; give the output another name")
    if overwrite:
        return
    found = kind_of(path)
    why = "exists, and minicore did not make it" if found is None else f"exists, and is {found}"
    if found is None or (found and kind and found != kind):
        raise OutputError(
            f"{path}: {why}; give another name, or replace it with --overwrite (in Python: "
            f"overwrite=True)"
        )


def _identity(path: str | Path) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def _copy_permissions(source: Path, target: Path) -> None:
    """Set the permissions of a file that is there; a disk that has none is no reason to fail."""
    with contextlib.suppress(OSError):
        target.chmod(stat.S_IMODE(source.stat().st_mode) & 0o777)


def _check_name(target: Path) -> None:
    """Fail on what can be no name: too long, a NUL in it, a link that leads round in a circle.

    pathlib takes such a name for one that is not there.
    """
    with contextlib.suppress(FileNotFoundError):
        target.stat()


def beside(target: Path, purpose: str) -> Path:
    """Return a hidden name beside a file or folder that no other process or thread uses.

    It is short, so that the target may have as long a name as the disk allows. It has no process
    number: other machines and containers that see the folder may have a process of that number.
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
