"""What a data set is; `minicore.datasets` knows where they come from."""

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
        One per test image, None where it is good; None altogether where there is no ground truth.
        A folder stands for the union of the masks in it (MVTec LOCO).
    defects : list of str
        What is wrong with each test image, "good" where nothing is.
    validation : list of Path
        More good images, in neither of the above, where the data set sets some aside (MVTec LOCO).

    Raises
    ------
    ValueError
        Labels or masks that are not one for each test image, or a label that is not 0 or 1.
    """

    name: str
    train: list[Path] | np.ndarray
    test: list[Path] | np.ndarray
    labels: np.ndarray
    masks: list[Path | None] | np.ndarray | None
    defects: list[str]
    validation: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("labels", "masks"):  # here, not after a fit of minutes
            given = getattr(self, name)
            if given is not None and len(given) != len(self.test):
                raise ValueError(
                    f"{self.name}: {name} must be one for each test image, got {len(given)} for "
                    f"{len(self.test)}"
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
        """List the files of images and masks; none where these are arrays."""
        lists = (self.train, self.test, self.validation, self.masks)
        named = [path for its in lists if isinstance(its, list) for path in its if path is not None]
        return [f for path in named for f in (path.iterdir() if path.is_dir() else [path])]

    def read_masks(self, preprocessing: Preprocessing) -> np.ndarray:
        """Ground truth of every test image, resized and cropped as the images are.

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
            No ground truth, or images that come out in different sizes.
        ImageError
            A mask that cannot be read, or has another size than its image.
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
