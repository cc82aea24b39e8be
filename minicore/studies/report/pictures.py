"""Encode pictures as text inside the page: data URIs, and SVG paths."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from minicore.plots.segmentation import overlay
from minicore.plots.style import render

SIDE = 256  # pixels: the size of a picture on the page
WEBP = {
    "quality": 80,
    "method": 4,
}  # a third of the size of a PNG; all browsers since 2020 support it
Box = tuple[int, int, int, int]  # top, left, bottom, right; bottom and right are exclusive


def photograph(pixels: np.ndarray) -> str:
    """Return an image as WebP, reduced to at most `SIDE` pixels.

    Parameters
    ----------
    pixels : (h, w, 3) uint8

    Returns
    -------
    str
        A data URI.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **WEBP)
    return _uri("image/webp", buffer.getvalue())


def heat(pixels: np.ndarray, anomaly_map: np.ndarray, low: float, high: float) -> str:
    """Return an image with its anomaly map on top, as in `minicore.plots.panels`.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
    anomaly_map : (h, w) float
    low, high : float
        Ends of the colour scale.

    Returns
    -------
    str
        A data URI.
    """
    level = np.clip((anomaly_map - low) / (high - low), 0, 1)
    mixed = overlay(pixels / np.float32(255), level)
    return photograph((255 * mixed + 0.5).astype(np.uint8))


def colours() -> str:
    """Return the colour scale of `heat` from low to high, as a PNG."""
    buffer = io.BytesIO()
    scale = overlay(np.zeros((1, 128, 3)), np.linspace(0, 1, 128)[None])
    Image.fromarray((255 * scale + 0.5).astype(np.uint8)).save(buffer, "PNG")
    return _uri("image/png", buffer.getvalue())


def drawing(figure: Figure) -> str:
    """Return a figure as SVG, which is sharp at any size."""
    return _uri("image/svg+xml", render(figure, "svg"))


def around(pixels: np.ndarray, window: Box, side: int) -> tuple[np.ndarray, Box]:
    """Cut a square around a window out of an image. At the border the square is moved inside.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
    window : (int, int, int, int)
    side : int

    Returns
    -------
    pixels : (at most side, at most side, 3) uint8
    window : (int, int, int, int)
        Position of the window in the cut.
    """
    top, left, bottom, right = window
    height, width = (min(side, n) for n in pixels.shape[:2])
    y = min(max((top + bottom - height) // 2, 0), pixels.shape[0] - height)
    x = min(max((left + right - width) // 2, 0), pixels.shape[1] - width)
    return pixels[y : y + height, x : x + width], (top - y, left - x, bottom - y, right - x)


def outline(mask: np.ndarray) -> str:
    """Return the outline of a mask, exactly between the pixels.

    Parameters
    ----------
    mask : (h, w) bool

    Returns
    -------
    str
        SVG path in units of pixels. Empty if the mask is empty.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    moves = []
    for letter, turned in (("h", padded), ("v", padded.T)):
        edges = np.diff(turned, axis=0)[:, 1:-1] != 0  # (lines between rows, columns)
        ends = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        for (line, start), stop in zip(
            np.argwhere(ends == 1), np.argwhere(ends == -1)[:, 1], strict=True
        ):
            x, y = (start, line) if letter == "h" else (line, start)
            moves.append(f"M{x} {y}{letter}{stop - start}")
    return "".join(moves)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
