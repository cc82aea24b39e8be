"""Numba keeps the compiled kernels of minicore in minicore's own cache folder.

By default Numba writes them beside the source. `pip uninstall` does not know these files: they
would stay, and `import minicore` would still find a package. Numba's own setting for another
folder, ``NUMBA_CACHE_DIR``, applies to all packages of a process. So this module adds one entry to
the list of places where Numba looks, and the entry is for the files of minicore only. If the user
has set ``NUMBA_CACHE_DIR``, that folder is used. Without a home folder, the kernels go to a folder
of temporary files that only this user can open, because nobody else's code may run.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from minicore.runtime import cache, threads

PACKAGE = Path(__file__).resolve().parents[1]
SETTINGS: Any = numba.config


class KernelFolder(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """The folder for the compiled form of one function of minicore."""

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file
        self._lineno = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """Return the folder: one for each folder of source files."""
        return str(Path(_folder(), self.get_suitable_cache_subpath(self._py_file)))

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        """Return None for functions of other packages, which Numba then places as usual."""
        ours = PACKAGE in Path(file).resolve().parents
        if not ours or SETTINGS.CACHE_DIR or not _folder():
            return None
        return super().from_function(function, file)


caching.CacheImpl._locator_classes.insert(0, KernelFolder)


def parallel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as `numba.njit` does with ``parallel=True`` and these options.

    The result is a Python function that runs the kernel when `threads.one_at_a_time` permits: from
    several Python threads at once only where Numba can, and not after a fork.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(parallel=True, **options)(function)

        @functools.wraps(function)
        def launch(*arguments: Any) -> Any:
            with threads.one_at_a_time():
                return kernel(*arguments)

        return launch

    return compiled


@functools.cache
def _folder() -> str:
    """Give the folder for compiled kernels; nothing if there is no place for files at all."""
    usual = cache.folder("kernels")
    try:
        return str(usual if _writable(usual) else _private_folder())
    except OSError:  # not even for temporary ones: let Numba say that it finds no place
        return ""


def _writable(folder: Path) -> bool:
    """Whether a folder, or one that is yet to be made, can be written to."""
    if not folder.is_absolute():  # the home of a user who has none
        return False
    for path in (folder, *folder.parents):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError:  # not even to be looked at
            return False
        return stat.S_ISDIR(mode) and os.access(path, os.W_OK | os.X_OK)
    return False


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
