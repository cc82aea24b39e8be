"""Learn good images in tens, and compare the model with one fit on all of them.

    python docs/studies/growing.py DATA

DATA is the folder of MVTec AD. The script fits a model on the first images of a category, updates
it with the others, and prints a table for each share of the coreset.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from minicore import PatchCore, datasets
from minicore.evaluation.metrics import image_auroc, pixel_auroc

FIRST, STEP = 50, 10  # images of the fit, and of each update
MEASURED = (50, 100, 150)  # images after which the model is tested; also after the last one
HEADS = (
    "good images", "rows", "image AUROC", "pixel AUROC", "threshold", "false alarms",
    "defects found", "seconds",
)  # fmt: skip


def measured(model: PatchCore, data: datasets.Dataset, masks: np.ndarray) -> list[str]:
    """Return rows, AUROCs, threshold, false alarms and defects found, as text."""
    found = model.detect(data.test)
    above, bad = found.scores > model.threshold_, data.labels == 1
    return [
        f"{model.bank_rows_:,}",
        f"{100 * image_auroc(data.labels, found.scores):.2f}",
        f"{100 * pixel_auroc(masks, found.maps):.2f}",
        f"{model.threshold_:.3f}",
        f"{above[~bad].sum()} of {(~bad).sum()}",
        f"{above[bad].sum()} of {bad.sum()}",
    ]


def print_line(cells: list[str] | tuple[str, ...]) -> None:
    """Print one line of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("category", nargs="?", default="bottle")
    parser.add_argument("--coreset", type=float, nargs="+", default=[0.01, 0.1])
    options = parser.parse_args()

    data = datasets.mvtec(options.data, options.category)
    good = sorted(data.train)
    for share in options.coreset:
        model = PatchCore(coreset_ratio=share, seed=0, progress=False)
        before = time.perf_counter()
        model.fit(good[:FIRST])
        seconds = time.perf_counter() - before
        masks = data.read_masks(model.preprocessing_)
        print(f"\ncoreset {100 * share:g} %\n")
        print_line(HEADS)
        print_line(["--:"] * len(HEADS))
        print_line([f"fit {FIRST}", *measured(model, data, masks), f"{seconds:.1f}"])
        rows, seconds = [], 0.0
        for first in range(FIRST, len(good), STEP):
            before = time.perf_counter()
            rows.append(int(model.update(good[first : first + STEP]).sum()))
            seconds += time.perf_counter() - before
            learned = model.made_.images
            if learned in MEASURED or learned == len(good):
                cells = measured(model, data, masks)
                print_line([f"updated to {learned}", *cells, f"{seconds:.1f}"])
                seconds = 0.0
        before = time.perf_counter()
        whole = PatchCore(coreset_ratio=share, seed=0, progress=False).fit(good)
        seconds = time.perf_counter() - before
        print_line([f"fit {len(good)}", *measured(whole, data, masks), f"{seconds:.1f}"])
        print(f"\nrows added by each {STEP} images: {', '.join(map(str, rows))}")


if __name__ == "__main__":
    main()
