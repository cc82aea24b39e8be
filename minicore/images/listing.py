"""The image files in a folder, and a fingerprint of a list of images."""

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

# How files of images begin: those that minicore reads, then GIF, HEIC and AVIF, JPEG 2000,
# JPEG XL, PNM, Photoshop, OpenEXR. Many raw formats of cameras are TIFF. Text, tables and archives
# begin otherwise.
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
        If the folder holds more images than that, see `left_out`.

    Raises
    ------
    ImageError
        If there are none.
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
    """Return the images in and below a folder that `list_images` does not return.

    In the folder: files without a known suffix that begin as a file of an image does, and pipes
    with one, for which a program would wait. In its subfolders: files with a known suffix. Hidden
    files and folders do not count. Of a link to a folder elsewhere, only the files directly in it
    count: what is below can be a whole disk.
    """
    found = []
    root = os.path.realpath(folder)
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if name[0] != ".")
        for path in (Path(place, name) for name in sorted(names)):
            below = path.parent != Path(folder)
            if _is_listed(path) if below else _is_pipe(path) or _begins_as_an_image(path):
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
    """Whether a file with the name of an image is a pipe, a socket or a device."""
    if not _is_named_as_image(path) or path.is_file():
        return False
    return path.exists() and not path.is_dir()


def _begins_as_an_image(path: Path) -> bool:
    if _is_named_as_image(path) or path.name[0] == "." or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return bool(_FIRST_BYTES.match(file.read(16)))
    except OSError:
        return False


def _described(folder: Path, files: list[Path]) -> str:
    """Say which images were left out, with examples and a remedy; nothing if there are none."""
    here = [path for path in files if path.parent == folder]
    below = [path for path in files if path.parent != folder]
    parts = []
    if here:
        parts.append(
            f"{_images(here)} of another format or suffix not looked at: "
            f"{_some(p.name for p in here)}; save as PNG, or name the file itself"
        )
    if below:
        names = dict.fromkeys(p.relative_to(folder).parts[0] for p in below)
        parts.append(
            f"{_images(below)} in subfolders not looked at: {_some(names)}; name these folders too"
        )
    return "; ".join(parts)


def _images(files: list[Path]) -> str:
    return f"{len(files)} image{'s' * (len(files) > 1)}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def fingerprint(images: Sequence[ImageLike]) -> bytes:
    """Return a hash of the images' order, the files' names, and everything that is in them.

    Size and time of a file are not enough: copying can keep both. To hash a PNG or JPEG took 2 to
    7 % of the time of preparing it, a BMP about half.
    """
    digest = hashlib.blake2b()
    for image in images:
        if isinstance(image, np.ndarray):
            digest.update(repr(image.shape).encode())
            digest.update(np.ascontiguousarray(image).tobytes())
        else:
            path = Path(image)
            digest.update(os.fsencode(path.absolute()) + b"\0" + _content(path))
    return digest.digest()


def _content(path: Path) -> bytes:
    """Return the hash of a file; of one that cannot be read, nothing: decoding it will fail."""
    content = hashlib.blake2b()
    try:
        if path.exists() and not path.is_file():  # a pipe can be read once: never the same again
            return secrets.token_bytes()
        with path.open("rb") as file:
            while block := file.read(2**20):
                content.update(block)
    except (OSError, ValueError):  # a ValueError of a NUL in the name
        return b""
    return content.digest()
