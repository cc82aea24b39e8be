"""The cache folder: compiled kernels and downloaded networks, which can be created again."""

from __future__ import annotations

import os
from pathlib import Path


def folder(name: str) -> Path:
    """Return the folder for ``kernels`` or ``backbones``. It may not exist yet.

    It lies in the user's cache folder, or in MINICORE_CACHE if this variable is set.
    """
    from platformdirs import user_cache_dir

    chosen = os.environ.get("MINICORE_CACHE")
    return (Path(chosen).absolute() if chosen else Path(user_cache_dir("minicore"))) / name
