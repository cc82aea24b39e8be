"""A steel gear with 16 teeth and 6 holes: one object in any rotation."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from minicore.datasets.drawn.canvas import Anchors, Canvas, between, colour, times, turn, wave


def gear(
    c: Canvas, rng: np.random.Generator, flaw: str | None, pick: np.random.Generator
) -> Anchors:
    """Draw the gear. Flaws: a tooth is missing, or a hole is at the wrong place."""
    cx, cy = 128 + between(rng, -4, 4), 128 + between(rng, -4, 4)
    spin = turn(between(rng, -1, 1))
    mat = 0.17 + 0.02 * c.noise(rng, 110, 110) + 0.02 * c.noise(rng, 4, 4, 2)
    c.rgb[...] = mat * colour(0.95, 1.0, 1.08)

    u, v = c.local(cx, cy, spin)
    r = np.sqrt(u * u + v * v)
    near = 1 / np.maximum(r, 1)
    re, im = u * near, v * near  # e^{iθ}; four squarings compute e^{16 iθ} without an arctangent
    for _ in range(4):
        re, im = re * re - im * im, 2 * re * im
    teeth = np.clip(1.7 * re, -1, 1)
    tooth = _SIXTEENTHS[int(pick.integers(16))]
    if flaw == "missing":
        teeth = np.where(u * tooth[0] + v * tooth[1] > 0.9808 * r, np.float32(-1), teeth)
    # The sides of the teeth are steep: dividing by the slope turns the radial offset into distance.
    rim = (r - 92 - 8 * teeth) / np.sqrt(1 + (8 * 1.7 * 16 / 92 * im * (np.abs(teeth) < 1)) ** 2)

    turning = 0.022 * wave(r / 2.4 + 0.3 * c.noise(rng, 3, 3)) + 0.012 * c.noise(rng, 128, 128)
    gx, gy = (c.x - cx) * near, (c.y - cy) * near
    glint = (gx * gx - gy * gy) * 0.8 + 2 * gx * gy * 0.6  # cos 2(θ − θ_light): turned metal
    steel = 0.56 + turning + 0.13 * glint * np.clip(r / 30, 0, 1)
    metal = steel * colour(0.98, 1.0, 1.03)
    c.paint((0.05, 0.05, 0.06), c.disc(cx + 4, cy + 6, 97), 0.6, 14)
    c.paint(metal, rim)
    c.paint((0.80, 0.81, 0.83), np.abs(rim + 1.6) - 0.5, 0.45, 1.5)  # chamfer
    c.shade(0.84, np.abs(r - 74) - 1.0)
    c.shade(0.90, np.abs(r - 60) - 14)  # the web, which is thinner than rim and hub
    c.shade(0.82, np.abs(r - 34) - 0.8)

    anchors = []
    victim = int(pick.integers(6))
    for n, (ux, uy) in enumerate(_SIXTHS):
        at = 60.0
        if n == victim and flaw == "misplaced":
            at += between(pick, 7, 10) * (1 if pick.random() < 0.5 else -1)
            ux, uy = times((ux, uy), turn(between(pick, -0.08, 0.08)))
        x, y = cx + at * (spin[0] * ux - spin[1] * uy), cy + at * (spin[1] * ux + spin[0] * uy)
        w = c.window(x, y, 14)
        w.paint((0.74, 0.75, 0.77), w.disc(x, y, 9.4), 0.7)
        w.paint((0.10, 0.10, 0.11), w.disc(x, y, 8))
        w.paint((0.17, 0.17, 0.18), w.disc(x + 2, y + 2.5, 6), soft=3)
        mx, my = times((ux, uy), (0.8660254, 0.5))  # between two holes
        mx, my = spin[0] * mx - spin[1] * my, spin[1] * mx + spin[0] * my
        anchors += [(cx + 60 * mx, cy + 60 * my), (cx + 80 * mx, cy + 80 * my)]
    c.paint((0.76, 0.77, 0.79), c.disc(cx, cy, 20), 0.7)
    keyway = c.box(cx + 18 * spin[0], cy + 18 * spin[1], (6, 4.5), spin)
    bore = np.minimum(c.disc(cx, cy, 18), keyway)
    c.paint((0.10, 0.10, 0.11), bore)
    c.paint((0.17, 0.17, 0.18), c.disc(cx + 3, cy + 4, 14), soft=5)
    return anchors


_SIXTHS = [
    (1.0, 0.0), (0.5, 0.8660254), (-0.5, 0.8660254),
    (-1.0, 0.0), (-0.5, -0.8660254), (0.5, -0.8660254),
]  # fmt: skip
_SIXTEENTHS = list(accumulate([(0.92387953, 0.38268343)] * 16, times))
