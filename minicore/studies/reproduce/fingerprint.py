"""A checksum of a category. It changes if an image, a mask, a name or a label changes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from minicore.datasets import Dataset
from minicore.errors import DatasetError
from minicore.images import list_images


def dataset_fingerprint(dataset: Dataset, root: str | Path) -> str:
    """Return one checksum of all images and masks of a category.

    Parameters
    ----------
    dataset : Dataset
        The images must be files.
    root : str or Path
        Folder of the data set. Names are relative to it, so a copy of the folder has the same
        fingerprint.

    Returns
    -------
    str
        SHA-256 (64 hexadecimal digits) of one line per image. The line contains train or test, the
        name, the label, the defect and the names of the masks, with the SHA-256 of each file.

    Raises
    ------
    DatasetError
        If a file cannot be read.

    Notes
    -----
    Every file is read. Its size and time are not enough: ``cp -p`` copies the time too.
    """
    digest = hashlib.sha256()

    def add(*line: object) -> None:
        digest.update(json.dumps(line).encode() + b"\n")

    for image in dataset.train:
        add("train", *_name_and_checksum(image, root))
    masks = dataset.masks if dataset.masks is not None else [None] * len(dataset.test)
    tested = zip(dataset.test, dataset.labels, dataset.defects, masks, strict=True)
    for image, label, defect, mask in tested:
        files = [] if mask is None else list_images(mask) if Path(mask).is_dir() else [mask]
        add(
            "test",
            *_name_and_checksum(image, root),
            int(label),
            defect,
            [_name_and_checksum(f, root) for f in files],
        )
    return digest.hexdigest()


def _name_and_checksum(file: Path | np.ndarray, root: str | Path) -> tuple[str, str]:
    """Return the name of a file, relative to the folder of the data set, and its checksum."""
    path = Path(file)  # type: ignore[arg-type]  # the images of a reproduction are files
    if path.exists() and not path.is_file():  # to open a pipe would block
        raise DatasetError(f"{path}: expected a file, found a folder, a pipe or a device")
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its "
            f"permissions"
        ) from error
    return Path(os.path.relpath(path, root)).as_posix(), content
