"""Every figure of the documentation, the notebooks and the report, in one style.

Each function takes arrays and returns a `matplotlib.figure.Figure`; none touches pyplot, so there
is no current figure, no backend to choose and no display needed. A notebook shows the figure when
it is the last value of a cell; `save` writes it to a file.

Colours: good and anomalous are the blue and vermilion of Okabe and Ito, which readers with any
common colour vision tell apart; quantities use maps of even perceptual steps, inferno for heat and
viridis for order.
"""

from minicore.plots.animation import animation
from minicore.plots.gallery import pictures
from minicore.plots.poster import trace
from minicore.plots.projection import coreset
from minicore.plots.scores import histogram, roc, timings
from minicore.plots.segmentation import panels
from minicore.plots.style import save

__all__ = [
    "animation",
    "coreset",
    "histogram",
    "panels",
    "pictures",
    "roc",
    "save",
    "timings",
    "trace",
]
