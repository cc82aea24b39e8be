"""Measure `whiten` and `score`: ``python docs/studies/variants.py DATA``.

DATA is the folder of MVTec AD; it must contain bottle, screw and pill. The five drawn parts need no
data: 40 good training images, 40 good and 40 defective test images each. Each setting becomes a
line of ``variants.jsonl`` beside this file, so that an interrupted run continues. At the end the
tables are printed; ``--tables`` only prints them.

For each data set, with and without whitening, banks of 1,000 rows, 1 % and 10 %, and five seeds
(three for the real parts at 10 %): image AUROC of four image scores, which come from the same patch
distances, and pixel AUROC. The network and all other settings are the defaults.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import material as source
import numpy as np
from material import DRAWN, REAL, Material, material

from minicore import datasets, fast
from minicore.equations import projection, reweighted_distance
from minicore.evaluation import metrics
from minicore.images import Preprocessing
from minicore.patchcore.whitening import covariance, whitening_matrix
from minicore.runtime import markdown

OUT = Path(__file__).with_suffix(".jsonl")
N_DRAWN = 40  # good training, good test and defective test images of a drawn part
SEEDS = range(5)
FEWER_SEEDS = range(
    3
)  # for banks of 10 % of the real parts, where a whitened coreset takes minutes
SIZES = 1000, 0.01, 0.1  # rows, or shares of all rows
B = 9
SCORES = "s* (b=None)", "max", "top", "w · top"  # w: the weight of equation 7
GRID, PIXELS, CELL, SIGMA = 28, 224, 8.0, 4.0  # of the default network


def masks_of(name: str, folder: Path) -> np.ndarray:
    """Return the masks of the test images in the order of `Material`: good ones first."""
    if name in DRAWN:
        parts = datasets.synthetic(name, n_train=N_DRAWN, n_good=N_DRAWN, n_defective=N_DRAWN)
    else:
        parts = datasets.mvtec(folder, name)
    masks = parts.read_masks(Preprocessing())
    return np.concatenate([masks[parts.labels == 0], masks[parts.labels == 1]])


def scores(patches: np.ndarray, bank: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Score images (n, P, D) in four ways; return the scores and the patch distances (n, P)."""
    n, P, D = patches.shape
    index = fast.Nearest(bank)
    distances, rows = (x.reshape(n, P) for x in index.query(patches.reshape(-1, D)))
    star = distances.astype(np.float32).argmax(axis=1)
    images = np.arange(n)
    s_star = distances[images, star]
    around = index.query(bank[rows[images, star]], B)[1]
    s = np.array([reweighted_distance(patches[i, star[i]], bank[around[i]]) for i in images])
    highest = max(1, round(0.01 * P))
    top = np.sort(distances, axis=1)[:, -highest:].mean(axis=1)
    return dict(zip(SCORES, (s_star, s, top, s / s_star * top), strict=True)), distances


def measure(
    features: Material, masks: np.ndarray, sizes: tuple[float, ...], seed: int
) -> list[dict[str, Any]]:
    """Return the results of banks of some sizes; a small coreset begins a large one."""
    D = features.train.shape[2]
    M = features.train.reshape(-1, D)
    test = np.concatenate([features.good, features.bad])
    labels = np.repeat([0, 1], [len(features.good), len(features.bad)])
    N = len(M)
    rows = {size: size if size > 1 else max(1, round(size * N)) for size in sizes}

    started = time.process_time()
    psi_M = fast.project(M, projection(D, 128, seed)) if D > 128 else M
    start = int(np.random.default_rng([seed, N]).integers(N))
    picks = fast.greedy_coreset(psi_M, int(max(rows.values())), start)
    seconds = time.process_time() - started

    results = []
    for size, l in rows.items():
        bank = M[picks[: int(l)]]
        started = time.process_time()
        found, distances = scores(test, bank)
        searched = time.process_time() - started
        maps = fast.anomaly_map(
            distances.reshape(-1, GRID, GRID), PIXELS, PIXELS, SIGMA, 1, (CELL, CELL)
        )
        results.append(
            {
                "size": size,
                "rows": int(l),
                "columns": D,
                "image": {name: metrics.image_auroc(labels, s) for name, s in found.items()},
                "pixel": metrics.pixel_auroc(masks, maps),
                "coreset_cpu_seconds": seconds if l == max(rows.values()) else None,
                "search_cpu_ms": 1e3 * searched / len(test),
            }
        )
    return results


def run(folder: Path) -> None:
    """Measure every setting that is not in the file of results yet."""
    source.N_DRAWN = N_DRAWN
    done = {(r["set"], r["whiten"], r["size"], r["seed"]) for r in read()}
    for stage in (SIZES[:2], SIZES[2:]):
        for name in (*REAL, *DRAWN):
            todo = []
            for seed in FEWER_SEEDS if stage == SIZES[2:] and name in REAL else SEEDS:
                for whiten in (False, True):
                    missing = [s for s in stage if (name, whiten, s, seed) not in done]
                    if missing:
                        todo.append((seed, whiten, tuple(missing)))
            if not todo:
                continue
            plain, masks = material(name, folder), masks_of(name, folder)
            white = whitened(plain)
            for seed, whiten, sizes in todo:
                began = time.perf_counter()
                for result in measure(white if whiten else plain, masks, sizes, seed):
                    line = {"set": name, "whiten": whiten, "seed": seed, **result}
                    with OUT.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                took = time.perf_counter() - began
                print(name, whiten, sizes, seed, f"{took:.1f} s", file=sys.stderr, flush=True)


def whitened(plain: Material) -> Material:
    """Return whitened patch features; the matrix comes from the training images."""
    W = whitening_matrix(covariance(plain.train.reshape(-1, plain.train.shape[2])))
    return Material(
        *(fast.project(x.reshape(-1, x.shape[2]), W).reshape(*x.shape[:2], -1) for x in plain)
    )


def read() -> list[dict[str, Any]]:
    """Return the results so far."""
    lines = OUT.read_text("utf-8").splitlines() if OUT.exists() else []
    return [json.loads(line) for line in lines]


def tables() -> None:
    """Print the results as Markdown: means over the seeds, in per cent, ± their deviation."""
    results = read()
    groups: dict[tuple[str, float, bool], list[dict[str, Any]]] = {}
    for r in results:
        groups.setdefault((r["set"], r["size"], r["whiten"]), []).append(r)

    def cell(group: list[dict[str, Any]], of: Callable[[dict[str, Any]], float]) -> str:
        values = 100 * np.array([of(r) for r in group])
        return f"{values.mean():.1f} ± {values.std():.1f}"

    head = "data", "bank", "seeds", "max", "top", "whitened, max", "top", "pixel", "whitened, pixel"
    rows = [list(head)]
    for name in (*REAL, *DRAWN):
        for size in SIZES:
            pair = [groups.get((name, size, whiten), []) for whiten in (False, True)]
            if not all(pair):
                continue
            texts = [cell(g, lambda r, k=k: r["image"][k]) for g in pair for k in ("max", "top")]
            texts += [cell(g, lambda r: r["pixel"]) for g in pair]
            bank = f"{size:,} rows" if size > 1 else f"{size:.0%}"
            rows.append([name, bank, str(len(pair[0])), *texts])
    print("Image AUROC and pixel AUROC\n")
    print(markdown.table(rows))

    rows = [["whitened", "bank", *SCORES]]
    for whiten in (False, True):
        for size in SIZES:
            found = [g for (_, s, w), g in groups.items() if (s, w) == (size, whiten)]
            means = [np.mean([r["image"][k] for g in found for r in g]) for k in SCORES]
            bank = f"{size:,} rows" if size > 1 else f"{size:.0%}"
            rows.append([str(whiten), bank, *(f"{100 * mean:.2f}" for mean in means)])
    print("\nImage AUROC of four scores, mean of all runs\n")
    print(markdown.table(rows))

    rows = [["data", "whitened", "values per patch", "coreset, s", "search, ms per image"]]
    for (name, size, whiten), group in groups.items():
        timed = [r for r in group if r.get("coreset_cpu_seconds")]
        if size == SIZES[-1] and timed:
            times = [
                np.mean([r[k] for r in timed]) for k in ("coreset_cpu_seconds", "search_cpu_ms")
            ]
            rows.append([name, str(whiten), str(timed[0]["columns"]), *(f"{t:.1f}" for t in times)])
    print("\nCPU time of all threads together, a bank of 10 %\n")
    print(markdown.table(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--tables", action="store_true")
    arguments = parser.parse_args()
    if not arguments.tables:
        run(arguments.data)
    tables()
