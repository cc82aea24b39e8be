r"""Equation 4: the memory bank.

All that PatchCore learns is one set: the patch features of all good training images $X_N$, stored
as they are (section 3.1). The 209 good images of MVTec AD's bottle, with 28 × 28 patches each, give
163,856 rows. With 1,024 float32 values per row, that is 0.67 GB. Equation 5 makes it smaller.

Edge cases
----------
Order
    A set has no order, but an array has one: image by image, and row by row of each grid. Later
    equations resolve ties by the lowest row.
Duplicates
    Two equal patch features stay two rows. This does not change the distance to the nearest row.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def memory_bank(patches: np.ndarray) -> np.ndarray:
    r"""Collect the patch features of all images in $\mathcal{M}$ (equation 4).

    Parameters
    ----------
    patches : (n, h', w', D) float32
        $\mathcal{P}_{s,p}(\phi_j(x_i))$ of each of the n good images (equation 3).

    Returns
    -------
    M : (n h' w', D) float32
        One patch feature per row.
    """
    n, height, width, D = patches.shape
    M = np.empty((n * height * width, D), patches.dtype)

    # M = ∪_{x_i ∈ X_N} P_{s,p}(φ_j(x_i)), the same as patches.reshape(-1, D)
    row = 0
    for i in range(n):
        for h in range(height):
            for w in range(width):
                M[row] = patches[i, h, w]
                row += 1

    return M
