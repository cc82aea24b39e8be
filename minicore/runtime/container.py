"""Arrays and a JSON header in one safetensors file, with a checksum. No pickle.

The header is JSON under one key of the file's metadata, ``minicore``. It contains the version of
the format, the caller's values, and a SHA-256 of header and arrays, because a flipped bit in a
memory bank would change scores without an error. There is only one key, because safetensors writes
several keys in any order. Any reader of safetensors can open the file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicore.errors import ModelError
from minicore.runtime.files import NO_INPUTS, Inputs, atomic_write, is_file, is_folder
from minicore.runtime.kinds import MODEL, kind_of

KEY = "minicore"
FORMAT = 1


def write(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    header: Mapping[str, Any],
    *,
    inputs: Inputs = NO_INPUTS,
    overwrite: bool = False,
) -> Path:
    """Write a file. It is complete or not written.

    Parameters
    ----------
    path : str or Path
    arrays : dict of str to array
    header : dict
        Values that JSON can represent.
    inputs, overwrite
        As for `files.atomic_write`.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the file cannot be written, or must not be replaced.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {"format": FORMAT, **header}
    text = _text({**header, "sha256": _checksum(header, arrays)})
    content = save(arrays, {KEY: text})
    with atomic_write(path, inputs=inputs, overwrite=overwrite) as file:
        file.write(content)
    return Path(path)


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the header in a file that `write` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    arrays : dict of str to array
    header : dict

    Raises
    ------
    ModelError
        If the file is missing, damaged, not written by minicore, or of a later format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    if is_folder(path):
        raise ModelError(
            f"{path}: a folder; expected a model file, such as {path / 'part.minicore'}"
        )
    if not is_file(path):
        raise ModelError(f"{path}: no such file; expected a model saved by minicore")
    kind = kind_of(path)
    if kind and kind != MODEL:
        raise ModelError(f"{path}: {kind}; expected a model saved by minicore")
    try:
        # Not mapped into memory: if the file became shorter, the process would be killed.
        content = path.read_bytes()
        arrays = load(content)
        end = 8 + int.from_bytes(content[:8], "little")  # of the header
        text = json.loads(content[8:end]).get("__metadata__", {}).get(KEY)
        if text is None:
            raise ModelError(f"{path}: a safetensors file, but not a model saved by minicore")
        header = json.loads(text)
    except (
        SafetensorError, OSError, ValueError, MemoryError, RecursionError,
        AttributeError, KeyError,  # from safetensors, for a dtype that NumPy does not have
    ) as error:  # fmt: skip
        if isinstance(error, ModelError):
            raise
        found = " ".join(f"{error}".split())[:200]  # may quote the file
        raise ModelError(f"{path}: damaged, or not a model saved by minicore: {found}") from error
    foreign = [name for name, array in arrays.items() if array.dtype.isbuiltin != 1]
    if foreign:  # for example bfloat16, which other packages add to NumPy
        dtype = arrays[foreign[0]].dtype
        raise ModelError(f"{path}: damaged: an array of {dtype}, which minicore does not write")
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise ModelError(f"{path}: damaged: its header has no valid format number")
    if header["format"] > FORMAT:
        raise ModelError(
            f"{path}: format {header['format']} is newer than this minicore; update it"
        )
    if header.pop("sha256", None) != _checksum(header, arrays):
        raise ModelError(f"{path}: damaged: its contents do not match its checksum")
    return arrays, header


def read_rows(path: str | Path, name: str, first: int, end: int) -> np.ndarray:
    """Return some rows of an array in a file that `write` wrote. The checksum is not compared.

    Parameters
    ----------
    path : str or Path
    name : str
        Name of a float32 or float16 array.
    first, end : int
        The range of the rows.

    Raises
    ------
    ModelError
        If the file cannot be read, or does not contain these rows.
    """
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[name]
            dtype = np.dtype({"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
            l, *shape = entry["shape"]
            row = dtype.itemsize * math.prod(shape)
            file.seek(8 + length + entry["data_offsets"][0] + first * row)
            content = file.read((min(end, l) - first) * row)
        return np.frombuffer(bytearray(content), dtype).reshape(end - first, *shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = " ".join(f"{error}".split())[:200]
        raise ModelError(f"{path}: rows {first} to {end} cannot be read: {found}") from error


def _text(header: Mapping[str, Any]) -> str:
    return json.dumps(header, sort_keys=True, default=np.generic.item)


def _checksum(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Return a SHA-256 of the header and of the name, dtype, shape and bytes of each array."""
    digest = hashlib.sha256(_text(header).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name} {array.dtype} {array.shape}\0".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()
