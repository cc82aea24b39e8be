"""Synthetic parts as a `Dataset`, without files."""

import numpy as np

from minicore.datasets.dataset import Dataset
from minicore.datasets.drawn import CATEGORIES, DEFECTS, parts
from minicore.datasets.folders import GOOD

SYNTHETIC = CATEGORIES  # the categories of `synthetic`


def synthetic(
    category: str = "circuit",
    *,
    n_train: int = 40,
    n_good: int = 12,
    n_defective: int = 30,
    size: int = 256,
    seed: int = 0,
) -> Dataset:
    """Draw a data set of synthetic parts, with the same bytes on every machine.

    Parameters
    ----------
    category : str
        One of `SYNTHETIC`.
    n_train, n_good, n_defective : int
        Number of good training images, good test images and defective test images. The kinds of
        defect alternate: scratch, spot, stain, colour, missing, misplaced. A larger number adds
        images at the end and does not change the others.
    size : int
        Height and width in pixels, at least 128. All defects lie in the central 7/8, which is the
        default crop.
    seed : int
        At least 0.

    Returns
    -------
    Dataset
        With arrays. The masks are exactly the pixels that the defects changed.
        `minicore.datasets.drawn.part` returns the same parts without the defects.

    Raises
    ------
    ValueError
        If a number is too small, or `category` is unknown.
    """
    if min(n_train, n_good, n_defective, seed) < 0 or size < 128:
        raise ValueError(
            f"n_train, n_good, n_defective, seed: expected 0 or more, and size 128 or more, found "
            f"{n_train}, {n_good}, {n_defective}, {seed} and {size}"
        )
    defects = [DEFECTS[i % len(DEFECTS)] for i in range(n_defective)]
    train, _ = parts(category, [None] * n_train, size=size, seed=(seed, 0))
    good, empty = parts(category, [None] * n_good, size=size, seed=(seed, 1))
    bad, masks = parts(category, defects, size=size, seed=(seed, 2))
    return Dataset(
        category,
        train,
        np.concatenate([good, bad]),
        np.repeat(np.array([0, 1], np.int64), [n_good, n_defective]),
        np.concatenate([empty, masks]),
        [GOOD] * n_good + defects,
    )
