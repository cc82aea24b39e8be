"""The fingerprint of a category: another one if its images, masks, names or labels change."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from minicore.datasets import Dataset
from minicore.errors import DatasetError
from minicore.images import list_images


def fingerprint(dataset: Dataset, root: str | Path) -> str:
    """Return one checksum of a category's images and masks.

    Parameters
    ----------
    dataset : Dataset
        Of files.
    root : str or Path
        The data set's folder. Names count from there: a copy elsewhere has the same fingerprint.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits, of one line for each image: its part (train or test), its
        name, its label, its defect, and the names of its masks, with the SHA-256 of each file.

    Raises
    ------
    DatasetError
        If a file cannot be read.

    Notes
    -----
    Every file is read, since neither size nor time tells that a file is the same: ``cp -p`` keeps
    both.
    """
    digest = hashlib.sha256()

    def add(*line: object) -> None:
        digest.update(json.dumps(line).encode() + b"\n")

    for image in dataset.train:
        add("train", *_named(image, root))
    masks = dataset.masks if dataset.masks is not None else [None] * len(dataset.test)
    tested = zip(dataset.test, dataset.labels, dataset.defects, masks, strict=True)
    for image, label, defect, mask in tested:
        files = [] if mask is None else list_images(mask) if Path(mask).is_dir() else [mask]
        add("test", *_named(image, root), int(label), defect, [_named(f, root) for f in files])
    return digest.hexdigest()


def _named(file: Path | np.ndarray, root: str | Path) -> tuple[str, str]:
    """Return the name of a file, counted from the data set's folder, and its checksum."""
    path = Path(file)  # type: ignore[arg-type]  # a reproduction reads files only
    if path.exists() and not path.is_file():  # opening a pipe waits for its other end
        raise DatasetError(f"{path}: expected a file, found a folder, a pipe or a device")
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its "
            f"permissions"
        ) from error
    return Path(os.path.relpath(path, root)).as_posix(), content
