"""Defects that any surface can have. Each function paints one over the good part, at (x, y)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from minicore.datasets.drawn.canvas import Canvas, Colour, between, colour, turn

_SPOTS: list[Colour] = [(0.07, 0.06, 0.05), (0.30, 0.17, 0.07), (0.92, 0.90, 0.84)]
_STAINS: list[Colour] = [(0.62, 0.52, 0.38), (0.55, 0.55, 0.58), (0.66, 0.44, 0.34)]
_TINTS: list[Colour] = [
    (1.05, 0.62, 0.42), (0.50, 0.72, 1.10), (0.95, 0.90, 0.35), (0.45, 0.88, 0.52),
]  # fmt: skip


def _scratch(c: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Paint a bent line with thin ends: a bright cut with a dark edge."""
    (k, s), half = turn(between(rng, -1, 1)), between(rng, 18, 40)
    bend, width = between(rng, -14, 14), between(rng, 0.9, 1.7)
    w = c.window(x, y, half + 18)
    cut = burr = np.full((w.y.shape[0], w.x.shape[1]), np.inf, np.float32)
    points = []
    for n in range(17):
        t = n / 8 - 1
        u, v = half * t, bend * (1 - t * t)
        points.append((x + k * u - s * v, y + s * u + k * v, width * (1.15 - t * t)))
    for (ax, ay, half_width), (bx, by, _) in pairwise(points):
        cut = np.minimum(cut, w.line(ax, ay, bx, by, half_width))
        burr = np.minimum(burr, w.line(ax + 1.1, ay + 1.1, bx + 1.1, by + 1.1, half_width))
    bright = between(rng, 0.72, 0.95)
    w.paint((0.08, 0.07, 0.06), burr, 0.65)
    w.paint((bright, bright, 0.97 * bright), cut, 0.85)


def _spot(c: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Paint one to four spots of dirt."""
    bright = max(_colour_at(c, x, y)) >= 0.6
    dirt = _SPOTS[int(rng.integers(2 if bright else 3))]  # the third is white: not on a bright part
    for _ in range(int(rng.integers(1, 5))):
        r = between(rng, 3, 6)
        w = c.window(x, y, 14)
        w.paint(dirt, w.disc(x, y, r) + 0.45 * r * w.noise(rng, 40, 40), 0.92, 1.5)
        x, y = x + between(rng, -16, 16), y + between(rng, -16, 16)


def _stain(c: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Paint a dried liquid: a dark area, darkest along its edge."""
    distance, w = _blob(c, rng, x, y, between(rng, 15, 28))
    strength = between(rng, 0.45, 0.8)
    tint = colour(*_STAINS[int(rng.integers(len(_STAINS)))])
    w.paint(w.rgb * tint, distance, strength, 2.5)
    w.paint(w.rgb * tint, np.abs(distance + 2) - 1.2, strength, 2.5)


def _colour(c: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Change the colour but not shape and brightness, as overheating does."""
    distance, w = _blob(c, rng, x, y, between(rng, 12, 22))
    present = _colour_at(c, x, y)
    level = max(present)
    others = [
        t
        for t in _TINTS
        if max(abs(level * a - b) for a, b in zip(t, present, strict=True)) > 0.3 * level
    ]
    tint = colour(*others[int(rng.integers(len(others)))])
    grey = 0.12 + 0.88 * w.rgb.max(axis=0, keepdims=True)
    w.paint(np.minimum(grey * tint, 1), distance, between(rng, 0.5, 0.8), 3)


def _colour_at(c: Canvas, x: float, y: float) -> list[float]:
    """Return the colour of the part at (x, y). A defect must have another colour."""
    return [float(value) for value in c.window(x, y, c.unit).rgb[:, 0, 0]]


def _blob(
    c: Canvas, rng: np.random.Generator, x: float, y: float, r: float
) -> tuple[np.ndarray, Canvas]:
    """Return the signed distance to an irregular shape of radius about r, and its window."""
    w = c.window(x, y, 1.8 * r)
    return w.disc(x, y, r) + 0.5 * r * w.noise(rng, 12, 12, 2), w


PAINTERS = {"scratch": _scratch, "spot": _spot, "stain": _stain, "colour": _colour}
