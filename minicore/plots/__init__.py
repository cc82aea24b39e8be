"""Every figure of the documentation, the notebooks and the report, in one style.

Each function takes arrays and returns a `matplotlib.figure.Figure`. No function uses pyplot, so no
display is needed. A notebook displays the figure if it is the last value of a cell. `save` writes
the figure to a file.

Good images are blue and anomalous images are vermilion (Okabe and Ito). Readers with a colour
vision deficiency can distinguish them. Scores use the colour map inferno, orders use viridis.
"""

from minicore.plots.additions import additions
from minicore.plots.animation import animation
from minicore.plots.gallery import pictures
from minicore.plots.poster import trace
from minicore.plots.projection import coreset
from minicore.plots.scores import histogram, roc, timings
from minicore.plots.segmentation import panels
from minicore.plots.style import save

__all__ = [
    "additions",
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
