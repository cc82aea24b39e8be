"""The published numbers of the paper, in per cent.

They are tables S1 (image AUROC) and S2 (pixel AUROC) in the supplement of Roth et al., "Towards
Total Recall in Industrial Anomaly Detection", CVPR 2022. Some of them are copied there from other
papers. minicore does not measure the methods that train their own networks (GeoTrans, GANomaly,
DSEBM, ITAE, CAVGA, PatchSVDD, DifferNet, autoencoders).
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

MEAN = "avg"  # name of the column with the mean over the 15 categories
IMAGE, PIXEL = "table_s1_image_auroc.csv", "table_s2_pixel_auroc.csv"


@functools.cache
def table(name: str) -> dict[str, dict[str, float]]:
    """Return one of the tables, `IMAGE` or `PIXEL`.

    Returns
    -------
    dict of str to dict of str to float
        Per cent for each method and category. Numbers that were not published are left out.
    """
    text = (resources.files("minicore.studies.reproduce") / name).read_text("utf-8")
    return {
        line.pop("method"): {column: float(value) for column, value in line.items() if value}
        for line in csv.DictReader(text.splitlines())
    }


def image_auroc(method: str, category: str = MEAN) -> float | None:
    """Return the published image AUROC in per cent (table S1), or None."""
    return table(IMAGE).get(method, {}).get(category)


def pixel_auroc(method: str, category: str = MEAN) -> float | None:
    """Return the published pixel AUROC in per cent (table S2), or None."""
    return table(PIXEL).get(method, {}).get(category)
