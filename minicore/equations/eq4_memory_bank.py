r"""Equation 4: the memory bank.

Everything PatchCore learns is a set: the patch features of all the good training images $X_N$,
remembered without change (section 3.1). Its size is the number of images times the number of
patches of each: 209 images of 28 by 28 patches make 163,856 rows, 0.67 GB at 1024 float32 each,
which is why section 3.2 (equation 5) thins it out.

Edge cases
----------
Order
    A set has none, an array has: image by image, and in each row by row of its grid, so that row
    $r$ comes from image $r \div (h' w')$ and position $r \bmod (h' w')$. Ties in later equations
    go to the lowest row.
Duplicates
    Two equal patch features stay two rows; it changes no distance.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def memory_bank(patches):
    r"""Unite the images' patch features, $\mathcal{M}$.

    Parameters
    ----------
    patches : (n, h', w', D) float32
        $\mathcal{P}_{s,p}(\phi_j(x_i))$ of each of the $n$ good images (equation 3).

    Returns
    -------
    M : (n h' w', D) float32
        One patch feature a row.

    Notes
    -----
    Equation 4 of Roth et al., CVPR 2022.
    """
    n, height, width, D = patches.shape
    M = np.empty((n * height * width, D), patches.dtype)

    # \mathcal{M} = \bigcup_{x_i \in X_N} \mathcal{P}_{s,p}(\phi_j(x_i))
    row = 0
    for i in range(n):
        for h in range(height):
            for w in range(width):
                M[row] = patches[i, h, w]
                row += 1

    return M
