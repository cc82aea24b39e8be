r"""Equation 6: the patch that decides.

For each patch feature $m^{test}$ of a test image, find the most similar stored patch: its nearest
row of the memory bank. A good patch has a small distance, a defective one a large distance. The
patch with the largest distance decides about the image (section 3.3):

$$m^{test,*}, m^* = \operatorname*{arg\,max}_{m^{test} \in \mathcal{P}(x^{test})} \;
  \operatorname*{arg\,min}_{m \in \mathcal{M}} \; \lVert m^{test} - m \rVert_2, \qquad
  s^* = \lVert m^{test,*} - m^* \rVert_2 \tag{6}$$

Segmentation uses the same search without the $\arg\max$: the distance of every patch, on the patch
grid, is the anomaly map (`anomaly_map` in ``eq7_score.py`` scales it to the image).

Edge cases
----------
Ties
    Of rows with the same distance the lowest row wins; of such patches, the first patch.
Distances
    Distances are Euclidean; the authors' code returns squared ones. The $\arg\min$ compares squared
    distances, which have the same order.
"""

import numpy as np
from numba import njit

from minicore.equations.distance import squared_distance


@njit(cache=True)
def nearest(queries: np.ndarray, bank: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    r"""Find the `k` nearest rows of the bank for each query.

    Parameters
    ----------
    queries : (n, D) float32
        $\mathcal{P}(x^{test})$, or any other rows.
    bank : (N, D) float32
        $\mathcal{M}$.
    k : int, default 1
        Number of neighbours, between 1 and `N`. Equation 6 needs one, equation 7 more.

    Returns
    -------
    distances : (n, k) float64
        Euclidean, increasing.
    indices : (n, k) int64
        Rows of `bank`.

    Raises
    ------
    ValueError
        If `k` is out of range or the dimensions differ.
    """
    n, N = queries.shape[0], bank.shape[0]
    if bank.shape[1] != queries.shape[1]:
        raise ValueError("queries and bank must have the same number of columns")
    if k < 1 or k > N:
        raise ValueError("k must be between 1 and the number of rows of the bank")

    distances = np.empty((n, k), np.float64)
    indices = np.empty((n, k), np.int64)
    squared = np.empty(N, np.float64)

    for q in range(n):
        # ‖m_test − m‖₂² of every m ∈ M
        for m in range(N):
            squared[m] = squared_distance(queries[q], bank[m])
        # m* = arg min_{m ∈ M} ‖m_test − m‖₂; then the next nearest, until there are k
        for rank in range(k):
            m_star = np.argmin(squared)
            distances[q, rank] = np.sqrt(squared[m_star])
            indices[q, rank] = m_star
            squared[m_star] = np.inf  # not found again

    return distances, indices


@njit(cache=True)
def deciding_patch(patches: np.ndarray, bank: np.ndarray) -> tuple[int, int, float]:
    r"""Find the patch that is farthest from the memory bank (equation 6).

    Parameters
    ----------
    patches : (n, D) float32
        $\mathcal{P}(x^{test})$, the patch features of one image.
    bank : (N, D) float32
        $\mathcal{M}$.

    Returns
    -------
    test_star : int
        Row of $m^{test,*}$ in `patches`.
    m_star : int
        Row of $m^*$ in `bank`.
    s_star : float
        $s^* = \lVert m^{test,*} - m^* \rVert_2$.

    Raises
    ------
    ValueError
        If there is no patch, or the dimensions differ.
    """
    if patches.shape[0] == 0:
        raise ValueError("an image needs at least one patch")

    # arg min_{m ∈ M} ‖m_test − m‖₂, with its distance, for each m_test ∈ P(x_test)
    distances, indices = nearest(patches, bank, 1)

    # m_test*, m* = arg max_{m_test ∈ P(x_test)} of these distances
    test_star = int(np.argmax(distances[:, 0]))
    m_star = indices[test_star, 0]

    # s* = ‖m_test* − m*‖₂
    s_star = distances[test_star, 0]
    return test_star, m_star, s_star
