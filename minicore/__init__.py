"""PatchCore, equation by equation: industrial anomaly detection on a CPU.

>>> from minicore import PatchCore, datasets
>>> parts = datasets.synthetic("gear", seed=0)
>>> model = PatchCore().fit(parts.train)
>>> scores, maps = model.anomaly_score(parts.test), model.anomaly_map(parts.test)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicore import datasets
    from minicore.backbones import Backbone
    from minicore.ensemble import Ensemble, load
    from minicore.patchcore import PatchCore
    from minicore.tracing import trace

__version__ = "0.1.0"
__all__ = ["Backbone", "Ensemble", "PatchCore", "__version__", "datasets", "load", "trace"]

# Imported when first used, so that `import minicore` compiles nothing and is quick.
_LAZY = {
    "Backbone": "minicore.backbones",
    "Ensemble": "minicore.ensemble",
    "PatchCore": "minicore.patchcore",
    "load": "minicore.ensemble",
    "trace": "minicore.tracing",
}
_ROOMS = {
    "backbones",
    "baselines",
    "course",
    "datasets",
    "equations",
    "fast",
    "images",
    "metrics",
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
