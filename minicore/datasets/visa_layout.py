"""The VisA data set: one table of paths and labels instead of named folders."""

from __future__ import annotations

import csv
from pathlib import Path

from minicore.datasets.dataset import Dataset
from minicore.datasets.folders import (
    GOOD,
    Labelled,
    category_name,
    inside,
    labelled_dataset,
    missing,
    unknown,
)
from minicore.errors import DatasetError


def visa(root: str | Path, category: str, split: str = "1cls") -> Dataset:
    """Load VisA: ``root/<category>/Data/…`` and ``root/split_csv/<split>.csv``.

    Parameters
    ----------
    root : str or Path
        The data set's folder.
    category : str
        A value of the column ``object``, such as "candle" or "pcb1".
    split : str
        "1cls" is the one-class protocol. A two-class split also has anomalous training
        images, which are left out.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        If a file is missing, or the table is damaged or does not contain the category.

    References
    ----------
    Zou et al., SPot-the-Difference, ECCV 2022. doi:10.1007/978-3-031-20056-4_23
    """
    root, category = Path(root), category_name(root, category)
    table, rows = read_split(root, split)
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
    return labelled_dataset(category, train, test)


def read_split(root: Path, split: str) -> tuple[Path, list[dict[str, str]]]:
    """Return the path and the rows of the table that labels each image."""
    table = root / "split_csv" / f"{split}.csv"
    if not table.is_file():
        raise missing(table, "the table of the split")
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            rows, found = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{table}: expected a table in UTF-8, found {error}; unpack the file again"
        ) from error
    if any(None in row.values() for row in rows):
        raise DatasetError(f"{table}: expected a value in each column, found a row that ends early")
    columns = ("object", "split", "label", "image", "mask")
    if not set(columns) <= set(found):
        raise DatasetError(
            f"{table}: expected the columns {','.join(columns)}, found {','.join(found) or 'none'}"
        )
    return table, rows
