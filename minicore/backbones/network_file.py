"""Read the image input, feature maps, metadata and preprocessing that an ONNX file declares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from minicore.errors import BackboneError, cut, quoted
from minicore.images import Override, Preprocessing

Session: TypeAlias = Any  # onnxruntime.InferenceSession, which has no types

LONGEST_NAME = 200
LONGEST_REASON = 250  # of an error message of onnxruntime; older versions add C++ types
LARGEST_BATCH = 1024  # largest fixed batch size; smaller batches are filled with zeros
FATAL_ONLY = 4  # severity of onnxruntime's log: errors are raised as exceptions anyway


def open_session(path: Path, threads: int) -> Session:
    """Open an ONNX file with onnxruntime, on `threads` threads of the CPU."""
    from minicore.backbones.telemetry import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    # Threads that spin between two runs would take time from the kernels that run in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            path,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # otherwise it tries the same provider again and prints a message
        )
    except Exception as error:  # onnxruntime's errors have no narrower base class
        raise BackboneError(
            f"{path}: not a network onnxruntime can run: {first_line(error)}"
        ) from error


def read_metadata(session: Session, path: Path) -> dict[str, Any]:
    """Return the metadata ``minicore`` of the file; empty if there is none."""
    text = session.get_modelmeta().custom_metadata_map.get("minicore", "{}")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, or nested too deeply
        raise BackboneError(f"{path}: metadata 'minicore' is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        found = quoted(text)
        raise BackboneError(f"{path}: metadata 'minicore' must be a JSON object, found {found}")
    name = metadata.get("name", "")
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise BackboneError(
            f"{path}: metadata 'name' is {quoted(str(name))}, expected a short printable name"
        )
    return metadata


def image_input(session: Session, path: Path) -> tuple[str, int, tuple[int, int] | None]:
    """Return the name of the image input, its fixed batch size or 0, its fixed (h, w) or None."""
    inputs = session.get_inputs()
    found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
    shape = inputs[0].shape if len(inputs) == 1 else []
    usable = len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))
    if not usable or inputs[0].type != "tensor(float)":
        raise BackboneError(f"{path}: expected one float input (n, 3, h, w), found {found}")
    n, _, h, w = (side if isinstance(side, int) else None for side in shape)
    if n and n > LARGEST_BATCH:
        raise BackboneError(
            f"{path}: made for batches of {n} images, more than {LARGEST_BATCH}; export it with a "
            f"variable batch size"
        )
    return inputs[0].name, n or 0, (h, w) if h and w else None


def choose_layers(session: Session, path: Path, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return the outputs to use: `layers`, or those that `Backbone` uses by default."""
    outputs = {o.name: o for o in session.get_outputs()}
    unprintable = [name for name in outputs if not name.isprintable()]
    if unprintable:
        raise BackboneError(f"{path}: an output is named {quoted(unprintable[0])}")
    maps = [name for name, o in outputs.items() if len(o.shape or ()) in (0, 4)]
    if layers is None:
        layers = [name for name in ("layer2", "layer3") if name in maps] or maps
    if isinstance(layers, str):
        layers = [layers]
    unknown = [layer for layer in layers if layer not in maps]
    if unknown or not layers:
        raise BackboneError(
            f"{path}: no feature map (n, c, h, w) named {', '.join(unknown) or '(anything)'}; "
            f"its outputs are {', '.join(f'{n} {o.shape}' for n, o in outputs.items())}"
        )
    return tuple(layers)


def read_preprocessing(
    metadata: dict[str, Any], path: Path, resize: Override, crop: Override, **colours: Any
) -> Preprocessing:
    """Return the preprocessing in the metadata, with the changes of the caller."""
    known = {"resize", "crop", "mean", "std"}
    asked = metadata.get("preprocessing", {})
    try:
        stored = Preprocessing(**{k: v for k, v in asked.items() if k in known})
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise BackboneError(f"{path}: metadata 'preprocessing' is not usable: {error}") from error
    stored = replace(stored, **{k: v for k, v in colours.items() if v is not None})
    return stored.override(resize, crop)


def first_line(error: Exception) -> str:
    """Return the first line of an error, printable and not too long."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    line = "".join(c if c.isprintable() else "?" for c in line)  # names in the file
    return cut(line, LONGEST_REASON)
