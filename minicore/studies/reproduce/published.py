"""The numbers that the paper published, per cent.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022: table S1 (image
AUROC) and table S2 (pixel AUROC) of its supplement, row by row; what it took from other papers
stands there as it stands here. The rows of methods that train networks of their own (GeoTrans,
GANomaly, DSEBM, ITAE, CAVGA, PatchSVDD, DifferNet, autoencoders) are not measured by minicore.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

MEAN = "avg"  # the column of means over the 15 categories
IMAGE, PIXEL = "table_s1_image_auroc.csv", "table_s2_pixel_auroc.csv"


@functools.cache
def table(name: str) -> dict[str, dict[str, float]]:
    """Read one of the tables, `IMAGE` or `PIXEL`.

    Returns
    -------
    dict
        Method to category to per cent; what was not reported is left out.
    """
    text = (resources.files("minicore.studies.reproduce") / name).read_text("utf-8")
    return {
        line.pop("method"): {column: float(value) for column, value in line.items() if value}
        for line in csv.DictReader(text.splitlines())
    }


def image_auroc(method: str, category: str = MEAN) -> float | None:
    """Give the published image AUROC in per cent, None where there is none (table S1)."""
    return table(IMAGE).get(method, {}).get(category)


def pixel_auroc(method: str, category: str = MEAN) -> float | None:
    """Give the published pixel AUROC in per cent, None where there is none (table S2)."""
    return table(PIXEL).get(method, {}).get(category)
