r"""Equation 2: one locally aware feature from a neighbourhood.

An aggregation function $f_{agg}$ merges the vectors of a neighbourhood (equation 1) into one. The
result is *locally aware*: it describes the position and its surroundings. The paper uses *adaptive
average pooling*: write the $L = c \cdot p^2$ values channel by channel, divide them into $d$
segments of nearly equal length, and average each segment.

Two choices of $d$ matter:

* $d = c$: one segment is one channel. The feature is the mean over the neighbourhood (the option
  ``embedding="concat"`` of `PatchCore`).
* $d = 1024$ at every level, as in the authors' code (``embedding="paper"``). With $c = 512$ and
  $p = 3$ the nine values of each channel give two segments of five. Both contain the centre of the
  neighbourhood, so the centre counts twice.

Edge cases
----------
Border
    A position outside the map contributes zeros, and the divisor stays the same.
d does not divide L
    Segment $i$ goes from $\lfloor i L / d \rfloor$ to $\lceil (i+1) L / d \rceil$ (exclusive).
    So segments may overlap in one value, and for $d > L$ values repeat.
"""

import numpy as np
from numba import njit

from minicore.equations.eq1_neighbourhood import neighbourhood


@njit(cache=True)
def adaptive_average_pool(v: np.ndarray, d: int) -> np.ndarray:
    r"""Average a vector in `d` consecutive segments, as $f_{agg}$ does.

    Parameters
    ----------
    v : (L,) float
        The values.
    d : int
        Number of segments, at least 1.

    Returns
    -------
    pooled : (d,) float64
        The mean of each segment. The segments are those of PyTorch's ``adaptive_avg_pool1d``.

    Raises
    ------
    ValueError
        If `d` is less than 1.
    """
    if d < 1:
        raise ValueError("the dimension d to pool to must be at least 1")

    L = v.shape[0]
    pooled = np.empty(d, np.float64)

    # f_agg(v)_i = 1 / (e_i − a_i) · Σ_{k = a_i}^{e_i − 1} v_k
    #     with a_i = ⌊i L / d⌋ and e_i = ⌈(i + 1) L / d⌉
    for i in range(d):
        a_i = (i * L) // d
        e_i = ((i + 1) * L + d - 1) // d  # rounded up
        total = 0.0
        for k in range(a_i, e_i):
            total += v[k]
        pooled[i] = total / (e_i - a_i)

    return pooled


@njit(cache=True)
def aggregate(phi: np.ndarray, h: int, w: int, p: int, d: int) -> np.ndarray:
    r"""Compute the locally aware feature $\phi_{i,j}(\mathcal{N}_p^{(h,w)})$ (equation 2).

    Parameters
    ----------
    phi : (c, h*, w*) float
        $\phi_{i,j}$, the feature map of one image at one level.
    h, w : int
        The position.
    p : int
        Patchsize.
    d : int
        Dimension of the feature; `c` gives the mean over the neighbourhood.

    Returns
    -------
    feature : (d,) float64

    Raises
    ------
    ValueError
        If `p` or `d` is less than 1.
    """
    c, h_star, w_star = phi.shape
    positions = neighbourhood(h, w, p)
    k = positions.shape[0]

    # { φ_{i,j}(a, b) | (a, b) ∈ N_p^(h,w) } as a list: channel by channel, zero outside the map
    members = np.zeros(c * k, np.float64)
    for channel in range(c):
        for member in range(k):
            a, b = positions[member, 0], positions[member, 1]
            if 0 <= a < h_star and 0 <= b < w_star:
                members[channel * k + member] = phi[channel, a, b]

    # φ_{i,j}(N_p^(h,w)) = f_agg({ φ_{i,j}(a, b) | (a, b) ∈ N_p^(h,w) })
    return adaptive_average_pool(members, d)
