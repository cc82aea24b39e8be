r"""Equation 5 and Algorithm 1: the coreset.

Good parts look alike, so most of the memory bank is repetition. A *coreset* $\mathcal{M}_C$ of $l$
rows should stand for all of $\mathcal{M}$: no row of $\mathcal{M}$ may be far from its nearest row
of $\mathcal{M}_C$ (section 3.2),

$$\mathcal{M}_C^* = \operatorname*{arg\,min}_{\mathcal{M}_C \subset \mathcal{M}} \;
  \max_{m \in \mathcal{M}} \; \min_{n \in \mathcal{M}_C} \; \lVert m - n \rVert_2
  \tag{5}$$

the minimax facility location problem, which is NP-hard. Algorithm 1 approximates it greedily: take,
again and again, the row that is farthest from everything taken so far. (Gonzalez, 1985: the
largest distance that remains is at most twice the best possible.)

To make the many distances cheap, they are taken between random projections $\psi(m)$ of 128
dimensions, which keep distances nearly as they were (Johnson and Lindenstrauss, 1984).

Edge cases
----------
First pick
    The $\arg\max$ over an empty $\mathcal{M}_C$ is undefined; `start` says which row it is.
Ties
    Go to the lowest row.
Duplicates
    The maximum is over $\mathcal{M} - \mathcal{M}_C$: a row is never taken twice, even when all
    that remains lies at distance 0.
Rounding
    Differences, squares and sums are float64 in the order of the coordinates. Squared distances are
    compared, which have the same $\arg\max$ as the distances.
"""

import numpy as np
from numba import njit


def projection(D, d_star=128, seed=0):
    r"""Random linear projection $\psi: \mathbb{R}^D \to \mathbb{R}^{d^*}$, as a matrix.

    Parameters
    ----------
    D : int
        Dimension of the patch features.
    d_star : int, default 128
        Dimension to project to.
    seed : int, default 0
        Seed of the generator.

    Returns
    -------
    psi : (D, d_star) float32
        Independent normal entries of variance $1/d^*$, so that
        $\mathbb{E} \lVert \psi(m) \rVert^2 = \lVert m \rVert^2$; use as ``M @ psi``.

    Notes
    -----
    Section 3.2, after Sinha et al. 2020 and Dasgupta & Gupta 2003.
    """
    if D < 1 or d_star < 1:
        raise ValueError(f"dimensions must be at least 1, got D={D} and d_star={d_star}")
    psi = np.random.default_rng(seed).standard_normal((D, d_star))
    return (psi / np.sqrt(d_star)).astype(np.float32)


@njit(cache=True)
def greedy_coreset(M, l, start=0):
    r"""Algorithm 1: pick `l` rows greedily, each the farthest from those before it.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$: the memory bank, already projected.
    l : int
        How many rows to pick, between 1 and `N`.
    start : int, default 0
        The first pick.

    Returns
    -------
    M_C : (l,) int64
        Row indices in the order picked.

    Raises
    ------
    ValueError
        If `l` or `start` is out of range.

    Notes
    -----
    Algorithm 1 of Roth et al., CVPR 2022. $O(N l d)$ operations.
    """
    N, d = M.shape
    if l < 1 or l > N:
        raise ValueError("coreset size l must be between 1 and the number of rows of M")
    if start < 0 or start >= N:
        raise ValueError("the first pick `start` must be a row of M")

    # \mathcal{M}_C \leftarrow \{\}
    M_C = np.empty(l, np.int64)
    taken = np.zeros(N, np.bool_)
    to_nearest = np.full(N, np.inf)  # \min_{n \in \mathcal{M}_C} \lVert \psi(m) - \psi(n) \rVert^2

    m_i = start
    # for i \in [0, \ldots, l - 1] do
    for i in range(l):
        # \mathcal{M}_C \leftarrow \mathcal{M}_C \cup \{ m_i \}
        M_C[i] = m_i
        taken[m_i] = True
        if i + 1 == l:
            break

        # m_{i+1} \leftarrow \arg\max_{m \in \mathcal{M} - \mathcal{M}_C}
        #     \min_{n \in \mathcal{M}_C} \lVert \psi(m) - \psi(n) \rVert_2
        # The minimum over the enlarged \mathcal{M}_C is the one known so far, or the new row.
        farthest = -1.0
        nearest_new = m_i
        for m in range(N):
            squared = 0.0
            for k in range(d):
                difference = np.float64(M[m, k]) - np.float64(M[nearest_new, k])
                squared += difference * difference
            to_nearest[m] = min(to_nearest[m], squared)
            if not taken[m] and to_nearest[m] > farthest:
                farthest = to_nearest[m]
                m_i = m

    return M_C
