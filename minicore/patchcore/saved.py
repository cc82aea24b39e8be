"""What a saved model says, checked before it is believed.

A checksum tells of accidents; anyone can sign a lie. So nothing in a header is taken for what it
should be: a value of another kind, a bank of another width or a threshold that is no number is
refused when the model is read, not met when it scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore.patchcore.config import Config, Made

WIDEST = 2**16  # values that the paper's embedding pools to, in a file one can believe


@dataclass(frozen=True)
class Saved:
    """One fitted model as its file has it; see the attributes of `minicore.PatchCore`."""

    config: Config
    made: Made
    scales: tuple[float, ...]
    input_size: tuple[int, int]
    grid: tuple[int, int]
    threshold: float | None
    map_threshold: float | None
    bank: np.ndarray
    indices: np.ndarray
    radii: np.ndarray
    held_out: np.ndarray
    peaks: np.ndarray

    @classmethod
    def believe(cls, arrays: Mapping[str, np.ndarray], header: Any) -> Saved:
        """Take what `PatchCore.save` has written apart.

        Parameters
        ----------
        arrays : dict of str to array
        header : dict

        Returns
        -------
        Saved

        Raises
        ------
        ValueError
            If an entry is missing, or is nothing that could have been saved; says which.
        """
        _require(isinstance(header, dict), "a header that is no table")
        missing = [name for name in HEADER if name not in header]
        missing += [name for name in ARRAYS if name not in arrays]
        _require(not missing, f"no entry {', '.join(missing)}")
        config, made = _config(header["config"]), _made(header["made"])
        scales = header.get("scales", [1.0])
        _require(isinstance(scales, list) and scales, f"scales {scales!r}")
        _require(all(_finite(s) and s > 0 for s in scales), f"scales {scales!r}")
        sizes = {name: header[name] for name in ("input_size", "grid")}
        for name, size in sizes.items():
            _require(isinstance(size, list) and len(size) == 2, f"{name} {size!r}")
            _require(all(type(n) is int and n >= 1 for n in size), f"{name} {size!r}")
        thresholds = header["threshold"], header["map_threshold"]
        for name, value in zip(("threshold", "map_threshold"), thresholds, strict=True):
            _require(value is None or _finite(value), f"{name} {value!r}")
        by_score, by_map = (None if value is None else float(value) for value in thresholds)

        bank, indices = arrays["memory_bank"], arrays["coreset_indices"]
        stored = np.float16 if config.bank_storage == "float16" else np.float32
        good = bank.ndim == 2 and bank.size > 0 and bank.dtype == stored
        good = good and bool(np.isfinite(bank).all())
        _require(good, f"memory bank of {bank.dtype} {bank.shape}, or not finite")
        good = indices.dtype == np.int64 and indices.shape == bank.shape[:1]
        _require(good, f"memory bank of {len(bank)} rows, indices of {indices.shape}")
        if config.embedding == "paper":
            _require(max(config.dimension) <= WIDEST, f"dimension {config.dimension}")
        held_out = arrays["held_out_scores"]
        peaks = arrays.get("held_out_peaks", np.empty(0))  # older models have neither these
        radii = arrays.get("coreset_radii", np.empty(0))  # nor those
        for name, array in (("scores", held_out), ("peaks", peaks), ("radii", radii)):
            good = array.ndim == 1 and array.dtype == np.float64 and bool(np.isfinite(array).all())
            _require(good, f"{name} of {array.dtype} {array.shape}, or not finite")
        _require((thresholds[0] is None) == (thresholds[1] is None), "one threshold of two")
        return cls(
            config, made, tuple(map(float, scales)),
            tuple(sizes["input_size"]), tuple(sizes["grid"]),
            by_score, by_map, bank.astype(np.float32, copy=False), indices, radii, held_out, peaks,
        )  # fmt: skip


HEADER = ("config", "made", "input_size", "grid", "threshold", "map_threshold")
ARRAYS = ("memory_bank", "coreset_indices", "held_out_scores")


def _config(stored: Any) -> Config:
    _require(isinstance(stored, dict), f"config {stored!r}")
    try:
        config = Config.from_json(stored)
        _ = config.preprocessing  # which has conditions of its own
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"config: {str(error)[:200]}") from error
    names = config.backbone if isinstance(config.backbone, tuple) else (config.backbone,)
    layers = config.layers if isinstance(config.layers, tuple) else ()
    texts = (*names, config.backbone_sha256, *layers)
    good = names and layers and all(isinstance(text, str) and text for text in texts)
    _require(good, "no network it names")
    return config


def _made(stored: Any) -> Made:
    _require(isinstance(stored, dict), f"made {stored!r}")
    try:
        return Made(**stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f"made: {str(error)[:200]}") from error


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and bool(np.isfinite(float(value)))


def _require(good: Any, found: str) -> None:
    if not good:
        raise ValueError(f"found {found[:200]}")
