"""Data sets: loaders for published folders and for your own, and synthetic parts without files.

Each loader returns a `Dataset`: good images for training, and labelled images with masks for
testing.
"""

from collections.abc import Callable

from minicore.datasets.dataset import Dataset
from minicore.datasets.drawn.synthetic import SYNTHETIC, synthetic
from minicore.datasets.folders import category_name
from minicore.datasets.layouts import (
    btad,
    categories,
    kolektor_sdd,
    mtd,
    mvtec,
    mvtec_loco,
)
from minicore.datasets.plain import folder, plain_folder
from minicore.datasets.visa_layout import visa

LOADERS: dict[str, Callable[..., Dataset]] = {  # by the name of the layout
    "mvtec": mvtec,
    "mvtec_loco": mvtec_loco,
    "visa": visa,
    "btad": btad,
    "kolektor_sdd": kolektor_sdd,
    "mtd": mtd,
    "folder": plain_folder,
}
WITHOUT_CATEGORIES = ("kolektor_sdd", "mtd", "folder")  # these loaders take the root folder alone

__all__ = [
    "LOADERS",
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
    "plain_folder",
    "synthetic",
    "visa",
]
