"""A small painter: shapes by signed distance, smooth noise, exact rotations.

Lengths are in units of 1/256 of the picture, so a scene looks the same at any size. Everything is
+ − × ÷ √ and comparisons, which IEEE 754 rounds alike on every machine; sin, exp and matrix
products, which libraries round as they like, are avoided: the same seed gives the same bytes
everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue, 0 to 1
Anchors = list[tuple[float, float]]  # (x, y) of places where a painted defect may sit
CENTRAL: Anchors = [
    (x, y) for x in (64.0, 106.0, 150.0, 192.0) for y in (64.0, 106.0, 150.0, 192.0)
]


def colour(red: float, green: float, blue: float) -> np.ndarray:
    """Float32 (3, 1, 1), to multiply with a plane."""
    return np.array((red, green, blue), np.float32)[:, None, None]


@dataclass(frozen=True)
class Canvas:
    """Pixels and the coordinates of their centres; a window shares the pixels of the whole."""

    rgb: np.ndarray  # float32 (3, h, w), 0 to 1: planes, the layout NumPy is quick on
    x: np.ndarray  # float32 (1, w)
    y: np.ndarray  # float32 (h, 1)
    unit: float  # size of a pixel

    @staticmethod
    def blank(size: int) -> Canvas:
        """Black square of `size` pixels."""
        unit = 256 / size
        at = ((np.arange(size) + 0.5) * unit).astype(np.float32)
        return Canvas(np.zeros((3, size, size), np.float32), at[None, :], at[:, None], unit)

    def copy(self) -> Canvas:
        """Canvas with pixels of its own."""
        return replace(self, rgb=self.rgb.copy())

    def window(self, cx: float, cy: float, reach: float, reach_y: float | None = None) -> Canvas:
        """View of what lies within `reach` of (cx, cy), to paint small things cheaply."""
        columns = self._within(cx, reach, self.rgb.shape[2])
        rows = self._within(cy, reach if reach_y is None else reach_y, self.rgb.shape[1])
        return Canvas(self.rgb[:, rows, columns], self.x[:, columns], self.y[rows], self.unit)

    def _within(self, centre: float, reach: float, size: int) -> slice:
        first, last = int((centre - reach) / self.unit), int((centre + reach) / self.unit) + 1
        return slice(min(max(first, 0), size - 1), min(max(last, 1), size))

    def paint(
        self, paint: Colour | np.ndarray, distance: np.ndarray, alpha: float = 1, soft: float = 0
    ) -> None:
        """Blend `paint` in where `distance` < 0, over an edge one pixel, or `soft` units, wide."""
        cover = np.clip(0.5 - distance / max(self.unit, soft), 0, 1) * np.float32(alpha)
        self.rgb[...] += cover * (
            (colour(*paint) if isinstance(paint, tuple) else paint) - self.rgb
        )

    def shade(self, gain: np.ndarray | float, distance: np.ndarray) -> None:
        """Multiply brightness by `gain` where `distance` < 0."""
        self.rgb[...] *= 1 + np.clip(0.5 - distance / self.unit, 0, 1) * (gain - 1)

    def disc(self, cx: float, cy: float, r: float) -> np.ndarray:
        """Signed distance to a circle, negative inside."""
        return np.sqrt((self.x - cx) ** 2 + (self.y - cy) ** 2) - np.float32(r)

    def box(
        self,
        cx: float,
        cy: float,
        half: tuple[float, float],
        turned: tuple[float, float] = (1, 0),
        corner: float = 0,
    ) -> np.ndarray:
        """Signed distance to a rectangle of `half` sides, rotated, with rounded corners."""
        u, v = self.local(cx, cy, turned)
        du, dv = np.abs(u) - (half[0] - corner), np.abs(v) - (half[1] - corner)
        outside = np.sqrt(np.maximum(du, 0) ** 2 + np.maximum(dv, 0) ** 2)
        return outside + np.minimum(np.maximum(du, dv), 0) - np.float32(corner)

    def line(self, ax: float, ay: float, bx: float, by: float, half: float) -> np.ndarray:
        """Signed distance to a segment with round ends, `half` wide to either side."""
        dx, dy = bx - ax, by - ay
        along = ((self.x - ax) * dx + (self.y - ay) * dy) / (dx * dx + dy * dy + 1e-9)
        t = np.clip(along, 0, 1)
        return np.sqrt((self.x - ax - t * dx) ** 2 + (self.y - ay - t * dy) ** 2) - np.float32(half)

    def local(
        self, cx: float, cy: float, turned: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in a frame at (cx, cy), rotated by (cosine, sine)."""
        c, s = turned
        dx, dy = self.x - cx, self.y - cy
        return c * dx + s * dy, c * dy - s * dx

    def noise(
        self, rng: np.random.Generator, rows: int, columns: int, octaves: int = 1
    ) -> np.ndarray:
        """Smooth noise, −1 to 1: a random grid of rows × columns, interpolated; then finer ones."""
        total = np.zeros((self.y.shape[0], self.x.shape[1]), np.float32)
        weight = 1 / (2 - 0.5 ** (octaves - 1))
        for _ in range(octaves):
            grid = rng.random((rows + 1, columns + 1), dtype=np.float32) * 2 - 1
            i, v = _cell(self.y[:, 0], rows)
            j, u = _cell(self.x[0], columns)
            # Across first on the few rows of the grid, then down: two passes instead of four.
            across = grid[:, j] + u * (grid[:, j + 1] - grid[:, j])
            total += (across[i] + v[:, None] * (across[i + 1] - across[i])) * np.float32(weight)
            rows, columns, weight = 2 * rows, 2 * columns, weight / 2
        return total


def _cell(at: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the cell each coordinate lies in, and the smoothed fraction within it."""
    scaled = at * np.float32(cells / 256)
    index = np.minimum(scaled.astype(np.intp), cells - 1)
    f = scaled - index.astype(np.float32)
    return index, f * f * (3 - 2 * f)


def wave(t: np.ndarray) -> np.ndarray:
    """Period 1, −1 to 1, parabolic arcs: a sine without a library's rounding."""
    s = 2 * (t - np.floor(t)) - 1
    return -4 * s * (1 - np.abs(s))


def turn(t: float) -> tuple[float, float]:
    """(Cosine, sine) of the angle 2·arctan(t), about 2t radians: rational, hence exact."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def times(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Product of two complex numbers: one rotation after the other."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform draw as a Python float: NumPy 1 and 2 then promote float32 arrays alike."""
    return low + (high - low) * float(rng.random())
