r"""SPADE: find the most similar images, then compare each patch with their patches.

N. Cohen, Y. Hoshen. *Sub-Image Anomaly Detection with Deep Pyramid Correspondences.* 2020,
arXiv:2005.02357.

PatchCore is based on this method. SPADE also compares a patch feature with the nearest stored one,
at any position. But it stores all patch features, and it searches only the $K$ most similar images.
The image score of SPADE misses a defect that is too small to change the mean feature of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicore import fast
from minicore.backbones.joint import Source
from minicore.checks import require, require_whole
from minicore.evaluation.baselines.base import Baseline
from minicore.images import ImageLike, Override
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.search import Detection


class SPADE(Baseline):
    r"""Nearest images, then nearest patch features in them.

    Parameters
    ----------
    backbone, seed, layers, patchsize, stride, resize, crop, sigma, batch_size, n_threads, progress
        As for `Baseline`. Nothing is random. The paper uses unaggregated features
        (``patchsize=1``) of layers 1, 2 and 3.
    k : int, default 50
        $K$, the number of images whose patch features are searched; all images if there are fewer.
    kappa : int, default 1
        $\kappa$, the number of nearest patch features over which a distance is averaged.

    Attributes
    ----------
    image_features_ : (N, D) float32
        $f$, the mean patch feature of each training image.
    gallery_ : (N, P, D) float32
        Patch features of each training image, P = h'w'.

    Notes
    -----
    The paper's image feature is the last layer after global average pooling. Here it is the mean
    patch feature, because the network ends at the layers in use. Distances are Euclidean, not
    squared, as everywhere in minicore.

    Memory: $4 N P D$ bytes, and about $8 K P D$ more while an image is scored. 200 images of
    28 × 28 positions with 384 values need 241 MB. There is no coreset.
    """

    def __init__(
        self,
        backbone: Source | None = None,
        seed: int = 0,
        *,
        layers: Sequence[str] | None = None,
        patchsize: int = 3,
        stride: int = 1,
        resize: Override = None,
        crop: Override = None,
        sigma: float = 4.0,
        batch_size: int = 8,
        n_threads: int | None = None,
        progress: bool = True,
        k: int = 50,
        kappa: int = 1,
    ) -> None:
        super().__init__(
            backbone, seed, layers=layers, patchsize=patchsize, stride=stride, resize=resize,
            crop=crop, sigma=sigma, batch_size=batch_size, n_threads=n_threads, progress=progress,
        )  # fmt: skip
        self.k = k
        self.kappa = kappa

    @property
    def bank_rows_(self) -> int:
        """Number of patch features of all training images."""
        return self.gallery_.shape[0] * self.gallery_.shape[1]

    def _check(self) -> None:
        require_whole(self, "k", 1)
        require_whole(self, "kappa", 1)

    def _learn(self, images: Sequence[ImageLike]) -> None:
        means = []
        with MemoryBank(len(images), "float32") as M:
            for patches in self._good_patches(images):
                M.append(patches)
                means.append(_pooled(patches))
            self.gallery_ = M[:].reshape(len(images), -1, M.shape[1])  # a view: it outlives M
        self.image_features_ = np.concatenate(means)
        k = min(self.k, len(images))
        rows = k * self.gallery_.shape[1]
        require(self, "kappa", self.kappa <= rows, f"at most the {rows} patches of {k} images")
        self._images = fast.Nearest(self.image_features_)

    def _judge(self, patches: np.ndarray) -> Detection:
        N, _, D = self.gallery_.shape
        # d(y) = 1/K · Σ_{f ∈ N_K(f_y)} ‖f − f_y‖
        distances, nearest_images = self._images.query(_pooled(patches), min(self.k, N))
        scores = distances.mean(axis=1, dtype=np.float64)

        patch_scores = np.empty(patches.shape[:3], np.float32)
        for i, chosen in enumerate(np.sort(nearest_images, axis=1)):
            # G = { F(x_1, p) | p ∈ P } ∪ … ∪ { F(x_K, p) | p ∈ P }
            G = fast.Nearest(self.gallery_[chosen].reshape(-1, D))
            # d(y, p) = 1/κ · Σ_{f ∈ N_κ(F(y, p))} ‖f − F(y, p)‖
            found, _ = G.query(patches[i].reshape(-1, D), self.kappa)
            patch_scores[i] = found.mean(axis=1).reshape(patches.shape[1:3])
        return Detection(scores, scores, patch_scores, self._map(patch_scores))


def _pooled(patches: np.ndarray) -> np.ndarray:
    """Return the mean patch feature of each image, (n, D) float32."""
    return patches.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
