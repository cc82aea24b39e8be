r"""Equation 2: one locally aware feature from a neighbourhood.

The members of a neighbourhood (equation 1) are merged into a single vector by an aggregation
function $f_{agg}$. The paper takes *adaptive average pooling*: the $c \cdot p^2$ numbers of the
neighbourhood, laid out channel by channel, are averaged in $d$ consecutive segments of (nearly)
equal length.

Two choices of $d$ matter:

* $d = c$: each segment is exactly one channel's $p^2$ values, so the feature is the plain mean over
  the neighbourhood (minicore's embedding ``"concat"``).
* $d = 1024$ at every level, whatever its width: the authors' code (embedding ``"paper"``). With
  $c = 512$ and $p = 3$ a segment is 4.5 values long; segments then overlap by one value, the
  centre of the neighbourhood, which therefore counts twice.

Edge cases
----------
Border
    A position outside the map contributes zeros, and is counted: the divisor does not shrink.
d that does not divide c p²
    Segment $i$ runs from $\lfloor i L / d \rfloor$ to $\lceil (i+1) L / d \rceil$ (exclusive) of
    the $L = c p^2$ values; neighbouring segments may share a value.
d larger than c p²
    The same rule: values are repeated.
"""

import numpy as np
from numba import njit

from minicore.equations.eq1_neighbourhood import neighbourhood


@njit(cache=True)
def adaptive_average_pool(v, d):
    r"""Average a vector in `d` consecutive segments, $f_{agg}$.

    Parameters
    ----------
    v : (L,) float
        The values.
    d : int
        The number of segments, at least 1.

    Returns
    -------
    pooled : (d,) float64
        The mean of each segment.

    Raises
    ------
    ValueError
        If `d` is less than 1.

    Notes
    -----
    Section 3.1 ("adaptive average pooling"); the segments are those of
    ``torch.nn.functional.adaptive_avg_pool1d``.
    """
    if d < 1:
        raise ValueError("the dimension d to pool to must be at least 1")

    L = v.shape[0]
    pooled = np.empty(d, np.float64)

    # f_{agg}(v)_i = \frac{1}{e_i - a_i} \sum_{k = a_i}^{e_i - 1} v_k, \quad
    #     a_i = \lfloor i L / d \rfloor, \; e_i = \lceil (i + 1) L / d \rceil
    for i in range(d):
        a_i = (i * L) // d
        e_i = ((i + 1) * L + d - 1) // d
        total = 0.0
        for k in range(a_i, e_i):
            total += v[k]
        pooled[i] = total / (e_i - a_i)

    return pooled


@njit(cache=True)
def aggregate(phi, h, w, p, d):
    r"""Locally aware feature $\phi_{i,j}(\mathcal{N}_p^{(h,w)})$ of one position.

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
        The locally aware feature.

    Raises
    ------
    ValueError
        If `p` or `d` is less than 1.

    Notes
    -----
    Equation 2 of Roth et al., CVPR 2022.
    """
    c, h_star, w_star = phi.shape
    positions = neighbourhood(h, w, p)
    k = positions.shape[0]

    # \{ \phi_{i,j}(a, b) \mid (a, b) \in \mathcal{N}_p^{(h,w)} \}, channel by channel,
    # with zeros outside the map
    members = np.zeros(c * k, np.float64)
    for channel in range(c):
        for n in range(k):
            a = positions[n, 0]
            b = positions[n, 1]
            if 0 <= a < h_star and 0 <= b < w_star:
                members[channel * k + n] = phi[channel, a, b]

    # \phi_{i,j}(\mathcal{N}_p^{(h,w)})
    #     = f_{agg}(\{ \phi_{i,j}(a, b) \mid (a, b) \in \mathcal{N}_p^{(h,w)} \})
    return adaptive_average_pool(members, d)
