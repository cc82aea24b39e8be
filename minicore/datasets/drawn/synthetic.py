"""The data set that needs no files: drawn parts as a `Dataset`."""

import numpy as np

from minicore.datasets.dataset import Dataset
from minicore.datasets.drawn import CATEGORIES, DEFECTS, parts
from minicore.datasets.folders import GOOD

SYNTHETIC = CATEGORIES  # what `synthetic` can draw


def synthetic(
    category: str = "circuit",
    *,
    n_train: int = 40,
    n_good: int = 12,
    n_defective: int = 30,
    size: int = 256,
    seed: int = 0,
) -> Dataset:
    """Procedural parts with procedural defects: no files, the same bytes on every machine.

    Parameters
    ----------
    category : str
        One of `SYNTHETIC`.
    n_train, n_good, n_defective : int
        Good images to train on; good and defective ones to test on. The kinds of defect take turns:
        scratch, spot, stain, colour, missing, misplaced. Asking for more adds images at the end
        and changes none.
    size : int
        Side in pixels, at least 128. Defects keep within the central 7/8, which is the usual crop.
    seed : int
        Not negative.

    Returns
    -------
    Dataset
        Of arrays; the masks are exactly the pixels a defect changed. The good twin of a defective
        image is to be had from `minicore.datasets.drawn.part`.
    """
    if min(n_train, n_good, n_defective, seed) < 0 or size < 128:
        raise ValueError(
            f"n_train, n_good, n_defective, seed: expected 0 or more, and size 128 or more, found "
            f"{n_train}, {n_good}, {n_defective}, {seed} and {size}"
        )
    defects = [DEFECTS[i % len(DEFECTS)] for i in range(n_defective)]
    train, _ = parts(category, [None] * n_train, size=size, seed=(seed, 0))
    good, whole = parts(category, [None] * n_good, size=size, seed=(seed, 1))
    bad, masks = parts(category, defects, size=size, seed=(seed, 2))
    return Dataset(
        category,
        train,
        np.concatenate([good, bad]),
        np.repeat(np.array([0, 1], np.int64), [n_good, n_defective]),
        np.concatenate([whole, masks]),
        [GOOD] * n_good + defects,
    )
