"""One image file -> 8-bit RGB, upright; one mask file -> bool.

* Alpha, also that of a palette, is dropped and never composited, as ``.convert("RGB")`` does: a
  transparent pixel shows the colour stored under it.
* 16-bit grey is scaled, round(value / 257), never clipped; of 16-bit colour Pillow keeps the high
  byte. A TIFF that says it has 12 bits a pixel is scaled from 4095.
* Floating-point pixels are refused: nothing in the file says which value is white.
* Of several frames or pages the first is read.
* The content decides the format, not the suffix.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from minicore.errors import ImageError, MinicoreWarning

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
)  # fmt: skip

# Naming the formats also keeps Pillow's rarer decoders away from files nobody vouches for.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP")

_LOSSY_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")  # Pillow's names for TIFF's compressions
_BITS_PER_SAMPLE = 0x0102  # TIFF tag

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
    """Decode a mask: True where a pixel is not black, that is where any of its values is not 0.

    Data sets write 255, 1, or one number per type of defect, so half of 255 would miss some. In a
    file with lossy compression (JPEG, WebP, TIFF with either), which blurs, values count from 128
    on. Of a palette the colours count, not their numbers. In a mask with transparent pixels, the
    others are True if they are alike in colour; else colour and transparency must agree.

    Returns
    -------
    bool (h, w)

    Raises
    ------
    ImageError
        As `read_image`; also for NaN and infinity, and where colour and transparency disagree.
    """
    with _opened(path) as picture:
        lossy = _is_lossy(picture, path)
        picture.load()
        alone = picture.mode in ("1", "L") and "transparency" not in picture.info
        if alone or picture.mode.startswith(("I", "F")):
            values = np.asarray(_upright(picture, picture))
            if not np.isfinite(values).all():  # NaN is not 0, and so would be anomalous
                raise ImageError(
                    f"{path}: expected 0 (good) or not (anomalous), found NaN or infinity; "
                    f"decide which"
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
    """Whether the compression of an opened file changes pixels."""
    if picture.format == "WEBP":
        return not _is_lossless_webp(Path(path))
    in_tiff = picture.format == "TIFF" and picture.info.get("compression") in _LOSSY_IN_TIFF
    return in_tiff or picture.format in ("JPEG", "MPO")


def _is_lossless_webp(path: Path) -> bool:
    """Look for the chunk that holds the pixels, which Pillow does not tell: VP8L, or VP8 (lossy).

    https://developers.google.com/speed/webp/docs/riff_container
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
        white = _white(picture)
        if white == 65535 and 0 < grey.max() <= 4095:
            _warn_of_dark(Path(path))
        scaled = (grey.astype(np.uint32) * 255 + white // 2) // white
        return Image.fromarray(np.minimum(scaled, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # the way on which Pillow does not warn of lost alpha
    return picture.convert("RGB")


def _white(picture: Image.Image) -> int:
    """Return the value of white in a grey image of more than 8 bits.

    TIFF's MaxSampleValue is not that: it is the largest value that occurs in the image.
    """
    tags = getattr(picture, "tag_v2", {})
    return 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535


_dark: dict[Path, str] = {}  # by folder, the first file of which `_warn_of_dark` has warned


def _warn_of_dark(path: Path) -> None:
    # One text for a folder: Python shows the same text once, so 10,000 files print one line.
    first = _dark.setdefault(path.parent, path.name)
    warnings.warn(
        f"{path.parent / first}: 16-bit grey without a value above 4095, read as almost black; if "
        f"the camera has 12 bits or fewer, multiply its values up to 65535 in all images of this "
        f"folder",
        MinicoreWarning,
        stacklevel=2,
    )


def _upright(pixels: Image.Image, picture: Image.Image) -> Image.Image:
    """Turn `pixels` as the EXIF data of the loaded `picture` they came from say."""
    turn = _UPRIGHT.get(_orientation(picture))
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(picture: Image.Image) -> int:
    # A TIFF, and no other format, Pillow has turned upright by the time it is loaded.
    return 1 if picture.format == "TIFF" else picture.getexif().get(_ORIENTATION, 1)
