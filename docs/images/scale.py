"""Draw scale.png, rounds and bytes of studies/scale.jsonl: ``python docs/images/scale.py``."""

import json
from pathlib import Path

from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from minicore import plots
from minicore.plots.style import ANOMALOUS, GOOD, INK, WIDTH, Figure, styled

HERE = Path(__file__)
RECORDS = HERE.parents[1] / "studies" / "scale.jsonl"
SHARES = {0.001: INK, 0.01: GOOD, 0.1: ANOMALOUS}
TICKS = {10**4: "10 thousand", 10**5: "100 thousand", 10**6: "1 million", 10**7: "10 million"}


@styled
def draw(records: list[dict]) -> Figure:
    """Draw rounds and bytes against the rows, a line for each share of picks."""
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    for share, colour in SHARES.items():
        mine = sorted(
            (r["N"], r["rounds"], (r["sent"] + r["received"]) / 1e6)
            for r in records
            if round(share * r["N"]) == r["l"]
        )
        N, rounds, megabytes = zip(*mine, strict=True)
        for axes, values in ((left, rounds), (right, megabytes)):
            axes.plot(N, values, "o-", color=colour, markersize=3.5, linewidth=1.2)
            name, end = f"{100 * share:g} %", (N[-1], values[-1])
            place = {"xytext": (-4, 4), "textcoords": "offset points", "ha": "right"}
            axes.annotate(name, end, color=colour, **place)
    for axes in (left, right):
        axes.set(xscale="log", xlabel="rows of the bank", xlim=(7e3, 2.5e7))
        axes.set_xticks(list(TICKS), list(TICKS.values()))
        axes.xaxis.set_minor_locator(NullLocator())
    left.set(title="Rounds", ylim=(0, None))
    right.set(title="Bytes in all, 16 parts", yscale="log")
    right.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f} MB"))
    right.yaxis.set_minor_formatter(NullFormatter())
    return figure


if __name__ == "__main__":
    lines = RECORDS.read_text("utf-8").splitlines()
    usual = {"method": "rounds", "parts": 16, "real": 624_064, "noise": 0.2}
    records = [r for r in map(json.loads, lines) if usual.items() <= r.items()]
    plots.save(draw(records), HERE.with_suffix(".png"), overwrite=True)
