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
Radius
    What equation 5 makes small, its $\max \min$, is known after each pick. It can decide how many
    to take: as few as leave no row farther than a given `radius` from its nearest pick.
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


def greedy_coreset(M, l=None, start=0, radius=None, return_radii=False):
    r"""Algorithm 1: pick rows greedily, each the farthest from those before it.

    Parameters
    ----------
    M : (N, d) float32
        $\psi(\mathcal{M})$: the memory bank, already projected.
    l : int, optional
        How many rows to pick, between 1 and `N`; with a `radius`, at most so many (None: `N`).
    start : int, default 0
        The first pick.
    radius : float, optional
        Stop as soon as no row is farther than this (Euclidean) from its nearest pick.
    return_radii : bool, default False
        Return the radius after each pick too.

    Returns
    -------
    M_C : (l,) int64
        Row indices in the order picked; fewer if `radius` was reached.
    radii : (l,) float64
        If asked for: largest distance of any row to its nearest pick, after each pick.

    Raises
    ------
    ValueError
        If `l`, `start` or `radius` is out of range, or neither `l` nor `radius` is given.

    Notes
    -----
    Algorithm 1 of Roth et al., CVPR 2022. $O(N l d)$ operations.
    """
    l, reach = stopping_rule(len(M), l, start, radius)
    M_C, radii = algorithm_1(M, l, start, reach)
    return (M_C, radii) if return_radii else M_C


def stopping_rule(N, l, start, radius):
    """Check the arguments of `greedy_coreset`; give the most picks and the radius, -1 if none."""
    if l is None and radius is None:
        raise ValueError("give the size l of the coreset, or a radius, or both")
    if l is not None and not 1 <= l <= N:
        raise ValueError(f"coreset size l must be between 1 and the {N} rows of M, got {l}")
    if not 0 <= start < N:
        raise ValueError(f"start must be one of the {N} rows of M, got {start}")
    if radius is not None and not radius >= 0:
        raise ValueError(f"radius must be at least 0, got {radius}")
    return N if l is None else l, -1.0 if radius is None else float(radius)


@njit(cache=True)
def algorithm_1(M, l, start, radius):
    r"""Do the picking of `greedy_coreset`: at most `l` rows, until `radius` is reached.

    Returns
    -------
    M_C : (l,) int64
    radii : (l,) float64
    """
    N, d = M.shape

    # \mathcal{M}_C \leftarrow \{\}
    M_C = np.empty(l, np.int64)
    radii = np.empty(l, np.float64)
    taken = np.zeros(N, np.bool_)
    to_nearest = np.full(N, np.inf)  # \min_{n \in \mathcal{M}_C} \lVert \psi(m) - \psi(n) \rVert^2

    m_i = start
    # for i \in [0, \ldots, l - 1] do
    for i in range(l):
        # \mathcal{M}_C \leftarrow \mathcal{M}_C \cup \{ m_i \}
        M_C[i] = m_i
        taken[m_i] = True

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

        # \max_{m \in \mathcal{M}} \min_{n \in \mathcal{M}_C} \lVert \psi(m) - \psi(n) \rVert_2
        radii[i] = np.sqrt(max(farthest, 0.0))
        if radii[i] <= radius:
            return M_C[: i + 1], radii[: i + 1]

    return M_C, radii
