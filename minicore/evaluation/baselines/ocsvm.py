r"""One-class SVM: a surface around good patch features.

B. Schölkopf, J. C. Platt, J. Shawe-Taylor, A. J. Smola, R. C. Williamson. *Estimating the Support
of a High-Dimensional Distribution.* Neural Computation 13, 2001.

In the space of the kernel $k$, a hyperplane separates almost all good patch features from the
origin, with the largest possible distance to the origin. The time of learning grows with the square
of the number of features, so it uses a random sample of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM as Solver

from minicore import fast
from minicore.backbones.joint import Source
from minicore.checks import is_number, require, require_whole
from minicore.evaluation.baselines.base import Baseline
from minicore.images import ImageLike, Override
from minicore.patchcore.search import Detection
from minicore.runtime import threads


class OneClassSVM(Baseline):
    r"""Distance of each patch feature to the surface of a one-class SVM; positive outside.

    Parameters
    ----------
    backbone, seed, layers, patchsize, stride, resize, crop, sigma, batch_size, n_threads, progress
        As for `Baseline`; the seed selects the training patches.
    n_patches : int, default 4000
        Number of patch features to learn from, drawn without replacement from those of all training
        images; all of them if there are fewer.
    nu : float, default 0.1
        $\nu$, between 0 and 1: at most this share of the training patches is outside the surface,
        and at least this share becomes support vectors.
    gamma : float, "nearest" or "scale", default "nearest"
        $\gamma$ of the kernel $k(x, y) = \exp(-\gamma \lVert x - y \rVert^2)$. ``"nearest"``: 1 /
        the mean squared distance of a training patch to the nearest other one. ``"scale"``, the
        default of scikit-learn: 1 / (number of dimensions × variance of all values). Then the
        kernel is too wide, and few defects are found (bottle of MVTec AD, ResNet-18, image and
        pixel AUROC: 94.3 % and 74.1 %, with ``"nearest"`` 99.9 % and 98.0 %).

    Attributes
    ----------
    support_vectors_ : (m, D) float64
        $x_i$.
    alphas_ : (m,) float64
        $\alpha_i$.
    rho_ : float
        $\rho$.
    gamma_ : float
        $\gamma$ in use.

    Notes
    -----
    The score of an image is the largest score of its patches, as in equation 6. The row OCSVM in
    table S1 of the PatchCore paper is another method: it scores whole images. Patch scores are at
    most $\rho$. They approach it far from all support vectors, where the kernel is almost 0.
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
        n_patches: int = 4000,
        nu: float = 0.1,
        gamma: float | Literal["nearest", "scale"] = "nearest",
    ) -> None:
        super().__init__(
            backbone, seed, layers=layers, patchsize=patchsize, stride=stride, resize=resize,
            crop=crop, sigma=sigma, batch_size=batch_size, n_threads=n_threads, progress=progress,
        )  # fmt: skip
        self.n_patches = n_patches
        self.nu = nu
        self.gamma = gamma

    @property
    def bank_rows_(self) -> int:
        """Number of support vectors."""
        return len(self.support_vectors_)

    def _check(self) -> None:
        require_whole(self, "n_patches", 1)
        # with nu = 1 all patches have the largest alpha, and rho is undefined
        require(self, "nu", is_number(self.nu) and 0 < self.nu < 1, "between 0 and 1")
        gamma = self.gamma
        if isinstance(gamma, str):
            ok = gamma in ("nearest", "scale")
        else:
            ok = is_number(gamma) and 0 < gamma < np.inf
        require(self, "gamma", ok, "a number above 0, 'nearest' or 'scale'")

    def _learn(self, images: Sequence[ImageLike]) -> None:
        x = self._sample(images)
        with self.seconds_.of("SVM"):
            self.gamma_ = kernel_width(x, self.gamma)
            solved = Solver(kernel="rbf", nu=self.nu, gamma=self.gamma_).fit(x)
        self.support_vectors_, self.alphas_ = solved.support_vectors_, solved.dual_coef_[0]
        self.rho_ = -float(solved.intercept_[0])

    def _sample(self, images: Sequence[ImageLike]) -> np.ndarray:
        """Draw patch features, (n_patches, D) float64; batches do not change the choice."""
        found: list[np.ndarray] = []
        chosen, first = np.empty(0, int), 0
        for patches in self._good_patches(images):
            rows = patches.reshape(-1, patches.shape[3])
            if first == 0:
                total = len(images) * (len(rows) // len(patches))
                rng = np.random.default_rng([self.seed, total])
                chosen = np.sort(rng.choice(total, min(self.n_patches, total), replace=False))
            here = chosen[(chosen >= first) & (chosen < first + len(rows))] - first
            found.append(rows[here].astype(np.float64))
            first += len(rows)
        return np.concatenate(found)

    def _judge(self, patches: np.ndarray) -> Detection:
        n, height, width, D = patches.shape
        with threads.single_threaded_blas():
            # k(x, x_i) = exp(−γ ‖x − x_i‖²)
            k = rbf_kernel(patches.reshape(-1, D), self.support_vectors_, self.gamma_)
            # ρ − Σ_i α_i k(x_i, x)
            outside = self.rho_ - k @ self.alphas_
        patch_scores = outside.reshape(n, height, width).astype(np.float32)
        scores = outside.reshape(n, -1).max(axis=1)
        return Detection(scores, scores, patch_scores, self._map(patch_scores))


def kernel_width(x: np.ndarray, gamma: float | str) -> float:
    r"""Return $\gamma$ for patches `x`, (n, D); 1 if all are equal."""
    if gamma == "nearest":
        distances, _ = fast.nearest(x, x, min(2, len(x)))  # the nearest one is the patch itself
        squared = float(np.mean(distances[:, -1].astype(np.float64) ** 2))
    elif gamma == "scale":
        squared = x.shape[1] * float(x.var())
    else:
        return float(gamma)
    return 1 / squared if squared > 0 else 1.0
