r"""PaDiM: a Gaussian at each position of the image.

T. Defard, A. Setkov, A. Loesch, R. Audigier. *PaDiM: a Patch Distribution Modeling Framework for
Anomaly Detection and Localization.* ICPR 2020 workshops, arXiv:2011.08785.

The patch features $x_{ij} \in \mathbb{R}^D$ at position $(i, j)$ of $N$ good images are treated as
a sample of one normal distribution. So the part must have the same position in all images. The $D$
coordinates are similar to each other, so only $d$ of them are used, the same at all positions and
drawn at random. This is a special case of $W^\top x$ with a $D \times d$ matrix of orthonormal
columns, $W^\top W = I$; J.-H. Kim, D.-H. Kim, S. Yi, T. Lee, *Semi-orthogonal Embedding for
Efficient Unsupervised Anomaly Segmentation*, 2021, arXiv:2105.14737, draw any such matrix instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from minicore import fast
from minicore.backbones.joint import Source
from minicore.checks import is_number, require, require_choice, require_whole
from minicore.evaluation.baselines.base import Baseline
from minicore.images import ImageLike, Override
from minicore.patchcore.search import Detection
from minicore.runtime import threads
from minicore.runtime.kernels import parallel

Reduction = Literal["selection", "semi-orthogonal"]
BLOCK = 1 << 22  # values of the covariances that are inverted together: 32 MB


class PaDiM(Baseline):
    r"""Mahalanobis distance of each patch feature to the Gaussian of its position.

    Parameters
    ----------
    backbone, seed, layers, patchsize, stride, resize, crop, sigma, batch_size, n_threads, progress
        As for `Baseline`. The paper uses unaggregated features
        (``patchsize=1``) of layers 1, 2 and 3.
    d : int, default 100
        Number of dimensions to keep, at most $D$. The paper uses 100 for ResNet-18 and 550 for
        WideResNet50.
    reduction : {"selection", "semi-orthogonal"}, default "selection"
        ``"selection"``: `d` of the coordinates. ``"semi-orthogonal"``: the random matrix of Kim et
        al. ("PaDiM*" in the tables of the PatchCore paper is PaDiM with a larger network.)
    epsilon : float, default 0.01
        Added to the diagonal of the covariances, so that they can be inverted with few images.

    Attributes
    ----------
    reduction_ : (D, d) float32
        $W$.
    means_ : (P, d) float64
        $\mu_{ij}$ of the P = h'w' positions, row by row.
    whitenings_ : (P, d, d) float32
        $L_{ij}^{-1}$, lower triangular, with $\Sigma_{ij} = L_{ij} L_{ij}^\top$.

    Notes
    -----
    The score of an image is the largest value of its smoothed map (section 3.3 of the paper).

    Memory: a fit needs $12 P d^2$ bytes at its peak, scoring $4 P d^2$, for any number of images.
    For 28 × 28 positions this is 94 and 31 MB with ``d=100``, 2.8 and 0.95 GB with 550.
    """

    _fewest = 2  # a covariance divides by N - 1

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
        d: int = 100,
        reduction: Reduction = "selection",
        epsilon: float = 0.01,
    ) -> None:
        super().__init__(
            backbone, seed, layers=layers, patchsize=patchsize, stride=stride, resize=resize,
            crop=crop, sigma=sigma, batch_size=batch_size, n_threads=n_threads, progress=progress,
        )  # fmt: skip
        self.d = d
        self.reduction = reduction
        self.epsilon = epsilon

    def _check(self) -> None:
        require_whole(self, "d", 1)
        require_choice(self, "reduction", Reduction)
        positive = is_number(self.epsilon) and 0 < self.epsilon < np.inf
        require(self, "epsilon", positive, "a number above 0")

    def _learn(self, images: Sequence[ImageLike]) -> None:
        n = 0
        for patches in self._good_patches(images):
            if n == 0:
                P, D = patches[0, :, :, 0].size, patches.shape[3]
                require(self, "d", self.d <= D, f"at most the {D} values of a patch feature")
                choose = selection if self.reduction == "selection" else semi_orthogonal
                self.reduction_ = choose(D, self.d, self.seed)
                self.means_, scatter = np.zeros((P, self.d)), np.zeros((P, self.d, self.d))
            with self.seconds_.of("Gaussians"):
                _learn_more(P, self._reduced(patches), n, self.means_, scatter)
            n += len(patches)
        with self.seconds_.of("inverses"):
            self.whitenings_ = whitening(scatter, n, self.epsilon)

    def _judge(self, patches: np.ndarray) -> Detection:
        grid = patches.shape[1:3]
        x = self._reduced(patches)
        M = np.empty(x.shape[:2], np.float32)
        _mahalanobis(x.shape[1], x, self.means_, self.whitenings_, M)
        patch_scores = M.reshape(-1, *grid)
        maps = self._map(patch_scores)
        scores = maps.max(axis=(1, 2)).astype(float)
        return Detection(scores, scores, patch_scores, maps)

    def _reduced(self, patches: np.ndarray) -> np.ndarray:
        r"""Return $W^\top x$ of each patch feature, (n, P, d)."""
        n, _, _, D = patches.shape
        return fast.project(patches.reshape(-1, D), self.reduction_).reshape(n, -1, self.d)


def selection(D: int, d: int, seed: int) -> np.ndarray:
    r"""Return a matrix that selects `d` of `D` coordinates, (D, d) float32."""
    W = np.zeros((D, d), np.float32)
    W[np.random.default_rng(seed).choice(D, d, replace=False), np.arange(d)] = 1
    return W


def semi_orthogonal(D: int, d: int, seed: int) -> np.ndarray:
    r"""Draw a matrix with $W^\top W = I$, uniformly from all such matrices, (D, d) float32.

    Notes
    -----
    The QR decomposition of a Gaussian matrix, with the signs of the diagonal of R: Mezzadri, How to
    generate random matrices from the classical compact groups, Notices of the AMS 54, 2007.
    """
    with threads.single_threaded_blas():  # the same matrix on any number of threads
        Q, R = np.linalg.qr(np.random.default_rng(seed).standard_normal((D, d)))
    return (Q * np.where(np.diag(R) < 0, -1.0, 1.0)).astype(np.float32)


@parallel(cache=True)
def _learn_more(
    first: int, end: int, x: np.ndarray, seen: int, mu: np.ndarray, scatter: np.ndarray
) -> None:
    """Update mean (P, d) and scatter (P, d, d) with images `x` (n, P, d), in their order.

    Welford's update, Technometrics 4, 1962: no image is stored, and rounding errors are relative to
    the spread of the features, not to their size. Only the lower triangle of the scatter is filled.
    """
    n, _, d = x.shape
    for p in range(first, end):
        delta = np.empty(d)
        for i in range(n):
            N = seen + i + 1
            # μ ← μ + 1/N · (x − μ)
            # S ← S + (N − 1)/N · (x − μ_before) (x − μ_before)ᵀ
            for a in range(d):
                delta[a] = x[i, p, a] - mu[p, a]
                mu[p, a] += delta[a] / N
            for a in range(d):
                share = delta[a] * (N - 1) / N
                for b in range(a + 1):
                    scatter[p, a, b] += share * delta[b]


def whitening(scatter: np.ndarray, N: int, epsilon: float) -> np.ndarray:
    r"""Return the matrices $L_{ij}^{-1}$ that make each position's Gaussian a standard one.

    Parameters
    ----------
    scatter : (P, d, d) float64
        $\sum_k (x^k_{ij} - \mu_{ij}) (x^k_{ij} - \mu_{ij})^\top$, lower triangles.
    N : int
        Number of images.
    epsilon : float

    Returns
    -------
    (P, d, d) float32
        Lower triangular.
    """
    P, d, _ = scatter.shape
    inverses = np.empty((P, d, d), np.float32)
    step = max(1, BLOCK // (d * d))
    with threads.single_threaded_blas():
        for first in range(0, P, step):
            # Σ_ij = 1/(N − 1) · Σ_k (x_ij^k − μ_ij) (x_ij^k − μ_ij)ᵀ + ε I
            Sigma = scatter[first : first + step] / (N - 1)
            Sigma += epsilon * np.eye(d)
            # Σ_ij = L_ij L_ijᵀ
            inverses[first : first + step] = np.linalg.inv(np.linalg.cholesky(Sigma))
    return inverses


# Sums may be reordered, so that the processor can use vector instructions.
@parallel(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _mahalanobis(
    first: int, end: int, x: np.ndarray, mu: np.ndarray, inverses: np.ndarray, M: np.ndarray
) -> None:
    """Fill `M` (n, P) with the distances of `x` (n, P, d) to the Gaussians of their positions."""
    n, _, d = x.shape
    for p in range(first, end):
        centred = np.empty((n, d), np.float32)
        squared = np.zeros(n)
        for i in range(n):
            for a in range(d):
                centred[i, a] = x[i, p, a] - mu[p, a]
        # M(x_ij) = √((x_ij − μ_ij)ᵀ Σ_ij⁻¹ (x_ij − μ_ij)) = ‖L_ij⁻¹ (x_ij − μ_ij)‖₂
        for a in range(d):
            for i in range(n):
                white = np.float32(0)
                for b in range(a + 1):
                    white += inverses[p, a, b] * centred[i, b]
                squared[i] += np.float64(white) * np.float64(white)
        for i in range(n):
            M[i, p] = np.sqrt(squared[i])
