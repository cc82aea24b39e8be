r"""Equation 7: the anomaly score of an image, and its anomaly map.

The distance $s^*$ of the deciding patch (equation 6) measures how far it is from all good patches.
Equation 7 multiplies it by a weight, one minus a softmax (section 3.3):

$$s = \left( 1 - \frac{\exp \lVert m^{test,*} - m^* \rVert_2}
  {\sum_{m \in \mathcal{N}_b(m^*)} \exp \lVert m^{test,*} - m \rVert_2} \right) \cdot s^* \tag{7}$$

$\mathcal{N}_b(m^*)$ are the $b$ rows of the memory bank nearest to $m^*$. If $m^*$ is rare, its
other neighbours are much farther from the test patch than $m^*$ is, and the weight is near 1. If
many stored patches are as near as $m^*$, the weight is smaller.

Edge cases
----------
Overflow
    $\exp$ of a distance overflows float64 at 709 and float32 at 88. Distances of 1024-d features
    reach tens and more. So the largest distance is subtracted from every exponent. The quotient
    does not change, and no exponent is above 0.
b
    $\mathcal{N}_b(m^*)$ contains $m^*$ itself. With $b = 1$ it contains nothing else, and every
    score would be 0, so $b = 1$ is refused. The paper does not state its $b$.
Range
    $m^*$ has the smallest of the $b$ distances, so the quotient is at most $1/b$ and
    $(1 - 1/b)\, s^* \le s \le s^*$.
Where a patch lies on the map
    With the arguments `s` and `cell`, the centre of each patch is at its place in pixels. Without
    them the patches are stretched over the image, as in the authors' code. See "Where patches lie"
    in the documentation.
"""

import numpy as np
from numba import njit

from minicore.equations.distance import distance
from minicore.equations.eq3_patches import upsample
from minicore.equations.eq6_nearest import deciding_patch, nearest


@njit(cache=True)
def neighbours(m: np.ndarray, M: np.ndarray, b: int) -> np.ndarray:
    r"""Find $\mathcal{N}_b(m)$: the `b` rows of the memory bank nearest to its row `m`.

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

    # Σ_{m ∈ N_b(m*)} exp ‖m_test* − m‖₂, with every term divided by exp(largest)
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
    r"""Score one image, given its patch features (equations 6 and 7).

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

    # g(u) ∝ exp(−u² / 2σ²), |u| ≤ 4σ (rounded), Σ g(u) = 1
    radius = int(4.0 * sigma + 0.5)
    g = np.ones(2 * radius + 1)
    if sigma > 0:
        for u in range(-radius, radius + 1):
            g[u + radius] = np.exp(-0.5 * u * u / (sigma * sigma))
    g /= g.sum()

    for i in range(n):
        grid = np.expand_dims(patch_scores[i], 2)
        if cell is None:
            fine = upsample(grid, height, width)[:, :, 0]
        else:
            # the centre of patch i is at pixel t (s i + ½), so one patch takes s t pixels
            fine = upsample(grid, height, width, (s * cell[0], s * cell[1]), s)[:, :, 0]

        # The two-dimensional Gaussian is a product: smooth along the columns, then along the rows.
        columns = np.zeros((height, width))
        for h in range(height):
            for w in range(width):
                for u in range(-radius, radius + 1):
                    columns[h, w] += g[u + radius] * fine[mirror(h + u, height), w]
        for h in range(height):
            for w in range(width):
                smooth = 0.0
                for u in range(-radius, radius + 1):
                    smooth += g[u + radius] * columns[h, mirror(w + u, width)]
                maps[i, h, w] = smooth

    return maps


@njit(cache=True)
def mirror(position: int, size: int) -> int:
    """Reflect a position into ``0 … size − 1``, the edge value repeated: ``… 1 0 | 0 1 2 …``."""
    position %= 2 * size
    return position if position < size else 2 * size - 1 - position
