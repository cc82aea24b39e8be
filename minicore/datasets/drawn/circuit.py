"""A printed circuit board: many small parts at fixed places."""

from __future__ import annotations

import numpy as np

from minicore.datasets.drawn.canvas import (
    CENTRAL,
    Anchors,
    Canvas,
    Colour,
    between,
    colour,
    times,
    turn,
)


def circuit(
    c: Canvas, rng: np.random.Generator, flaw: str | None, pick: np.random.Generator
) -> Anchors:
    """Draw the board. Flaws: one resistor or capacitor is missing, or soldered at an angle."""
    turned = turn(between(rng, -0.008, 0.008))
    ox, oy = 128 + between(rng, -2.5, 2.5), 128 + between(rng, -2.5, 2.5)

    def at(x: float, y: float) -> tuple[float, float]:
        k, s = turned
        return ox + k * (x - 128) - s * (y - 128), oy + s * (x - 128) + k * (y - 128)

    c.rgb[...] = colour(0.05, 0.30, 0.17)
    c.rgb[...] *= 1 + 0.05 * c.noise(rng, 90, 90) + 0.04 * c.noise(rng, 4, 4, 2)
    for ax, ay, bx, by in _TRACKS:
        (px, py), (qx, qy) = at(ax, ay), at(bx, by)
        w = c.window((px + qx) / 2, (py + qy) / 2, max(abs(px - qx), abs(py - qy)) / 2 + 4)
        w.paint((0.12, 0.44, 0.25), w.line(px, py, qx, qy, 1.3))
    for x, y in _VIAS:
        x, y = at(x, y)
        w = c.window(x, y, 6)
        w.paint((0.80, 0.68, 0.36), w.disc(x, y, 3.2))
        w.paint((0.05, 0.07, 0.05), w.disc(x, y, 1.5))
    for x, y, half_w, half_h, pins in _CHIPS:
        _chip(c, *at(x, y), half_w, half_h, pins, turned, between(rng, 0.95, 1.05))

    victim = int(pick.integers(len(_PARTS)))
    anchors = []
    for n, (x, y, upright, body) in enumerate(_PARTS):
        tilt = between(rng, -0.02, 0.02)
        jitter = between(rng, -0.6, 0.6), between(rng, -0.6, 0.6)
        tone = between(rng, 0.93, 1.07)
        x, y = at(x, y)
        anchors.append((x, y))
        frame = times(turned, (0, 1) if upright else (1, 0))
        w = c.window(x, y, 18)
        k, s = frame
        for side in (-1, 1):  # the pads belong to the board: they stay if the part is missing
            w.paint((0.70, 0.70, 0.66), w.box(x + 7 * side * k, y + 7 * side * s, (4, 5), frame, 1))
        if n == victim and flaw == "missing":
            continue
        if n == victim and flaw == "misplaced":
            tilt = between(pick, 0.25, 0.5) * (1 if pick.random() < 0.5 else -1)
            jitter = between(pick, -4, 4), between(pick, -4, 4)
        _component(w, x + jitter[0], y + jitter[1], times(frame, turn(tilt)), body, tone)
    return anchors + [(x, y) for x, y, *_ in _CHIPS] + CENTRAL


def _component(
    w: Canvas, x: float, y: float, frame: tuple[float, float], body: Colour, tone: float
) -> None:
    """Draw a chip resistor or capacitor: body, two metal ends, shadow."""
    k, s = frame
    w.paint((0.01, 0.08, 0.04), w.box(x + 1.2, y + 1.6, (10, 5), frame, 1), alpha=0.6, soft=2.5)
    w.paint((0.82, 0.82, 0.80), w.box(x, y, (9.5, 4.4), frame, 0.8))
    w.paint(colour(*body) * np.float32(tone), w.box(x, y, (6.5, 4.4), frame))
    w.paint((0.95, 0.95, 0.92), w.box(x + 2.2 * s, y - 2.2 * k, (8.5, 0.7), frame), alpha=0.35)


def _chip(
    c: Canvas,
    x: float,
    y: float,
    half_w: float,
    half_h: float,
    pins: int,
    turned: tuple[float, float],
    tone: float,
) -> None:
    """Draw an integrated circuit: pins on two sides, a dark body, the mark of pin 1."""
    k, s = turned
    w = c.window(x, y, max(half_w, half_h) + 12)
    for n in range(pins):
        u = (n - (pins - 1) / 2) * 2 * half_w / pins
        for v in (-half_h - 3, half_h + 3):
            px, py = x + k * u - s * v, y + s * u + k * v
            pin = c.window(px, py, 6)
            pin.paint((0.76, 0.76, 0.74), pin.box(px, py, (1.8, 4), turned))
    w.paint((0.01, 0.07, 0.04), w.box(x + 2, y + 2.5, (half_w, half_h), turned, 2), 0.6, 4)
    w.paint((0.11 * tone, 0.11 * tone, 0.12 * tone), w.box(x, y, (half_w, half_h), turned, 1.5))
    w.paint((0.17, 0.17, 0.18), w.box(x, y, (half_w - 2, half_h - 2), turned, 1.5))
    u, v = -half_w + 6, half_h - 6
    w.paint((0.08, 0.08, 0.09), w.disc(x + k * u - s * v, y + s * u + k * v, 2.2))
    for row, length in ((-4, 0.62), (1, 0.45)):
        w.paint(
            (0.50, 0.50, 0.50), w.box(x - s * row, y + k * row, (half_w * length, 0.9), turned), 0.8
        )


_RESISTOR, _CAPACITOR = (0.13, 0.13, 0.15), (0.62, 0.47, 0.30)
_PARTS: list[tuple[float, float, bool, Colour]] = [
    (40, 44, True, _CAPACITOR), (60, 44, True, _CAPACITOR), (80, 44, True, _RESISTOR),
    (40, 150, False, _RESISTOR), (40, 168, False, _RESISTOR), (40, 186, False, _CAPACITOR),
    (128, 146, True, _CAPACITOR), (150, 146, True, _RESISTOR), (172, 146, True, _RESISTOR),
    (194, 146, True, _CAPACITOR), (216, 146, True, _RESISTOR),
    (206, 44, False, _RESISTOR), (206, 64, False, _RESISTOR), (206, 84, False, _CAPACITOR),
]  # fmt: skip
_CHIPS: list[tuple[float, float, float, float, int]] = [
    (138, 66, 30, 20, 8), (60, 106, 22, 15, 6), (168, 200, 36, 16, 10), (84, 206, 16, 14, 4),
]  # fmt: skip
_TRACKS: list[tuple[float, float, float, float]] = [
    (40, 30, 40, 84), (60, 30, 60, 88), (80, 30, 80, 60), (80, 60, 108, 60), (108, 74, 90, 92),
    (90, 92, 90, 116), (168, 60, 196, 44), (168, 66, 196, 64), (168, 72, 196, 84),
    (216, 44, 236, 44), (216, 64, 236, 64), (216, 84, 236, 84), (128, 90, 128, 136),
    (150, 90, 150, 136), (160, 90, 172, 102), (172, 102, 172, 136), (194, 104, 194, 136),
    (194, 104, 236, 104), (216, 120, 216, 136), (216, 120, 236, 120), (128, 156, 136, 180),
    (150, 156, 150, 180), (172, 156, 172, 180), (194, 156, 194, 180), (216, 156, 216, 220),
    (50, 150, 84, 150), (50, 168, 84, 168), (50, 186, 68, 196), (84, 150, 106, 128),
    (106, 128, 106, 96), (84, 168, 112, 168), (112, 168, 112, 220), (20, 150, 30, 150),
    (20, 168, 30, 168), (20, 186, 30, 186), (20, 128, 98, 128), (20, 226, 236, 226),
    (20, 30, 110, 30), (170, 30, 236, 30),
]  # fmt: skip
_VIAS: list[tuple[float, float]] = [
    (108, 30), (172, 30), (106, 96), (90, 118), (98, 128), (128, 92), (150, 92), (194, 102),
    (214, 120), (112, 222), (216, 222), (50, 218), (28, 206), (28, 106), (28, 66), (230, 182),
    (230, 204), (112, 186), (180, 118), (66, 72),
]  # fmt: skip
