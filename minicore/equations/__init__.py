"""The paper, literally: equations 1 to 7 as explicit loops, one file per equation.

Read the seven files in order, then `section3`, which composes them. Together they are section 3 of
Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022. Nothing here is
optimised. `minicore.fast` has the same functions at the machine's speed, and tests compare the two.
"""

# Before any @njit: it keeps compiled code out of the package's folder.
from minicore.runtime import kernels  # noqa: F401

# isort: split

from minicore.equations.distance import distance, squared_distance
from minicore.equations.eq1_neighbourhood import neighbourhood
from minicore.equations.eq2_aggregate import adaptive_average_pool, aggregate
from minicore.equations.eq3_patches import patch_collection, patch_features, upsample
from minicore.equations.eq4_memory_bank import memory_bank
from minicore.equations.eq5_coreset import covering_radii, greedy_coreset, project, projection
from minicore.equations.eq6_nearest import deciding_patch, nearest
from minicore.equations.eq7_score import anomaly_map, anomaly_score, neighbours, reweight

__all__ = [
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
