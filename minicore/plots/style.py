"""The one style of all figures, and how a figure becomes a file."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as MatplotlibFigure

from minicore.runtime.files import atomic_write

INK, GREY, PALE = "#222222", "#767676", "#D5D5D5"
GOOD, ANOMALOUS, TRUTH = "#0072B2", "#D55E00", "#56B4E9"  # Okabe and Ito, 2008
HEAT = colormaps["inferno"]
ORDER = ListedColormap(
    colormaps["viridis"](np.linspace(0, 0.91, 256))
)  # its last yellows fade on white
WIDTH = 7.2  # inches: 1080 pixels, sharp at the width of a README
DASHED = (0, (4, 3))
SUFFIXES = (".pdf", ".png", ".svg")
METADATA: Any = {  # who made it, by which `kinds.made_by_minicore` knows it; no date
    "pdf": {"Creator": "minicore", "CreationDate": None},
    "png": {"Software": "minicore"},
    "svg": {"Creator": "minicore", "Date": None},
}
STYLE: Any = {
    "axes.edgecolor": GREY,
    "axes.facecolor": "white",
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure everywhere
    "font.size": 8.5,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.hashsalt": "minicore",  # the same SVG each time
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a file's name is a dollar
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
styled = rc_context(STYLE)  # a decorator: the style holds inside a function and nowhere else


class Figure(MatplotlibFigure):
    """A figure that a notebook shows although pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        return render(self, "png")


def one_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of one plot, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


@styled
def render(figure: MatplotlibFigure, suffix: str) -> bytes:
    """Bytes of the figure as png, svg or pdf: the same each time, for no date is written in."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, metadata=METADATA[suffix])
    return buffer.getvalue()


def save(
    figure: MatplotlibFigure, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a figure to a file, whole or not at all.

    Parameters
    ----------
    figure : Figure
        From any function here.
    path : path-like
        Its suffix names the format: ``.png``, ``.svg`` or ``.pdf``. Missing folders are made.
    overwrite : bool, default False
        Whether to replace a file that minicore did not make.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ValueError
        The suffix is another.
    OutputError
        The file cannot be written, or must not be replaced; what was there before is untouched.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(f"cannot save {str(target)!r}: the suffix must be {', '.join(SUFFIXES)}")
    content = render(figure, target.suffix.lower()[1:])
    with atomic_write(target, overwrite=overwrite) as file:
        file.write(content)
    return target
