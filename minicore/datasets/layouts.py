"""Loaders for published data sets in folders, each of which returns a `Dataset`.

All loaders follow the same rules. Images are sorted by name. Each anomalous test image has exactly
one mask. An error names the missing folder and what was found instead. Files are listed but not
opened.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from minicore.datasets.dataset import Dataset
from minicore.datasets.folders import (
    GOOD,
    Labelled,
    Masks,
    category_folder,
    hold_out,
    images_in,
    labelled_dataset,
    labelled_images,
    missing,
    subfolders,
)
from minicore.datasets.visa_layout import read_split
from minicore.errors import DatasetError, MinicoreWarning
from minicore.images.decode import read_binary
from minicore.runtime.files import is_folder


def mvtec(root: str | Path, category: str) -> Dataset:
    """Load MVTec AD, or any data with the same layout.

    The folders are ``root/category/train/good``, ``test/good``, ``test/<defect>`` and
    ``ground_truth/<defect>/<image>_mask.png``. The folder ``ground_truth`` may be missing; then
    there are no masks.

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
        If another folder or a mask is missing.

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
    """Load MVTec LOCO AD: like `mvtec`, with several masks for an image and ``validation/good``.

    The defects are "logical_anomalies" and "structural_anomalies". The mask of a test image is the
    union of ``ground_truth/<defect>/<image>/000.png``, ``001.png``, …. The saturation thresholds
    of sPRO, the data set's own metric, are not used.

    References
    ----------
    Bergmann et al., Beyond Dents and Scratches, IJCV 2022. doi:10.1007/s11263-022-01578-9
    """
    spare = category_folder(root, category, "train/good") / "validation" / GOOD
    return replace(mvtec(root, category), validation=images_in(spare) if spare.is_dir() else [])


def btad(root: str | Path, category: str) -> Dataset:
    """Load BTAD (beanTech), categories "01", "02" and "03".

    The layout is that of `mvtec`, with the names ``ok`` for good and ``ko`` for defective images.
    A mask has the name of its image, often with another suffix.

    References
    ----------
    Mishra et al., VT-ADL, ISIE 2021. doi:10.1109/ISIE45552.2021.9576231
    """
    base = category_folder(root, category, "train/ok")
    train = images_in(base / "train" / "ok", "the good images to train on")
    return _with_masks_if_any(base.name, train, base, "ok")


def kolektor_sdd(root: str | Path, *, held_out: float = 0.2, seed: int = 0) -> Dataset:
    """Load KolektorSDD: ``root/kos01/Part0.jpg`` with its mask ``Part0_label.bmp``, to ``kos50``.

    An image is anomalous if its mask is not empty. Therefore this loader opens the masks. The data
    set has no one-class split: the test images are all anomalous images and a share of the good
    ones. The images have about 500 × 1250 pixels, and the default crop keeps only a third of that:
    use an exact ``resize`` and ``crop=None``.

    Parameters
    ----------
    root : str or Path
        The data set's folder.
    held_out : float, default 0.2
        Share of the good images that is used for testing.
    seed : int, default 0
        Selects these images.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        If a folder or a mask is missing.
    ImageError
        If a mask cannot be read.

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
    return labelled_dataset("kolektor_sdd", train, [(p, None, GOOD) for p in test] + bad)


def mtd(root: str | Path, *, held_out: float = 0.2, seed: int = 0) -> Dataset:
    """Load Magnetic Tile Defects: ``root/MT_<kind>/Imgs/*.jpg`` and a ``.png`` mask for each image.

    The kind ``Free`` is good; Blowhole, Break, Crack, Fray and Uneven are defects. As in the paper
    (section 4.1), the test images are all anomalous images and 20 % of the good ones. The paper
    does not publish which 20 %.

    Parameters
    ----------
    root : str or Path
        The data set's folder.
    held_out : float, default 0.2
        Share of the good images that is used for testing.
    seed : int, default 0
        Selects these images.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        If a folder or a mask is missing.

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
    return labelled_dataset("mtd", train, [(p, None, GOOD) for p in test] + bad)


def categories(root: str | Path, layout: str = "mvtec") -> list[str]:
    """Return the names of a data set's categories, sorted.

    Parameters
    ----------
    root : str or Path
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
        return sorted({row["object"] for row in read_split(root, "1cls")[1]})
    good = Path("train") / ("ok" if layout == "btad" else GOOD)
    found = [p.name for p in subfolders(root) if (p / good).is_dir()]
    if not found:
        raise DatasetError(
            f"{root}: expected folders <category>/{good.as_posix()}, found "
            f"{', '.join(p.name for p in subfolders(root)[:8]) or 'no folders'}"
        )
    return found


def _with_masks_if_any(name: str, train: list[Path], base: Path, good: str = GOOD) -> Dataset:
    """Return a data set with the masks in ``base/ground_truth``, if this folder exists."""
    truth = base / "ground_truth"
    if is_folder(truth):
        return labelled_dataset(name, train, labelled_images(base / "test", truth, good))
    warnings.warn(
        f"{base}: no folder ground_truth, found {', '.join(p.name for p in subfolders(base)[:8])}; "
        f"without masks there are no pixel metrics",
        MinicoreWarning,
        stacklevel=3,
    )
    return replace(
        labelled_dataset(name, train, labelled_images(base / "test", None, good)), masks=None
    )
