"""Weights that an ONNX file keeps in other files: found before the file is opened.

Exporters do so where weights are large (torch's does by default). The graph then names files
relative to its folder, and a checksum of the graph alone would not tell one network from another.
Names are found by what a protobuf of ``StringStringEntryProto(key="location", value=…)`` is in
bytes, as ``onnx`` and torch write it, so that neither ``onnx`` nor the weights need be loaded.
onnxruntime refuses names that lead out of the folder too; here it does not depend on its version.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from minicore.errors import BackboneError, quoted

LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x7f])")


def external_files(path: Path) -> list[Path]:
    """List the files besides its own that a network's weights lie in.

    Parameters
    ----------
    path : Path
        The ``.onnx`` file.

    Returns
    -------
    list of Path
        Sorted by name, all in the file's own folder or below.

    Raises
    ------
    BackboneError
        If a name leads out of the folder, also through a link, or is that of no file.
    """
    names = set()
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return []
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for found in LOCATION.finditer(content):
                    size = found[1][0] & 127 | (found[1][-1] << 7 if len(found[1]) > 1 else 0)
                    names.add(content[found.end() : found.end() + size])
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror or error})") from error
    return [_beside(path, name) for name in sorted(names)]


def _beside(path: Path, raw: bytes) -> Path:
    name = raw.decode("utf-8", "replace")
    shown, folder = quoted(name), path.parent.resolve()
    out = any(
        flavour.anchor or ".." in flavour.parts
        for flavour in (PurePosixPath(name), PureWindowsPath(name))
    )
    try:
        found = path.parent / name
        if out or folder not in found.resolve().parents:
            raise BackboneError(f"{path}: keeps weights outside its folder, in {shown}")
        if not found.is_file():
            raise BackboneError(f"{path}: its weights are in {shown} beside it, which is no file")
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(f"{path}: keeps weights in {shown}, which is no name") from error
    return found
