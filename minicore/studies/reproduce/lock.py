"""Allow only one `minicore reproduce` at a time in the folder of a run."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from minicore.errors import MinicoreWarning, OutputError
from minicore.runtime import system

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    The lock belongs to the open file ``.lock``. The operating system releases it when the process
    ends, even after a crash; the file may remain. The lock also works between containers of one
    machine. Only the process that starts a run takes the lock, not the processes that measure its
    units.

    On a network file system the lock depends on the server. NFS 4, and NFS 3 with its lock service,
    have locks that work between machines. With the mount options ``nolock`` or ``local_lock``, each
    machine has its own locks. If the file system has no locks, a warning is issued and the block
    runs without one.

    Parameters
    ----------
    folder : str or Path
        It is created if it does not exist.

    Raises
    ------
    OutputError
        If another process holds the lock, or the folder cannot be written.

    Warns
    -----
    MinicoreWarning
        If the file system has no locks.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{folder}: cannot be written: {reason}; choose another folder with --out"
        ) from error
    try:
        try:
            system.lock(handle)
        except (BlockingIOError, PermissionError) as error:  # PermissionError on Windows
            raise OutputError(
                f"{folder}: another `minicore reproduce` is running in this folder; wait until it "
                f"ends, or choose another folder with --out"
            ) from error
        except OSError as error:
            warnings.warn(
                f"{folder}: this file system has no locks ({error.strerror or error}); do not "
                f"start a second `minicore reproduce` in this folder before this one ends",
                MinicoreWarning,
                stacklevel=3,
            )
        yield
    finally:
        os.close(handle)  # releases the lock
