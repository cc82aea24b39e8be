"""Write and read the files of fitted models.

`minicore.runtime.container` defines the format: arrays and a JSON header. A checksum detects
damage, not tampering. So `load` checks the type and the range of every value, and that header and
arrays fit together. A wrong file raises an error here, not later while images are scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minicore.errors import BackboneError, ModelError
from minicore.images.batching import DIGEST
from minicore.patchcore.config import Config, Made, require_running
from minicore.patchcore.ensemble import Ensemble
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.features import check_smoothing, columns_by_network
from minicore.patchcore.search import Search
from minicore.runtime import container
from minicore.runtime.clock import Seconds
from minicore.runtime.files import identities

HEADER = ("config", "made", "scales", "input_size", "grid", "threshold", "map_threshold")
ARRAYS = (
    "memory_bank", "coreset_indices", "coreset_radii", "calibration_scores", "calibration_peaks",
    "image_digests",
)  # fmt: skip
WHITENING = "whitening"  # the name of an array that only some models have
SEARCH = "search."  # prefix of the names of the arrays of `Search.state`
WIDEST = 2**16  # largest `dimension` that is accepted in a file

Arrays = Mapping[str, np.ndarray]


# ---------------------------------------------------------------- write


def save(model: PatchCore | Ensemble, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a fitted model or ensemble to one file; see `PatchCore.save`."""
    check_is_fitted(model)
    if isinstance(model, Ensemble):
        stored = [_stored(member) for member in model.models_]
        arrays = {
            f"{k}.{name}": array for k, (own, _) in enumerate(stored) for name, array in own.items()
        }
        header: dict[str, Any] = {"members": [own for _, own in stored]}
    else:
        arrays, header = _stored(model)
    inputs = identities(model.network_files_)
    return container.write(path, arrays, header, inputs=inputs, overwrite=overwrite)


def _stored(model: PatchCore) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the fitted state of one model: its arrays, and its header."""
    half = model.config_.bank_storage == "float16"  # exact: the values were rounded to it in `fit`
    arrays = {
        "memory_bank": model.memory_bank_.astype(np.float16 if half else np.float32, copy=False),
        "coreset_indices": model.coreset_indices_,
        "coreset_radii": model.coreset_radii_,
        "calibration_scores": model.calibration_scores_,
        "calibration_peaks": model.calibration_peaks_,
        "image_digests": model.image_digests_,
        **{SEARCH + name: array for name, array in model._search.state().items()},
    }
    if model.whitening_ is not None:
        arrays[WHITENING] = model.whitening_
    header = {
        "config": model.config_.to_json(),
        "made": asdict(model.made_),
        "scales": model.scales_,
        "input_size": model.input_size_,
        "grid": model.grid_,
        "threshold": model.threshold_,
        "map_threshold": model.map_threshold_,
    }
    return arrays, header


# ---------------------------------------------------------------- read


def load(path: str | Path, backbone: Any = None, **options: Any) -> PatchCore | Ensemble:
    """Return the model in a file: a `PatchCore` or an `Ensemble`.

    Parameters
    ----------
    path : str or Path
        A file that `save` wrote.
    backbone : optional
        The network of the fit, if its file was moved; for an ensemble, a list with one network per
        member.
    **options
        As for `PatchCore.load`.

    Returns
    -------
    PatchCore or Ensemble

    Raises
    ------
    ModelError
        If the file is damaged, or `backbone` is not the network of the fit.
    """
    arrays, header = container.read(path)
    if "members" in header:
        return _ensemble(path, arrays, header["members"], backbone, options)
    return _patchcore(path, arrays, header, backbone, options)


def load_patchcore(path: str | Path, backbone: Any, options: dict[str, Any]) -> PatchCore:
    """Return the single model in a file; see `PatchCore.load`."""
    arrays, header = container.read(path)
    if "members" in header:
        raise ModelError(f"{path}: an ensemble of scores; read it with minicore.load")
    return _patchcore(path, arrays, header, backbone, options)


def load_ensemble(path: str | Path, backbone: Any, options: dict[str, Any]) -> Ensemble:
    """Return the ensemble in a file; see `Ensemble.load`."""
    arrays, header = container.read(path)
    if "members" not in header:
        raise ModelError(f"{path}: a single model; read it with minicore.load")
    return _ensemble(path, arrays, header["members"], backbone, options)


def _ensemble(
    path: str | Path, arrays: Arrays, headers: Any, backbone: Any, options: dict[str, Any]
) -> Ensemble:
    if not isinstance(headers, list) or not headers:
        raise ModelError(f"{path}: damaged: members {str(headers)[:200]}")
    networks = [None] * len(headers) if backbone is None else backbone
    if not isinstance(networks, (list, tuple)) or len(networks) != len(headers):
        raise ModelError(f"{path}: an ensemble of {len(headers)}; pass one network per member")
    models = []
    for k, (header, network) in enumerate(zip(headers, networks, strict=True)):
        start = f"{k}."
        own = {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}
        models.append(_patchcore(path, own, header, network, options))
    counts = {len(model.calibration_scores_) for model in models}
    rates = {model.config_.false_positive_rate for model in models}
    if len(counts | {0}) != 2 or len(rates) > 1 or None in rates:
        raise ModelError(f"{path}: damaged: its members have thresholds from different images")
    ensemble = Ensemble(models, progress=options.get("progress", True))
    try:
        ensemble._set_members(models)
    except ValueError as error:
        raise ModelError(f"{path}: damaged: {error}") from error
    return ensemble


def _patchcore(
    path: str | Path, arrays: Arrays, header: Any, backbone: Any, options: dict[str, Any]
) -> PatchCore:
    """Return the model of the arrays and the header from `_stored`. Errors name `path`."""
    try:
        saved = Saved.validate(arrays, header)
        check_smoothing(saved.config.sigma, saved.input_size)
    except ValueError as error:
        raise ModelError(f"{path}: damaged: {error}") from error
    config = saved.config

    names = PatchCore._get_param_names()
    parameters = {k: v for k, v in config.to_json().items() if k in names}
    parameters |= {"resize": config.resize or "none", "crop": config.crop or "none"}
    model = PatchCore(**{**parameters, "backbone": backbone or config.backbone, **options})
    require_running(model)
    try:
        model.backbone_ = model._open_backbone()
    except (BackboneError, ValueError) as error:
        if backbone is not None:
            raise
        hint = "pass the network it was fitted with as backbone"
        raise ModelError(f"{path}: {error}; {hint}") from error
    if model.backbone_.sha256 != config.backbone_sha256:
        found = ", ".join(str(network.path) for network in model.backbone_.networks)
        raise ModelError(
            f"{path}: fitted with another network ({config.backbone}, SHA-256 "
            f"{config.backbone_sha256[:12]}…) than {found} "
            f"({model.backbone_.sha256[:12]}…); pass the right one as backbone"
        )
    columns, width = columns_by_network(model.backbone_, config), saved.bank.shape[1]
    expected = width if saved.whitening is None else len(saved.whitening)
    if sum(columns) != expected or len(columns) != len(saved.scales):
        raise ModelError(
            f"{path}: damaged: patch features of {expected} columns and {len(saved.scales)} scales "
            f"for networks with {columns} columns"
        )
    state = {k.removeprefix(SEARCH): a for k, a in arrays.items() if k.startswith(SEARCH)}
    try:
        model._search = Search(saved.bank, config.b, state=state or None, score=config.score)
    except ValueError as error:
        raise ModelError(f"{path}: damaged: {error}") from error
    model._forget()
    model._file = Path(path).absolute()
    model.seconds_ = Seconds()
    model.config_, model.made_ = config, saved.made
    model.scales_, model.whitening_ = saved.scales, saved.whitening
    model.input_size_, model.grid_ = saved.input_size, saved.grid
    model.memory_bank_ = saved.bank
    model.coreset_indices_, model.coreset_radii_ = saved.indices, saved.radii
    model.calibration_scores_, model.calibration_peaks_ = saved.scores, saved.peaks
    model.image_digests_ = saved.digests
    model.threshold_, model.map_threshold_ = saved.threshold, saved.map_threshold
    return model


# ---------------------------------------------------------------- validate


@dataclass(frozen=True)
class Saved:
    """The validated contents of one model; see the attributes of `minicore.PatchCore`."""

    config: Config
    made: Made
    scales: tuple[float, ...]
    whitening: np.ndarray | None
    input_size: tuple[int, int]
    grid: tuple[int, int]
    threshold: float | None
    map_threshold: float | None
    bank: np.ndarray
    indices: np.ndarray
    radii: np.ndarray
    scores: np.ndarray
    peaks: np.ndarray
    digests: np.ndarray

    @classmethod
    def validate(cls, arrays: Arrays, header: Any) -> Saved:
        """Check the contents of a file and return them.

        Raises
        ------
        ValueError
            If an entry is missing or invalid; the message names it.
        """
        _require(isinstance(header, dict), "a header that is not a JSON object")
        missing = [name for name in HEADER if name not in header]
        missing += [name for name in ARRAYS if name not in arrays]
        _require(not missing, f"no entry {', '.join(missing)}")
        config, made = _config(header["config"]), _made(header["made"])
        scales = header["scales"]
        _require(isinstance(scales, list) and scales, f"scales {scales!r}")
        _require(all(_finite(s) and s > 0 for s in scales), f"scales {scales!r}")
        for name in ("input_size", "grid"):
            size = header[name]
            _require(isinstance(size, list) and len(size) == 2, f"{name} {size!r}")
            _require(all(type(n) is int and n >= 1 for n in size), f"{name} {size!r}")
        thresholds = header["threshold"], header["map_threshold"]
        for name, value in zip(("threshold", "map_threshold"), thresholds, strict=True):
            _require(value is None or _finite(value), f"{name} {value!r}")
        threshold, map_threshold = (None if t is None else float(t) for t in thresholds)

        bank, indices, radii, scores, peaks, digests = (arrays[name] for name in ARRAYS)
        stored = np.float16 if config.bank_storage == "float16" else np.float32
        good = bank.ndim == 2 and bank.size > 0 and bank.dtype == stored
        good = good and bool(np.isfinite(bank).all())
        _require(good, f"memory bank of {bank.dtype} {bank.shape}, or not finite")
        good = indices.dtype == np.int64 and indices.shape == bank.shape[:1]
        _require(good, f"memory bank of {len(bank)} rows, indices of {indices.shape}")
        W = arrays.get(WHITENING)
        _require((W is not None) == config.whiten, f"whiten={config.whiten}, not as its arrays")
        if W is not None:
            good = W.ndim == 2 and W.dtype == np.float32 and W.shape[1] == bank.shape[1]
            good = good and bool(np.isfinite(W).all())
            _require(good, f"whitening of {W.dtype} {W.shape}, or not finite")
        for d in config.pooling:
            _require(d is None or d <= WIDEST, f"dimension {config.dimension}")
        for name, array in (("scores", scores), ("peaks", peaks), ("radii", radii)):
            good = array.ndim == 1 and array.dtype == np.float64 and bool(np.isfinite(array).all())
            _require(good, f"{name} of {array.dtype} {array.shape}, or not finite")
        # One radius for each row of the fit; the rows of an update have none.
        fewest = (1 if made.updated else len(bank)) if config.selection == "greedy" else 0
        most = len(bank) if config.selection == "greedy" else 0
        good = fewest <= len(radii) <= most and bool((radii >= 0).all())
        _require(good, f"memory bank of {len(bank)} rows, {len(radii)} radii, or negative radii")
        good = digests.dtype == np.uint8 and digests.shape == (made.images, DIGEST)
        _require(good, f"{made.images} images, digests of {digests.dtype} {digests.shape}")
        _require((threshold is None) == (map_threshold is None), "only one of the two thresholds")
        enough = len(scores) == len(peaks) and (threshold is None or len(scores) > 1)
        _require(enough, f"{len(scores)} scores and {len(peaks)} peaks for the thresholds")
        return cls(
            config, made, tuple(map(float, scales)), W,
            tuple(header["input_size"]), tuple(header["grid"]), threshold, map_threshold,
            bank.astype(np.float32, copy=False), indices, radii, scores, peaks, digests,
        )  # fmt: skip


def _config(stored: Any) -> Config:
    _require(isinstance(stored, dict), f"config {stored!r}")
    try:
        config = Config.from_json(stored)
        _ = config.preprocessing  # raises an error if its values are invalid
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"config: {str(error)[:200]}") from error
    names = config.backbone if isinstance(config.backbone, tuple) else (config.backbone,)
    layers = config.layers if isinstance(config.layers, tuple) else ()
    texts = (*names, config.backbone_sha256, *layers)
    good = names and layers and all(isinstance(text, str) and text for text in texts)
    _require(good, "an invalid name of a network or layer")
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
