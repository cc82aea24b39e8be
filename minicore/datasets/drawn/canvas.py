"""A canvas to draw on: shapes by signed distance, smooth noise, exact rotations.

Lengths are in units of 1/256 of the picture, so that a scene looks the same at any size. The code
uses only + − × ÷ √ and comparisons, which IEEE 754 rounds in the same way on every machine. It
avoids sin, exp and matrix products, which each library rounds differently. Therefore the same seed
draws the same bytes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue, 0 to 1
Anchors = list[tuple[float, float]]  # (x, y) of places where a defect may be painted
CENTRAL: Anchors = [
    (x, y) for x in (64.0, 106.0, 150.0, 192.0) for y in (64.0, 106.0, 150.0, 192.0)
]


def colour(red: float, green: float, blue: float) -> np.ndarray:
    """Return a colour as float32 (3, 1, 1), which can be multiplied with (h, w)."""
    return np.array((red, green, blue), np.float32)[:, None, None]


@dataclass(frozen=True)
class Canvas:
    """Pixels and the coordinates of their centres. A window shares the pixels of its canvas."""

    rgb: np.ndarray  # float32 (3, h, w), 0 to 1; NumPy is fastest with one plane per colour
    x: np.ndarray  # float32 (1, w)
    y: np.ndarray  # float32 (h, 1)
    unit: float  # size of a pixel

    @staticmethod
    def blank(size: int) -> Canvas:
        """Return a black square of `size` × `size` pixels."""
        unit = 256 / size
        at = ((np.arange(size) + 0.5) * unit).astype(np.float32)
        return Canvas(np.zeros((3, size, size), np.float32), at[None, :], at[:, None], unit)

    def copy(self) -> Canvas:
        """Return a canvas with a copy of the pixels."""
        return replace(self, rgb=self.rgb.copy())

    def window(self, cx: float, cy: float, reach: float, reach_y: float | None = None) -> Canvas:
        """Return a view of the square within `reach` of (cx, cy), to paint small shapes quickly."""
        columns = self._within(cx, reach, self.rgb.shape[2])
        rows = self._within(cy, reach if reach_y is None else reach_y, self.rgb.shape[1])
        return Canvas(self.rgb[:, rows, columns], self.x[:, columns], self.y[rows], self.unit)

    def _within(self, centre: float, reach: float, size: int) -> slice:
        first, last = int((centre - reach) / self.unit), int((centre + reach) / self.unit) + 1
        return slice(min(max(first, 0), size - 1), min(max(last, 1), size))

    def paint(
        self, paint: Colour | np.ndarray, distance: np.ndarray, alpha: float = 1, soft: float = 0
    ) -> None:
        """Blend `paint` in where `distance` < 0; the edge is one pixel or `soft` units wide."""
        cover = np.clip(0.5 - distance / max(self.unit, soft), 0, 1) * np.float32(alpha)
        self.rgb[...] += cover * (
            (colour(*paint) if isinstance(paint, tuple) else paint) - self.rgb
        )

    def shade(self, gain: np.ndarray | float, distance: np.ndarray) -> None:
        """Multiply brightness by `gain` where `distance` < 0."""
        self.rgb[...] *= 1 + np.clip(0.5 - distance / self.unit, 0, 1) * (gain - 1)

    def disc(self, cx: float, cy: float, r: float) -> np.ndarray:
        """Return the signed distance to a circle, negative inside."""
        from_centre: np.ndarray = np.sqrt((self.x - cx) ** 2 + (self.y - cy) ** 2)
        return from_centre - np.float32(r)

    def box(
        self,
        cx: float,
        cy: float,
        half: tuple[float, float],
        turned: tuple[float, float] = (1, 0),
        corner: float = 0,
    ) -> np.ndarray:
        """Return the signed distance to a rotated rectangle with half sides and round corners."""
        u, v = self.local(cx, cy, turned)
        du, dv = np.abs(u) - (half[0] - corner), np.abs(v) - (half[1] - corner)
        outside = np.sqrt(np.maximum(du, 0) ** 2 + np.maximum(dv, 0) ** 2)
        inside = np.minimum(np.maximum(du, dv), 0)
        distance: np.ndarray = outside + inside - np.float32(corner)
        return distance

    def line(self, ax: float, ay: float, bx: float, by: float, half: float) -> np.ndarray:
        """Return the signed distance to a line with round ends and the half width `half`."""
        dx, dy = bx - ax, by - ay
        along = ((self.x - ax) * dx + (self.y - ay) * dy) / (dx * dx + dy * dy + 1e-9)
        t = np.clip(along, 0, 1)
        distance: np.ndarray = np.sqrt((self.x - ax - t * dx) ** 2 + (self.y - ay - t * dy) ** 2)
        return distance - np.float32(half)

    def local(
        self, cx: float, cy: float, turned: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates in a frame at (cx, cy), rotated by (cosine, sine)."""
        c, s = turned
        dx, dy = self.x - cx, self.y - cy
        return c * dx + s * dy, c * dy - s * dx

    def noise(
        self, rng: np.random.Generator, rows: int, columns: int, octaves: int = 1
    ) -> np.ndarray:
        """Return smooth noise from −1 to 1: a random grid, interpolated, plus finer grids."""
        total = np.zeros((self.y.shape[0], self.x.shape[1]), np.float32)
        weight = 1 / (2 - 0.5 ** (octaves - 1))
        for _ in range(octaves):
            grid = rng.random((rows + 1, columns + 1), dtype=np.float32) * 2 - 1
            i, v = _cell(self.y[:, 0], rows)
            j, u = _cell(self.x[0], columns)
            # First along the few rows of the grid, then down the columns: two passes, not four.
            across = grid[:, j] + u * (grid[:, j + 1] - grid[:, j])
            total += (across[i] + v[:, None] * (across[i + 1] - across[i])) * np.float32(weight)
            rows, columns, weight = 2 * rows, 2 * columns, weight / 2
        return total


def _cell(at: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each coordinate and the smoothed position inside the cell."""
    scaled = at * np.float32(cells / 256)
    index = np.minimum(scaled.astype(np.intp), cells - 1)
    f = scaled - index.astype(np.float32)
    return index, f * f * (3 - 2 * f)


def wave(t: np.ndarray) -> np.ndarray:
    """Return a wave of period 1 from −1 to 1, made of parabolas, instead of a sine."""
    s = 2 * (t - np.floor(t)) - 1
    arcs: np.ndarray = -4 * s * (1 - np.abs(s))
    return arcs


def turn(t: float) -> tuple[float, float]:
    """Return (cosine, sine) of the angle 2·arctan(t), about 2t radians, without rounding by sin."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def times(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Return one rotation after the other: the product of two complex numbers."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a random number from `low` to `high`.

    It is a Python float, with which NumPy 1 and 2 convert float32 arrays in the same way.
    """
    return low + (high - low) * float(rng.random())
