r"""MahalanobisAD: a Gaussian of whole images at each level of the network.

O. Rippel, P. Mertens, D. Merhof. *Modeling the Distribution of Normal Data in Pre-Trained Deep
Features for Anomaly Detection.* ICPR 2020, arXiv:2005.14140.

The mean features of good images are assumed to be normally distributed, at each level $j$ of a
network that was trained on other images. Their covariance is shrunk, because it is estimated from a
few hundred images in a few hundred dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.covariance import LedoitWolf

from minicore.backbones.joint import Source
from minicore.evaluation.baselines.base import Baseline
from minicore.images import ImageLike, Override
from minicore.patchcore.search import Detection
from minicore.runtime import threads


class MahalanobisAD(Baseline):
    r"""Mahalanobis distance of an image's mean features, summed over the levels. It has no maps.

    Parameters
    ----------
    backbone, seed, layers, patchsize, stride, resize, crop, sigma, batch_size, n_threads, progress
        As for `Baseline`, but the default `patchsize` is 1. Nothing is random, and `sigma` is not
        used.

    Attributes
    ----------
    gaussians_ : list of sklearn.covariance.LedoitWolf
        $\mu_j$ and $\Sigma_j$ of each level.

    Notes
    -----
    The paper uses the mean of each level's feature map. With ``patchsize=1`` the mean patch feature
    is the same. At the finest level the patches are the values of the map. At a coarser level they
    are interpolated between its values. If the patch grid is a whole multiple of the coarser grid,
    all coarse values have the same total weight after bilinear upsampling with a repeated border.
    With a larger patchsize the border counts less, because zeros around it enter the means. With a
    stride, only every s-th value enters the mean.

    The covariance is estimated as by Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004, as
    in the paper.
    """

    _fewest = 2

    def __init__(
        self,
        backbone: Source | None = None,
        seed: int = 0,
        *,
        layers: Sequence[str] | None = None,
        patchsize: int = 1,
        stride: int = 1,
        resize: Override = None,
        crop: Override = None,
        sigma: float = 4.0,
        batch_size: int = 8,
        n_threads: int | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__(
            backbone, seed, layers=layers, patchsize=patchsize, stride=stride, resize=resize,
            crop=crop, sigma=sigma, batch_size=batch_size, n_threads=n_threads, progress=progress,
        )  # fmt: skip

    def _learn(self, images: Sequence[ImageLike]) -> None:
        batches = [self._pooled(patches) for patches in self._good_patches(images)]
        with self.seconds_.of("Gaussians"), threads.single_threaded_blas():
            # Σ_j = (1 − ρ_j) S_j + ρ_j (tr S_j / c_j) I
            # S_j = 1/N · Σ_k (x_j^k − μ_j) (x_j^k − μ_j)ᵀ
            levels = map(np.concatenate, zip(*batches, strict=True))
            self.gaussians_ = [LedoitWolf().fit(x_j) for x_j in levels]

    def _judge(self, patches: np.ndarray) -> Detection:
        # M(x) = Σ_j √((x_j − μ_j)ᵀ Σ_j⁻¹ (x_j − μ_j))
        scores = np.zeros(len(patches))
        with threads.single_threaded_blas():
            for x_j, gaussian in zip(self._pooled(patches), self.gaussians_, strict=True):
                scores += np.sqrt(gaussian.mahalanobis(x_j))  # scikit-learn returns squares
        return Detection(scores, scores, None, None)

    def _pooled(self, patches: np.ndarray) -> list[np.ndarray]:
        """Return the mean over the grid for each level, (n, c_j) float64."""
        ends = np.cumsum(list(self.backbone_.widths.values()))
        return np.split(patches.mean(axis=(1, 2), dtype=np.float64), ends[:-1], axis=1)
