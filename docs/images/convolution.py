"""Draw convolution.png, for the page on deep learning: ``python docs/images/convolution.py``."""

from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from minicore import Backbone, datasets, plots
from minicore.images import prepare, view
from minicore.plots.style import ANOMALOUS, INK, ORDER, Figure, styled

pixels = np.array([[0, 0, 0, 9, 9, 9]] * 4 + [[0, 0, 0, 0, 0, 0]] * 2)
kernel = np.array([[-1, 0, 1]] * 3)
windows = np.lib.stride_tricks.sliding_window_view(pixels, kernel.shape)
responses = (windows * kernel).sum(axis=(2, 3))

backbone = Backbone(layers=("layer1", "layer2", "layer3"))
gear = datasets.synthetic("gear", n_train=1, n_good=0, n_defective=0, seed=0).train[0]
maps = backbone(prepare(gear, backbone.preprocessing)[None])
shown = {
    "the image, 224 × 224": view(gear, backbone.preprocessing),
    "layer1, channel 10, 56 × 56": maps["layer1"][0, 10],
    "layer2, channel 18, 28 × 28": maps["layer2"][0, 18],
    "layer3, channel 10, 14 × 14": maps["layer3"][0, 10],
}


@styled
def draw() -> Figure:
    """Draw a convolution in numbers above, an image and three of its feature maps below."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    for axes, title, numbers, framed, colours, reach in zip(
        above.subplots(1, 3, width_ratios=(6, 3, 4)),
        ("pixels, 6 × 6", "kernel, 3 × 3", "response, 4 × 4"),
        (pixels, kernel, responses),
        ((0, 1, 3), (0, 0, 3), (0, 1, 1)),  # row, column and side of the frame
        ("Greys", "RdBu", "Blues"),
        (16, 4, 60),
        strict=True,
    ):
        low = -reach if (numbers < 0).any() else 0
        axes.pcolormesh(numbers, cmap=colours, vmin=low, vmax=reach, edgecolors=INK, linewidth=0.5)
        for (row, column), number in np.ndenumerate(numbers):
            axes.text(column + 0.5, row + 0.5, str(number), ha="center", va="center")
        row, column, side = framed
        axes.add_patch(
            Rectangle((column, row), side, side, fill=False, ec=ANOMALOUS, lw=2.2, clip_on=False)
        )
        axes.set(aspect="equal", title=title)
        axes.invert_yaxis()
        axes.set_axis_off()
    for axes, (title, picture) in zip(below.subplots(1, 4), shown.items(), strict=True):
        axes.imshow(picture, cmap=ORDER, interpolation="nearest")
        axes.set_title(title, fontsize=7.5)
        axes.set_axis_off()
    return figure


plots.save(draw(), Path(__file__).with_suffix(".png"), overwrite=True)
