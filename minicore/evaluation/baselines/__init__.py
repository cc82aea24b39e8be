"""The methods that the PatchCore paper compares with PatchCore, on the same patch features.

They share images, network, equations 1 to 3 and the smoothing of maps with `minicore.PatchCore`.
Only what they store and how they compare it is different. So a difference between two rows of a
table comes from the methods, not from their networks or their image processing.

============== ============================== ====================================================
method         stores                         score of a patch
============== ============================== ====================================================
PatchCore      a coreset of patch features    distance to its nearest neighbour in the coreset
SPADE          all patch features             distance to the nearest one in the most similar images
PaDiM          a Gaussian at each position    Mahalanobis distance to this Gaussian
MahalanobisAD  a Gaussian of whole images     none: it scores whole images
OneClassSVM    support vectors                distance to their surface, outside it
============== ============================== ====================================================
"""

from minicore.evaluation.baselines.mahalanobis import MahalanobisAD
from minicore.evaluation.baselines.ocsvm import OneClassSVM
from minicore.evaluation.baselines.padim import PaDiM
from minicore.evaluation.baselines.spade import SPADE

__all__ = ["SPADE", "MahalanobisAD", "OneClassSVM", "PaDiM"]
