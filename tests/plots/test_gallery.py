"""Gallery: images and grids of numbers side by side."""

import numpy as np
import pytest

from minicore import plots


@pytest.mark.slow
def test_pictures_are_drawn_side_by_side_with_titles_and_frames():
    grid, photo = np.arange(12.0).reshape(3, 4), np.zeros((8, 8, 3), np.uint8)
    figure = plots.pictures(
        [grid, photo, grid], ["a", "b", "c"], columns=2, frames=[(0, 0, 1, 1), None, None]
    )
    assert len(figure.axes) == 4 and [a.get_title("left") for a in figure.axes[:3]] == list("abc")
    assert len(figure.axes[0].patches) == 1 and not figure.axes[1].patches
    assert figure._repr_png_()[:4] == b"\x89PNG"
    for wrong in ({"titles": ["a"]}, {"frames": []}):
        with pytest.raises(ValueError, match=r"expected 3 \w+, one for each image"):
            plots.pictures([grid] * 3, **wrong)
    with pytest.raises(ValueError, match="at least one image"):
        plots.pictures([])
