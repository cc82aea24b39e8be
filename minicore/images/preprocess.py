"""Resize, crop and normalise an image for the network; resize and crop its mask in the same way.

The geometry is that of torchvision's ``Resize`` and ``CenterCrop`` on PIL images, with which the
networks were trained: antialiased bilinear, the same rounding. Masks use the nearest neighbour. So
mask and anomaly map lie on one grid. `minicore.images.decode` turns a file into 8-bit RGB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from minicore.errors import ImageError, ParameterError
from minicore.images.decode import open_rgb, read_binary
from minicore.images.listing import list_images
from minicore.images.turning import turned_crop
from minicore.runtime.files import is_folder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST_SIDE = 16384  # of a prepared image: 3.2 GB as float32

ImageLike: TypeAlias = str | Path | np.ndarray
Size: TypeAlias = int | tuple[int, int] | None
Override: TypeAlias = int | tuple[int, int] | Literal["none"] | None  # None: keep


@dataclass(frozen=True)
class Preprocessing:
    """Resizing, cropping and normalisation of images, from the metadata of the backbone.

    Parameters
    ----------
    resize : int, (int, int) or None
        Length of the shorter side, or exact (h, w), in pixels, up to 16384. None: no resizing.
    crop : int, (int, int) or None
        Size of the central crop in pixels: side, or (h, w). None: no cropping.
    mean, std : (float, float, float)
        One number for each channel of RGB, scaled to 0–1: the network's input is (x − mean) / std.
    """

    resize: Size = 256
    crop: Size = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        # Metadata arrives as JSON lists; tuples make equal preprocessings equal and hashable.
        for name in ("resize", "crop"):
            value = getattr(self, name)
            sides = value if isinstance(value, (tuple, list)) else (value, value)
            whole = all(
                isinstance(s, (int, np.integer)) and s is not True and 0 < s <= LARGEST_SIDE
                for s in sides
            )
            if value is not None and not (whole and len(sides) == 2):
                raise ParameterError(name, f"pixels (up to {LARGEST_SIDE}), (h, w) or None", value)
            if isinstance(value, (tuple, list)):
                object.__setattr__(self, name, (int(value[0]), int(value[1])))
        for name in ("mean", "std"):
            found = getattr(self, name)
            try:
                value = tuple(float(v) for v in found)
            except (TypeError, ValueError):
                value = ()
            finite = all(map(math.isfinite, value))
            if len(value) != 3 or not finite or (name == "std" and min(value) <= 0):
                raise ParameterError(name, "three numbers, std above 0", found)
            object.__setattr__(self, name, value)

    def override(self, resize: Override = None, crop: Override = None) -> Preprocessing:
        """Return a copy with another size.

        Parameters
        ----------
        resize, crop : int, (int, int) or "none", optional
            "none" removes the step; None keeps it.
        """
        asked = {"resize": resize, "crop": crop}
        changes: Any = {
            k: None if isinstance(v, str) and v == "none" else v
            for k, v in asked.items()
            if v is not None
        }
        return replace(self, **changes)


def as_images(source: Any) -> Sequence[ImageLike]:
    """Return a list of images from paths, a folder or arrays.

    Parameters
    ----------
    source : path, folder, uint8 array, or a list of paths and arrays
        For a folder, its image files, sorted by name, without subfolders; a warning lists images
        that are left out (`list_images`). Arrays are (h, w) grey, (h, w, 3) RGB or (n, h, w, 3).
        Each array in a list is one image.

    Returns
    -------
    list of Path and uint8 (h, w, 3)
        Files are not opened; arrays are views, not copies.

    Raises
    ------
    ImageError
        If an array has another dtype or shape or is empty, or a folder has no images.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        return list_images(path) if is_folder(path) else [path]
    if isinstance(source, np.ndarray):
        if source.ndim == 4:
            return [_as_rgb(image, f"image {i}") for i, image in enumerate(source)]
        return [_as_rgb(source, "image")]
    if isinstance(source, (list, tuple)):
        return [
            Path(image) if isinstance(image, (str, Path)) else _as_rgb(image, f"image {i}")
            for i, image in enumerate(source)
        ]
    kind = type(source)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    raise ImageError(
        f"images: expected paths or uint8 arrays, found {name}; convert a collection of "
        f"paths with list()"
    )


def view(image: ImageLike, preprocessing: Preprocessing, angle: float = 0) -> np.ndarray:
    """Resize and crop an image for display: the input of the network before normalisation.

    Parameters
    ----------
    image : path, or uint8 (h, w) or (h, w, 3)
    preprocessing : Preprocessing
    angle : float
        Degrees by which the image is turned counter-clockwise, between resizing and cropping
        (`minicore.images.turning`).

    Returns
    -------
    uint8 (h', w', 3)

    Raises
    ------
    ImageError
        If the image cannot be read, or is smaller than the crop after resizing. (torchvision would
        pad it with black, which PatchCore would report as an anomaly.)
    """
    return _views(image, preprocessing, [angle])[0]


def prepare(image: ImageLike, preprocessing: Preprocessing) -> np.ndarray:
    """Prepare one image for the network: resize, crop, scale to 0–1, normalise.

    Parameters and errors are those of `view`.

    Returns
    -------
    float32 (3, h', w')
    """
    return prepare_turned(image, preprocessing, [0])[0]


def prepare_turned(
    image: ImageLike, preprocessing: Preprocessing, angles: Sequence[float]
) -> list[np.ndarray]:
    """Prepare one image for the network as `prepare`, once for each angle of `view`.

    The file is decoded once.

    Returns
    -------
    list of float32 (3, h', w')
    """
    mean, std = (
        np.array(v, np.float32)[:, None, None] for v in (preprocessing.mean, preprocessing.std)
    )
    prepared = []
    for pixels in _views(image, preprocessing, angles):
        x = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
        x /= np.float32(255)
        x -= mean
        x /= std
        prepared.append(x)
    return prepared


def read_mask(
    mask: ImageLike,
    preprocessing: Preprocessing,
    *,
    size: tuple[int, int] | None = None,
    name: str = "mask",
) -> np.ndarray:
    """Return a ground-truth mask on the grid of the prepared image, resized by nearest neighbour.

    Parameters
    ----------
    mask : path, or array (h, w)
        A pixel is anomalous if any of its values is not 0: data sets write 255, 1, or a number for
        each defect type. Lossy compression blurs; in such a file, a pixel is anomalous from 128 on
        (`minicore.images.decode.read_binary`). A folder contains one file per defect (MVTec LOCO);
        the mask is their union.
    preprocessing : Preprocessing
    size : (int, int), optional
        (h, w) of the image of this mask, before preprocessing; the mask must have the same size.
    name : str
        Name of an array in error messages. For a file, its path is used.

    Returns
    -------
    bool (h', w')

    Raises
    ------
    ImageError
        If the mask cannot be read, has another size, is smaller than the crop after resizing, or is
        an array with values that are not finite numbers.
    """
    if isinstance(mask, np.ndarray):
        if mask.dtype.kind not in "biuf":
            raise ImageError(f"{name}: expected bool or numbers, found dtype {mask.dtype}")
        if not np.isfinite(mask).all():  # NaN is not equal to 0 and would count as anomalous
            raise ImageError(
                f"{name}: expected 0 (good) or another number (anomalous), "
                f"found NaN or infinity; replace these values"
            )
        anomalous = mask != 0
    elif is_folder(mask):
        parts = [read_mask(part, preprocessing, size=size) for part in list_images(mask)]
        return np.logical_or.reduce(parts)
    else:
        name, anomalous = str(mask), read_binary(mask)
    if anomalous.ndim != 2:
        raise ImageError(f"{name}: expected a mask (h, w), found shape {anomalous.shape}")
    if size is not None and anomalous.shape != tuple(size):
        raise ImageError(
            f"{name}: expected {_by(size)} pixels like its image, found {_by(anomalous.shape)}"
        )
    grey = Image.fromarray(anomalous.astype(np.uint8))
    resized, box = _resized(grey, preprocessing, Image.Resampling.NEAREST, name)
    return np.array(resized.crop(box)) != 0


def output_size(
    size: tuple[int, int], preprocessing: Preprocessing, name: str = "image"
) -> tuple[int, int]:
    """Return (h', w') after preprocessing of an image of (h, w) pixels."""
    return geometry(size, preprocessing, name)[1]


def geometry(
    size: tuple[int, int], preprocessing: Preprocessing, name: str
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return (h, w) after resizing, (h', w') of the crop, and its (top, left).

    Parameters
    ----------
    size : (int, int)
        (h, w) of the image in pixels.
    preprocessing : Preprocessing
    name : str
        Name of the image in the error message.

    Raises
    ------
    ImageError
        If the image is smaller than the crop after resizing, or far too large.
    """
    h, w = size
    if isinstance(preprocessing.resize, tuple):
        h, w = preprocessing.resize
    elif preprocessing.resize is not None:
        short = preprocessing.resize
        h, w = (short, int(short * w / h)) if h <= w else (int(short * h / w), short)
    most = Image.MAX_IMAGE_PIXELS  # None: no limit
    if most is not None and (h, w) != tuple(size) and h * w > 2 * most:
        raise ImageError(
            f"{name}: expected at most {2 * most} pixels, found {_by(size)} resized to "
            f"{_by((h, w))}; choose an exact resize, or none"
        )
    crop = preprocessing.crop
    ch, cw = (h, w) if crop is None else crop if isinstance(crop, tuple) else (crop, crop)
    if ch > h or cw > w:
        raise ImageError(
            f"{name}: expected at least the crop's {_by((ch, cw))} pixels, found {_by((h, w))} "
            f"after resizing; choose a smaller crop or a larger resize"
        )
    return (h, w), (ch, cw), (round((h - ch) / 2), round((w - cw) / 2))


def _views(
    image: ImageLike, preprocessing: Preprocessing, angles: Sequence[float]
) -> list[np.ndarray]:
    """Return the result of `view` for each angle."""
    if isinstance(image, np.ndarray):
        picture, name = Image.fromarray(_as_rgb(image, "image")), "image"
    else:
        picture, name = open_rgb(image), str(image)
    resized, box = _resized(picture, preprocessing, Image.Resampling.BILINEAR, name)
    stretch = 1.0
    if isinstance(preprocessing.resize, tuple):
        stretch = (resized.height / picture.height) / (resized.width / picture.width)
    return [
        turned_crop(np.asarray(resized), angle, box, stretch)
        if angle % 360
        else np.array(resized.crop(box))
        for angle in angles
    ]


def _resized(
    picture: Image.Image, preprocessing: Preprocessing, filter: Image.Resampling, name: str
) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return the resized image, and left, top, right, bottom of the crop."""
    (h, w), (ch, cw), (top, left) = geometry(picture.size[::-1], preprocessing, name)
    if picture.size != (w, h):
        picture = picture.resize((w, h), filter)
    return picture, (left, top, left + cw, top + ch)


def _as_rgb(image: Any, name: str) -> np.ndarray:
    """Return a (h, w, 3) view of a uint8 array (h, w) or (h, w, 3)."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{name}: expected a path or a uint8 array, found {type(image).__name__}")
    if image.dtype != np.uint8:
        remedy = "pass paths as a list" if image.dtype.kind in "OSU" else "scale and convert it"
        raise ImageError(f"{name}: expected dtype uint8 (0 to 255), found {image.dtype}; {remedy}")
    if image.ndim == 2 and image.size:
        return np.broadcast_to(image[:, :, None], (*image.shape, 3))
    if image.ndim == 3 and image.shape[2] == 3 and image.size:
        return image
    raise ImageError(
        f"{name}: expected shape (h, w), (h, w, 3) or (n, h, w, 3), found {image.shape}; channels "
        f"come last, without alpha; pass several grey images as a list"
    )


def _by(size: Sequence[int]) -> str:
    return f"{size[0]} × {size[1]}"
