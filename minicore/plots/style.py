"""The style of all figures, and how to save a figure."""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.font_manager import get_font_names

from minicore.runtime.files import atomic_write

Array = npt.NDArray[Any]

INK, GREY, PALE = "#222222", "#767676", "#D5D5D5"
GOOD, ANOMALOUS, TRUTH = "#0072B2", "#D55E00", "#56B4E9"  # Okabe and Ito, 2008
HEAT = colormaps["inferno"]
# Without the last yellows of viridis, which are hard to see on white.
ORDER = ListedColormap(colormaps["viridis"](np.linspace(0, 0.91, 256)))
WIDTH = 7.2  # inches: 1080 pixels, sharp in a README
DASHED = (0, (4, 3))
SUFFIXES = (".pdf", ".png", ".svg")
EAST_ASIAN = ("Malgun Gothic", "Apple SD Gothic Neo", "Noto Sans CJK KR")  # for names of files
INSTALLED = set(get_font_names())
METADATA: Any = {  # the program, which `kinds.kind_of` reads; no date
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
    # Part of matplotlib: the same figure everywhere. The others have what it lacks.
    "font.sans-serif": ["DejaVu Sans", *(f for f in EAST_ASIAN if f in INSTALLED)],
    "font.size": 8.5,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.hashsalt": "minicore",  # the same SVG file each time
    "text.color": INK,
    "text.parse_math": False,  # a file name can contain a dollar sign
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
styled = rc_context(STYLE)  # a decorator: applies the style inside one function only


class Figure(MatplotlibFigure):
    """A figure that a notebook displays without pyplot."""

    def _repr_png_(self) -> bytes:
        return render(self, "png")


def short_number(value: float) -> str:
    """Return a number with three digits: 2.60, and 260 without a point."""
    return f"{value:#.3g}".rstrip(".")


def one_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure with one plot, and its axes; sizes are in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


@styled
def render(figure: MatplotlibFigure, suffix: str) -> bytes:
    """Return the figure as PNG, SVG or PDF; without a date, so that files are reproducible."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # without a font for a name, the figure shows boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from ", UserWarning)
        figure.savefig(buffer, format=suffix, metadata=METADATA[suffix])
    return buffer.getvalue()


def save(
    figure: MatplotlibFigure, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a figure to a file. If writing fails, no partial file remains.

    Parameters
    ----------
    figure : Figure
        A figure that a function of this package returned.
    path : path-like
        The suffix is the format: ``.png``, ``.svg`` or ``.pdf``. Missing folders are created.
    overwrite : bool, default False
        Replace the file even if minicore did not create it.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    ValueError
        If the suffix is not one of these three.
    OutputError
        If the file cannot be written or must not be replaced. An existing file is unchanged.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(f"cannot save {str(target)!r}: the suffix must be {', '.join(SUFFIXES)}")
    content = render(figure, target.suffix.lower()[1:])
    with atomic_write(target, overwrite=overwrite) as file:
        file.write(content)
    return target
