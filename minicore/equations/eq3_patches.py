r"""Equation 3: the patch features of an image.

Equation 2 at every position of a feature map, or at every $s$-th one (*stride* $s$), gives the
collection of locally aware patch features of that level. PatchCore joins two levels, $j$ and
$j + 1$ (layers 2 and 3 of the network): the finer one still sees detail, the coarser one has more
context. The coarser collection is computed in the same way, bilinearly upsampled to the finer grid,
and concatenated to it (section 3.1).

Edge cases
----------
Stride
    Positions are those with $h \bmod s = 0$ and $w \bmod s = 0$, so a level of $h^*$ rows gives
    $\lceil h^* / s \rceil$.
Order
    Aggregate first, upsample after, as the authors' code does. Upsampling acts between patches of
    one channel and pooling between channels of one patch, so these two could be swapped.
Border of the upsampling
    The centres of the two grids' cells are aligned (not the centres of their corner cells), and the
    outermost values are repeated: ``align_corners=False`` in the language of PyTorch.
"""

import numpy as np
from numba import njit

from minicore.equations.eq2_aggregate import adaptive_average_pool, aggregate


@njit(cache=True)
def patch_collection(phi, p, s, d):
    r"""Collect the locally aware features of one feature map, $\mathcal{P}_{s,p}(\phi_{i,j})$.

    Parameters
    ----------
    phi : (c, h*, w*) float
        $\phi_{i,j}$, the feature map of one image at one level.
    p, s : int
        Patchsize and stride, at least 1 each.
    d : int
        Dimension of each feature.

    Returns
    -------
    patches : (h', w', d) float64
        $h' = \lceil h^*/s \rceil$, $w' = \lceil w^*/s \rceil$.

    Raises
    ------
    ValueError
        If `p`, `s` or `d` is less than 1.

    Notes
    -----
    Equation 3 of Roth et al., CVPR 2022.
    """
    if s < 1:
        raise ValueError("stride s must be at least 1")

    h_star, w_star = phi.shape[1], phi.shape[2]
    patches = np.empty(((h_star + s - 1) // s, (w_star + s - 1) // s, d), np.float64)

    # \mathcal{P}_{s,p}(\phi_{i,j}) = \{ \phi_{i,j}(\mathcal{N}_p^{(h,w)}) \mid
    #     h, w \bmod s = 0, \; h < h^*, \; w < w^*, \; h, w \in \mathbb{N} \}
    for h in range(0, h_star, s):
        for w in range(0, w_star, s):
            patches[h // s, w // s] = aggregate(phi, h, w, p, d)

    return patches


@njit(cache=True)
def upsample(grid, height, width):
    r"""Bilinear interpolation of a grid of vectors to another size.

    Parameters
    ----------
    grid : (h, w, d) float
        The grid.
    height, width : int
        The size to reach.

    Returns
    -------
    finer : (height, width, d) float64
        The interpolated grid.

    Notes
    -----
    Section 3.1, "bilinearly rescaling"; half-pixel centres, border repeated.
    """
    h_star, w_star, d = grid.shape
    finer = np.empty((height, width, d), np.float64)

    # (y, x) = \left( (h + \tfrac12) \frac{h^*}{height} - \tfrac12, \;
    #                 (w + \tfrac12) \frac{w^*}{width} - \tfrac12 \right), not below 0
    for h in range(height):
        y = max((h + 0.5) * h_star / height - 0.5, 0.0)
        y0 = min(int(y), h_star - 1)
        y1 = min(y0 + 1, h_star - 1)
        for w in range(width):
            x = max((w + 0.5) * w_star / width - 0.5, 0.0)
            x0 = min(int(x), w_star - 1)
            x1 = min(x0 + 1, w_star - 1)
            for k in range(d):
                above = (1 - (x - x0)) * grid[y0, x0, k] + (x - x0) * grid[y0, x1, k]
                below = (1 - (x - x0)) * grid[y1, x0, k] + (x - x0) * grid[y1, x1, k]
                finer[h, w, k] = (1 - (y - y0)) * above + (y - y0) * below

    return finer


@njit(cache=True)
def patch_features(levels, p=3, s=1, d=0, d_target=0):
    r"""Patch features of a batch of images from the feature maps of all levels.

    Parameters
    ----------
    levels : tuple of (n, c_j, h_j, w_j) float32
        The feature maps, finest first. The first level's grid is the patches' grid.
    p, s : int, default 3 and 1
        Patchsize and stride.
    d : int, default 0
        Dimension to pool each level's neighbourhoods to; 0 keeps each level's own width $c_j$ (the
        mean over the neighbourhood). The authors use 1024.
    d_target : int, default 0
        Dimension to pool the concatenated levels to; 0 leaves them. The authors use 1024.

    Returns
    -------
    patches : (n, h', w', D) float32
        $D$ is `d_target`, or the sum of the levels' dimensions.

    Raises
    ------
    ValueError
        If `p` or `s` is less than 1, or the levels have different batch sizes.

    Notes
    -----
    Equations 1 to 3 of Roth et al., CVPR 2022, for the levels $j$ and $j + 1$ of section 3.1, or
    any other number of levels.
    """
    if s < 1:
        raise ValueError("stride s must be at least 1")

    n = levels[0].shape[0]
    for phi_j in levels:
        if phi_j.shape[0] != n:
            raise ValueError("the levels must be of the same images: their batch sizes differ")
    height = (levels[0].shape[2] + s - 1) // s
    width = (levels[0].shape[3] + s - 1) // s
    concatenated = 0
    for phi_j in levels:
        concatenated += d if d > 0 else phi_j.shape[1]
    D = d_target if d_target > 0 else concatenated
    patches = np.empty((n, height, width, D), np.float32)

    for i in range(n):
        joined = np.empty((height, width, concatenated), np.float64)

        # \mathcal{P}_{s,p}(\phi_{i,j}), \; \mathcal{P}_{s,p}(\phi_{i,j+1}), \ldots
        # each rescaled to the first one's (h', w'), side by side
        start = 0
        for phi_j in levels:
            d_j = d if d > 0 else phi_j.shape[1]
            collection = patch_collection(phi_j[i], p, s, d_j)
            joined[:, :, start : start + d_j] = upsample(collection, height, width)
            start += d_j

        # f_{agg} once more, over the concatenated levels, to the target dimension
        for h in range(height):
            for w in range(width):
                if d_target > 0:
                    patches[i, h, w] = adaptive_average_pool(joined[h, w], d_target)
                else:
                    patches[i, h, w] = joined[h, w]

    return patches
