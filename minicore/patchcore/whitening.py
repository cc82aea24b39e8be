r"""Whitening: a linear map after which patch features vary equally in every direction.

PatchCore's distance adds up the squared differences of all values. A few directions in which good
patches vary most decide it. A defect that changes the features in another direction is then hard to
see. Whitening divides each direction by its standard deviation over the good patches. A distance
then counts these standard deviations (for one Gaussian this is the Mahalanobis distance).

The covariance $C$ of all patches has the eigenvectors $v_1, v_2, \dots$ and the eigenvalues
$\lambda_1 \ge \lambda_2 \ge \dots$. The first $k$ directions that contain 99 % of the variance are
kept: the others contain mostly noise, which the division would enlarge. Small eigenvalues are
enlarged for the same reason: every eigenvalue moves by 7 % of the way to the mean of the $k$
(shrinkage, Ledoit and Wolf, 2004):

$$W = \left( \frac{v_1}{\sqrt{\lambda_1'}}, \dots, \frac{v_k}{\sqrt{\lambda_k'}} \right), \quad
  \lambda_i' = 0.93 \, \lambda_i + \frac{0.07}{k} \sum_{j=1}^{k} \lambda_j$$

A patch feature $x$ becomes $x W$. The mean is not subtracted: it does not change a distance. $W$
comes from all training images, also from the image that is left out for its score.
"""

from __future__ import annotations

import numpy as np

from minicore.patchcore.bank import BLOCK, MemoryBank
from minicore.runtime import threads

KEPT = 0.99  # share of the variance that the kept directions contain
SHRINKAGE = 0.07  # share of the way from each eigenvalue to their mean


def covariance(M: MemoryBank | np.ndarray) -> np.ndarray:
    """Return the covariance of all rows, (D, D) float64.

    Parameters
    ----------
    M : MemoryBank, or (N, D) float32

    Returns
    -------
    (D, D) float64
        The same on any number of threads.
    """
    N, D = M.shape
    total, products = np.zeros(D), np.zeros((D, D))
    with threads.single_threaded_blas():
        for first in range(0, N, BLOCK):
            rows = M[first : first + BLOCK].astype(np.float64)
            total += rows.sum(axis=0)
            products += rows.T @ rows
    mean = total / N
    return products / N - np.outer(mean, mean)


def whitening_matrix(C: np.ndarray) -> np.ndarray:
    r"""Return the matrix $W$ that whitens patch features with the covariance $C$.

    Parameters
    ----------
    C : (D, D) float64
        From `covariance`.

    Returns
    -------
    W : (D, k) float32
        The largest value of each column is positive.

    Raises
    ------
    ValueError
        If all patch features are equal.
    """
    with threads.single_threaded_blas():
        eigenvalues, V = np.linalg.eigh(C)
    # λ_1 ≥ λ_2 ≥ … and their eigenvectors v_1, v_2, …
    eigenvalues, V = np.maximum(eigenvalues[::-1], 0), V[:, ::-1]
    explained = np.cumsum(eigenvalues)
    if not explained[-1] > 0:
        raise ValueError("whiten needs patch features that vary; those of these images are equal")

    # the smallest k with λ_1 + … + λ_k ≥ 0.99 Σ λ
    k = int(np.searchsorted(explained, KEPT * explained[-1])) + 1
    eigenvalues, V = eigenvalues[:k], V[:, :k]

    # An eigenvector has two signs, and libraries differ in their choice.
    V = V * np.sign(V[np.abs(V).argmax(axis=0), np.arange(k)])

    # λ' = 0.93 λ + 0.07 mean(λ);  W = (v_1 / √λ'_1, …, v_k / √λ'_k)
    shrunk = (1 - SHRINKAGE) * eigenvalues + SHRINKAGE * eigenvalues.mean()
    return (V / np.sqrt(shrunk)).astype(np.float32)
