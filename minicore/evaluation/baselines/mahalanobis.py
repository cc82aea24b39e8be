r"""MahalanobisAD: a Gaussian of whole images at each level of the network.

O. Rippel, P. Mertens, D. Merhof. *Modeling the Distribution of Normal Data in Pre-Trained Deep
Features for Anomaly Detection.* ICPR 2020, arXiv:2005.14140.

Good images, seen through a network trained on others, are taken to be normally distributed at each
level $j$. That their covariance needs shrinking is plain: it is estimated from a few hundred images
in a few hundred dimensions.
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
    r"""Mahalanobis distance of an image's mean features, summed over the levels. It gives no maps.

    Parameters
    ----------
    backbone, seed, layers, patchsize, stride, resize, crop, sigma, batch_size, n_threads, progress
        As for `Baseline`; but `patchsize` is 1 by default, nothing is drawn
        at random, and there are no maps to smooth.

    Attributes
    ----------
    gaussians_ : list of sklearn.covariance.LedoitWolf
        $\mu_j$ and $\Sigma_j$ of each level.

    Notes
    -----
    The paper pools each level's feature map to its mean. The mean over the grid of the patch
    features is the same with ``patchsize=1``, where they are the map's own values, at the finest
    level, and at a coarser one too, where they are interpolated between these: if the grid is a
    whole multiple of the coarser one, bilinear upsampling with its border repeated gives every
    coarse value the same weight in the whole. (With a larger patchsize the border counts less, the
    zeros around it being averaged in; with a stride the mean is that of every s-th value.)

    The covariance is Ledoit and Wolf's, Journal of Multivariate Analysis 88, 2004, as in the paper.
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
            # \Sigma_j = (1 - \rho_j) S_j + \rho_j \frac{\mathrm{tr} S_j}{c_j} I,
            # S_j = \frac{1}{N} \sum_k (x^k_j - \mu_j) (x^k_j - \mu_j)^\top
            levels = map(np.concatenate, zip(*batches, strict=True))
            self.gaussians_ = [LedoitWolf().fit(x_j) for x_j in levels]

    def _judge(self, patches: np.ndarray) -> Detection:
        # M(x) = \sum_j \sqrt{(x_j - \mu_j)^\top \Sigma_j^{-1} (x_j - \mu_j)}
        scores = np.zeros(len(patches))
        with threads.single_threaded_blas():
            for x_j, gaussian in zip(self._pooled(patches), self.gaussians_, strict=True):
                scores += np.sqrt(gaussian.mahalanobis(x_j))  # scikit-learn's is squared
        return Detection(scores, scores, None, None)

    def _pooled(self, patches: np.ndarray) -> list[np.ndarray]:
        """Mean over the grid, level by level: (n, c_j) float64 each."""
        ends = np.cumsum(list(self.backbone_.widths.values()))
        return np.split(patches.mean(axis=(1, 2), dtype=np.float64), ends[:-1], axis=1)
