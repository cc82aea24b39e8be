"""Find the files in which an ONNX network keeps its weights, before the network is opened.

Exporters write separate files if the weights are large; torch does so by default. The graph then
contains paths relative to its folder, and the same graph can have different weights. Therefore the
checksum of a network must include these files. The paths are found by searching for the bytes of
``StringStringEntryProto(key="location", value=…)``, as ``onnx`` and torch write it, without loading
``onnx`` or the weights. A path that leaves the folder raises an error, even if the version of
onnxruntime would accept it.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from minicore.errors import BackboneError, quoted

LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x7f])")


def external_files(path: Path) -> list[Path]:
    """Return the other files that contain weights of a network.

    Parameters
    ----------
    path : Path
        The ``.onnx`` file.

    Returns
    -------
    list of Path
        Sorted by name. All files lie in the folder of `path` or in its subfolders.

    Raises
    ------
    BackboneError
        If a path leaves the folder, directly or through a link, or if the file does not exist.
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
    outside = any(
        path_of_system.anchor or ".." in path_of_system.parts
        for path_of_system in (PurePosixPath(name), PureWindowsPath(name))
    )
    try:
        found = path.parent / name
        if outside or folder not in found.resolve().parents:
            raise BackboneError(f"{path}: its weights are outside its folder, in {shown}")
        if not found.is_file():
            raise BackboneError(f"{path}: its weights should be in {shown}, but there is no file")
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(
            f"{path}: its weights should be in {shown}, which no file can have as its name"
        ) from error
    return found
