"""Numba's `njit`, with what it compiles kept where uninstalling leaves nothing in the package.

Numba keeps compiled kernels beside the source, where `pip uninstall` does not know them: they would
stay, and `import minicore` would go on finding a package. Its one setting for another place,
``NUMBA_CACHE_DIR``, is the whole process's. Where a kernel is kept is settled as it is defined, so
that is when it is set, and no longer: to minicore's own cache folder or, without a home to write
to, to a folder of temporary files that only this user can open; nobody else's code is to be run.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from minicore import cache, threads


@contextlib.contextmanager
def kept_apart() -> Iterator[None]:
    """Have the kernels that a block defines, or imports, kept in that folder."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = before or _folder()  # a user's own NUMBA_CACHE_DIR is left alone
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as `numba.njit` does, of which it takes every option by name.

    A parallel kernel comes back as a Python function that runs it when `threads.one_at_a_time`
    permits: from several Python threads at once only where Numba can, and not after a fork.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        with kept_apart():
            kernel = numba.njit(**options)(function)
        if not options.get("parallel"):
            return kernel

        @functools.wraps(function)
        def launch(*arguments: Any) -> Any:
            with threads.one_at_a_time():
                return kernel(*arguments)

        return launch

    return compiled


def inner(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile what only other kernels call: without an entry from Python, in a tenth less time."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


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
