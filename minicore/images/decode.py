"""One image file -> 8-bit RGB, upright; one mask file -> bool.

* Alpha, also that of a palette, is dropped and never composited, as ``.convert("RGB")`` does: a
  transparent pixel shows the colour stored under it.
* 16-bit grey is scaled, round(value / 257), never clipped; of 16-bit colour Pillow keeps the high
  byte.
* Floating-point pixels are refused: nothing in the file says which value is white.
* Of several frames or pages the first is read.
* The content decides the format, not the suffix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from minicore.errors import ImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# Naming the formats also keeps Pillow's rarer decoders away from files nobody vouches for.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 5 and above lie on their side
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path) -> np.ndarray:
    """Decode one PNG, JPEG, BMP, TIFF or WebP file, upright by its EXIF orientation.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    uint8 (h, w, 3)

    Raises
    ------
    ImageError
        Missing, empty, truncated, not an image, floating-point, or larger than Pillow's limit
        against decompression bombs (twice ``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    return np.array(open_rgb(path))


def open_rgb(path: str | Path) -> Image.Image:
    """Decode as `read_image` does, for what goes on in Pillow."""
    with _opened(path) as picture:
        return _upright(_rgb(picture, path), picture)


def read_binary(path: str | Path) -> np.ndarray:
    """Decode a mask: anything but 0 is True; of a JPEG, whose compression smears, from 128 on.

    Data sets write 255, 1, or one number per type of defect, so half of 255 would miss some. A
    palette's indices count, not its colours; alpha does not.

    Returns
    -------
    bool (h, w)
    """
    with _opened(path) as picture:
        least = 128 if picture.format in ("JPEG", "MPO") else 1
        picture.load()
        plain = picture.mode in ("1", "L", "P") or picture.mode.startswith("I")
        values = np.asarray(_upright(picture if plain else picture.convert("RGB"), picture))
        return (values if plain else values.max(axis=-1)) >= least


def image_size(path: str | Path) -> tuple[int, int]:
    """(h, w) in pixels of the upright image, from the file's header."""
    with _opened(path) as picture:
        if picture.format == "TIFF":
            picture.load()  # which turns it upright
        width, height = picture.size
        # A PNG without EXIF in its header would be decoded whole in search of it.
        if picture.format == "PNG" and "exif" not in picture.info:
            return height, width
        return (width, height) if _orientation(picture) >= 5 else (height, width)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Whatever Pillow raises on a bad file, and that can be anything, becomes one ImageError."""
    expected = "expected a PNG, JPEG, BMP, TIFF or WebP image"
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            yield picture
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: {expected}, found no such file; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: {expected}, found a folder; name a file in it") from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path}: {error}; if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # the disk's, not Pillow's
            raise ImageError(
                f"{path}: {expected}, found: {error.strerror}; check the path"
            ) from error
        empty = Path(path).is_file() and Path(path).stat().st_size == 0
        found = "an empty file" if empty else " ".join(f"{error}".split()) or repr(error)
        raise ImageError(f"{path}: {expected}, found: {found}; replace the file") from error


def _rgb(picture: Image.Image, path: str | Path) -> Image.Image:
    if picture.mode == "F":
        raise ImageError(
            f"{path}: expected whole numbers, found floating-point pixels (mode F); "
            f"save it as 8 or 16 bits"
        )
    if picture.mode.startswith("I"):
        # Pillow's own convert("RGB") clips at 255: a 16-bit image would come out white.
        grey = np.asarray(picture)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageError(
                f"{path}: expected values from 0 to 65535, found {grey.min()} to {grey.max()}; "
                f"save it as 8 or 16 bits"
            )
        return Image.fromarray(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # the way on which Pillow does not warn of lost alpha
    return picture.convert("RGB")


def _upright(pixels: Image.Image, picture: Image.Image) -> Image.Image:
    """Turn `pixels` as the EXIF data of the loaded `picture` they came from say."""
    turn = _UPRIGHT.get(_orientation(picture))
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(picture: Image.Image) -> int:
    # A TIFF, and no other format, Pillow has turned upright by the time it is loaded.
    return 1 if picture.format == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
