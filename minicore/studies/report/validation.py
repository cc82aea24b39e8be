"""Check that the parts of a unit fit together. A checksum detects only damage of the file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from minicore.errors import ModelError
from minicore.evaluation.evaluate import Evaluation
from minicore.studies.reproduce import Evidence, Finished


def check(unit: Finished) -> None:
    """Raise an error if the parts of a unit do not fit together.

    Parameters
    ----------
    unit : Finished

    Raises
    ------
    ModelError
        With the reason.
    """
    for name in (f.name for f in fields(Evaluation) if f.name != "category"):
        if not _number(getattr(unit.evaluation, name)):
            raise ModelError(f"its {name} is not a finite number")
    if not _number(unit.peak_memory) or not isinstance(unit.config, dict):
        raise ModelError("its peak memory or its configuration has the wrong type")
    if not isinstance(unit.seconds, dict) or not all(map(_number, unit.seconds.values())):
        raise ModelError("its seconds are not finite numbers")
    _check_evidence(unit.evidence)


def _check_evidence(e: Evidence) -> None:
    n, k = len(e.names), len(e.shown)
    size = e.images.shape[1:3]
    shapes: dict[str, list[tuple[int, ...]]] = {
        "labels": [(n,)],
        "scores": [(n,)],
        "distances": [(n,)],
        "shown": [(k,)],
        "images": [(k, *size, 3)],
        "maps": [(k, *size), (k, 0, 0)],
        "masks": [(k, *size), (k, 0, 0)],
        "map_limits": [(2,)],
        "windows": [(k, 4), (0, 4)],
        "nearest_images": [(k, *e.nearest_images.shape[1:3], 3), (0, 0, 0, 3)],
        "nearest_windows": [(k, 4), (0, 4)],
    }
    kinds = {"images": "u", "nearest_images": "u", "maps": "f", "masks": "b", "scores": "f"}
    for name, expected in shapes.items():
        kind = getattr(e, name).dtype.kind
        if kind != kinds.get(name, kind):
            raise ModelError(f"its {name} have the wrong type {getattr(e, name).dtype}")
        shape = getattr(e, name).shape
        if shape not in expected:
            raise ModelError(f"its {name} have the shape {shape}, expected {expected[0]}")
    if {getattr(e, name).dtype.kind for name in ("shown", "windows", "nearest_windows")} - {"i"}:
        raise ModelError("its indices or windows are not whole numbers")
    if n == 0 or len(e.defects) != n or not np.isin(e.labels, (0, 1)).all():
        raise ModelError("its images, defects and labels do not fit together")
    if not (np.isfinite(e.scores).all() and np.isfinite(e.maps).all()):
        raise ModelError("one of its scores or maps is not finite")
    if k and (min(size) == 0 or e.shown.min() < 0 or e.shown.max() >= n):
        raise ModelError(f"it shows images that are not among its {n} test images")
    if len({len(e.windows), len(e.nearest), len(e.nearest_images), len(e.nearest_windows)}) > 1:
        raise ModelError("it has different numbers of windows and nearest patches")
    for windows, pixels in ((e.windows, e.images), (e.nearest_windows, e.nearest_images)):
        top, left, bottom, right = windows.T
        height, width = pixels.shape[1:3]
        if (
            not ((top >= 0) & (left >= 0) & (top < bottom) & (left < right)).all()
            or not ((bottom <= height) & (right <= width)).all()
        ):
            raise ModelError("one of its windows is outside the image")


def _number(value: Any) -> bool:
    """Return whether a value is None or a finite number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (number and bool(np.isfinite(value)))
