"""The functions of `minicore.equations`, with the same names and signatures, as fast as possible.

Indices are identical to those of `minicore.equations`, and floats are equal to 1e-5 relative.
Functions that take almost no time in `minicore.equations` are imported from there.
"""

from minicore.equations import (
    adaptive_average_pool,
    aggregate,
    covering_radii,
    distance,
    memory_bank,
    neighbourhood,
    patch_collection,
    projection,
    reweight,
    reweighted_distance,
    squared_distance,
    upsample,
)
from minicore.fast.coreset import greedy_coreset
from minicore.fast.nearest import Nearest, nearest
from minicore.fast.patches import patch_features
from minicore.fast.project import project
from minicore.fast.score import anomaly_map, anomaly_score, deciding_patch, neighbours

__all__ = [
    "Nearest",
    "adaptive_average_pool",
    "aggregate",
    "anomaly_map",
    "anomaly_score",
    "covering_radii",
    "deciding_patch",
    "distance",
    "greedy_coreset",
    "memory_bank",
    "nearest",
    "neighbourhood",
    "neighbours",
    "patch_collection",
    "patch_features",
    "project",
    "projection",
    "reweight",
    "reweighted_distance",
    "squared_distance",
    "upsample",
]
