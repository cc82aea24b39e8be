r"""Find patches that are covered without the rows of any one other image, without a search.

The coreset covers all patches: each has a row within the radius r, in the projection $\psi$. If the
rows of an image are left out, some patches of other images lose all rows within r. A patch loses
none of this kind if it has a row of its own image within r, or two rows of different images.

Such rows are mostly among the nearest rows of other patches: those beside it, and those at the same
position in other images. So a few distances replace a search. If they find no such rows, nothing is
known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import squared_distance
from minicore.runtime.kernels import parallel

BESIDE = 9  # patches: the patch itself and those around it
IMAGES = 32  # images before and after. More find little more, and a search costs 300 distances


def covered(
    psi_M: npt.NDArray[np.float32],
    images: npt.NDArray[np.int64],
    nearest: npt.NDArray[np.int64],
    psi_M_C: npt.NDArray[np.float32],
    image_of_row: npt.NDArray[np.int64],
    radius: float,
) -> npt.NDArray[np.bool_]:
    r"""Return for which patches there are certainly enough rows within the radius.

    Parameters
    ----------
    psi_M : (n * h' * w', d) float32
        Patches of n grids, in the projection.
    images : (n,) int64
        The image of each grid.
    nearest : (n, h', w') int64
        For each patch, a row of the coreset that is probably near; -1 if none is known.
    psi_M_C : (l, d) float32
        The coreset, in the projection.
    image_of_row : (l,) int64
        The image of each row of the coreset.
    radius : float
        Largest distance of a row that covers a patch.

    Returns
    -------
    (n * h' * w',) bool
        True if a row of the patch's own image is within the radius, or two rows of different images
        are. False if the nearest rows of other patches do not show this.
    """
    found = np.zeros(nearest.size, np.bool_)
    _cover(len(nearest), psi_M, images, nearest, psi_M_C, image_of_row, radius, found)
    return found


@parallel(cache=True)
def _cover(first_grid, end, psi_M, images, nearest, psi_M_C, image_of_row, radius, found):
    n, height, width = nearest.shape
    for g in range(first_grid, end):
        for h in range(height):
            for w in range(width):
                patch = (g * height + h) * width + w
                first = np.int64(-1)  # the image of a row within the radius
                for step in range(BESIDE + 2 * IMAGES):
                    i, a, b = g, h, w
                    if step < BESIDE:
                        a, b = h + step // 3 - 1, w + step % 3 - 1
                    else:
                        away = (step - BESIDE) // 2 + 1
                        i = g + away if step % 2 else g - away
                    if not (0 <= i < n and 0 <= a < height and 0 <= b < width):
                        continue
                    row = nearest[i, a, b]
                    if row < 0 or image_of_row[row] == first:
                        continue
                    if np.sqrt(squared_distance(psi_M[patch], psi_M_C[row])) <= radius:
                        if first >= 0 or image_of_row[row] == images[g]:
                            found[patch] = True
                            break
                        first = image_of_row[row]
