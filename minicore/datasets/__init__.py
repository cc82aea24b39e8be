"""Data sets: folders as they are published, and drawn parts that need no files.

Each loader gives a `Dataset`: good images to learn from, labelled images and masks to test on.
"""

from minicore.datasets.dataset import Dataset
from minicore.datasets.drawn.synthetic import SYNTHETIC, synthetic
from minicore.datasets.folders import category_name
from minicore.datasets.layouts import (
    WITHOUT_CATEGORIES,
    btad,
    categories,
    folder,
    kolektor_sdd,
    mtd,
    mvtec,
    mvtec_loco,
    own,
    visa,
)

__all__ = [
    "SYNTHETIC",
    "WITHOUT_CATEGORIES",
    "Dataset",
    "btad",
    "categories",
    "category_name",
    "folder",
    "kolektor_sdd",
    "mtd",
    "mvtec",
    "mvtec_loco",
    "own",
    "synthetic",
    "visa",
]
