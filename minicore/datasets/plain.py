"""Loaders for your own images in plain folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minicore.datasets.dataset import Dataset
from minicore.datasets.folders import (
    GOOD,
    images_in,
    labelled_dataset,
    labelled_images,
    subfolders,
)
from minicore.errors import DatasetError
from minicore.runtime.files import is_folder


def folder(
    train: str | Path, test: str | Path | None = None, ground_truth: str | Path | None = None
) -> Dataset:
    """Load your own data: a folder of good images and, optionally, test images and masks.

    Parameters
    ----------
    train : str or Path
        Good images, directly in this folder.
    test : str or Path, optional
        A folder with one subfolder for each defect and one with the name "good" (or "Good").
    ground_truth : str or Path, optional
        A folder with the same subfolders, except "good". They contain one mask for each image. A
        mask has the name of its image, with or without ``_mask``.

    Returns
    -------
    Dataset
        With the name of the folder `train`.

    Raises
    ------
    DatasetError
        If a folder or a mask is missing.

    Warns
    -----
    MinicoreWarning
        If no subfolder of `test` has the name "good". Then every image counts as anomalous.
    """
    good = images_in(Path(train), "a folder of good images")
    truth = None if ground_truth is None else Path(ground_truth)
    labelled = [] if test is None else labelled_images(Path(test), truth)
    found = labelled_dataset(Path(train).resolve().name, good, labelled)
    return found if truth else replace(found, masks=None)


def plain_folder(root: str | Path) -> Dataset:
    """Load your own data from one folder, without masks (``minicore evaluate --layout folder``).

    The folders are ``root/train/good`` or ``root/good``, ``root/test/good`` and
    ``root/test/<defect>``. Upper or lower case of "good" does not matter. For data with masks, use
    `mvtec` or `folder`.

    Parameters
    ----------
    root : str or Path

    Returns
    -------
    Dataset
        With the name of the folder `root`; `masks` is None.

    Raises
    ------
    DatasetError
        If a folder is missing.
    """
    root = Path(root)
    inside = subfolders(root)
    inside += subfolders(root / "train") if is_folder(root / "train") else []
    good = [p for p in inside if p.name.lower() == GOOD]
    if len(good) != 1:
        found = " and ".join(map(str, good)) or "neither"
        raise DatasetError(
            f"{root}: expected the good images to train on in {root / 'train' / GOOD} or in "
            f"{root / GOOD}, found {found}"
        )
    return replace(folder(good[0], root / "test"), name=root.resolve().name)
