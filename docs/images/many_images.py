"""Draw many_images.png from studies/many_images.jsonl: ``python docs/images/many_images.py``."""

import json
from pathlib import Path

from matplotlib.ticker import NullFormatter, NullLocator

from minicore import plots
from minicore.plots.style import ANOMALOUS, GOOD, INK, WIDTH, Figure, styled

HERE = Path(__file__)
RECORDS = HERE.parents[1] / "studies" / "many_images.jsonl"
STAGES = {  # shown name: its stages, its style
    "network": (("images", "network"), "o-"),
    "patches, bank": (("patches (eq 1–3)", "memory bank (eq 4)"), "s-"),
    "projection": (("projection (eq 5)",), "^-"),
    "coreset": (("coreset (eq 5)",), "v-"),
    "threshold": (("threshold",), "D-"),
}
STORAGES = {"float32": ANOMALOUS, "disk": GOOD}


@styled
def draw(records: list[dict]) -> Figure:
    """Draw the seconds of each stage, and the largest memory, against the images."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    on_disk = [r for r in records if r["storage"] == "disk"]
    images = [r["images"] for r in on_disk]
    shades = ("#000000", "#44546a", "#7b8794", "#a0522d", "#d2894f")
    for (name, (stages, style)), colour in zip(STAGES.items(), shades, strict=True):
        seconds = [sum(r["seconds"][stage] for stage in stages) for r in on_disk]
        left.plot(images, seconds, style, color=colour, markersize=3.5, linewidth=1.2, label=name)
    left.plot(images, [r["all"] for r in on_disk], "--", color=INK, linewidth=1, label="all")
    for storage, colour in STORAGES.items():
        mine = [r for r in records if r["storage"] == storage]
        gigabytes = [max(r["memory"].values()) / 1e9 for r in mine]
        right.plot(
            [r["images"] for r in mine], gigabytes, "o-", color=colour, markersize=3.5,
            linewidth=1.2, label=f"bank_storage {storage}",
        )  # fmt: skip
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="good images")
        axes.set_xticks(images, [f"{n:,}" for n in images])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        axes.legend(frameon=False, fontsize=7)
    left.set(title="Seconds, bank_storage disk")
    right.set(title="Largest memory, GB")
    right.set_yticks([0.5, 1, 2, 5, 10, 20])
    return figure


if __name__ == "__main__":
    lines = RECORDS.read_text("utf-8").splitlines()[1:]
    records = sorted(map(json.loads, lines), key=lambda r: r["images"])
    plots.save(draw(records), HERE.with_suffix(".png"), overwrite=True)
