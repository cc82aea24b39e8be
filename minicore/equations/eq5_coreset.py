r"""Equation 5 and Algorithm 1: the coreset.

Good parts look alike, so many rows of the memory bank are nearly equal. A *coreset*
$\mathcal{M}_C$ is a small subset that represents all rows: every row of $\mathcal{M}$ is close to a
row of $\mathcal{M}_C$. The best coreset of a given size is (section 3.2)

$$\mathcal{M}_C^* = \operatorname*{arg\,min}_{\mathcal{M}_C \subset \mathcal{M}} \;
  \max_{m \in \mathcal{M}} \; \min_{n \in \mathcal{M}_C} \; \lVert m - n \rVert_2
  \tag{5}$$

To find it is NP-hard. Algorithm 1 approximates it greedily: it always takes the row that is
farthest from all rows taken so far. The largest distance that remains is at most twice the best
possible one (Gonzalez, 1985).

Distances between random projections $\psi(m)$ to 128 dimensions are cheaper to compute, and nearly
equal to those between the rows (Johnson and Lindenstrauss, 1984). So the algorithm runs on
$\psi(\mathcal{M})$, and the factor of two holds there.

Edge cases
----------
First pick
    The $\arg\max$ over an empty $\mathcal{M}_C$ is not defined, so `start` chooses the first row.
Ties
    The lowest row wins.
Duplicates
    The maximum is over $\mathcal{M} - \mathcal{M}_C$, so no row is taken twice, even if all
    remaining rows have distance 0.
Squares
    The code compares squared distances. They have the same $\arg\max$ as the distances.
"""

import numpy as np
from numba import njit

from minicore.equations.distance import squared_distance


def projection(D: int, d_star: int = 128, seed: int = 0) -> np.ndarray:
    r"""Draw the random linear projection $\psi: \mathbb{R}^D \to \mathbb{R}^{d^*}$ (section 3.2).

    Parameters
    ----------
    D : int
        Dimension of the patch features.
    d_star : int, default 128
        Dimension after the projection.
    seed : int, default 0
        Seed of the generator.

    Returns
    -------
    psi : (D, d_star) float32
        A matrix for `project`. Its entries are independent and normal with variance $1/d^*$, so
        that $\mathbb{E} \lVert \psi(m) \rVert^2 = \lVert m \rVert^2$.

    Raises
    ------
    ValueError
        If a dimension is less than 1.
    """
    if D < 1 or d_star < 1:
        raise ValueError(f"dimensions must be at least 1, got D={D} and d_star={d_star}")
    psi = np.random.default_rng(seed).standard_normal((D, d_star))
    return (psi / np.sqrt(d_star)).astype(np.float32)


@njit(cache=True)
def project(M: np.ndarray, psi: np.ndarray) -> np.ndarray:
    r"""Project every row of the memory bank, $\psi(\mathcal{M})$.

    Parameters
    ----------
    M : (N, D) float32
        The memory bank.
    psi : (D, d*) float32
        The projection, from `projection`.

    Returns
    -------
    projected : (N, d*) float32
    """
    N, D = M.shape
    projected = np.empty((N, psi.shape[1]), np.float32)

    # ψ(m)_j = Σ_k m_k ψ_{k,j} for each row m
    for row in range(N):
        for j in range(psi.shape[1]):
            total = 0.0
            for k in range(D):
                total += np.float64(M[row, k]) * np.float64(psi[k, j])
            projected[row, j] = total

    return projected


@njit(cache=True)
def greedy_coreset(M: np.ndarray, l: int, start: int = 0) -> np.ndarray:
    r"""Choose `l` rows by Algorithm 1: each is the farthest from all rows chosen before it.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$: the memory bank, already projected.
    l : int
        Number of rows to choose, between 1 and `N`.
    start : int, default 0
        The first row.

    Returns
    -------
    M_C : (l,) int64
        Indices of the chosen rows, in the order chosen.

    Raises
    ------
    ValueError
        If `l` or `start` is out of range.
    """
    N = M.shape[0]
    if l < 1 or l > N:
        raise ValueError(f"coreset size l must be between 1 and the {N} rows of M, got {l}")
    if start < 0 or start >= N:
        raise ValueError(f"start must be one of the {N} rows of M, got {start}")

    # M_C ← {}
    M_C = np.empty(l, np.int64)
    taken = np.zeros(N, np.bool_)
    to_nearest = np.full(N, np.inf)  # min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂² of each row m

    m_i = start
    # for i ∈ [0, …, l − 1] do
    for i in range(l):
        # M_C ← M_C ∪ {m_i}
        M_C[i] = m_i
        taken[m_i] = True

        # The minimum over the larger M_C is the old minimum, or the distance to the new row.
        for m in range(N):
            to_nearest[m] = min(to_nearest[m], squared_distance(M[m], M[m_i]))

        # m_i ← arg max_{m ∈ M − M_C} min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂, for the next i
        farthest = -1.0  # less than every distance, so that distance 0 can be chosen too
        for m in range(N):
            if not taken[m] and to_nearest[m] > farthest:
                farthest = to_nearest[m]
                m_i = m

    return M_C


@njit(cache=True)
def covering_radii(M: np.ndarray, M_C: np.ndarray) -> np.ndarray:
    r"""Compute how well the first 1, 2, … rows of a coreset cover all rows.

    This is the largest distance of any row to its nearest chosen row, which equation 5 minimises.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$.
    M_C : (l,) int64
        The rows of the coreset in the order chosen.

    Returns
    -------
    radii : (l,) float64
        $\max_{m \in \mathcal{M}} \min_{n \in \mathcal{M}_C} \lVert \psi(m) - \psi(n) \rVert_2$ of
        the first row, of the first two rows, and so on.
    """
    N = M.shape[0]
    radii = np.empty(M_C.shape[0])
    to_nearest = np.full(N, np.inf)
    for i in range(M_C.shape[0]):
        for m in range(N):
            to_nearest[m] = min(to_nearest[m], squared_distance(M[m], M[M_C[i]]))
        # max_{m ∈ M} min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂
        radii[i] = np.sqrt(to_nearest.max())
    return radii
