"""The images with which an exported file is checked."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from minicore.datasets.drawn import part
from minicore.errors import ImageError, MinicoreWarning, ModelError
from minicore.export.image_nodes import ImageSize
from minicore.images import image_size, list_images, read_image, view
from minicore.patchcore.estimator import PatchCore
from minicore.runtime.files import is_folder

CheckImages = Literal["training", "drawn", "none"]
COARSE = 256  # blocks of pixels along the longer side of a check image


def training_images(
    model: PatchCore, size: ImageSize, prepared: bool
) -> list[tuple[Path, np.ndarray]]:
    """Return the first and the last training image, if they still exist and have the right size.

    Parameters
    ----------
    model : PatchCore
    size : (int, int)
        (H, W) in pixels.
    prepared : bool
        Whether to resize and crop them.

    Returns
    -------
    list of (Path, (H, W, 3) uint8)
        Two, or none.
    """
    folder, preprocessing = model.made_.folder, model.config_.preprocessing
    if folder is None or not is_folder(folder):
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MinicoreWarning)  # of files that are not images
        try:
            files = [f for f in list_images(folder) if prepared or image_size(f) == size]
            two = [files[0], files[-1]] if files else []
            images = [view(f, preprocessing) if prepared else read_image(f) for f in two]
        except (ImageError, OSError):
            return []
    fitting = all(image.shape[:2] == size for image in images)  # a crop can have another size
    return list(zip(two, images, strict=True)) if fitting else []


def check_images_of(
    model: PatchCore, size: ImageSize, training: list[np.ndarray], asked: CheckImages | None
) -> tuple[list[np.ndarray], str]:
    """Return three check images, and where they come from.

    Parameters
    ----------
    model : PatchCore
    size : (int, int)
        (H, W) of the images in pixels.
    training : list of (H, W, 3) uint8
        Two training images, or none.
    asked : {"training", "drawn", "none"}, optional
        What the user wants; by default training images, if there are some.

    Returns
    -------
    images : list of (H, W, 3) uint8
        Two images and the negative of the second. It is anomalous in most models.
    origin : {"training", "drawn", "none"}
        With "none" the images are drawn ones, for the check during the export only.

    Raises
    ------
    ModelError
        If training images are wanted, and there are none.
    """
    if asked == "training" and not training:
        raise ModelError(
            f"no training images of {size[0]} × {size[1]} pixels in {model.made_.folder}, where "
            f"the model was fitted; use drawn check images (--check-images drawn)"
        )
    if asked in ("drawn", "none"):
        training = []
    two = training
    if not training:
        drawn = [part("gear", defect)[1] for defect in (None, "scratch")]
        two = [np.asarray(Image.fromarray(image).resize(size[::-1])) for image in drawn]
    two = [_coarse(image) for image in two]
    origin = "training" if training else "none" if asked == "none" else "drawn"
    return [*two, 255 - two[1]], origin


def _coarse(image: np.ndarray) -> np.ndarray:
    """Return a large image in blocks of equal pixels, which zlib compresses well."""
    k = max(1, round(max(image.shape) / COARSE))
    return image[::k, ::k].repeat(k, axis=0).repeat(k, axis=1)[: len(image), : image.shape[1]]
