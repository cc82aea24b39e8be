"""Draw architecture.png, for the page on architecture: ``python docs/images/architecture.py``."""

from pathlib import Path
from typing import NamedTuple

from matplotlib.patches import FancyBboxPatch

from minicore import plots
from minicore.plots.style import ANOMALOUS, GOOD, GREY, INK, WIDTH, Figure, styled


class Step(NamedTuple):
    """One box: what it computes, by which function, and what that returns."""

    title: str
    symbol: str
    function: str  # "module:function", without "minicore."
    returns: str
    column: int
    lanes: tuple[str, ...]


FIT, SCORE, BOTH, MAP = ("fit",), ("score",), ("fit", "score"), ("map",)
STEPS = (
    Step("images", "files or arrays", "images.batching:batches", "(n, 3, h, w)", 0, BOTH),
    Step("backbone", "φⱼ", "backbones.session:Backbone.levels", "(n, c, h*, w*) each", 1, BOTH),
    Step("patches", "equations 1–3", "fast.patches:patch_features", "(n, h', w', D)", 2, BOTH),
    Step("memory bank", "equation 4", "patchcore.bank:MemoryBank.append", "(N, D)", 3, FIT),
    Step("coreset", "equation 5", "fast.coreset:greedy_coreset", "rows (l,)", 4, FIT),
    Step("nearest", "equation 6", "fast.nearest:Nearest.query", "distances (h' · w',)", 4, SCORE),
    Step("score", "equation 7", "equations.eq7_score:reweighted_distance", "s", 5, SCORE),
    Step("map", "section 3.3", "fast.score:anomaly_map", "(h, w)", 5, MAP),
)
LANES = {"fit": 2.2, "score": 1.0, "map": 0.0}  # the height at which an arrow runs
WIDE, GAP, HALF = 1.08, 0.15, 0.43  # of a box, between boxes, half of a box's height


def left(column: int) -> float:
    """Return the left edge of a column of boxes."""
    return column * (WIDE + GAP)


@styled
def draw() -> Figure:
    """Draw the way of good images and of a new image through the package."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, step in enumerate(STEPS, 1):
        lanes = [LANES[lane] for lane in step.lanes]
        low, high, x = min(lanes) - HALF, max(lanes) + HALF, left(step.column)
        style = {"boxstyle": "round,pad=0,rounding_size=0.05", "fc": "white", "ec": GREY}
        axes.add_patch(FancyBboxPatch((x, low), WIDE, high - low, **style))
        module, name = step.function.split(":")
        middle, centre = (low + high) / 2, x + WIDE / 2
        for height, text, size, colour, weight in (
            (0.29, f"{number}  {step.title}", 7.6, INK, "bold"),
            (0.11, step.symbol, 6.5, INK, "normal"),
            (-0.06, name, 5.7, INK, "bold"),
            (-0.20, f"{module.replace('.', '/')}.py", 5.6, GREY, "normal"),
            (-0.33, f"→ {step.returns}", 6, INK, "normal"),
        ):
            axes.text(centre, middle + height, text, fontsize=size, color=colour,
                      weight=weight, ha="center", va="center")  # fmt: skip
    arrows = [("fit", left(k) + WIDE, left(k + 1), GOOD) for k in range(4)]
    arrows += [("score", left(k) + WIDE, left(k + 1), ANOMALOUS) for k in (0, 1, 4)]
    arrows += [("score", left(2) + WIDE, left(4), ANOMALOUS)]
    for lane, start, end, colour in arrows:
        arrow(axes, (start, LANES[lane]), (end, LANES[lane]), colour)
    below = LANES["score"] - HALF
    arrow(
        axes,
        (left(4) + WIDE / 2, LANES["fit"] - HALF),
        (left(4) + WIDE / 2, LANES["score"] + HALF),
        GOOD,
    )
    arrow(axes, (left(4) + 0.8, below), (left(5), LANES["map"]), ANOMALOUS)
    for lane, text, colour in (("fit", "good images", GOOD), ("score", "a new image", ANOMALOUS)):
        axes.text(WIDE / 2, LANES[lane] + 0.22 * (1 if lane == "fit" else -1), text,
                  fontsize=7.5, color=colour, ha="center", va="center")  # fmt: skip
    axes.set(xlim=(-0.03, left(5) + WIDE + 0.03), ylim=(-0.46, 2.66), aspect="equal")
    axes.set_axis_off()
    return figure


def arrow(axes, start, end, colour):
    """Draw an arrow from one point to another."""
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


if __name__ == "__main__":
    plots.save(draw(), Path(__file__).with_suffix(".png"), overwrite=True)
