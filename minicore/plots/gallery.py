"""Images and grids of numbers side by side."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.patches import Rectangle

from minicore.plots.style import ANOMALOUS, ORDER, Figure, styled


@styled
def pictures(
    images: Sequence[npt.ArrayLike],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    cmap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    frames: Sequence[tuple[float, float, float, float] | None] | None = None,
) -> Figure:
    """Draw images and grids of numbers side by side, without interpolation.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8 or (h, w) numbers
        In a grid of numbers, light cells have larger values.
    titles : sequence of str, optional
        One title per image.
    columns : int, default 6
        Number of images in a row.
    cmap : str, optional
        Colour map of the grids.
    vmin, vmax : float, optional
        Limits of the colour scale of all grids; by default, each grid has its own limits.
    frames : sequence of (top, left, height, width) or None, optional
        One rectangle per image, in its pixels or cells.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no images, or if there are more or fewer titles or frames than images.
    """
    arrays = [np.asarray(image) for image in images]
    for name, values in (("titles", titles), ("frames", frames)):
        if values is not None and len(values) != len(arrays):
            raise ValueError(
                f"expected {len(arrays)} {name}, one for each image, got {len(values)}"
            )
    if not arrays:
        raise ValueError("expected at least one image, got none")
    across = min(columns, len(arrays))
    down = -(-len(arrays) // across)
    side = min(1.9, 7.2 / across)
    figure = Figure(figsize=(side * across, (side + 0.28) * down), layout="constrained")
    for k, axes in enumerate(figure.subplots(down, across, squeeze=False).flat):
        axes.set_axis_off()
        if k >= len(arrays):
            continue
        axes.imshow(arrays[k], cmap=cmap or ORDER, vmin=vmin, vmax=vmax, interpolation="nearest")
        if titles is not None:
            axes.set_title(titles[k])
        if frames is not None and frames[k] is not None:
            top, left, height, width = frames[k]  # type: ignore[misc]
            axes.add_patch(
                Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec=ANOMALOUS, lw=1.6)
            )
    return figure
