"""Find images and masks in folders. Errors name the missing file or folder and what was found."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeAlias

import numpy as np

from minicore.datasets.dataset import Dataset
from minicore.errors import DatasetError, ImageError, MinicoreWarning
from minicore.images.decode import SUFFIXES
from minicore.images.listing import list_images
from minicore.runtime.files import folded, is_file, is_folder

GOOD = "good"
Labelled: TypeAlias = tuple[Path, Path | None, str]  # image, mask, defect


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in `folder`, sorted by name, without hidden ones."""
    if not is_folder(folder):
        raise missing(folder, "a folder")
    return sorted(
        (p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."), key=lambda p: p.name
    )


def images_in(folder: Path, what: str = "a folder of images") -> list[Path]:
    """Return the image files directly in `folder`, sorted by name. There is at least one."""
    if not is_folder(folder):
        raise missing(folder, what)
    try:
        return list_images(folder)
    except ImageError as error:
        raise DatasetError(f"{error}") from None


def category_name(root: str | Path, category: str) -> str:
    """Return the name of a category without a slash at its end, which a shell may have added.

    On a disk that ignores upper and lower case, this is the name on the disk.

    Parameters
    ----------
    root : str or Path
        The data set's folder.
    category : str
        One folder name: ``part`` or ``part/``.

    Returns
    -------
    str

    Raises
    ------
    DatasetError
        If `category` is a path: its results would be stored under another name.
    """
    name = category.rstrip(os.sep + (os.altsep or ""))
    if name in ("", ".", "..") or Path(name).name != name or "\0" in name:
        last = Path(name).name.strip(".")
        remedy = f"; pass {last!r}, and as the data the folder that holds it" if last else ""
        raise DatasetError(
            f"category {category!r}: expected the name of one folder in {root}{remedy}"
        )
    if is_folder(Path(root, name)):
        alike = [p.name for p in Path(root).iterdir() if folded(p.name) == folded(name)]
        return name if name in alike or not alike else alike[0]
    return name


def category_folder(root: str | Path, category: str, train: str) -> Path:
    """Return ``root/category``, or raise an error that explains the two most common mistakes."""
    root = Path(root)
    category = category_name(root, category)
    found = root / category
    if is_folder(found):
        return found
    if is_folder(root / train):
        raise DatasetError(
            f"{root}: expected the folder that holds the categories, found a category; "
            f"pass {root.resolve().parent} and {root.resolve().name!r}"
        )
    if is_folder(root):
        for inner in subfolders(root):
            if is_folder(inner / category):
                raise DatasetError(
                    f"{root}: expected the category {category!r} in it, found it in {inner}; "
                    f"pass {inner}"
                )
    raise missing(found, f"the category {category!r}")


def labelled_images(test: Path, ground_truth: Path | None, good: str = GOOD) -> list[Labelled]:
    """Return the images of ``test/<defect>`` with their masks and defects, good images first.

    The folder of good images has the name `good`; upper or lower case does not matter. Without
    `ground_truth` every mask is None.

    Warns
    -----
    MinicoreWarning
        If no folder has the name `good`.
    """
    kinds = {folder.name: folder for folder in subfolders(test)}
    if not kinds:
        raise DatasetError(
            f"{test}: expected subfolders, {good!r} and one for each defect, found none"
        )
    found: list[Labelled] = []
    names = [name for name in kinds if name.lower() == good]
    for name in names:
        found += [(image, None, GOOD) for image in images_in(kinds.pop(name))]
    if not names:
        warnings.warn(
            f"{test}: no folder is called {good!r}, so every image counts as anomalous, those in "
            f"{', '.join(map(repr, list(kinds)[:8]))}; name the folder of good images {good!r}",
            MinicoreWarning,
            stacklevel=4,
        )
    for defect, folder in kinds.items():
        masks = None if ground_truth is None else Masks(ground_truth / defect)
        for image in images_in(folder):
            found.append((image, None if masks is None else masks.of(image), defect))
    return found


def labelled_dataset(name: str, train: list[Path], test: list[Labelled]) -> Dataset:
    """Return a data set of image files; an image is anomalous if its defect is not `GOOD`."""
    defects = [defect for _, _, defect in test]
    return Dataset(
        name,
        train,
        [image for image, _, _ in test],
        np.array([defect != GOOD for defect in defects], np.int64),
        [mask for _, mask, _ in test],
        defects,
    )


class Masks:
    """The masks in one folder. `of` returns the mask of an image.

    A mask is a file; in MVTec LOCO, a folder. It has the name of its image, with or without
    ``_mask`` or ``_label`` at the end.
    """

    def __init__(self, folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
        if not is_folder(folder):
            raise missing(folder, "masks (for data without masks: datasets.folder)")
        self.folder = folder
        self.named: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.name[0] != "." and (path.is_dir() or path.suffix.lower() in suffixes):
                name = path.name if path.is_dir() else path.stem
                name = name.removesuffix("_mask").removesuffix("_label")
                self.named.setdefault(name, []).append(path)

    def of(self, image: Path) -> Path:
        """Return the path of the mask of `image`."""
        found = [p for p in self.named.get(image.stem, []) if p != image]
        if len(found) == 1:
            return found[0]
        raise DatasetError(
            f"{image}: expected one mask, {self.folder / image.stem} with or without _mask, found "
            f"{' and '.join(p.name for p in found) or 'none'}"
        )


def hold_out(
    good: list[Path], root: Path, share: float, seed: int
) -> tuple[list[Path], list[Path]]:
    """Return good images for training and for testing, if the data set has no published split.

    The test images are the ``round(share · n)`` paths with the lowest SHA-256 of "seed/path", the
    path relative to `root`. A hash makes the split the same on every machine, with every version
    of NumPy, and in every other language.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out: expected a share between 0 and 1, found {share}")
    if len(good) < 2:
        raise DatasetError(f"{root}: expected good images to split, found {len(good)}")

    def digest(path: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{path.relative_to(root).as_posix()}".encode()).digest()

    test = set(sorted(good, key=digest)[: round(share * len(good))])
    return [p for p in good if p not in test], [p for p in good if p in test]


def inside(root: Path, relative: str, table: Path) -> Path:
    """Return ``root/relative`` for a path from `table`. It must be an existing file in `root`."""
    for path_of_system in (PurePosixPath(relative), PureWindowsPath(relative)):
        if path_of_system.anchor or ".." in path_of_system.parts:
            raise DatasetError(f"{table}: expected paths inside {root}, found {relative!r}")
    path = root / relative
    try:
        found = bool(relative) and path.is_file()
    except (OSError, ValueError):  # a file cannot have this name
        found = False
    if not found:
        raise DatasetError(
            f"{table}: expected the file {path}, found none; unpack the whole archive"
        )
    return path


def missing(path: Path, what: str) -> DatasetError:
    """Return the error for a missing file or folder: what was expected and what was found."""
    parent = path.parent
    while not is_folder(parent) and parent != parent.parent:
        path, parent = parent, parent.parent
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        return DatasetError(
            f"{path}: expected {what}, found one image; pass the folder that holds it, {parent}"
        )
    if is_file(path):
        return DatasetError(
            f"{path}: expected {what}, found a file that is not an image minicore reads "
            f"({' '.join(SUFFIXES)})"
        )
    there = sorted(p.name for p in parent.iterdir() if p.name[0] != ".")
    return DatasetError(f"{path}: expected {what}; {unknown(path.name, there, str(parent))}")


def unknown(name: str, known: Iterable[str], where: str) -> str:
    """Return the end of an error message about a name that is not in `known`."""
    names = sorted(known)
    near = get_close_matches(name, names, 1, 0.6)
    listed = ", ".join(names[:15]) + (", …" if len(names) > 15 else "")
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return f"no {name!r} in {where}, found {listed or 'nothing'}{guess}"
