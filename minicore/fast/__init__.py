"""The functions of `minicore.equations`, same names and signatures, at the machine's speed.

Indices are identical to the literal ones, floats equal to 1e-5 relative. What costs nothing in the
literal version is the literal version.
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
    squared_distance,
    upsample,
)
from minicore.fast.coreset import greedy_coreset, project
from minicore.fast.nearest import Nearest, nearest
from minicore.fast.patches import patch_features
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
    "squared_distance",
    "upsample",
]
