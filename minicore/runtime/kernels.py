"""Compile kernels with Numba and keep the compiled code in minicore's own cache folder.

By default Numba writes compiled code next to the source files. `pip uninstall` does not remove it
there, and `import minicore` would still find a package. Numba's setting ``NUMBA_CACHE_DIR`` changes
the folder for all packages of a process. Therefore this module adds a cache folder to Numba's list
that is used for minicore only. If the user has set ``NUMBA_CACHE_DIR``, that folder is used. If
the cache folder cannot be written, the code goes to a temporary folder that only this user can
open, because compiled code of another user must not run.
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

from minicore.runtime import cache, system, threads

PACKAGE = Path(__file__).resolve().parents[1]
SETTINGS: Any = numba.config


class KernelFolder(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """The folder for the compiled form of one function of minicore."""

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file
        self._lineno = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """Return the folder: one for each folder of source files."""
        locator: Any = self  # Numba's methods have no types
        return str(Path(_folder(), locator.get_suitable_cache_subpath(self._py_file)))

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        """Return None for a function of another package; Numba then uses its own folders."""
        ours = PACKAGE in Path(file).resolve().parents
        if not ours or SETTINGS.CACHE_DIR or not _folder():
            return None
        numba_locator: Any = super()
        return numba_locator.from_function(function, file)


caching.CacheImpl._locator_classes.insert(0, KernelFolder)


def parallel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function that works on the tasks from `first` to `end`, its first two arguments.

    The result is a function that has the number of tasks as its first argument instead. It divides
    them between threads, see `threads.share`. The options are those of `numba.njit`. Numba's own
    threads (``parallel=True``) are not used: it would compile such a function several times, and
    they are missing in a forked process.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(nogil=True, **options)(function)

        @functools.wraps(function)
        def launch(tasks: int, *arguments: Any) -> None:
            threads.share(lambda first, end: kernel(first, end, *arguments), tasks)

        return launch

    return compiled


@functools.cache
def _folder() -> str:
    """Return the folder for compiled kernels, or an empty string if no folder can be written."""
    usual = cache.folder("kernels")
    try:
        return str(usual if _writable(usual) else _private_folder())
    except OSError:  # no temporary folder either: Numba raises its own error
        return ""


def _writable(folder: Path) -> bool:
    """Return whether a folder can be written to, or can be created if it does not exist."""
    if not folder.is_absolute():  # the user has no home folder
        return False
    for path in (folder, *folder.parents):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError:  # no permission to read it
            return False
        return stat.S_ISDIR(mode) and os.access(path, os.W_OK | os.X_OK)
    return False


def _private_folder() -> Path:
    """Create a temporary folder that only this user can open.

    All processes of the user share one folder. If that is not possible, this process gets its own.
    """
    folder = Path(tempfile.gettempdir()) / f"minicore-kernels-{system.user()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()  # does not follow a link, which another user could have created
        if stat.S_ISDIR(found.st_mode) and system.is_private(found) and _writable(folder):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.mkdtemp(prefix="minicore-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
