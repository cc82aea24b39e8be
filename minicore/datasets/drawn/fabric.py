"""A fabric: twill, in which each thread passes over two threads and under two."""

from __future__ import annotations

import numpy as np

from minicore.datasets.drawn.canvas import CENTRAL, Anchors, Canvas, between, turn


def fabric(
    c: Canvas, rng: np.random.Generator, flaw: str | None, pick: np.random.Generator
) -> Anchors:
    """Draw the fabric. Flaws: a piece of weft thread is missing, or a patch has other diagonals."""
    u, v = c.local(128, 128, turn(between(rng, -0.012, 0.012)))
    pitch = 8.0
    u = u / pitch + 40 + between(rng, 0, 4) + 0.22 * c.noise(rng, 6, 6, 2)
    v = v / pitch + 40 + between(rng, 0, 4) + 0.22 * c.noise(rng, 6, 6, 2)

    x, y = CENTRAL[int(pick.integers(len(CENTRAL)))]
    patch = np.zeros(u.shape, bool)
    if flaw == "misplaced":
        patch = c.box(x, y, (between(pick, 14, 24), between(pick, 12, 22)), corner=6) < 0
        u, v = np.where(patch, u + 0.5, u), np.where(patch, v + 0.5, v)
    i, j = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)  # number of the thread
    fu, fv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5  # position across the thread
    tone = rng.random((2, 96), dtype=np.float32)
    fuzz = c.noise(rng, 128, 128) * 0.05 + c.noise(rng, 5, 5, 2) * 0.05

    lift = np.where(patch, i + j, i - j)
    over = lift % 4 < 2  # the warp thread is on top
    # A thread has a round profile and bends down where it goes under the next thread.
    fall = (lift % 2 + np.where(over, -fv, fu) - 0.5) * 0.35
    warp = 0.55 + 0.42 * (1 - 4 * fu * fu) - 0.25 * fall * fall + 0.16 * (tone[0][i] - 0.5)
    weft = 0.55 + 0.42 * (1 - 4 * fv * fv) - 0.25 * fall * fall + 0.16 * (tone[1][j] - 0.5)
    height = np.where(over, warp, weft)
    blue = np.where(over, 0.0, 1.0)
    if flaw == "missing":
        row = int(j[int(y / c.unit), int(x / c.unit)])
        gone = (j == row) & (np.abs(c.x - x) < between(pick, 28, 46))
        height = np.where(gone, np.where(over, 0.5 * warp, 0.12), height)
        blue = np.where(gone, 0.3, blue)
    for channel, (dark, light) in enumerate(((0.30, 0.72), (0.38, 0.72), (0.55, 0.70))):
        c.rgb[channel] = (height + fuzz) * (dark + blue * (light - dark))
    return CENTRAL
