"""The one folder outside the package in which minicore keeps anything: what can be had again."""

from __future__ import annotations

import os
from pathlib import Path


def folder(room: str) -> Path:
    """Give the folder of compiled ``kernels`` or fetched ``backbones``; it need not be there yet.

    It is in the user's cache folder, or where the variable MINICORE_CACHE says.
    """
    from platformdirs import user_cache_dir

    given = os.environ.get("MINICORE_CACHE")
    return (Path(given).absolute() if given else Path(user_cache_dir("minicore"))) / room
