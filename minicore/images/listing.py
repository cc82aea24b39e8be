"""The image files in a folder. A listing never leaves an image out without a warning."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

from minicore.errors import ImageError, MinicoreWarning
from minicore.images.decode import SUFFIXES

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

    In the folder: files without a known suffix that begin as a file of an image does. In its
    subfolders: files with a known suffix. Hidden files and folders do not count.
    """
    found = []
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if name[0] != ".")
        for path in (Path(place, name) for name in sorted(names)):
            below = path.parent != Path(folder)
            if _is_listed(path) if below else not _is_listed(path) and _begins_as_an_image(path):
                found.append(path)
    return found


def _is_listed(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."


def _begins_as_an_image(path: Path) -> bool:
    if path.name[0] == "." or not path.is_file():  # to open a pipe would wait for its other end
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
