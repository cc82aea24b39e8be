"""List the image files in a folder, and compute a fingerprint of a list of images."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicore.errors import ImageError, MinicoreWarning
from minicore.images.decode import SUFFIXES

if TYPE_CHECKING:
    from minicore.images.preprocess import ImageLike

# The first bytes of image files: the formats that minicore reads, then GIF, HEIC and AVIF,
# JPEG 2000, JPEG XL, PNM, Photoshop, OpenEXR. Many raw formats of cameras are TIFF. Text, tables
# and archives begin with other bytes.
_FIRST_BYTES = re.compile(
    rb"\x89PNG|\xff\xd8\xff|BM....\0\0\0\0|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|GIF8|....ftyp(?:hei|hev|mif|msf|avi)|\0\0\0\x0cj[PX]|\xff\x4f\xff\x51|\xff\x0a"
    rb"|\0\0\0\x0cJXL|P[1-7]\s[\s\d#]|8BPS|v/1\x01",
    re.DOTALL,
)


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in a folder, sorted by name, without hidden ones.

    Warns
    -----
    MinicoreWarning
        If the folder contains other images that are not returned, see `left_out`.

    Raises
    ------
    ImageError
        If there are no image files.
    """
    folder = Path(folder)
    files = sorted(filter(_is_listed, folder.iterdir()), key=lambda p: p.name)
    if not files:
        here = [path for path in left_out(folder) if path.parent == folder]
        also = f"; {_described(folder, here)}" if here else ""
        inside = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
        also += f"; its subfolders are {', '.join(inside[:8])}" if inside else ""
        raise ImageError(f"{folder}: expected image files ({' '.join(SUFFIXES)}), found none{also}")
    if more := _described(folder, left_out(folder)):
        warnings.warn(f"{folder}: {more}", MinicoreWarning, stacklevel=2)
    return files


def left_out(folder: str | Path) -> list[Path]:
    """Return the images in a folder and its subfolders that `list_images` does not return.

    In the folder, these are files without a known suffix but with the first bytes of an image, and
    pipes with a known suffix, because reading a pipe may wait for ever. In the subfolders, these
    are files with a known suffix. Hidden files and folders are ignored. If a link leads to a folder
    elsewhere, only the files directly in that folder count, because its subfolders may be a whole
    disk.
    """
    found = []
    root = os.path.realpath(folder)
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if name[0] != ".")
        for path in (Path(place, name) for name in sorted(names)):
            below = path.parent != Path(folder)
            if _is_listed(path) if below else _is_pipe(path) or _has_first_bytes_of_image(path):
                found.append(path)
        for link in (Path(place, name) for name in inside):
            if link.is_symlink() and not Path(os.path.realpath(link)).is_relative_to(root):
                with contextlib.suppress(OSError):  # a folder that cannot be read
                    found += sorted(filter(_is_listed, link.iterdir()))
    return found


def _is_listed(path: Path) -> bool:
    return _is_named_as_image(path) and not _is_pipe(path)


def _is_named_as_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def _is_pipe(path: Path) -> bool:
    """Return whether a path with the name of an image is a pipe, a socket or a device."""
    if not _is_named_as_image(path) or path.is_file():
        return False
    return path.exists() and not path.is_dir()


def _has_first_bytes_of_image(path: Path) -> bool:
    if _is_named_as_image(path) or path.name[0] == "." or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return bool(_FIRST_BYTES.match(file.read(16)))
    except OSError:
        return False


def _described(folder: Path, files: list[Path]) -> str:
    """Return a text about the images that were left out, with examples and a remedy, or ""."""
    here = [path for path in files if path.parent == folder]
    below = [path for path in files if path.parent != folder]
    parts = []
    if here:
        parts.append(
            f"{_images(here)} of another format or suffix ignored: "
            f"{_some(p.name for p in here)}; save them as PNG, or pass the file itself"
        )
    if below:
        names = dict.fromkeys(p.relative_to(folder).parts[0] for p in below)
        parts.append(
            f"{_images(below)} in subfolders ignored: {_some(names)}; pass these folders too"
        )
    return "; ".join(parts)


def _images(files: list[Path]) -> str:
    return f"{len(files)} image{'s' * (len(files) > 1)}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def fingerprint(images: Sequence[ImageLike]) -> bytes:
    """Return a hash of the order, the names and the content of the images.

    The size and time of a file are not enough, because a copy can keep both. Hashing a PNG or JPEG
    takes 2 to 7 % of the time to prepare it, a BMP about half of that time.
    """
    digest = hashlib.blake2b()
    for image in images:
        if isinstance(image, np.ndarray):
            digest.update(repr(image.shape).encode())
            digest.update(np.ascontiguousarray(image).tobytes())
        else:
            path = Path(image)
            name = str(path.absolute()).encode("utf-8", "surrogatepass")
            digest.update(name + b"\0" + _content(path))
    return digest.digest()


def _content(path: Path) -> bytes:
    """Return the hash of a file. Empty if it cannot be read: decoding will raise the error."""
    content = hashlib.blake2b()
    try:
        if path.exists() and not path.is_file():  # a pipe, which can be read once
            return secrets.token_bytes()
        with path.open("rb") as file:
            while block := file.read(2**20):
                content.update(block)
    except (OSError, ValueError):  # a NUL in the name raises a ValueError
        return b""
    return content.digest()
