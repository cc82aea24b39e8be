r"""Equation 6: the patch that decides.

Detection is a search. Each patch feature $m^{test}$ of a test image looks for its nearest
neighbour in the memory bank: a good patch finds its like, a defective one does not. The image is as
anomalous as its worst patch (section 3.3).

Segmentation is the same without the outer $\arg\max$: the distance of every patch to its nearest
neighbour, laid out on the patch grid, is the anomaly map (`anomaly_map` in ``eq7_score.py`` brings
it to the image's size).

Edge cases
----------
Ties
    Go to the lowest row of the bank, and to the first patch of the image.
Rounding
    Differences, squares and sums are float64 in the order of the coordinates; the root is taken
    last.
Distances
    Euclidean, not squared (the authors' code reports squared ones).
"""

import numpy as np
from numba import njit


@njit(cache=True)
def nearest(queries, bank, k=1):
    r"""Find the `k` nearest rows of the bank for each query.

    Parameters
    ----------
    queries : (n, D) float32
        $\mathcal{P}(x^{test})$, or any other rows.
    bank : (N, D) float32
        $\mathcal{M}$.
    k : int, default 1
        How many neighbours, between 1 and `N`.

    Returns
    -------
    distances : (n, k) float32
        Euclidean, increasing.
    indices : (n, k) int64
        Rows of `bank`.

    Raises
    ------
    ValueError
        If `k` is out of range or the dimensions differ.

    Notes
    -----
    The inner part of equation 6 of Roth et al., CVPR 2022, and the neighbourhood
    $\mathcal{N}_b$ of equation 7.
    """
    n, D = queries.shape
    N = bank.shape[0]
    if bank.shape[1] != D:
        raise ValueError("queries and bank must have the same number of columns")
    if k < 1 or k > N:
        raise ValueError("k must be between 1 and the number of rows of the bank")

    distances = np.empty((n, k), np.float32)
    indices = np.empty((n, k), np.int64)
    best = np.empty(k, np.float64)
    who = np.empty(k, np.int64)

    for q in range(n):
        # m^* = \arg\min_{m \in \mathcal{M}} \lVert m^{test} - m \rVert_2, and the k - 1 next ones
        best[:] = np.inf
        for m in range(N):
            squared = 0.0
            for c in range(D):
                difference = np.float64(queries[q, c]) - np.float64(bank[m, c])
                squared += difference * difference
            if squared < best[k - 1]:
                # Insert behind all that are nearer or as near: ties keep the lowest row in front.
                rank = k - 1
                while rank > 0 and squared < best[rank - 1]:
                    best[rank] = best[rank - 1]
                    who[rank] = who[rank - 1]
                    rank -= 1
                best[rank] = squared
                who[rank] = m
        for rank in range(k):
            distances[q, rank] = np.sqrt(best[rank])
            indices[q, rank] = who[rank]

    return distances, indices


@njit(cache=True)
def deciding_patch(distances):
    r"""Find the patch of an image farthest from the memory bank, $m^{test,*}$, and its $s^*$.

    Parameters
    ----------
    distances : (n,) float
        Distance of each of the image's patches to its nearest neighbour.

    Returns
    -------
    index : int
        Which patch is $m^{test,*}$.
    s_star : float
        $s^* = \lVert m^{test,*} - m^* \rVert_2$.

    Raises
    ------
    ValueError
        If there is no patch.

    Notes
    -----
    The outer part of equation 6 of Roth et al., CVPR 2022.
    """
    if distances.shape[0] == 0:
        raise ValueError("an image needs at least one patch")

    # m^{test,*}, m^* = \arg\max_{m^{test} \in \mathcal{P}(x^{test})}
    #     \arg\min_{m \in \mathcal{M}} \lVert m^{test} - m \rVert_2
    index = 0
    for n in range(distances.shape[0]):
        if distances[n] > distances[index]:
            index = n

    # s^* = \lVert m^{test,*} - m^* \rVert_2
    s_star = distances[index]
    return index, s_star
