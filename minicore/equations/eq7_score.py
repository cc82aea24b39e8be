r"""Equation 7: the anomaly score of an image, and its anomaly map.

The distance $s^*$ of the deciding patch (equation 6) says how far it is from what is known. The
paper adds a second thought: if the memory $m^*$ it is nearest to is itself a rare one, lying far
from its own neighbours $\mathcal{N}_b(m^*)$ in the bank, the patch is more surprising still. The
distance is weighted by one minus a softmax: the nearer $m^{test,*}$ is to $m^*$ compared with the
neighbours of $m^*$, the larger the weight (section 3.3).

Edge cases
----------
Overflow
    $\exp$ of a distance overflows float32 at 88 and float64 at 709; distances of 1024-d features
    reach tens and more. The largest distance is subtracted in the numerator and in each term of the
    sum, which leaves the quotient as it is and every exponent at or below 0.
b
    $\mathcal{N}_b(m^*)$ lies in $\mathcal{M}$ and holds $m^*$ itself. With $b = 1$ it holds nothing
    else, the quotient is 1 and every score 0: refused here. The paper does not say its $b$.
Range
    No row of $\mathcal{M}$ is nearer to $m^{test,*}$ than $m^*$, so $m^*$ has the smallest of the
    $b$ terms and the quotient is at most $1/b$: $(1 - 1/b)\, s^* \le s \le s^*$. The weight can
    reorder images whose $s^*$ are within that factor of each other, and no others.
Where a patch lies on the map
    The centre of patch $i$ is pixel $t (s i + \tfrac12)$ (equation 3), for a network of stride $t$
    and patches of stride $s$. The authors' code stretches the patches over the image instead. With
    $s = 1$ and sides that $t$ divides, this is the same. Otherwise each patch's score lands
    $t (s - 1) / 2$ pixels too far down and right (4 for $s = 2$ and layer 2, 12 for $s = 4$), and
    the map is squeezed by up to $t s - 1$ pixels at the far border. Both happen here too if `s` and
    `cell` are not given. `PatchCore` gives them.
"""

import numpy as np
from numba import njit

from minicore.equations.eq3_patches import upsample
from minicore.equations.eq6_nearest import deciding_patch, nearest


@njit(cache=True)
def reweight(s_star, distances):
    r"""Weigh the deciding patch's distance by the neighbourhood of its neighbour.

    Parameters
    ----------
    s_star : float
        $s^* = \lVert m^{test,*} - m^* \rVert_2$.
    distances : (b,) float
        $\lVert m^{test,*} - m \rVert_2$ for the $b \ge 2$ rows $m \in \mathcal{N}_b(m^*)$, of which
        $m^*$ is one.

    Returns
    -------
    s : float
        The anomaly score of the image.

    Raises
    ------
    ValueError
        If there are fewer than two distances.

    Notes
    -----
    Equation 7 of Roth et al., CVPR 2022.
    """
    if distances.shape[0] < 2:
        raise ValueError("equation 7 needs b >= 2: with b = 1 every score would be 0")

    largest = np.float64(s_star)
    for distance in distances:
        largest = max(largest, np.float64(distance))

    # Σ_{m ∈ N_b(m*)} exp‖m^{test,*} − m‖₂, every term divided by exp(largest)
    total = 0.0
    for distance in distances:
        total += np.exp(np.float64(distance) - largest)

    # s = (1 − exp‖m^{test,*} − m*‖₂ / Σ_{m ∈ N_b(m*)} exp‖m^{test,*} − m‖₂) · s*
    return (1.0 - np.exp(np.float64(s_star) - largest) / total) * s_star


@njit(cache=True)
def anomaly_score(patches, bank, b=9):
    r"""Score one image: equations 6 and 7 from its patch features.

    Parameters
    ----------
    patches : (n, D) float32
        $\mathcal{P}(x^{test})$, the patch features of the image.
    bank : (N, D) float32
        $\mathcal{M}$, in practice the coreset.
    b : int, default 9
        Size of the neighbourhood of $m^*$, between 2 and `N`.

    Returns
    -------
    s : float
        The anomaly score; higher is more anomalous.

    Raises
    ------
    ValueError
        If `b` is out of range or the dimensions differ.

    Notes
    -----
    Equations 6 and 7 of Roth et al., CVPR 2022.
    """
    distances, indices = nearest(patches, bank, 1)
    test_star = deciding_patch(distances[:, 0])[0]
    m_star = indices[test_star, 0]

    # N_b(m*): the b nearest rows of M to m*, itself among them
    neighbours = nearest(bank[m_star : m_star + 1], bank, b)[1][0]

    to_neighbours = np.empty(b, np.float64)
    for i in range(b):
        squared = 0.0
        for k in range(bank.shape[1]):
            difference = np.float64(patches[test_star, k]) - np.float64(bank[neighbours[i], k])
            squared += difference * difference
        to_neighbours[i] = np.sqrt(squared)

    # s* = ‖m^{test,*} − m*‖₂ is the smallest of them, here in float64: beside the
    # others in an exponent, even the last bits of float32 would count.
    return reweight(to_neighbours.min(), to_neighbours)


@njit(cache=True)
def anomaly_map(patch_scores, height, width, sigma=4.0, s=1, cell=None):
    r"""Bring patch scores to the image's size and smooth them.

    Parameters
    ----------
    patch_scores : (n, h', w') float
        Distance of each patch to its nearest neighbour (equation 6 without the outer arg max).
    height, width : int
        Size of the images.
    sigma : float, default 4.0
        Standard deviation of the Gaussian in pixels; 0 leaves it out.
    s : int, default 1
        Stride of the patches, equation 3.
    cell : (float, float), optional
        $t$, rows and columns of pixels that a cell of the finest feature map covers. By default
        the patches are stretched over the whole image, which needs $s = 1$.

    Returns
    -------
    maps : (n, height, width) float32
        The anomaly maps.

    Raises
    ------
    ValueError
        If `sigma` is negative, `s` less than 1, or `cell` missing for an `s` above 1.

    Notes
    -----
    Section 3.3: bilinear upsampling, then Gaussian smoothing with $\sigma = 4$. The kernel is cut
    at $4 \sigma$ and the image mirrored at its border, as ``scipy.ndimage.gaussian_filter`` does.
    """
    if sigma < 0:
        raise ValueError("sigma must be at least 0")
    if s < 1:
        raise ValueError("stride s must be at least 1")
    if s > 1 and cell is None:
        raise ValueError("a stride s above 1 needs cell, the pixels that one cell covers")

    n = patch_scores.shape[0]
    maps = np.empty((n, height, width), np.float32)

    # g(t) ∝ exp(−t² / 2σ²), |t| ≤ 4σ, Σ g(t) = 1
    radius = int(4.0 * sigma + 0.5)
    g = np.ones(2 * radius + 1)
    if sigma > 0:
        for t in range(-radius, radius + 1):
            g[t + radius] = np.exp(-0.5 * t * t / (sigma * sigma))
    g /= g.sum()

    for i in range(n):
        grid = np.expand_dims(patch_scores[i], 2)
        if cell is None:
            fine = upsample(grid, height, width)[:, :, 0]
        else:
            # pixel h, at h + ½, lies among the patches i at t (s i + ½)
            fine = upsample(grid, height, width, (s * cell[0], s * cell[1]), s)[:, :, 0]

        # The two-dimensional Gaussian is the product of one along each axis.
        down = np.zeros((height, width))
        for h in range(height):
            for w in range(width):
                for t in range(-radius, radius + 1):
                    down[h, w] += g[t + radius] * fine[mirror(h + t, height), w]
        for h in range(height):
            for w in range(width):
                smooth = 0.0
                for t in range(-radius, radius + 1):
                    smooth += g[t + radius] * down[h, mirror(w + t, width)]
                maps[i, h, w] = smooth

    return maps


@njit(cache=True)
def mirror(position, size):
    """Reflect a position into ``0 … size − 1``, the edge value repeated: ``… 1 0 | 0 1 2 …``."""
    position %= 2 * size
    return position if position < size else 2 * size - 1 - position
