"""Where compiled kernels are kept if Numba finds no place of its own.

Numba keeps them beside the source or, if it may not write there, in the user's cache folder. Where
both are closed to it (a system-wide install in a container without a home) it refuses to define a
kernel at all. Then they go to a folder of temporary files that only this user can open: compiled
kernels are code, and nobody else's is to be run.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

KERNELS = ("equations", "fast")  # the packages that have any


def provide() -> None:
    """Name a private folder in ``NUMBA_CACHE_DIR``, if that takes to have kernels at all.

    Takes microseconds, and does nothing, where Numba's own choice works.
    """
    package = Path(__file__).parent
    if all(_writable(package / room / "__pycache__") for room in KERNELS):
        return
    given = os.environ.get("NUMBA_CACHE_DIR")
    if _writable(Path(given)) if given else _writable(_user_wide()):
        return
    try:
        folder = _private_folder()
    except OSError:  # no place for temporary files either: let Numba say that it finds none
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:  # it has read the variable already
        sys.modules["numba"].config.CACHE_DIR = str(folder)


def _user_wide() -> Path | None:
    """Give the folder that Numba turns to next; None without a home."""
    from platformdirs import user_cache_path

    try:
        return user_cache_path("numba", appauthor=False)
    except RuntimeError:
        return None


def _writable(folder: Path | None) -> bool:
    """Whether a folder, or one that is yet to be made, can be written to."""
    if folder is None or not folder.is_absolute():
        return False
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError:  # not even to be looked at
        return False
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _private_folder() -> Path:
    """Make a folder that only this user can open: one for all processes, else one for this."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"minicore-kernels-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()  # not what a link points to: someone else could have left it there
        mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        closed = os.name == "nt" or not found.st_mode & 0o077
        if stat.S_ISDIR(found.st_mode) and mine and closed and _writable(folder):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.mkdtemp(prefix="minicore-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
