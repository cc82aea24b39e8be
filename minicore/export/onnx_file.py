"""Write a fitted PatchCore as one ONNX file: build the graph, check it, add the proof."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minicore import __version__
from minicore.backbones import Backbone, JointBackbone
from minicore.checks import is_whole
from minicore.errors import ModelError, ParameterError
from minicore.export.check_images import CheckImages, check_images_of, training_images
from minicore.export.detector_graph import Bank, detector_graph
from minicore.export.image_nodes import ImageSize
from minicore.export.network_nodes import NEEDED, Storage, network_models
from minicore.export.proof import (
    KEY,
    LEAST,
    Check,
    check_entries,
    checksums,
    compare,
    open_runtime,
    readme,
)
from minicore.fast import anomaly_map
from minicore.images import Preprocessing, output_size
from minicore.images.preprocess import LARGEST_SIDE
from minicore.patchcore.ensemble import Ensemble
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Search
from minicore.runtime import threads
from minicore.runtime.files import atomic_write, check_writable, identities
from minicore.runtime.kinds import EXPORT
from minicore.runtime.onnx_graph import import_onnx
from minicore.runtime.progress import bar as progress_bar

LARGEST_FILE = 2**31 - 2**16  # bytes; protobuf cannot read more
ROWS = 1024  # of the bank, whose neighbours are searched at once


class Exported(NamedTuple):
    """An exported file.

    Attributes
    ----------
    file : Path
    checks : list of Check
        Scores and largest map values of three images, by minicore and by onnxruntime.
    image_size : (int, int)
        (H, W) of its input in pixels.
    check_images : {"training", "drawn", "none"}
        Which images the file contains. If none, the checks were made with drawn images.
    rounding : float or None
        By how much float16 changed these numbers (relative, the largest). None for float32.
    has_threshold : bool
        Whether the file has the outputs ``p_value`` and ``anomalous``.
    """

    file: Path
    checks: list[Check]
    image_size: ImageSize
    check_images: str
    rounding: float | None
    has_threshold: bool


def to_onnx(
    model: PatchCore,
    path: str | Path,
    *,
    image_size: ImageSize | None = None,
    prepared: bool = False,
    storage: Storage = "float32",
    explain: bool = False,
    check_images: CheckImages | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Exported:
    r"""Write a fitted model as one ONNX file, from the pixels of an image to score, map, verdict.

    The graph has only standard operators (opset 17, or that of the network if it is later). The
    file is written only if onnxruntime computes the same results from it as minicore.

    Parameters
    ----------
    model : PatchCore
        Fitted. An ensemble of features is one PatchCore; an ensemble of scores cannot be exported.
    path : str or Path
        The ``.onnx`` file.
    image_size : (int, int), optional
        (H, W) of the images that the file will get, in pixels. By default the size of the training
        images. The file resizes and crops them exactly as Pillow does.
    prepared : bool, default False
        The file gets images that are already resized and cropped, as `minicore.images.view` returns
        them.
    storage : {"float32", "float16"}, default "float32"
        "float16" rounds the network's weights and the memory bank to 11 bits. The file is about
        half as large. All computations stay float32.
    explain : bool, default False
        Add every intermediate result as an output: ``level_…`` (feature maps), ``patch_features``,
        ``patch_distances``, ``nearest_rows``, ``deciding_patch`` (its number on the patch grid, row
        by row), ``s_star`` and, if the model uses equation 7, ``neighbours`` and ``weight``.
    check_images : {"training", "drawn", "none"}, optional
        The three check images in the file: two training images, in about 256 × 256 blocks of
        pixels, and the negative of one of them; or the same of drawn parts; or none. By
        default training images if they are still in their folder, otherwise drawn ones. Anyone who
        has the file can see its check images.
    overwrite : bool, default False
        Whether to replace a file that is not an exported model.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    Exported

    Raises
    ------
    ModelError
        If the model is not a PatchCore, there are no training images for the check, the file would
        be larger than ONNX allows, or onnxruntime disagrees with minicore.
    BackboneError
        If the network cannot be part of a graph.
    ImageError, ValueError
        If an argument is invalid, or images of this size cannot be prepared.
    OutputError
        If the file cannot be written, or must not be replaced.

    Notes
    -----
    Equations 1 to 7 of Roth et al., CVPR 2022. Sums are float32 in the graph and float64 in
    minicore. Scores and maps agree to 1e-5 (relative), unless the distances are more than a
    thousand times smaller than the features.
    """
    import_onnx(*NEEDED)
    _require_patchcore(model)
    for name, value, choices in (
        ("storage", storage, ("float32", "float16")),
        ("check_images", check_images, ("training", "drawn", "none", None)),
    ):
        if value not in choices:
            raise ParameterError(name, " or ".join(map(repr, choices)), value)
    size = _image_size(model, image_size, prepared)
    training = training_images(model, size, prepared)
    inputs = identities([*model.network_files_, *(file for file, _ in training)])
    check_writable(path, inputs=inputs, overwrite=overwrite, kind=EXPORT)
    images, origin = check_images_of(model, size, [image for _, image in training], check_images)
    preprocessing = model.config_.preprocessing
    if prepared:
        preprocessing = preprocessing.override("none", "none")
    networks = network_models(model.backbone_.networks, storage)
    with threads.limit(model.n_threads):
        half, rows = storage == "float16", model.memory_bank_
        b, score = model.config_.b, model.config_.score
        search = Search(rounded_bank(rows) if half else rows, b, score=score)
        bank = Bank(search.bank, _neighbours(search, progress), half)
        exported = detector_graph(model, networks, bank, size, preprocessing, explain=explain)
        seen = [*images, *(image for _, image in training)] if half else images
        with opened(networks, model.backbone_, half) as backbone:
            scores, maps = _detect(model, backbone, search, seen, preprocessing)
        rounding = None
        if half:
            exact = Search(rows, b, score=score)
            before = _detect(model, model.backbone_, exact, seen, preprocessing)
            rounding = max(map(_largest_change, before, (scores, maps)))
    count = len(images)
    entries = check_entries(
        images, scores[:count], maps[:count], model.threshold_, model.calibration_scores_
    )
    about = {
        "minicore": __version__,
        "config": {**model.config_.to_json(), "backbone": model.backbone_.name},
        "made": {k: v for k, v in asdict(model.made_).items() if k != "folder"},
        "threshold": model.threshold_,
        "map_threshold": model.map_threshold_,
        "image_size": size,
        "input_size": model.input_size_,
        "prepared": prepared,
        "storage": storage,
        "rounding": rounding,
        "check_images": origin,
        "check": entries if origin != "none" else [],
        "sha256": checksums(exported.graph),
    }
    entry = {"README": readme(about), KEY: json.dumps(about)}
    content = _serialised(exported, entry)
    checks = compare(path, entries, images, open_runtime(content, threads=model.n_threads or 0))
    wrong = [check for check in checks if not check.ok]
    if wrong:
        raise ModelError(
            f"{path}: not written, because onnxruntime disagrees with minicore: "
            f"{wrong[0].what} {wrong[0].found:.6g} instead of {wrong[0].expected:.6g}"
        )
    with atomic_write(path, inputs=inputs, overwrite=overwrite) as file:
        file.write(content)
    verdict = model.threshold_ is not None
    return Exported(Path(path), checks, size, origin, rounding, verdict)


def _require_patchcore(model: Any) -> None:
    if isinstance(model, Ensemble):
        raise ModelError(
            "an ensemble of scores cannot be exported: export each member, or fit one model of "
            "joined features (--ensemble features)"
        )
    if not isinstance(model, PatchCore):
        raise ModelError(f"only a fitted PatchCore can be exported, not {type(model).__name__}")
    check_is_fitted(model)


def rounded_bank(rows: np.ndarray) -> np.ndarray:
    """Return the rows of a memory bank rounded to float16, as float32.

    Raises
    ------
    ParameterError
        If a value is too large for float16.
    """
    if np.abs(rows).max() > np.finfo(np.float16).max:
        raise ParameterError("storage", "'float32': a patch feature is too large", "float16")
    return rows.astype(np.float16).astype(np.float32)


def _largest_change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the largest relative change of the scores, or of the largest value of each map."""
    before, after = (v.reshape(len(v), -1).max(axis=1) for v in (before, after))
    least = max(LEAST * float(before.max()), np.finfo(float).tiny)
    return float((np.abs(after - before) / np.maximum(before, least)).max())


def _image_size(model: PatchCore, asked: Any, prepared: bool) -> ImageSize:
    """Return (H, W) of the input of the file."""
    if asked is not None:
        try:
            height, width = asked
        except (TypeError, ValueError):
            height = width = None
        if not (is_whole(height, 1) and is_whole(width, 1)):
            raise ParameterError("image_size", "(H, W) in pixels, or None", asked)
        asked = int(height), int(width)
    if prepared:
        if asked not in (None, model.input_size_):
            expected = f"{model.input_size_}, the size of prepared images, or None"
            raise ParameterError("image_size", expected, asked)
        return model.input_size_
    size: ImageSize | None = asked or model.made_.image_size
    if size is None:
        raise ModelError(
            "the training images have different sizes; give the size of the images that the file "
            "will get, or export for prepared images (image_size, or prepared=True; on the command "
            "line --image-size HEIGHTxWIDTH, or --prepared)"
        )
    preprocessing = model.config_.preprocessing
    if max(size) > LARGEST_SIDE:
        raise ParameterError("image_size", f"at most {LARGEST_SIDE} pixels on each side", size)
    if output_size(size, preprocessing, "image_size") != model.input_size_:
        raise ParameterError(
            "image_size", f"a size that is {model.input_size_} after preprocessing", size
        )
    return size


def _neighbours(search: Search, progress: bool) -> np.ndarray | None:
    """Return N_b of every row of the bank, (l, b); None without equation 7."""
    if search.b is None:
        return None
    found = np.empty((len(search.bank), search.b), np.int64)
    with progress_bar(len(found), "neighbours", "row", show=progress) as bar:
        for first in range(0, len(found), ROWS):
            rows = search.bank[first : first + ROWS]
            found[first : first + ROWS] = search.nearest(rows, search.b, "fast")[1]
            bar.update(len(rows))
    return found


@contextlib.contextmanager
def opened(
    models: Sequence[Any], backbone: Backbone | JointBackbone, half: bool
) -> Iterator[Backbone | JointBackbone]:
    """Open the networks of an export as a backbone; with float16, their weights are rounded."""
    if not half:
        yield backbone
        return
    with tempfile.TemporaryDirectory(prefix="minicore-", ignore_cleanup_errors=True) as folder:
        opened = []
        for k, (model, network) in enumerate(zip(models, backbone.networks, strict=True)):
            file = Path(folder) / f"{k}.onnx"
            with atomic_write(file) as stream:  # its errors name the file
                stream.write(model.SerializeToString())
            mean, std = network.preprocessing.mean, network.preprocessing.std
            opened.append(Backbone(file, layers=network.layers, mean=mean, std=std))
        yield opened[0] if len(opened) == 1 else JointBackbone(opened)


def _detect(
    model: PatchCore,
    backbone: Backbone | JointBackbone,
    search: Search,
    images: Sequence[np.ndarray],
    preprocessing: Preprocessing,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n,) and maps (n, h, w), by minicore with this backbone and this bank."""
    config = model.config_
    (maps,) = backbone.feature_maps(images, preprocessing, len(images))
    patches, size, cell = model._embed(maps, "fast")
    s, _, distances = search.score(patches, "fast")
    return s, anomaly_map(distances, *size, config.sigma, config.stride, cell)


def _serialised(model: Any, metadata: dict[str, str]) -> bytes:
    """Return the bytes of an ONNX file."""
    from onnx import helper

    helper.set_model_props(model, metadata)
    megabytes = model.ByteSize() / 1e6
    if megabytes > LARGEST_FILE / 1e6:
        raise ModelError(
            f"the file would have {megabytes:.0f} MB, and an ONNX file has at most 2 GB; fit with "
            f"a smaller coreset, or use float16 (--storage float16)"
        )
    content: bytes = model.SerializeToString(deterministic=True)
    return content
