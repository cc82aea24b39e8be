r"""Equation 3: the patch features of an image.

Equation 2 at every position of a feature map, or at every $s$-th one (*stride* $s$), gives the
collection of locally aware patch features of that level. PatchCore joins two levels, $j$ and
$j + 1$ (layers 2 and 3 of the network): the finer one still sees detail, the coarser one has more
context. The coarser collection is computed in the same way, bilinearly upsampled to the finer grid,
and concatenated to it (section 3.1).

Edge cases
----------
Stride
    Positions are those with $h \bmod s = 0$ and $w \bmod s = 0$. A level of $h^*$ rows gives
    $\lceil h^* / s \rceil$ rows of patches.
Order
    Aggregate first, upsample after, as the authors' code does.
Border of the upsampling
    The outer edges of the two grids coincide, not the centres of their corner cells, and the
    outermost values are repeated: ``align_corners=False`` in PyTorch.
Sizes that do not fit, and strides above 1
    `cells` gives the place of every patch in pixels. By default the levels cover the same area. See
    "Where patches lie" in the documentation.
"""

import numpy as np
from numba import njit

from minicore.equations.eq2_aggregate import adaptive_average_pool, aggregate


@njit(cache=True)
def patch_collection(phi: np.ndarray, p: int, s: int, d: int) -> np.ndarray:
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
    patches = np.empty((len(range(0, h_star, s)), len(range(0, w_star, s)), d), np.float64)

    # P_{s,p}(φ_{i,j}) = { φ_{i,j}(N_p^{(h,w)}) | h, w mod s = 0, h < h*, w < w*, h, w ∈ ℕ }
    for h in range(0, h_star, s):
        for w in range(0, w_star, s):
            patches[h // s, w // s] = aggregate(phi, h, w, p, d)

    return patches


@njit(cache=True)
def upsample(
    grid: np.ndarray, height: int, width: int, step: tuple[float, float] | None = None, s: int = 1
) -> np.ndarray:
    r"""Bilinear interpolation of a grid of vectors to another size.

    Parameters
    ----------
    grid : (h, w, d) float
        The grid.
    height, width : int
        The size to reach.
    step : (float, float), optional
        Rows and columns of the finer grid from one position of `grid` to the next. By default
        (height / h, width / w): the outer edges of the two grids coincide.
    s : int, default 1
        Stride of the patches in `grid` (equation 7 uses it). The centre of a patch is then
        $1 / (2s)$ of a step after the upper and left edges of its cell.

    Returns
    -------
    finer : (height, width, d) float64
        The interpolated grid.

    Notes
    -----
    Section 3.1, "bilinearly rescaling"; the centre of cell $k$ is at $k + \tfrac12$.
    """
    h_star, w_star, d = grid.shape
    finer = np.empty((height, width, d), np.float64)
    if step is None:
        down, right = height / h_star, width / w_star
    else:
        down, right = float(step[0]), float(step[1])

    # y = (h + ½) / down − 1/(2s), x = (w + ½) / right − 1/(2s), not beyond the corner positions;
    # then the mean of the four values around (y, x), weighted by 1 − distance along each axis
    for h in range(height):
        y = min(max((h + 0.5) / down - 0.5 / s, 0.0), h_star - 1.0)
        y0 = int(y)
        y1 = min(y0 + 1, h_star - 1)
        for w in range(width):
            x = min(max((w + 0.5) / right - 0.5 / s, 0.0), w_star - 1.0)
            x0 = int(x)
            x1 = min(x0 + 1, w_star - 1)
            for k in range(d):
                above = (1 - (x - x0)) * grid[y0, x0, k] + (x - x0) * grid[y0, x1, k]
                below = (1 - (x - x0)) * grid[y1, x0, k] + (x - x0) * grid[y1, x1, k]
                finer[h, w, k] = (1 - (y - y0)) * above + (y - y0) * below

    return finer


@njit(cache=True)
def patch_features(
    levels: tuple[np.ndarray, ...],
    p: int = 3,
    s: int = 1,
    d: int | None = None,
    d_target: int | None = None,
    cells: tuple[tuple[float, float], ...] | None = None,
) -> np.ndarray:
    r"""Compute the patch features of a batch of images (equations 1 to 3).

    Parameters
    ----------
    levels : tuple of (n, c_j, h_j, w_j) float32
        The feature maps, finest first. The first level's grid is the patches' grid.
    p, s : int, default 3 and 1
        Patchsize and stride.
    d : int, optional
        Dimension to pool each level's neighbourhoods to. By default each level keeps its own width
        $c_j$ (the mean over the neighbourhood). The authors use 1024.
    d_target : int, optional
        Dimension to pool the concatenated levels to. By default they are not pooled. The authors
        use 1024.
    cells : tuple of (float, float), optional
        $t_j$, rows and columns of pixels that a cell of each level covers. By default the levels
        cover the same area, and their outer edges coincide.

    Returns
    -------
    patches : (n, h', w', D) float32
        $D$ is `d_target`, or the sum of the levels' dimensions.

    Raises
    ------
    ValueError
        If `p`, `s`, `d` or `d_target` is less than 1, the levels have different batch sizes, or
        `cells` is of another length than `levels`.

    Notes
    -----
    Section 3.1 of Roth et al., CVPR 2022. The paper joins two levels, $j$ and $j + 1$; any number
    works.
    """
    if s < 1:
        raise ValueError("stride s must be at least 1")

    n = levels[0].shape[0]
    for phi_j in levels:
        if phi_j.shape[0] != n:
            raise ValueError("the levels must be of the same images: their batch sizes differ")
    if cells is not None and len(cells) != len(levels):
        raise ValueError("cells must hold one pair for each level")
    height = len(range(0, levels[0].shape[2], s))
    width = len(range(0, levels[0].shape[3], s))
    concatenated = 0
    for phi_j in levels:
        concatenated += phi_j.shape[1] if d is None else d
    D = concatenated if d_target is None else d_target
    patches = np.empty((n, height, width, D), np.float32)

    for i in range(n):
        joined = np.empty((height, width, concatenated), np.float64)

        # P_{s,p}(φ_{i,j}), P_{s,p}(φ_{i,j+1}), …: each upsampled to (h', w') of the first level
        # (the first stays as it is), then concatenated
        start = 0
        for j in range(len(levels)):
            phi_j = levels[j]
            d_j = phi_j.shape[1] if d is None else d
            collection = patch_collection(phi_j[i], p, s, d_j)
            if cells is None:
                rescaled = upsample(collection, height, width)
            else:  # t_j / t_first patches of the first level for each patch of level j
                step = (cells[j][0] / cells[0][0], cells[j][1] / cells[0][1])
                rescaled = upsample(collection, height, width, step)
            joined[:, :, start : start + d_j] = rescaled
            start += d_j

        # with d_target: f_agg once more, over the concatenated levels
        for h in range(height):
            for w in range(width):
                if d_target is None:
                    patches[i, h, w] = joined[h, w]
                else:
                    patches[i, h, w] = adaptive_average_pool(joined[h, w], d_target)

    return patches
