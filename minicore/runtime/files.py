"""Write files atomically, and never replace a file of the user by accident.

A file appears complete or not at all. One rule decides whether an existing file may be replaced:
minicore made it and it has the same kind as the new file (`kinds.kind_of`), or the caller asks for
it with `overwrite`. A file that the same call reads is never replaced, even if
the output has another path or is a link to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from minicore.errors import MinicoreError, OutputError
from minicore.runtime import system
from minicore.runtime.kinds import kind_of

Identity: TypeAlias = tuple[int, int] | str
Inputs: TypeAlias = Mapping[Identity, Path]  # the result of `identities`
NO_INPUTS: Inputs = {}


@contextlib.contextmanager
def atomic_write(
    path: str | Path,
    mode: str = "wb",
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
) -> Iterator[IO[Any]]:
    """Open a file for writing. It appears under its name only after the block ends without error.

    Until then the content goes to a hidden file in the same folder, and an existing file is
    unchanged. Missing folders are created. If `path` is a link, the file behind the link is
    written. A replaced file keeps its permissions. A device such as ``/dev/stdout`` is written
    directly.

    Parameters
    ----------
    path : str or Path
    mode : {"wb", "w"}
        Text is written as UTF-8 and newlines are not translated.
    inputs : dict
        The files that the call reads, from `identities`.
    overwrite : bool, default False
        Replace the file even if minicore did not make it.

    Raises
    ------
    OutputError
        If the file cannot be written or must not be replaced.
    """
    named = Path(path)
    text: dict[str, Any] = {}
    if "b" not in mode:  # names of files may contain bytes that are not UTF-8: keep these bytes
        text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        _check_name(named)
        direct = named.exists() and not named.is_file()
        target = named if direct else Path(os.path.realpath(named))
        partial = temporary_path(target, "partial")
        _check_replaceable(named, inputs, overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OutputError:
        raise
    except (OSError, ValueError) as error:  # a NUL in the name raises a ValueError
        raise _cannot_write(named, error) from error
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
            # Check again: minutes may have passed, and the new file's kind is known only now.
            _check_replaceable(named, inputs, overwrite, kind_of(partial))
            system.replace(partial, target)
        finally:
            with contextlib.suppress(OSError):
                system.unlink(partial)
    except OSError as error:
        about_this_file = error.filename in (None, str(partial), str(target), str(named))
        if isinstance(error, MinicoreError) or not about_this_file:
            raise  # the block failed with another file
        raise _cannot_write(named, error) from error


def check_writable(
    path: str | Path,
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
    kind: str | None = None,
) -> None:
    """Check that a file can be written, before minutes of work are spent on its content.

    Parameters
    ----------
    path : str or Path
        The check changes no file and creates no folder.
    inputs, overwrite
        As for `atomic_write`.
    kind : str, optional
        The kind of the new file, as in `kinds.kind_of`.

    Raises
    ------
    OutputError
        If the file cannot be written, or an existing file must not be replaced.
    """
    named = Path(path)
    try:
        if named.is_dir():
            raise OutputError(f"{named}: a folder; name a file in it, such as {named / 'result'}")
        if named.exists() and not named.is_file():
            return
        _check_name(named)  # the name of the probe below may be shorter
        _check_replaceable(named, inputs, overwrite, kind)
        folder = Path(os.path.realpath(named)).parent
        missing = []
        while not os.path.lexists(folder):
            if folder == folder.parent:  # a drive of Windows
                raise FileNotFoundError(errno.ENOENT, f"there is no {folder}")
            missing.append(folder.name)
            folder = folder.parent
        for name in missing:
            _check_name(folder / name)
        probe = temporary_path(folder / named.name, "probe")  # some disks refuse characters
        probe.touch()
        system.unlink(probe)
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_write(named, error) from error


def check_apart(folder: str | Path, images: Iterable[str | Path]) -> None:
    """Raise an error if images are read from the folder in which pictures will be written.

    The next call would read the pictures as images.

    Parameters
    ----------
    folder : str or Path
        It may not exist yet.
    images : iterable of str or Path
        Image files.

    Raises
    ------
    OutputError
        If an image lies directly in the folder.
    """
    if identities([folder]).keys() & identities({Path(image).parent for image in images}).keys():
        raise OutputError(f"{folder}: images are read from this folder; choose another folder")


def check_outputs(
    outputs: Iterable[tuple[str | Path, str]],
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
) -> None:
    """Check that each output of a call can be written and that no output replaces another output.

    Parameters
    ----------
    outputs : iterable of (str or Path, str)
        Files and their kinds, see `kinds.kind_of`.
    inputs, overwrite
        As for `atomic_write`.

    Raises
    ------
    OutputError
        As `check_writable`. Also if two outputs have the same name (upper and lower case count as
        equal), or if one output is a folder of another one.
    """
    named: dict[Path, str | Path] = {}
    for output, kind in outputs:
        check_writable(output, inputs=inputs, overwrite=overwrite, kind=kind)
        real = Path(folded(os.path.realpath(output)))
        if real in named:
            raise OutputError(f"{output}: two outputs have this name; rename one of them")
        named[real] = output
    for name in named:
        for folder in name.parents:
            if folder in named:
                raise OutputError(
                    f"{named[folder]}: both a file and a folder of outputs; rename one of them"
                )


def folded(name: str) -> str:
    """Return a name in lower case and one Unicode form: some disks ignore these differences."""
    return unicodedata.normalize("NFC", name).casefold()


def identities(paths: Iterable[str | Path]) -> dict[Identity, Path]:
    """Return the device and file number of each file, which identify it behind any path or link.

    Some network drives have no numbers; there the path must be enough.

    Parameters
    ----------
    paths : iterable of str or Path
        Missing files are left out.

    Returns
    -------
    dict of (int, int) or str to Path
    """
    found: dict[Identity, Path] = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            found.setdefault(_identity(path), Path(path))
    return found


def _check_replaceable(
    path: Path, inputs: Inputs, overwrite: bool, kind: str | None = None
) -> None:
    """Raise an error if `path` is an input, or if it needs `overwrite` to be replaced."""
    if not path.is_file():
        return
    read = inputs.get(_identity(path))
    if read is not None:
        same = "" if read == path else f" as {read}"
        raise OutputError(
            f"{path}: the file is also read{same}; choose another name for the output"
        )
    if not overwrite:
        _check_own(path, kind)
    system.check_replaceable(path)


def _check_own(path: Path, kind: str | None) -> None:
    """Raise an error unless minicore made a file and it is of the same kind as the new file."""
    found = kind_of(path)
    why = "exists, and minicore did not make it" if found is None else f"exists, and is {found}"
    if found is None or (found and kind and found != kind):
        raise OutputError(
            f"{path}: {why}; choose another name, or replace it with --overwrite (in Python: "
            f"overwrite=True)"
        )


def _identity(path: str | Path) -> Identity:
    found = Path(path).stat()
    if found.st_ino:
        return found.st_dev, found.st_ino
    return os.path.normcase(os.path.realpath(path))


def _copy_permissions(source: Path, target: Path) -> None:
    """Copy the permissions of an existing file. Ignore the error of a disk without permissions."""
    with contextlib.suppress(OSError):
        target.chmod(stat.S_IMODE(source.stat().st_mode) & 0o777)


def _check_name(target: Path) -> None:
    """Raise an error for an impossible name: too long, with a NUL, or a link that leads to itself.

    For such a name `Path.exists` returns False instead of raising an error.
    """
    system.check_name(target)
    with contextlib.suppress(FileNotFoundError):
        target.stat()


def temporary_path(target: Path, purpose: str) -> Path:
    """Return a hidden path next to a file or folder. No other process or thread uses this path.

    The name is short, so that the target's own name may be as long as the disk allows. A process
    number would not be unique: other machines and containers may use the same folder.
    """
    return target.parent / f".{target.name[:40]}.{secrets.token_hex(4)}.{purpose}"


def _cannot_write(target: Path, error: OSError | ValueError) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"{target}: cannot be written: {reason}{system.advice(error)}")


def is_file(path: str | Path) -> bool:
    """Return whether the file exists. False for a name that is longer than the disk allows."""
    return _false_if_too_long(Path(path).is_file)


def is_folder(path: str | Path) -> bool:
    """Return whether the folder exists. False for a name that is longer than the disk allows."""
    return _false_if_too_long(Path(path).is_dir)


def _false_if_too_long(exists: Callable[[], bool]) -> bool:
    try:
        return exists()
    except OSError as error:  # Python before 3.14 raises it for a name that is too long
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def write_all(file: IO[bytes], array: np.ndarray) -> None:
    """Write the bytes of a contiguous array to an unbuffered file, which may accept only a part."""
    view = array.data.cast("B")
    while len(view):
        view = view[file.write(view) :]
