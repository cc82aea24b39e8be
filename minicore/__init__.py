"""PatchCore, equation by equation: industrial anomaly detection on a CPU.

>>> from minicore import PatchCore, datasets
>>> parts = datasets.synthetic("gear", seed=0)
>>> model = PatchCore().fit(parts.train)
>>> scores, maps = model.anomaly_score(parts.test), model.anomaly_map(parts.test)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minicore.runtime.distribution import check_files as _check_files

if TYPE_CHECKING:
    from minicore import datasets
    from minicore.backbones import Backbone
    from minicore.patchcore.ensemble import Ensemble
    from minicore.patchcore.estimator import PatchCore
    from minicore.patchcore.saved import load
    from minicore.patchcore.trace import trace

_check_files()

__version__ = "0.1.0"
__all__ = ["Backbone", "Ensemble", "PatchCore", "__version__", "datasets", "load", "trace"]

# Imported when first used, so that `import minicore` compiles nothing and is quick.
_LAZY = {
    "Backbone": "minicore.backbones",
    "Ensemble": "minicore.patchcore.ensemble",
    "PatchCore": "minicore.patchcore.estimator",
    "load": "minicore.patchcore.saved",
    "trace": "minicore.patchcore.trace",
}
_ROOMS = {
    "backbones",
    "cluster",
    "course",
    "datasets",
    "equations",
    "evaluation",
    "export",
    "fast",
    "images",
    "play",
    "plots",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"minicore.{name}")
    raise AttributeError(f"module 'minicore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
