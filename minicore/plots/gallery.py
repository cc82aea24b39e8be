"""Pictures and grids of numbers side by side."""

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
    """Show images and grids of numbers, each as it is, side by side.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8 or (h, w) numbers
        Grids of numbers are drawn from dark to light, cell by cell.
    titles : sequence of str, optional
        One above each.
    columns : int, default 6
        How many in a row.
    cmap : str, optional
        Another colour map for the grids.
    vmin, vmax : float, optional
        One scale for all grids; by default each has its own.
    frames : sequence of (top, left, height, width) or None, optional
        A rectangle on each, in its own pixels or cells.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no images, or not as many titles or frames as images.
    """
    shown = [np.asarray(image) for image in images]
    for what, given in (("titles", titles), ("frames", frames)):
        if given is not None and len(given) != len(shown):
            raise ValueError(f"expected {len(shown)} {what}, one for each image, got {len(given)}")
    if not shown:
        raise ValueError("expected at least one image, got none")
    across = min(columns, len(shown))
    down = -(-len(shown) // across)
    side = min(1.9, 7.2 / across)
    figure = Figure(figsize=(side * across, (side + 0.28) * down), layout="constrained")
    for k, axes in enumerate(figure.subplots(down, across, squeeze=False).flat):
        axes.set_axis_off()
        if k >= len(shown):
            continue
        axes.imshow(shown[k], cmap=cmap or ORDER, vmin=vmin, vmax=vmax, interpolation="nearest")
        if titles is not None:
            axes.set_title(titles[k])
        if frames is not None and frames[k] is not None:
            top, left, height, width = frames[k]  # type: ignore[misc]
            axes.add_patch(
                Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec=ANOMALOUS, lw=1.6)
            )
    return figure
