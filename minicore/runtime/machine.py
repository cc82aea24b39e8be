"""Describe this machine, its software and the command, so that a measurement can be repeated."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

from minicore.runtime import system, threads

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
        "cpu": system.processor(),
        "cores": threads.available(),
        "threads": used,
        "system": platform.platform(),
        "blas": sorted(set(blas)),
        "load": system.load(),
        "versions": versions,
    }


def command() -> str:
    """Return the command line of this process, quoted for a shell."""
    return system.quoted(["minicore", *sys.argv[1:]])
