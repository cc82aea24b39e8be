"""The receptive field: the pixels that influence one patch."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.features import cell


def receptive_fields(model: PatchCore) -> list[int | None]:
    r"""Measure the side of the receptive field of one patch in each hierarchy level, in pixels.

    The pixels outside a square in the middle of an image are replaced by others. The square
    contains the receptive field of the central position if no bit of the vector there changes.

    Parameters
    ----------
    model : PatchCore
        Fitted or loaded.

    Returns
    -------
    list of int or None
        Side of the smallest such square for each level, enlarged by the neighbourhood of
        equation 1. None if it is larger than the image.
    """
    size, config = model.input_size_, model.config_
    preprocessing = config.preprocessing.override("none", "none")
    inside, outside = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)

    def centres(radius: float) -> tuple[list[np.ndarray], list[float]]:
        """Return the central vector of each level, and the pixels of one cell."""
        image = _square(inside, outside, radius)
        (maps,) = model.backbone_.feature_maps([image], preprocessing, 1)
        phi = [level[0] for network in maps.networks for level in network]
        middle = [each[:, each.shape[1] // 2, each.shape[2] // 2] for each in phi]
        return middle, [cell(maps.size, each.shape[1:])[0] for each in phi]

    whole, cells = centres(np.inf)
    radii = range(1, min(size) // 2)
    measured: dict[int, list[np.ndarray]] = {}
    sides: list[int | None] = []
    for level, t in enumerate(cells):

        def unchanged(radius: int, level: int = level) -> bool:
            if radius not in measured:
                measured[radius] = centres(radius)[0]
            return bool(np.array_equal(measured[radius][level], whole[level]))

        found = bisect_left(radii, True, key=unchanged)
        around = 2 * (config.patchsize // 2) * t
        side = None if found == len(radii) else round(2 * radii[found] + around)
        sides.append(None if side is None or side > min(size) else side)
    return sides


def _square(inside: np.ndarray, outside: np.ndarray, radius: float) -> np.ndarray:
    """Return `inside` in the square of this radius around the centre, `outside` elsewhere."""
    height, width = inside.shape[:2]
    rows = np.abs(np.arange(height) + 0.5 - height / 2) < radius
    columns = np.abs(np.arange(width) + 0.5 - width / 2) < radius
    return np.where((rows[:, None] & columns)[:, :, None], inside, outside)
