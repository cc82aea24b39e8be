"""The layout of the poster: numbered panels in three rows of four columns."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from minicore.plots.style import GREY, INK, PALE, WIDTH, Figure

# Inches. A wide panel has two columns.
CELL, GAP, EDGE = 1.56, 0.26, 0.09
HEAD, CAPTION, FOOT = 0.27, 0.36, 0.14
ROW = HEAD + CAPTION + CELL + FOOT
SMALL = 7.5  # points


class Page:
    """A figure of numbered panels. Positions are in inches from the top left."""

    def __init__(self) -> None:
        self.height = 3 * ROW + 0.02
        self.figure = Figure(figsize=(WIDTH, self.height))
        self.count = 0

    def left(self, column: float) -> float:
        """Return the left edge of a column."""
        return EDGE + column * (CELL + GAP)

    def top(self, row: int) -> float:
        """Return the top edge of the panels in a row, below their captions."""
        return row * ROW + HEAD + CAPTION

    def to_figure(self, x: float, y: float) -> tuple[float, float]:
        """Convert inches from the top left to figure coordinates from the bottom left."""
        return x / WIDTH, 1 - y / self.height

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes without ticks and frame."""
        left, bottom = self.to_figure(x, y + height)
        axes = self.figure.add_axes((left, bottom, width / WIDTH, height / self.height))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def text(self, x: float, y: float, words: str, **style: Any) -> float:
        """Write text and return its right end."""
        text = self.figure.text(
            *self.to_figure(x, y), words, **{"va": "baseline", "color": INK, **style}
        )
        return float(text.get_window_extent().x1 / self.figure.dpi)

    def heading(self, row: int, words: str) -> None:
        """Write the heading of a row, with a line to the right edge."""
        y = row * ROW + HEAD - 0.09
        end = self.text(EDGE, y, words, weight="bold", size=9.5)
        ends = [self.to_figure(x, y - 0.045) for x in (end + 0.1, WIDTH - EDGE)]
        self.figure.add_artist(
            FancyArrowPatch(*ends, transform=self.figure.transFigure, color=PALE, lw=0.8,
                            arrowstyle="-", shrinkA=0, shrinkB=0)
        )  # fmt: skip

    def panel(self, row: int, column: float, title: str, detail: str, columns: int = 1) -> Axes:
        """Add the next panel, with its number, title and a grey caption."""
        self.count += 1
        x, y = self.left(column), self.top(row)
        end = self.text(x, y - 0.225, f"{self.count}", color=GREY, weight="bold")
        self.text(end + 0.07, y - 0.225, title)
        self.text(x, y - 0.075, detail, color=GREY, size=SMALL)
        return self.axes(x, y, columns * (CELL + GAP) - GAP, CELL)

    def arrow(self, row: int, column: int) -> None:
        """Draw an arrow from the panel that ends in a column to the next panel."""
        y = self.top(row) + CELL / 2
        x = self.left(column) + CELL
        ends = [self.to_figure(x + share * GAP, y) for share in (0.16, 0.88)]
        self.figure.add_artist(
            FancyArrowPatch(*ends, transform=self.figure.transFigure, color=GREY, lw=1.2,
                            arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0)
        )  # fmt: skip
