"""Figures one after the other, as one small moving picture."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

from minicore.plots.style import render

COLOURS = 64  # of a drawing; a photograph would want more


def animation(
    figures: Sequence[MatplotlibFigure], *, seconds: float = 0.5, hold: float = 2.5
) -> bytes:
    """Make an animated GIF of figures: it needs neither a kernel nor JavaScript to be seen.

    ``IPython.display.Image(animation(figures))`` shows it in a notebook.

    Parameters
    ----------
    figures : sequence of Figure
        Of one size in pixels.
    seconds : float, default 0.5
        How long each is shown.
    hold : float, default 2.5
        How long the last one is, before the first comes again.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If there is no figure, the sizes differ, or a time is not positive.
    """
    if not figures:
        raise ValueError("expected at least one figure, got none")
    if seconds <= 0 or hold <= 0:
        raise ValueError(f"seconds and hold must be positive, got {seconds} and {hold}")
    pictures = [Image.open(io.BytesIO(render(figure, "png"))).convert("RGB") for figure in figures]
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) > 1:
        raise ValueError(f"the figures must be of one size in pixels, got {sizes}")
    # One palette for all, or colours would flicker: that of every figure side by side.
    wide, tall = sizes[0]
    strip = Image.new("RGB", (wide, tall * len(pictures)))
    for i, picture in enumerate(pictures):
        strip.paste(picture, (0, tall * i))
    palette = strip.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    milliseconds = [round(1000 * seconds)] * (len(frames) - 1) + [round(1000 * hold)]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "gif",
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
        comment=b"minicore",  # by which `kinds.made_by_minicore` knows it
    )
    return buffer.getvalue()
