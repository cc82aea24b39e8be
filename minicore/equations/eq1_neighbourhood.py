r"""Equation 1: the neighbourhood of a position.

A feature map $\phi_{i,j}$ is the output of the network for image $x_i$ at hierarchy level $j$ (one
of its blocks of layers). It has one vector of $c$ channels at each position $(h, w)$. PatchCore
describes a position by the square of positions around it, its neighbourhood
$\mathcal{N}_p^{(h,w)}$ (section 3.1). The side of the square is the *patchsize* $p$.

Edge cases
----------
Border
    Positions outside the map stay in the set. Equation 2 reads zeros there, so every neighbourhood
    has the same number of members.
Even p
    The square has $\lfloor p/2 \rfloor$ positions on each side of $(h, w)$, so $p = 2$ gives the
    same square as $p = 3$. The authors' code agrees for odd $p$ only.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def neighbourhood(h: int, w: int, p: int) -> np.ndarray:
    r"""List the positions of $\mathcal{N}_p^{(h,w)}$, row by row (equation 1).

    Parameters
    ----------
    h, w : int
        The position in the feature map.
    p : int
        Patchsize, at least 1.

    Returns
    -------
    positions : (k, 2) int64
        The pairs (a, b); $k = (2\lfloor p/2 \rfloor + 1)^2$.

    Raises
    ------
    ValueError
        If `p` is less than 1.
    """
    if p < 1:
        raise ValueError("patchsize p must be at least 1")

    half = p // 2
    side = 2 * half + 1
    positions = np.empty((side * side, 2), np.int64)

    # N_p^(h,w) = { (a, b) | a ∈ [h − ⌊p/2⌋, …, h + ⌊p/2⌋], b ∈ [w − ⌊p/2⌋, …, w + ⌊p/2⌋] }
    row = 0
    for a in range(h - half, h + half + 1):
        for b in range(w - half, w + half + 1):
            positions[row, 0] = a
            positions[row, 1] = b
            row += 1

    return positions
