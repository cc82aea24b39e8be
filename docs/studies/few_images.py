"""Measure turned copies of few good images: ``python docs/studies/few_images.py DATA``.

DATA is the folder of MVTec AD with screw and bottle. For each category, 1, 4 and 16 good images and
five seeds, a model is fitted without turned copies, with four (every 90°) and with eight (every
45°), at a coreset of 10 %. With eight copies, a second model has a coreset of 1.25 %, as many rows
as without copies. The seed chooses the good images and is the seed of the model. All test images
are scored. The time of a fit is CPU time, so that other work on the machine changes it little; use
one core (``taskset -c 0`` on Linux).

Each result is a line of ``few_images.jsonl`` beside this file. Finished results are not repeated,
so an interrupted run continues. At the end the table is printed; ``--table`` only prints it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from minicore import Backbone, PatchCore, datasets
from minicore.backbones.recording import Recording, record
from minicore.evaluation import metrics

RESULTS = Path(__file__).with_suffix(".jsonl")
CATEGORIES = "screw", "bottle"
IMAGES = 1, 4, 16
VARIANTS = (None, 0.1), (90, 0.1), (45, 0.1), (45, 0.0125)
SEEDS = range(5)
SETTING = "category", "images", "step", "coreset", "seed"


def measure(
    network: Recording,
    dataset: datasets.Dataset,
    images: int,
    step: int | None,
    coreset: float,
    seed: int,
) -> dict[str, Any]:
    """Fit a model on some good images and return the results of all test images.

    Parameters
    ----------
    network : Recording
        The default network with recorded maps of the test images; the good images are computed.
    dataset : Dataset
    images : int
        Number of good images.
    step : int or None
        Degrees between two turned copies of an image. None: no copies.
    coreset : float
        Share of the memory bank to keep.
    seed : int
    """
    chosen = np.random.default_rng(seed).permutation(len(dataset.train))[:images]
    train = [dataset.train[i] for i in np.sort(chosen)]
    turned: dict[str, Any] = {}
    if step is not None:
        turned = {"augment": "rotations", "angles": range(0, 360, step)}
    model = PatchCore(
        network, coreset_ratio=coreset, seed=seed, false_positive_rate=None, progress=False,
        **turned,
    )  # fmt: skip
    before = time.process_time()
    model.fit(train)
    seconds = time.process_time() - before
    found = model.detect(dataset.test)
    masks = dataset.read_masks(model.preprocessing_)
    height, width = model.grid_
    return {
        "category": dataset.name,
        "images": images,
        "step": step,
        "coreset": coreset,
        "seed": seed,
        "image_auroc": metrics.image_auroc(dataset.labels, found.scores),
        "pixel_auroc": metrics.pixel_auroc(masks, found.maps),
        "bank_rows": images * len(model.config_.turns) * height * width,
        "coreset_rows": model.bank_rows_,
        "fit_seconds": round(seconds, 2),
    }


def read() -> list[dict[str, Any]]:
    """Return the finished results."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table: means over the seeds, and the smallest and largest image AUROC."""
    scores = " | ".join(f"{name}: image AUROC | pixel AUROC" for name in CATEGORIES)
    lines = [
        f"| good images | turned | coreset | {scores} | bank rows | coreset rows | fit, CPU s |",
        "|---" * (6 + 2 * len(CATEGORIES)) + "|",
    ]
    for images, (step, coreset) in itertools.product(IMAGES, VARIANTS):
        rows = [
            r for r in results if (r["images"], r["step"], r["coreset"]) == (images, step, coreset)
        ]
        if not rows:
            continue
        cells = [f"{images}", "no" if step is None else f"every {step}°", f"{100 * coreset:g} %"]
        for category in CATEGORIES:
            of_category = [row for row in rows if row["category"] == category]
            if not of_category:
                cells += ["–", "–"]
                continue
            image, pixel = (
                100 * np.array([row[name] for row in of_category])
                for name in ("image_auroc", "pixel_auroc")
            )
            cells += [f"{image.mean():.1f} ({image.min():.1f}–{image.max():.1f})"]
            cells += [f"{pixel.mean():.1f}"]
        seconds = np.mean([row["fit_seconds"] for row in rows])
        cells += [f"{rows[0]['bank_rows']:,}", f"{rows[0]['coreset_rows']:,}", f"{seconds:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of MVTec AD")
    parser.add_argument("--table", action="store_true", help="only print the table")
    asked = parser.parse_args()
    if not asked.table:
        if asked.data is None:
            parser.error("name the folder of MVTec AD, or use --table")
        done = {tuple(row[name] for name in SETTING) for row in read()}
        for category in CATEGORIES:
            dataset = datasets.mvtec(asked.data, category)
            with tempfile.TemporaryDirectory() as folder:
                network = record(Backbone("default"), dataset.test, Path(folder, "maps"))
                measure(network, dataset, 4, 90, 0.1, 0)  # compiles: not part of any stored time
                for seed, images, (step, coreset) in itertools.product(SEEDS, IMAGES, VARIANTS):
                    if (category, images, step, coreset, seed) in done:
                        continue
                    found = measure(network, dataset, images, step, coreset, seed)
                    with RESULTS.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")
                    print(found, flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()
