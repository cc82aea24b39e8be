"""The paper as code: equations 1 to 7 as explicit loops, one file per equation.

These files are section 3 of Roth et al., "Towards Total Recall in Industrial Anomaly Detection",
CVPR 2022. The input is feature maps: the outputs of some layers of a network that was trained on
other images. PatchCore does not train this network.

Read the seven files in order, then `section3`, which composes them. The loops follow the formulas;
Numba compiles them (``@njit``). `minicore.fast` has the same functions in a fast version, and tests
compare the two.
"""

from minicore.runtime import kernels  # noqa: F401  (sets the folder of compiled code, so it is first)

# isort: split
from minicore.equations.distance import distance, squared_distance
from minicore.equations.eq1_neighbourhood import neighbourhood
from minicore.equations.eq2_aggregate import adaptive_average_pool, aggregate
from minicore.equations.eq3_patches import patch_collection, patch_features, upsample
from minicore.equations.eq4_memory_bank import memory_bank
from minicore.equations.eq5_coreset import covering_radii, greedy_coreset, project, projection
from minicore.equations.eq6_nearest import deciding_patch, nearest
from minicore.equations.eq7_score import (
    anomaly_map,
    anomaly_score,
    neighbours,
    reweight,
    reweighted_distance,
)

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
    "reweighted_distance",
    "squared_distance",
    "upsample",
]
