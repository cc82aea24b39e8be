"""Animation: figures one after another in a GIF."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from minicore import plots
from minicore.plots import style


@pytest.mark.slow
def test_an_animation_displays_each_figure_for_its_time():
    def drawn():
        for x in range(3):
            figure, axes = style.one_axes(2, 1)
            axes.plot([0, x], [0, 1])
            yield figure

    figures = list(drawn())
    content = plots.animation(figures, seconds=0.2, hold=1)
    moving = Image.open(io.BytesIO(content))
    assert moving.format == "GIF" and moving.n_frames == 3 and moving.info["loop"] == 0
    durations, seen = [], []
    for frame in range(3):
        moving.seek(frame)
        durations.append(moving.info["duration"])
        seen.append(np.asarray(moving.convert("RGB")))
    assert durations == [200, 200, 1000]
    assert all(np.abs(a.astype(int) - b).max() > 100 for a, b in itertools.pairwise(seen))
    assert content == plots.animation(list(drawn()), seconds=0.2, hold=1)
    with pytest.raises(ValueError, match="at least one figure"):
        plots.animation([])
    with pytest.raises(ValueError, match="one size"):
        plots.animation([figures[0], style.one_axes(1, 1)[0]])
    with pytest.raises(ValueError, match="must be positive"):
        plots.animation(figures, seconds=0)
