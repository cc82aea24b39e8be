"""Crop an image that is turned about its centre, without black corners."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

REACH = 2  # pixels on each side of a point that bicubic interpolation reads


def turned_crop(
    pixels: np.ndarray, angle: float, box: tuple[int, int, int, int], stretch: float = 1.0
) -> np.ndarray:
    """Turn an image about its centre, counter-clockwise, and return a part of the result.

    The image keeps its size. A pixel whose origin is outside the image gets its value from the
    mirror image at the border. Turns by a multiple of 90° move the pixels of a square image without
    interpolation, as `numpy.rot90` does.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
    angle : float
        In degrees.
    box : (int, int, int, int)
        Left, top, right, bottom of the part, in pixels of the turned image; right and bottom are
        exclusive.
    stretch : float
        Height of a pixel divided by its width, if an earlier resize changed the shape of the part:
        height factor / width factor. The part itself is turned, not the stretched picture.

    Returns
    -------
    (bottom - top, right - left, 3) uint8
        Bicubic interpolation.
    """
    h, w = pixels.shape[:2]
    left, top, right, bottom = box
    cos, sin = _exact_cos_sin(angle)
    # The origin (x', y') of the point (x, y), both measured from the centre of the image:
    #     x' =            x cos − y sin / stretch
    #     y' =  stretch · x sin + y cos
    turn = np.array([[cos, -sin / stretch], [stretch * sin, cos]])
    centre = np.array([w / 2, h / 2])
    corners = np.array([[x, y] for x in (left, right) for y in (top, bottom)]) - centre
    ends = corners @ turn.T + centre
    (x_low, y_low), (x_high, y_high) = np.floor(ends.min(0)), np.ceil(ends.max(0))
    before_x, before_y = (max(int(-low) + REACH, 0) for low in (x_low, y_low))
    after_x, after_y = max(int(x_high - w) + REACH, 0), max(int(y_high - h) + REACH, 0)
    padded = np.pad(pixels, ((before_y, after_y), (before_x, after_x), (0, 0)), mode="symmetric")
    shift = centre + (before_x, before_y) + turn @ (np.array([left, top]) - centre)
    coefficients = tuple(map(float, (*turn[0], shift[0], *turn[1], shift[1])))
    found = np.empty((bottom - top, right - left, 3), np.uint8)
    for c in range(3):  # as float32: for 8 bits, Pillow truncates instead of rounding
        channel = Image.fromarray(padded[:, :, c].astype(np.float32)).transform(
            (right - left, bottom - top),
            Image.Transform.AFFINE,
            coefficients,
            Image.Resampling.BICUBIC,
        )
        found[:, :, c] = np.clip(np.rint(np.asarray(channel)), 0, 255)
    return found


def _exact_cos_sin(angle: float) -> tuple[float, float]:
    """Return cosine and sine, exactly 0, 1 or -1 for multiples of 90°."""
    quarters = angle / 90
    if quarters == round(quarters):
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarters) % 4]
    return math.cos(math.radians(angle)), math.sin(math.radians(angle))
