"""What differs between Linux, macOS and Windows. No other file asks which system it runs on.

Each function has one meaning on all systems. Where a system lacks a service, the function returns
None or does nothing, as its docstring describes.
"""

from __future__ import annotations

import errno
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

WINDOWS: Final[bool] = os.name == "nt"
WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # seconds between two tries to replace a file
NOT_IN_NAMES = '<>:"|?*'  # Windows: a colon would write into a hidden part of another file
CPU, STATUS, CLEAR = Path("/proc/cpuinfo"), Path("/proc/self/status"), Path("/proc/self/clear_refs")
LONGEST = 255  # characters in a name on Windows

# The signals that end a process and that Python does not turn into an exception. SIGHUP: the
# terminal was closed. SIGBREAK: the same on Windows, and Ctrl-Break.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
# Standard output cannot be written. Windows reports a reader that has ended as EINVAL.
DISK_OR_PIPE = (errno.ENOSPC, errno.EPIPE, errno.EFBIG, *([errno.EINVAL] if WINDOWS else []))


# ------------------------------------------------------------------- machine


def cores() -> int:
    """Return the number of cores that this process may use; all of them on macOS and Windows."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float | None:
    """Return the mean number of processes that wanted a core in the last minute; Windows: None."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def processor() -> str:
    """Return the name of the processor, as precisely as the system describes it."""
    try:
        lines = CPU.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or platform.machine()


def start_peak() -> bool:
    """Reset the peak memory of this process. Return whether the system can do this: Linux only."""
    try:
        CLEAR.write_text("5", "utf-8")  # proc(5)
    except OSError:
        return False
    return True


def peak() -> int | None:
    """Return the peak memory of this process in bytes since `start_peak`; None if unknown."""
    try:
        lines = STATUS.read_text("utf-8", "replace").splitlines()
        return 1024 * int(next(s for s in lines if s.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration, ValueError):
        return None


# ----------------------------------------------------------------- processes


def call_after_fork(function: Callable[[], Any]) -> None:
    """Call a function in every process that is forked from this one. Windows has no fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started with ``start_new_session``, and those that it started.

    Windows ends only the process itself.
    """
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


def quoted(command: Sequence[str]) -> str:
    """Return a command line that the user can paste into the shell of this system."""
    return subprocess.list2cmdline(command) if WINDOWS else shlex.join(command)


def user() -> str:
    """Return a short name of the user that is part of file names."""
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def is_private(found: os.stat_result) -> bool:
    """Return whether only this user can open a folder. Windows: its temporary folder is private."""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & 0o077


# --------------------------------------------------------------------- files


def check_name(path: Path) -> None:
    """Raise an OSError on Windows if a name is too long or contains an excluded character."""
    names = path.parts[bool(path.anchor) :] if WINDOWS else ()
    if any(set(name) & set(NOT_IN_NAMES) for name in names):
        raise OSError(errno.EINVAL, f"a name cannot contain {' '.join(NOT_IN_NAMES)}")
    if any(len(name) > LONGEST for name in names):
        raise OSError(errno.ENAMETOOLONG, f"a name can have {LONGEST} characters")


def check_replaceable(path: Path) -> None:
    """Raise an OSError on Windows if an existing file cannot be replaced.

    Windows does not replace a file that is read-only, or that a program has open.
    """
    if WINDOWS:
        with path.open("r+b"):
            pass


def replace(source: Path, target: Path) -> None:
    """Rename a file or folder. An existing file `target` is replaced.

    On Windows this fails while a program has one of them open. Virus scanners and indexers open
    each new file for a moment, so it is tried for 1.6 seconds.
    """
    _patiently(lambda: source.replace(target))


def unlink(path: Path) -> None:
    """Delete a file, if it exists. Windows: tried as in `replace`."""
    _patiently(lambda: path.unlink(missing_ok=True))


def _patiently(act: Callable[[], Any]) -> None:
    for seconds in WAITS if WINDOWS else ():
        try:
            act()
            return
        except PermissionError:
            time.sleep(seconds)
    act()


def advice(error: OSError | ValueError) -> str:
    """Return the end of a message about a file that cannot be written, or an empty string."""
    if WINDOWS and isinstance(error, PermissionError):
        return "; close it in other programs, or check whether it is read-only"
    return ""


def reserve(file: IO[bytes], size: int) -> None:
    """Reserve disk space for a file now, if the system can; otherwise writing fails later.

    Raises
    ------
    OSError
        If the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def lock(handle: int) -> None:
    """Lock an open file until it is closed.

    Raises
    ------
    BlockingIOError, PermissionError
        If another process holds the lock; PermissionError on Windows.
    OSError
        If the file system or the system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        return
    try:
        import fcntl
    except ImportError:
        raise OSError(errno.ENOSYS, "the system has no fcntl") from None
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
