"""Wood: four planks with two dowels each."""

from __future__ import annotations

import numpy as np

from minicore.datasets.drawn.canvas import CENTRAL, Anchors, Canvas, between, colour, turn, wave


def wood(
    c: Canvas, rng: np.random.Generator, flaw: str | None, pick: np.random.Generator
) -> Anchors:
    """Draw the planks. Flaws: a dowel is missing, or lies next to its hole."""
    victim = int(pick.integers(8))
    fibre = c.noise(rng, 128, 5) * 0.05 + c.noise(rng, 220, 12) * 0.045
    shift = between(rng, -3, 3)
    for plank in range(4):
        top = 64 * plank + shift
        w = c.window(128, top + 32, 128, 33)
        wobble = w.noise(rng, 2, 3, 2)
        hue, offset, bow = between(rng, -0.05, 0.05), between(rng, 0, 9), between(rng, -1, 1)
        across = (w.y - top - 32 + 9 * wobble) / 32
        along = (w.x - 128) / 128
        rings = wave(3.1 * across + offset + 0.8 * bow * along * along + 0.5 * wobble)
        late, early = colour(0.55, 0.34, 0.18), colour(0.80, 0.58, 0.36)
        mixed = late + (0.675 + 0.325 * rings) * (early - late)
        w.paint(mixed * (0.88 + hue + 0.05 * wobble), w.box(128, top + 32, (200, 31.2)))
        w.shade(0.55, np.abs(w.y - top) - 0.9)
    c.rgb[...] *= 1 + fibre
    anchors = []
    for n in range(8):
        x = (70.0 if n % 2 == 0 else 186.0) + between(rng, -2, 2)
        y = 64 * (n // 2) + 32 + shift + between(rng, -2, 2)
        spin, tone = turn(between(rng, -1, 1)), between(rng, 0.92, 1.05)
        anchors.append((x, y + (16 if n < 4 else -16)))
        hit = n == victim
        w = c.window(x, y, 26)
        if hit and flaw is not None:
            w.paint((0.13, 0.08, 0.05), w.disc(x, y, 9))
            w.paint((0.22, 0.14, 0.08), w.disc(x + 1, y + 1.5, 6.5), soft=3)
            if flaw == "missing":
                continue
            dx, dy = turn(between(pick, -1, 1))
            reach = between(pick, 8, 12) * (1 if pick.random() < 0.5 else -1)
            x, y = x + reach * dx, y + reach * dy
        w.paint((0.28, 0.17, 0.10), w.disc(x + 0.4, y + 0.6, 10), alpha=0.8, soft=1.5)
        lu, lv = w.local(x, y, spin)
        end_grain = 0.9 + 0.10 * wave(np.sqrt(lu * lu + 1.6 * lv * lv) / 2.6)
        w.paint(colour(0.66, 0.45, 0.27) * (tone * end_grain), w.disc(x, y, 9))
    return anchors + CENTRAL
