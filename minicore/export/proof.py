"""The proof in an exported file: images, the results that they must have, and checksums.

The file's metadata has two entries. ``minicore`` is JSON: the configuration of the model, checksums
of the parts of the graph, and check images with the scores and maps of the model in minicore.
``README`` tells a reader in any language how to use the file and how to check a runtime.

The checksums detect damage and accidents. They are no signature: a person who changes a file on
purpose can change the checksums too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicore.backbones.network_file import FATAL_ONLY, first_line
from minicore.checks import is_whole
from minicore.errors import ModelError, quoted
from minicore.export.detector_graph import (
    ANOMALOUS,
    IMAGE,
    MAP,
    P_VALUE,
    PRODUCER,
    SCORE,
    THRESHOLD,
)
from minicore.export.equation_nodes import BANK
from minicore.images import Preprocessing
from minicore.images.preprocess import LARGEST_SIDE, geometry
from minicore.patchcore.threshold import p_values
from minicore.runtime.files import is_file, is_folder
from minicore.runtime.onnx_graph import import_onnx

KEY = "minicore"
TOLERANCE = 1e-4  # largest relative difference that a check accepts
LEAST = 0.1  # a result below this share of the largest one may differ as much as this share
LISTED = 4  # wrong numbers that an error lists
PARTS = ("network", "memory bank", "threshold", "equations")  # of the graph, with one checksum each

# A runtime: from images (n, H, W, 3) to the outputs, by name.
Runtime = Callable[[np.ndarray], Mapping[str, np.ndarray]]

README = """\
This file finds defects in images of one kind of part. It is a PatchCore (Roth et al., CVPR 2022)
that was fitted with minicore {version}. It needs a runtime of ONNX, and nothing else.

Input
  image      uint8 (n, {H}, {W}, 3): upright RGB images (not BGR){prepared}.
             The number of images n is free. One at a time needs the least memory.
Outputs
  score      float32 (n): higher is more anomalous
  map        float32 (n, {h}, {w}): the same for each pixel of {region}
  p_value    float32 (n): {p_value}
  anomalous  bool (n): {verdict}
Names of nodes begin with image, network, eq1 to eq7 (the equations of the paper), map or verdict.
The entry "minicore" of the metadata is JSON: "threshold", "map_threshold" and all settings.

To check that your runtime computes the right results:
1. Read the entry "minicore" of the metadata.
2. For each item of its list "check": decode "pixels" from base64, and decompress the bytes with
   zlib. The result is one image: {H} x {W} x 3 bytes, row by row, each pixel as red, green, blue.
3. Run this file on the image. Then
   |score - "score"| must be at most "score_within", and
   |largest value of map - "map_largest"| must be at most "map_within",
   the same for the value of map at row "map_row" and column "map_column", counted from 0,
   and, if the item has them, the same for p_value; anomalous must be equal to "anomalous".
With minicore:  minicore export --check FILE   (it also compares the checksums of "sha256")
"""


class Check(NamedTuple):
    """One number that a runtime must compute from a check image.

    Attributes
    ----------
    image : int
        Number of the check image, from 1.
    what : str
        "score", "largest map value", "map at row, column", "p_value" or "anomalous" (0 or 1).
    expected, within, found : float
        What minicore computed, the largest difference that is accepted, and what the runtime
        computed.
    """

    image: int
    what: str
    expected: float
    within: float
    found: float

    @property
    def ok(self) -> bool:
        """Whether the runtime agrees. False for NaN."""
        return abs(self.found - self.expected) <= self.within

    @property
    def difference(self) -> float:
        """The relative difference."""
        return TOLERANCE * abs(self.found - self.expected) / self.within if self.within else 0.0


# ---------------------------------------------------------------- write


def check_entries(
    images: Sequence[np.ndarray],
    scores: np.ndarray,
    maps: np.ndarray,
    threshold: float | None,
    calibration: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the entries of the metadata for some check images.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
    scores : (n,) float
    maps : (n, h, w) float
    threshold : float or None
    calibration : (m,) float
        The scores of good images from which the threshold was computed.

    Returns
    -------
    list of dict
        Values for JSON; README explains them.
    """
    entries: list[dict[str, Any]] = []
    peaks = maps.max(axis=(1, 2))
    for image, score, S, peak in zip(images, scores, maps, peaks, strict=True):
        row, column = np.unravel_index(S.argmax(), S.shape)
        entry = {
            "pixels": base64.b64encode(zlib.compress(image.tobytes(), 9)).decode(),
            "score": float(score),
            "score_within": TOLERANCE * max(float(score), LEAST * float(scores.max())),
            "map_largest": float(peak),
            "map_within": TOLERANCE * max(float(peak), LEAST * float(peaks.max())),
            "map_row": int(row),
            "map_column": int(column),
        }
        if threshold is not None:
            within = entry["score_within"] * np.array([-1, 0, 1])
            highest, p, lowest = p_values(score + within, calibration).tolist()
            entry["p_value"] = p
            entry["p_value_within"] = max(highest - p, p - lowest) + TOLERANCE * LEAST
            entry["anomalous"] = bool(score > threshold)
        entries.append(entry)
    return entries


def checksums(graph: Any) -> dict[str, str]:
    """Return a SHA-256 of each part of an exported graph: of its nodes and constants.

    Parameters
    ----------
    graph : onnx.GraphProto
    """
    digests = {part: hashlib.sha256() for part in PARTS}
    items = [*graph.initializer, *graph.node, *graph.input, *graph.output]
    for item in sorted(items, key=lambda item: str(item.name)):  # bytes if it is not UTF-8
        digests[_part_of(str(item.name))].update(item.SerializeToString(deterministic=True))
    return {part: digest.hexdigest() for part, digest in digests.items()}


def _part_of(name: str) -> str:
    if name.startswith("network"):
        return "network"
    if name in (BANK, f"{BANK}.float16"):
        return "memory bank"
    return "threshold" if name == THRESHOLD else "equations"


def readme(about: Mapping[str, Any]) -> str:
    """Return the entry README, for the values of the entry ``minicore``."""
    (H, W), (h, w) = about["image_size"], about["input_size"]
    region = "the image"
    if not about["prepared"]:
        config = about["config"]
        preprocessing = Preprocessing(config["resize"], config["crop"])
        resized, _, (top, left) = geometry((H, W), preprocessing, "image")
        region = (
            "the image after resizing\n"
            f"             to {resized[0]} x {resized[1]} pixels, in rows {top} to {top + h - 1} "
            f"and columns {left} to {left + w - 1}"
        )
    threshold = about["threshold"]
    missing = "missing, because the model has no threshold"
    as_high = "the share of images without defect that score higher"
    text = README.format(
        version=about["minicore"],
        H=H, W=W, h=h, w=w, region=region,
        prepared=", already resized and cropped" if about["prepared"] else "",
        p_value=missing if threshold is None else as_high,
        verdict=missing if threshold is None else f"score > {threshold:.7g}",
    )  # fmt: skip
    return text if about["check"] else text[: text.index("\nTo check")]


# ---------------------------------------------------------------- check


def check(
    path: str | Path, provider: str | None = None, *, runtime: Runtime | None = None
) -> list[Check]:
    """Check that an exported file is unchanged, and that a runtime computes its results.

    Parameters
    ----------
    path : str or Path
        A file that `to_onnx` wrote.
    provider : str, optional
        An execution provider of onnxruntime; by default the CPU.
    runtime : callable, optional
        Another runtime, instead of onnxruntime. It gets images (1, H, W, 3) uint8 and returns a
        dict with the outputs ``score`` and ``map``, and ``p_value`` and ``anomalous`` if the file
        has them.

    Returns
    -------
    list of Check
        Every number, expected and found.

    Raises
    ------
    ModelError
        If a number differs by more than 1e-4 (relative); the message states both numbers. Also if
        a part of the graph does not match its checksum, or the file has no check images or is not
        an exported model.
    MinicoreError
        If the package onnx is missing.
    """
    path = Path(path)
    model, about = read(path)
    images = _images(path, about)
    if not images:
        raise ModelError(f"{path}: has no check images; export it again with check images")
    found = compare(path, about["check"], images, runtime or open_runtime(path, provider))
    wrong = [c for c in found if not c.ok]
    problems = [
        f"check image {c.image}: {c.what} {c.expected:.6g} expected, {c.found:.6g} found"
        for c in wrong[:LISTED]
    ]
    if len(wrong) > LISTED:
        problems.append(f"{len(wrong) - LISTED} more numbers differ")
    sums = checksums(model.graph)
    changed = [part for part in PARTS if sums[part] != about["sha256"].get(part)]
    if "threshold" in changed:
        constant = next((c for c in model.graph.initializer if c.name == THRESHOLD), None)
        now = "none" if constant is None else f"{_value(constant):.6g}"
        changed[changed.index("threshold")] = f"threshold ({about['threshold']:.6g} → {now})"
    if changed:
        problems.append(f"changed since the export: {', '.join(changed)}")
    if problems:
        raise ModelError(f"{path}: {'; '.join(problems)}")
    return found


def compare(
    path: str | Path,
    entries: Sequence[Mapping[str, Any]],
    images: Sequence[np.ndarray],
    runtime: Runtime,
) -> list[Check]:
    """Run the check images one at a time, and compare with the entries of the metadata."""

    def largest(outputs: Mapping[str, np.ndarray], name: str) -> float:
        try:  # score and anomalous have one value, that of one image
            return float(np.max(outputs[name]))
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(f"{path}: the runtime returns no output {name}") from error

    def at(outputs: Mapping[str, np.ndarray], row: int, column: int) -> float:
        try:
            return float(outputs[MAP][0, row, column])
        except IndexError as error:
            shape = np.shape(outputs[MAP])
            raise ModelError(f"{path}: the runtime returns a map of the shape {shape}") from error

    found = []
    for i, (entry, image) in enumerate(zip(entries, images, strict=True), 1):
        outputs = runtime(image[None])
        score, peak = largest(outputs, SCORE), largest(outputs, MAP)
        found.append(Check(i, "score", entry["score"], entry["score_within"], score))
        expected = entry["map_largest"], entry["map_within"]
        found.append(Check(i, "largest map value", *expected, peak))
        row, column = entry["map_row"], entry["map_column"]
        found.append(Check(i, f"map at {row}, {column}", *expected, at(outputs, row, column)))
        if "anomalous" in entry:
            p = largest(outputs, P_VALUE)
            found.append(Check(i, "p_value", entry["p_value"], entry["p_value_within"], p))
            verdict = largest(outputs, ANOMALOUS)
            found.append(Check(i, "anomalous", float(entry["anomalous"]), 0.0, verdict))
    return found


def open_runtime(
    model: str | Path | bytes, provider: str | None = None, threads: int = 0
) -> Runtime:
    """Open an exported file, or its bytes, with onnxruntime.

    Parameters
    ----------
    model : str, Path or bytes
    provider : str, optional
        As for `check`.
    threads : int, default 0
        Number of threads; 0 for one per core.

    Raises
    ------
    ModelError
        If onnxruntime cannot run the file, or does not have the provider.
    """
    from minicore.backbones.telemetry import onnxruntime

    name = "the export" if isinstance(model, bytes) else str(model)
    provider = provider or "CPUExecutionProvider"
    known = onnxruntime.get_available_providers()
    if provider not in known:
        raise ModelError(f"--provider {provider}: this onnxruntime has only {', '.join(known)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL_ONLY
    try:
        # With its fallback, onnxruntime would try the CPU after an error, and print messages.
        session = onnxruntime.InferenceSession(
            model, options, providers=[provider], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no narrower base class
        raise ModelError(f"{name}: not a file {provider} can run: {first_line(error)}") from error
    if session.get_providers()[0] != provider:
        raise ModelError(f"{provider} does not start; {name} would run on another provider")
    names = [output.name for output in session.get_outputs()]

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        try:
            return dict(zip(names, session.run(names, {IMAGE: images}), strict=True))
        except Exception as error:
            raise ModelError(f"{name}: {provider} failed: {first_line(error)}") from error

    return run


def read(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """Return an exported file as onnx.ModelProto, and the entry ``minicore`` of its metadata.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or not an exported model.
    """
    onnx = import_onnx("reading an exported file", "export")
    if not is_file(path):
        what = "a folder" if is_folder(path) else "no such file"
        raise ModelError(f"{path}: {what}; expected a file that minicore export wrote")
    try:
        model = onnx.load(str(path), load_external_data=False)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        about = json.loads(entries[KEY]) if model.producer_name == PRODUCER else None
    except Exception as error:  # the package onnx has no base class for its errors
        raise ModelError(f"{path}: damaged, or not a file that minicore export wrote") from error
    if about is None:
        raise ModelError(f"{path}: an ONNX file, but not one that minicore export wrote")
    return model, about


def _images(path: Path, about: Any) -> list[np.ndarray]:
    """Return the check images, after a check of all values that are used."""
    try:
        H, W = about["image_size"]
        if not 0 < min(H, W) <= max(H, W) <= LARGEST_SIDE:
            raise ValueError(f"image_size {H} × {W}")
        numbers = [] if about["threshold"] is None else [about["threshold"]]
        numbers += [len(about["sha256"].get(part, "")) for part in PARTS]
        images = []
        for entry in about["check"]:
            inflate = zlib.decompressobj()
            pixels = inflate.decompress(base64.b64decode(entry["pixels"]), H * W * 3)
            images.append(np.frombuffer(pixels, np.uint8).reshape(H, W, 3))
            names = ("score", "score_within", "map_largest", "map_within")
            numbers += [entry[name] for name in names]
            if "anomalous" in entry:
                numbers += [entry[name] for name in ("anomalous", "p_value", "p_value_within")]
            if not all(is_whole(entry[name], 0) for name in ("map_row", "map_column")):
                raise ValueError("a position in a map is not a whole number")
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
            raise ValueError("a number is missing, or not finite")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, zlib.error) as error:
        reason = quoted(f"{error}")
        raise ModelError(f"{path}: damaged: its metadata is not usable ({reason})") from error
    return images


def _value(constant: Any) -> float:
    from onnx import numpy_helper

    return float(numpy_helper.to_array(constant).ravel()[0])
