"""The paper, literally: equations 1 to 7 as explicit loops, one file each.

Read the seven files in order and you have read section 3 of Roth et al., "Towards Total Recall in
Industrial Anomaly Detection", CVPR 2022. Nothing here is optimised; `minicore.fast` holds the same
functions at the machine's speed, and the tests hold them to these.
"""

from minicore.kernels import kept_apart

with kept_apart():
    from minicore.equations.eq1_neighbourhood import neighbourhood
    from minicore.equations.eq2_aggregate import adaptive_average_pool, aggregate
    from minicore.equations.eq3_patches import patch_collection, patch_features, upsample
    from minicore.equations.eq4_memory_bank import memory_bank
    from minicore.equations.eq5_coreset import greedy_coreset, projection
    from minicore.equations.eq6_nearest import deciding_patch, nearest
    from minicore.equations.eq7_score import anomaly_map, anomaly_score, reweight

__all__ = [
    "adaptive_average_pool",
    "aggregate",
    "anomaly_map",
    "anomaly_score",
    "deciding_patch",
    "greedy_coreset",
    "memory_bank",
    "nearest",
    "neighbourhood",
    "patch_collection",
    "patch_features",
    "projection",
    "reweight",
    "upsample",
]
