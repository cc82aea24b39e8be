"""Several figures as one animated GIF."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

from minicore.plots.style import render

COLOURS = 64  # enough for a drawing; a photograph needs more


def animation(
    figures: Sequence[MatplotlibFigure], *, seconds: float = 0.5, hold: float = 2.5
) -> bytes:
    """Return an animated GIF of figures; a page displays it without a kernel and JavaScript.

    ``IPython.display.Image(animation(figures))`` displays it in a notebook.

    Parameters
    ----------
    figures : sequence of Figure
        All figures have the same size in pixels.
    seconds : float, default 0.5
        Display time of each figure.
    hold : float, default 2.5
        Display time of the last figure, before the animation starts again.

    Returns
    -------
    bytes
        The content of the GIF file.

    Raises
    ------
    ValueError
        If there is no figure, if sizes differ, or if a time is not positive.
    """
    if not figures:
        raise ValueError("expected at least one figure, got none")
    if seconds <= 0 or hold <= 0:
        raise ValueError(f"seconds and hold must be positive, got {seconds} and {hold}")
    pictures = [Image.open(io.BytesIO(render(figure, "png"))).convert("RGB") for figure in figures]
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) > 1:
        raise ValueError(f"the figures must have one size in pixels, got {sizes}")
    # One palette for all figures: with different palettes, colours would flicker.
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
        comment=b"minicore",  # `kinds.kind_of` reads it
    )
    return buffer.getvalue()
