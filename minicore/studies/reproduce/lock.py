"""One `minicore reproduce` at a time in a run's folder."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from minicore.errors import MinicoreWarning, OutputError

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a run's folder over a block.

    The operating system holds the lock for as long as the file ``.lock`` is open, and releases it
    when the process ends, however it ends: the file may stay, a lock never does. It holds between
    containers and PID namespaces of one machine. The processes that measure the units of a run do
    not take it: the process that started them has it.

    On network file systems it depends on the server. NFS since version 4, and version 3 with its
    lock service, hold it between machines; mounted with ``nolock`` or ``local_lock``, each machine
    has locks of its own. Where the file system has no locks at all, there is a warning, and the
    block runs without.

    Parameters
    ----------
    folder : str or Path
        Made if it is missing.

    Raises
    ------
    OutputError
        If somebody else holds the lock, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except (OSError, ValueError) as error:  # a ValueError of a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{folder}: cannot be written: {reason}; give another folder with --out"
        ) from error
    try:
        try:
            _lock(handle)
        except (BlockingIOError, PermissionError) as error:  # the latter on Windows
            raise OutputError(
                f"{folder}: another `minicore reproduce` is working in this folder; wait until it "
                f"has ended, or give another folder with --out"
            ) from error
        except OSError as error:
            warnings.warn(
                f"{folder}: this file system has no locks ({error.strerror or error}); do not "
                f"start a second `minicore reproduce` in this folder before this one has ended",
                MinicoreWarning,
                stacklevel=3,
            )
        yield
    finally:
        os.close(handle)  # releases the lock


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
