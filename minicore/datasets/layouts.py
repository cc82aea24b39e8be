"""Folders -> `Dataset`: good images to learn from, labelled images and masks to test on.

One loader for each published layout, all by one rule: images sorted by name, every anomalous test
image paired with exactly one mask, and a folder that is missing or misnamed named together with
what was found instead. Files are listed, not opened.
"""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicore.datasets.dataset import Dataset
from minicore.datasets.folders import (
    GOOD,
    Labelled,
    Masks,
    category_folder,
    category_name,
    hold_out,
    images_in,
    inside,
    labelled_images,
    missing,
    subfolders,
    unknown,
)
from minicore.errors import DatasetError, MinicoreWarning
from minicore.images.decode import read_binary
from minicore.runtime.files import is_folder

WITHOUT_CATEGORIES = ("kolektor_sdd", "mtd")  # each is one category itself


def mvtec(root: str | Path, category: str) -> Dataset:
    """MVTec AD, and any data in its layout.

    ``root/category/train/good``, ``test/good``, ``test/<defect>`` and
    ``ground_truth/<defect>/<image>_mask.png``. Without the folder ``ground_truth`` there are no
    masks.

    Parameters
    ----------
    root : str or Path
        The folder that holds the categories.
    category : str
        One of `categories(root)`.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        A folder or a mask is missing.

    Warns
    -----
    MinicoreWarning
        If there is no folder ``ground_truth``.

    References
    ----------
    Bergmann et al., MVTec AD, CVPR 2019. doi:10.1109/CVPR.2019.00982
    """
    base = category_folder(root, category, "train/good")
    train = images_in(base / "train" / GOOD, "the good images to train on")
    return _with_masks_if_any(base.name, train, base)


def mvtec_loco(root: str | Path, category: str) -> Dataset:
    """MVTec LOCO AD: as `mvtec`, but a folder of masks for each image, and ``validation/good``.

    The defects are "logical_anomalies" and "structural_anomalies". A test image's mask is the
    union of ``ground_truth/<defect>/<image>/000.png``, ``001.png``, …; the saturation thresholds
    of the data set's own metric, sPRO, are not used.

    References
    ----------
    Bergmann et al., Beyond Dents and Scratches, IJCV 2022. doi:10.1007/s11263-022-01578-9
    """
    spare = category_folder(root, category, "train/good") / "validation" / GOOD
    return replace(mvtec(root, category), validation=images_in(spare) if spare.is_dir() else [])


def btad(root: str | Path, category: str) -> Dataset:
    """BeanTech, categories "01", "02", "03": as `mvtec` with ``ok`` for good, ``ko`` for defective.

    Masks are called like their image, often with another suffix.

    References
    ----------
    Mishra et al., VT-ADL, ISIE 2021. doi:10.1109/ISIE45552.2021.9576231
    """
    base = category_folder(root, category, "train/ok")
    train = images_in(base / "train" / "ok", "the good images to train on")
    return _with_masks_if_any(base.name, train, base, "ok")


def folder(
    train: str | Path, test: str | Path | None = None, ground_truth: str | Path | None = None
) -> Dataset:
    """Your own data: a folder of good images, and what you have to test on.

    Parameters
    ----------
    train : str or Path
        Good images, directly in this folder.
    test : str or Path, optional
        A folder with one subfolder for each defect, and one called "good" (or "Good").
    ground_truth : str or Path, optional
        A folder with the same subfolders (but "good"): one mask for each image, called like it,
        with or without ``_mask``.

    Warns
    -----
    MinicoreWarning
        If no subfolder of `test` is called "good": then every image counts as anomalous.
    """
    good = images_in(Path(train), "a folder of good images")
    truth = None if ground_truth is None else Path(ground_truth)
    labelled = [] if test is None else labelled_images(Path(test), truth)
    found = _dataset(Path(train).resolve().name, good, labelled)
    return found if truth else replace(found, masks=None)


def own(root: str | Path) -> Dataset:
    """Your own data in one folder, without masks (``minicore evaluate --layout folder``).

    ``root/train/good`` or ``root/good``, ``root/test/good`` and ``root/test/<defect>``. "good" may
    be written in capitals. For masks, use MVTec's layout (`mvtec`) or `folder`.

    Parameters
    ----------
    root : str or Path

    Returns
    -------
    Dataset
        With the folder's name; `masks` is None.

    Raises
    ------
    DatasetError
        A folder is missing.
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


def visa(root: str | Path, category: str, split: str = "1cls") -> Dataset:
    """VisA as published: ``root/<category>/Data/…`` and ``root/split_csv/<split>.csv``.

    Parameters
    ----------
    root : str or Path
    category : str
        The column ``object``: "candle", "pcb1", …
    split : str
        "1cls" is the one-class protocol. Of the two-class splits only the good training images
        are taken.

    References
    ----------
    Zou et al., SPot-the-Difference, ECCV 2022. doi:10.1007/978-3-031-20056-4_23
    """
    root, category = Path(root), category_name(root, category)
    table, rows = _visa_rows(root, split)
    mine = sorted((r for r in rows if r["object"] == category), key=lambda row: row["image"])
    if not mine:
        raise DatasetError(unknown(category, {row["object"] for row in rows}, str(table)))
    train: list[Path] = []
    test: list[Labelled] = []
    for row in mine:
        image, good = inside(root, row["image"], table), row["label"] == "normal"
        if row["split"] == "test":
            mask = None if good else inside(root, row["mask"], table)
            test.append((image, mask, GOOD if good else "anomaly"))
        elif good:
            train.append(image)
    return _dataset(category, train, test)


def _visa_rows(root: Path, split: str) -> tuple[Path, list[dict[str, str]]]:
    """Read the table that says which image is what."""
    table = root / "split_csv" / f"{split}.csv"
    if not table.is_file():
        raise missing(table, "the table of the split")
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            rows, found = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{table}: expected a table in UTF-8, found {error}; unpack it again"
        ) from error
    if any(None in row.values() for row in rows):
        raise DatasetError(f"{table}: expected a value in each column, found a row cut short")
    columns = ("object", "split", "label", "image", "mask")
    if not set(columns) <= set(found):
        raise DatasetError(
            f"{table}: expected the columns {','.join(columns)}, found {','.join(found) or 'none'}"
        )
    return table, rows


def kolektor_sdd(root: str | Path, *, held_out: float = 0.2, seed: int = 0) -> Dataset:
    """KolektorSDD: ``root/kos01/Part0.jpg``, its mask ``Part0_label.bmp`` beside it, to ``kos50``.

    An image is anomalous where its mask is not empty, so this loader opens the masks. There is no
    one-class split: a share `held_out` of the good images is tested on, with all anomalous ones;
    `seed` draws it (`folders.hold_out`). The images are about 500 × 1250 pixels, and
    the usual central crop sees a third of that: prefer an exact ``resize`` and ``crop=None``.

    References
    ----------
    Tabernik et al., Segmentation-based deep-learning approach for surface-defect detection,
    J. Intell. Manuf. 2020. doi:10.1007/s10845-019-01476-x
    """
    root = Path(root)
    commutators = [p for p in subfolders(root) if p.name.startswith("kos")]
    if not commutators:
        raise missing(root / "kos01", "the first commutator")
    good: list[Path] = []
    bad: list[Labelled] = []
    for commutator in commutators:
        masks = Masks(commutator, (".bmp",))
        for image in images_in(commutator):
            if image.stem.endswith("_label"):
                continue
            if read_binary(masks.of(image)).any():
                bad.append((image, masks.of(image), "defect"))
            else:
                good.append(image)
    train, test = hold_out(good, root, held_out, seed)
    return _dataset("kolektor_sdd", train, [(p, None, GOOD) for p in test] + bad)


def mtd(root: str | Path, *, held_out: float = 0.2, seed: int = 0) -> Dataset:
    """Magnetic Tile Defects: ``root/MT_<kind>/Imgs/*.jpg``, the mask of the same name in ``.png``.

    ``MT_Free`` is good; Blowhole, Break, Crack, Fray and Uneven are defects. As in the paper
    (section 4.1), 20 % of the good images are tested on, with all anomalous ones. Which 20 % is not
    published: `seed` draws them, see `minicore.datasets.folders.hold_out`.

    References
    ----------
    Huang et al., Surface defect saliency of magnetic tile, Vis. Comput. 2020.
    doi:10.1007/s00371-018-1588-5
    """
    root = Path(root)
    kinds = {p.name[3:]: p / "Imgs" for p in subfolders(root) if p.name.startswith("MT_")}
    if "Free" not in kinds:
        raise missing(root / "MT_Free", "the good tiles")
    photos = {
        kind: [
            p
            for p in images_in(path, f"the tiles of {path.parent.name}")
            if p.suffix.lower() == ".jpg"
        ]
        for kind, path in kinds.items()
    }
    train, test = hold_out(photos.pop("Free"), root, held_out, seed)
    bad: list[Labelled] = []
    for kind, paths in photos.items():
        masks = Masks(kinds[kind], (".png",))
        bad += [(path, masks.of(path), kind.lower()) for path in paths]
    return _dataset("mtd", train, [(p, None, GOOD) for p in test] + bad)


def categories(root: str | Path, layout: str = "mvtec") -> list[str]:
    """Names of a data set's categories, sorted.

    Parameters
    ----------
    root : path
        The data set's folder.
    layout : {"mvtec", "mvtec_loco", "btad", "visa"}

    Returns
    -------
    list of str

    Raises
    ------
    DatasetError
        If there are none.
    """
    root = Path(root)
    if layout == "visa":
        return sorted({row["object"] for row in _visa_rows(root, "1cls")[1]})
    good = Path("train") / ("ok" if layout == "btad" else GOOD)
    found = [p.name for p in subfolders(root) if (p / good).is_dir()]
    if not found:
        raise DatasetError(
            f"{root}: expected folders <category>/{good.as_posix()}, found "
            f"{', '.join(p.name for p in subfolders(root)[:8]) or 'no folders'}"
        )
    return found


def _with_masks_if_any(name: str, train: list[Path], base: Path, good: str = GOOD) -> Dataset:
    """Return the data of ``base/test`` with the masks of ``base/ground_truth``, if it exists."""
    truth = base / "ground_truth"
    if is_folder(truth):
        return _dataset(name, train, labelled_images(base / "test", truth, good))
    warnings.warn(
        f"{base}: no folder ground_truth, found {', '.join(p.name for p in subfolders(base)[:8])}; "
        f"without masks there are no figures of pixels",
        MinicoreWarning,
        stacklevel=3,
    )
    return replace(_dataset(name, train, labelled_images(base / "test", None, good)), masks=None)


def _dataset(name: str, train: list[Path], test: list[Labelled]) -> Dataset:
    defects = [defect for _, _, defect in test]
    return Dataset(
        name,
        train,
        [image for image, _, _ in test],
        np.array([defect != GOOD for defect in defects], np.int64),
        [mask for _, mask, _ in test],
        defects,
    )
