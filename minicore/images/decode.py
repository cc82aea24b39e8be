"""Decode one image file to 8-bit RGB, upright, or one mask file to bool.

* Transparency is dropped, as by ``.convert("RGB")``: a transparent pixel has its stored colour.
* 16-bit grey is scaled, round(value / 257), and never clipped. For 16-bit colour, Pillow keeps the
  high byte. A TIFF with 12 bits per sample is scaled from 4095.
* Floating-point pixels raise an error, because the file does not define which value is white.
* If a file has several frames or pages, the first one is read.
* The content of a file determines its format, not the suffix of its name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from minicore.errors import ImageError, MinicoreWarning
from minicore.runtime.files import is_folder

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
)  # fmt: skip

# Files may be untrusted, so Pillow's rare decoders, which are less tested, are excluded.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP")

_LOSSY_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")  # Pillow's names for TIFF's compressions
_BITS_PER_SAMPLE = 0x0102  # TIFF tag

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright, from 5 on width and height are swapped
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
    """Return the pixels of one PNG, JPEG, BMP, TIFF or WebP file, upright by its EXIF orientation.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    uint8 (h, w, 3)

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated or not an image, has floating-point pixels, or is
        larger than Pillow's limit against decompression bombs (twice
        ``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    return np.array(open_rgb(path))


def open_rgb(path: str | Path) -> Image.Image:
    """Return the same pixels as `read_image`, as a Pillow image."""
    with _opened(path) as picture:
        return _upright(_rgb(picture, path), picture)


def read_binary(path: str | Path) -> np.ndarray:
    """Return a mask: True where at least one value of a pixel is not 0.

    Data sets write 255, 1, or one number per type of defect; a threshold of 128 would miss some.
    Lossy compression (JPEG, WebP, or both in TIFF) blurs edges; there, values from 128 on are True.
    With a palette, the colours count, not the indices. In a mask with transparent pixels, the other
    pixels are True if all of them have one colour. Otherwise colour and transparency must describe
    the same mask.

    Returns
    -------
    bool (h, w)

    Raises
    ------
    ImageError
        As `read_image`. Also for NaN and infinity, and if colour and transparency differ.
    """
    with _opened(path) as picture:
        lossy = _is_lossy(picture, path)
        picture.load()
        grey = picture.mode in ("1", "L") and "transparency" not in picture.info
        if grey or picture.mode.startswith(("I", "F")):
            values = np.asarray(_upright(picture, picture))
            if not np.isfinite(values).all():  # NaN differs from 0 and would count as anomalous
                raise ImageError(
                    f"{path}: expected 0 (good) or another number (anomalous), "
                    f"found NaN or infinity; replace these values"
                )
            return _marked(values, lossy)
        pixels = np.asarray(_upright(picture.convert("RGBA"), picture))
        coloured = _marked(pixels[..., :3].max(axis=-1), lossy)
        visible = _marked(pixels[..., 3], lossy)
        if visible.all() or np.array_equal(coloured, visible):
            return coloured
        if coloured.all() or not coloured.any():
            return visible
        raise ImageError(
            f"{path}: expected a mask, found one shape in its colours and another in its "
            f"transparency; save it in grey, 0 (good) and 255 (anomalous)"
        )


def _marked(values: np.ndarray, lossy: bool) -> np.ndarray:
    return values >= 128 if lossy else values != 0


def _is_lossy(picture: Image.Image, path: str | Path) -> bool:
    """Return whether the compression of an opened file changes pixels."""
    if picture.format == "WEBP":
        return not _is_lossless_webp(Path(path))
    in_tiff = picture.format == "TIFF" and picture.info.get("compression") in _LOSSY_IN_TIFF
    return in_tiff or picture.format in ("JPEG", "MPO")


def _is_lossless_webp(path: Path) -> bool:
    """Return whether the pixels are in a chunk VP8L, not VP8 (lossy). Pillow has no such function.

    Source: https://developers.google.com/speed/webp/docs/riff_container
    """
    with path.open("rb") as file:
        file.seek(12)  # after "RIFF", size, "WEBP"
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name in (b"VP8L", b"VP8 "):
                return name == b"VP8L"
            if name == b"ANMF":  # a frame of an animation: chunks follow its 16 bytes
                size = 16
            file.seek(size + size % 2, 1)
    return False


def image_size(image: str | Path | np.ndarray) -> tuple[int, int]:
    """Return (h, w) of an array, or of the upright image in a file, from the file's header."""
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    with _opened(image) as picture:
        if picture.format == "TIFF":
            picture.load()  # Pillow turns a TIFF upright when it loads it
        width, height = picture.size
        # To search for EXIF data after the header, Pillow would decode the whole PNG.
        if picture.format == "PNG" and "exif" not in picture.info:
            return height, width
        return (width, height) if _orientation(picture) >= 5 else (height, width)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a file with Pillow. Every error except MemoryError becomes an ImageError."""
    expected = "expected a PNG, JPEG, BMP, TIFF or WebP image"
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            yield picture
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: {expected}, found no such file; check the path") from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path}: {error}; if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # an error of the disk, not of Pillow
            if is_folder(path):
                raise ImageError(f"{path}: {expected}, found a folder; name a file in it") from None
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
        # Pillow's own convert("RGB") clips at 255, so that a 16-bit image would become white.
        grey = np.asarray(picture)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageError(
                f"{path}: expected values from 0 to 65535, found {grey.min()} to {grey.max()}; "
                f"save it as 8 or 16 bits"
            )
        white = _white(picture)
        if white == 65535 and 0 < grey.max() <= 4095:
            _warn_of_dark(Path(path))
        scaled = (grey.astype(np.uint32) * 255 + white // 2) // white
        return Image.fromarray(np.minimum(scaled, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # avoids Pillow's warning about lost transparency
    return picture.convert("RGB")


def _white(picture: Image.Image) -> int:
    """Return the value of white in a grey image with more than 8 bits.

    TIFF's MaxSampleValue is not used: it is the largest value that occurs in the image.
    """
    tags = getattr(picture, "tag_v2", {})
    return 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535


_first_dark: dict[Path, str] = {}  # for each folder, the first file that is almost black


def _warn_of_dark(path: Path) -> None:
    # Name the same file for a whole folder: Python shows equal warnings once.
    first = _first_dark.setdefault(path.parent, path.name)
    warnings.warn(
        f"{path.parent / first}: 16-bit grey without a value above 4095, read as almost black; if "
        f"the camera has 12 bits or fewer, scale the values of all images of this folder to 65535",
        MinicoreWarning,
        stacklevel=2,
    )


def _upright(pixels: Image.Image, picture: Image.Image) -> Image.Image:
    """Turn `pixels` upright by the EXIF data of the loaded `picture`."""
    turn = _UPRIGHT.get(_orientation(picture))
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(picture: Image.Image) -> int:
    # Pillow turns a TIFF upright when it loads it, but no other format.
    return 1 if picture.format == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
