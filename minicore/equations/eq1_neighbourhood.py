r"""Equation 1: the neighbourhood of a position.

A network's feature map $\phi_{i,j} \in \mathbb{R}^{c^* \times h^* \times w^*}$ holds, for image
$x_i$ and hierarchy level $j$, one vector of $c^*$ channels at each position $(h, w)$. One position
of a mid-level map has seen only a small part of the image. PatchCore widens its view a little by
letting each position speak for its neighbourhood, a square of *patchsize* $p$ around it (section
3.1 of the paper).

Edge cases
----------
Border
    The set may hold positions outside the map ($a < 0$, $a \ge h^*$, ...). They are kept: equation
    2 reads zeros there, so that every neighbourhood has the same number of members.
Even p
    $\lfloor p/2 \rfloor$ positions on either side make an odd square, whatever $p$: the set for
    $p = 2$ is that for $p = 3$. (The authors' code takes $p$ positions from
    $h - \lfloor (p-1)/2 \rfloor$ instead and thereby loses a row and a column of the map when $p$
    is even. For odd $p$ the two agree.)
"""

import numpy as np
from numba import njit


@njit(cache=True)
def neighbourhood(h, w, p):
    r"""Positions $\mathcal{N}_p^{(h,w)}$ around $(h, w)$, row by row.

    Parameters
    ----------
    h, w : int
        A position of the feature map.
    p : int
        Patchsize, at least 1.

    Returns
    -------
    positions : (k, 2) int64
        The pairs $(a, b)$; $k = (2\lfloor p/2 \rfloor + 1)^2$, which is $p^2$ for odd $p$.

    Raises
    ------
    ValueError
        If `p` is less than 1.

    Notes
    -----
    Equation 1 of Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022.
    """
    if p < 1:
        raise ValueError("patchsize p must be at least 1")

    r = p // 2
    side = 2 * r + 1
    positions = np.empty((side * side, 2), np.int64)

    # \mathcal{N}_p^{(h,w)} = \{ (a, b) \mid
    #     a \in [h - \lfloor p/2 \rfloor, \ldots, h + \lfloor p/2 \rfloor],
    #     b \in [w - \lfloor p/2 \rfloor, \ldots, w + \lfloor p/2 \rfloor] \}
    k = 0
    for a in range(h - r, h + r + 1):
        for b in range(w - r, w + r + 1):
            positions[k, 0] = a
            positions[k, 1] = b
            k += 1

    return positions
