"""The `Dataset` class, which every loader of `minicore.datasets` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minicore.errors import DatasetError
from minicore.images import Preprocessing, output_size, read_mask
from minicore.images.decode import image_size


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One category of one data set.

    Attributes
    ----------
    name : str
    train : list of Path, or uint8 (n, h, w, 3)
        Good images only.
    test : list of Path, or uint8 (n_test, h, w, 3)
    labels : int64 (n_test,)
        0 good, 1 anomalous.
    masks : list of Path or None, bool (n_test, h, w), or None
        One mask per test image; in a list, None for a good image. `masks` is None if the data set
        has no masks. A folder contains several masks of one image (MVTec LOCO); the mask is their
        union.
    defects : list of str
        The kind of defect of each test image; "good" for a good image.
    validation : list of Path
        More good images, which are neither in `train` nor in `test` (MVTec LOCO only).

    Raises
    ------
    ValueError
        If the number of labels or masks differs from the number of test images, or if a label is
        not 0 or 1.
    """

    name: str
    train: list[Path] | np.ndarray
    test: list[Path] | np.ndarray
    labels: np.ndarray
    masks: list[Path | None] | np.ndarray | None
    defects: list[str]
    validation: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("labels", "masks"):  # check now, not after minutes of fitting
            given = getattr(self, name)
            if given is not None and len(given) != len(self.test):
                raise ValueError(
                    f"{self.name}: {name} must have one entry for each test image, got "
                    f"{len(given)} for {len(self.test)}"
                )
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"{self.name}: labels must be 0 (good) or 1 (anomalous), (n_test,), got "
                f"{np.unique(labels)[:5].tolist()} {labels.shape}"
            )
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))

    def __repr__(self) -> str:
        bad = int(self.labels.sum())
        return (
            f"Dataset({self.name}: {len(self.train)} good images to train on; to test on "
            f"{len(self.test) - bad} good, {bad} anomalous, "
            f"{'without' if self.masks is None else 'with'} masks)"
        )

    def files(self) -> list[Path]:
        """Return the files of all images and masks. Images and masks in arrays have no files."""
        lists = (self.train, self.test, self.validation, self.masks)
        paths = [path for part in lists if isinstance(part, list) for path in part if path]
        return [f for path in paths for f in (path.iterdir() if path.is_dir() else [path])]

    def read_masks(self, preprocessing: Preprocessing) -> np.ndarray:
        """Return the masks of the test images, resized and cropped in the same way as the images.

        Parameters
        ----------
        preprocessing : Preprocessing

        Returns
        -------
        bool (n_test, h', w')
            All False for a good image.

        Raises
        ------
        DatasetError
            If there are no masks, or if the prepared images have different sizes.
        ImageError
            If a mask cannot be read or has another size than its image.
        """
        if self.masks is None:
            raise DatasetError(f"{self.name}: expected masks, found none; evaluate scores only")
        masks: np.ndarray | None = None
        for i, (image, mask) in enumerate(zip(self.test, self.masks, strict=True)):
            if isinstance(image, np.ndarray):
                size, name = image.shape[:2], f"test image {i}"
            else:
                size, name = image_size(image), str(image)
            shape = output_size(size, preprocessing, name)
            if masks is None:
                masks = np.zeros((len(self.test), *shape), bool)
            if shape != masks.shape[1:]:
                raise DatasetError(
                    f"{name}: expected {masks.shape[1:]} pixels (h, w) like the first test image, "
                    f"found {shape}; choose a crop or an exact resize"
                )
            if mask is not None:
                masks[i] = read_mask(mask, preprocessing, size=size, name=f"mask {i}")
        return np.zeros((0, 0, 0), bool) if masks is None else masks
