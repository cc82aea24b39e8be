"""A blister pack: sixteen equal capsules with two colours in foil."""

from __future__ import annotations

import numpy as np

from minicore.datasets.drawn.canvas import Anchors, Canvas, between, colour, times, turn, wave


def blister(
    c: Canvas, rng: np.random.Generator, flaw: str | None, pick: np.random.Generator
) -> Anchors:
    """Draw the pack. Flaws: one capsule is missing, or lies at an angle in its pocket."""
    ox, oy = 128 + between(rng, -2.5, 2.5), 128 + between(rng, -2.5, 2.5)
    turned = turn(between(rng, -0.01, 0.01))
    u, v = c.local(ox, oy, turned)
    emboss = wave((u + v) / 7) * wave((u - v) / 7)
    foil = 0.74 + 0.035 * emboss + 0.05 * c.noise(rng, 5, 5, 2)
    c.rgb[...] = foil * colour(0.97, 0.99, 1.02)
    for seam in (-56.0, 0.0, 56.0):  # the perforation between pockets
        for across in (u, v):
            c.shade(0.90 + 0.06 * wave((u + v) / 6), np.abs(across - seam) - 0.8)

    victim = int(pick.integers(16))
    anchors = []
    k, s = turned
    for n in range(16):
        du, dv = 56.0 * (n % 4) - 84, 56.0 * (n // 4) - 84
        x, y = ox + k * du - s * dv, oy + s * du + k * dv
        tilt, dx, dy = between(rng, -0.07, 0.07), between(rng, -1.2, 1.2), between(rng, -1, 1)
        tone = between(rng, 0.96, 1.04)
        anchors.append((x, y))
        w = c.window(x, y, 30)
        pocket = w.box(x, y, (23.5, 17), turned, 15)
        w.paint((0.45, 0.47, 0.50), w.box(x + 1, y + 1.6, (24.5, 18), turned, 16), 0.5, 3)
        w.paint((0.66, 0.68, 0.71), pocket)
        w.paint((0.90, 0.92, 0.95), np.abs(pocket + 1.4) - 0.5, 0.8, 1.5)
        if not (n == victim and flaw == "missing"):
            if n == victim and flaw == "misplaced":
                tilt = between(pick, 0.30, 0.9) * (1 if pick.random() < 0.5 else -1)
                dx, dy = between(pick, -3, 3), between(pick, -2, 2)
            _capsule(w, x + dx, y + dy, times(turned, turn(tilt)), tone)
        # Reflection on the clear plastic over the pocket, also if the pocket is empty.
        w.paint((1, 1, 1), w.line(x - 14, y - 12, x + 4, y - 13.5, 0.8), 0.45, 1.5)
    return anchors


def _capsule(w: Canvas, x: float, y: float, frame: tuple[float, float], tone: float) -> None:
    u, v = w.local(x, y, frame)
    shape = w.box(x, y, (18, 9), frame, 8.9)
    w.paint((0.30, 0.32, 0.36), w.box(x + 1.5, y + 3, (18, 9), frame, 8.9), 0.55, 4)
    # The light comes from the top of the picture, for every angle of the capsule.
    _, down = w.local(x, y, (1, 0))
    round_ = (1.02 - 0.16 * (down + 2) / 9 - 0.010 * np.maximum(v * v - 25, 0) / 2) * tone
    red = colour(0.80, 0.22, 0.16)
    cream = colour(0.94, 0.89, 0.74)
    half = np.clip(0.5 + u / w.unit, 0, 1)
    w.paint((red + half * (cream - red)) * round_, shape)
    w.paint((0.35, 0.15, 0.10), np.maximum(np.abs(u) - 0.5, shape), 0.5)
    k, s = frame
    w.paint((1, 1, 1), w.line(x - 9 * k, y - 9 * s - 4, x + 9 * k, y + 9 * s - 4, 1.1), 0.55, 2)
