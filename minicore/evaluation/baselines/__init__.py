"""The methods that the PatchCore paper compares itself with, on the same patch features.

They share images, network and equations 1 to 3 with `minicore.PatchCore`, and smooth their maps as
it does; what differs is how features are remembered and compared. So a difference between two rows
of a table is one between methods, not between their networks or their image processing.

============== ============================== ====================================================
method         remembers                      judges a patch by
============== ============================== ====================================================
PatchCore      a coreset of patch features    its nearest neighbour in it
SPADE          all of them                    its nearest neighbour in the most similar images
PaDiM          a Gaussian at each position    the Mahalanobis distance to it
MahalanobisAD  a Gaussian of whole images     nothing: it judges images only
OneClassSVM    support vectors                how far outside their surface it is
============== ============================== ====================================================
"""

from minicore.evaluation.baselines.mahalanobis import MahalanobisAD
from minicore.evaluation.baselines.ocsvm import OneClassSVM
from minicore.evaluation.baselines.padim import PaDiM
from minicore.evaluation.baselines.spade import SPADE

__all__ = ["SPADE", "MahalanobisAD", "OneClassSVM", "PaDiM"]
