"""Describe this machine, its software and the command, so that a measurement can be repeated."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from minicore.runtime import threads

LIBRARIES = ("numpy", "scipy", "numba", "onnxruntime", "scikit-learn", "faiss-cpu")


def describe(used: int) -> dict[str, Any]:
    """Return the processor, the system, the load and the versions of the libraries.

    Parameters
    ----------
    used : int
        Number of threads of the measurement.

    Returns
    -------
    dict
        Ready for JSON.
    """
    from threadpoolctl import threadpool_info

    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    blas = [
        f"{pool['internal_api']} {pool.get('version')} ({pool.get('architecture')})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return {
        "cpu": _cpu(),
        "cores": threads.available(),
        "threads": used,
        "system": platform.platform(),
        "blas": sorted(set(blas)),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def command() -> str:
    """Return the command line of this process, quoted for a shell."""
    return shlex.join(["minicore", *sys.argv[1:]])


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
