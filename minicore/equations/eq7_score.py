r"""Equation 7: the anomaly score of an image, and its anomaly map.

The distance $s^*$ of the deciding patch (equation 6) measures how far it is from all good patches.
Equation 7 multiplies it by a weight. If the stored patch $m^*$ is itself rare, so that its own
neighbours $\mathcal{N}_b(m^*)$ in the bank are far from $m^{test,*}$, the weight is near 1. If many
stored patches are as near as $m^*$, the weight is smaller. The weight is one minus a softmax
(section 3.3).

Edge cases
----------
Overflow
    $\exp$ of a distance overflows float32 at 88 and float64 at 709. Distances of 1024-d features
    reach tens and more. So the largest distance is subtracted from every exponent. The quotient
    does not change, and no exponent is above 0.
b
    $\mathcal{N}_b(m^*)$ is a subset of $\mathcal{M}$ and contains $m^*$ itself. With $b = 1$ it
    contains nothing else, the quotient is 1 and every score is 0, so $b = 1$ is refused. The paper
    does not state its $b$.
Range
    No row of $\mathcal{M}$ is nearer to $m^{test,*}$ than $m^*$. So $m^*$ has the smallest of the
    $b$ terms and the quotient is at most $1/b$: $(1 - 1/b)\, s^* \le s \le s^*$. The weight can
    change the order of two images only if their $s^*$ are within that factor.
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

from minicore.equations.distance import distance
from minicore.equations.eq3_patches import upsample
from minicore.equations.eq6_nearest import deciding_patch, nearest


@njit(cache=True)
def neighbours(m: np.ndarray, M: np.ndarray, b: int) -> np.ndarray:
    r"""Find $\mathcal{N}_b(m)$: the rows of the memory bank nearest to one of them.

    Parameters
    ----------
    m : (D,) float32
        A row of the bank, $m^*$ in equation 7.
    M : (N, D) float32
        $\mathcal{M}$.
    b : int
        Number of rows, between 1 and `N`.

    Returns
    -------
    rows : (b,) int64
        Nearest first. The nearest is `m` itself, or an equal row.
    """
    _, rows = nearest(np.expand_dims(m, 0), M, b)
    return rows[0]


@njit(cache=True)
def reweight(s_star: float, distances: np.ndarray) -> float:
    r"""Multiply the deciding patch's distance by the weight of equation 7.

    Parameters
    ----------
    s_star : float
        $s^* = \lVert m^{test,*} - m^* \rVert_2$.
    distances : (b,) float
        $\lVert m^{test,*} - m \rVert_2$ of the $b \ge 2$ rows $m \in \mathcal{N}_b(m^*)$, one of
        which is $m^*$.

    Returns
    -------
    s : float
        The anomaly score of the image.

    Raises
    ------
    ValueError
        If there are fewer than two distances.
    """
    if distances.shape[0] < 2:
        raise ValueError("equation 7 needs b >= 2: with b = 1 every score would be 0")

    largest = np.float64(s_star)
    for each in distances:
        largest = max(largest, np.float64(each))

    # Σ_{m ∈ N_b(m*)} exp ‖m_test* − m‖₂, every term divided by exp(largest)
    total = 0.0
    for each in distances:
        total += np.exp(np.float64(each) - largest)

    # s = (1 − exp ‖m_test* − m*‖₂ / Σ_{m ∈ N_b(m*)} exp ‖m_test* − m‖₂) · s*
    return (1.0 - np.exp(np.float64(s_star) - largest) / total) * s_star


@njit(cache=True)
def reweighted_distance(m_test_star: np.ndarray, around: np.ndarray) -> float:
    r"""Score the deciding patch, given the neighbourhood of its nearest row (equation 7).

    Parameters
    ----------
    m_test_star : (D,) float32
        $m^{test,*}$.
    around : (b, D) float32
        The rows of $\mathcal{N}_b(m^*)$, one of which is $m^*$.

    Returns
    -------
    s : float
        The anomaly score of the image.

    Raises
    ------
    ValueError
        If there are fewer than two rows.
    """
    b = around.shape[0]
    distances = np.empty(b, np.float64)

    # ‖m_test* − m‖₂ of every m ∈ N_b(m*); the nearest one is m*
    for i in range(b):
        distances[i] = distance(m_test_star, around[i])

    return reweight(np.min(distances), distances)


@njit(cache=True)
def anomaly_score(patches: np.ndarray, bank: np.ndarray, b: int = 9) -> float:
    r"""Score one image from its patch features (equations 6 and 7).

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
        If there is no patch, `b` is out of range, or the dimensions differ.
    """
    # m_test* and m* of equation 6
    test_star, m_star, _ = deciding_patch(patches, bank)

    # N_b(m*), then s of equation 7
    around = neighbours(bank[m_star], bank, b)
    return reweighted_distance(patches[test_star], bank[around])


@njit(cache=True)
def anomaly_map(
    patch_scores: np.ndarray,
    height: int,
    width: int,
    sigma: float = 4.0,
    s: int = 1,
    cell: tuple[float, float] | None = None,
) -> np.ndarray:
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
def mirror(position: int, size: int) -> int:
    """Reflect a position into ``0 … size − 1``, the edge value repeated: ``… 1 0 | 0 1 2 …``."""
    position %= 2 * size
    return position if position < size else 2 * size - 1 - position
