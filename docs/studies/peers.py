"""Compare minicore with anomalib and fpsample: ``python docs/studies/peers.py DATA NETWORK``.

DATA is the folder of MVTec AD. NETWORK is an ONNX file of minicore with a ResNet, for instance the
file that ``minicore backbone get resnet50`` downloads. The packages to compare with need 6 GB and
are no dependencies of minicore. So make an environment of its own, in the folder of the repository:

    python -m venv peers
    peers/bin/pip install . onnx==1.23.2 anomalib==2.7.0 torch==2.14.1 torchvision==0.29.1 \
        timm==1.0.31 lightning==2.6.6 fpsample==1.0.2 faiss-cpu==1.15.1
    peers/bin/python docs/studies/peers.py DATA NETWORK

Each program (`peers_programs.py`) runs as a process of its own. Measured are its time on the clock,
the time of all processors and the peak of its memory, from the start of Python to its end. In each
round all programs run once, and the order changes. First, the scores of both programs are compared
for one and the same coreset, and minicore runs once without a measurement (it may compile).

Each run is a line of ``peers.jsonl`` beside this file. Finished runs are not repeated, so an
interrupted study continues. At the end the tables are printed; ``--table`` only prints them. Linux
or macOS only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers_programs import START

from minicore import datasets, fast
from minicore.evaluation import metrics
from minicore.images import Preprocessing
from minicore.runtime import machine, markdown

RESULTS = Path(__file__).with_suffix(".jsonl")
PROGRAMS = Path(__file__).with_name("peers_programs.py")
PACKAGES = "anomalib", "torch", "torchvision", "timm", "lightning", "fpsample"
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024  # of the system's peak memory, bytes
SIDES: dict[str, tuple[str, dict[str, Any]]] = {  # name in the table: program, its settings
    "anomalib": ("anomalib", {}),
    "minicore": ("minicore", {"false_positive_rate": None}),
    "minicore, threshold": ("minicore", {"false_positive_rate": 0.05}),
}
SELECTIONS = "fpsample", "fast"
SAME = 1e-4  # largest relative difference of two scores
Job = dict[str, Any]


def run(program: str, job: Job, folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run a program as a process. Return its times and memory, and the arrays that it wrote.

    Raises
    ------
    SystemExit
        If the program fails. The message contains the end of its output.
    """
    out, log = folder / "out.npz", folder / "log.txt"
    command = [sys.executable, "-W", "ignore", str(PROGRAMS), program]
    load = os.getloadavg()[0]
    with log.open("w") as stream:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [*command, json.dumps({**job, "out": str(out)})], stdout=stream, stderr=stream
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{program} failed:\n{log.read_text(errors='replace')[-2000:]}")
    with np.load(out) as file:
        arrays = dict(file)
    out.unlink()
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * MEMORY_UNIT,
        "load": load,
    }, arrays


def quality(dataset: datasets.Dataset, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the image and pixel AUROC of a program, in the order of the data set."""
    place = {Path(str(path)).resolve(): i for i, path in enumerate(found["paths"])}
    order = [place[Path(str(path)).resolve()] for path in dataset.test]
    masks = dataset.read_masks(Preprocessing())
    return {
        "image_auroc": metrics.image_auroc(dataset.labels, found["scores"][order]),
        "pixel_auroc": metrics.pixel_auroc(masks, found["maps"][order]),
    }


def detect(side: str, job: Job, dataset: datasets.Dataset, folder: Path) -> dict[str, Any]:
    """Run a side of the first table and return its line."""
    program, settings = SIDES[side]
    line, found = run(program, {**job, **settings}, folder)
    fit, score = map(float, found["seconds"])
    line.update(fit=fit, score=score, rows=int(found["rows"]))
    if found["selection"].size == 0:
        return {**line, **quality(dataset, found)}
    picks, wall, cpu = map(float, found["selection"])  # a part: the time is scaled to all picks
    more = line["rows"] / picks - 1
    line["wall"] += more * wall
    line["fit"] += more * wall
    line["cpu"] += more * cpu
    return {**line, "picks": int(picks)}


def select(side: str, job: Job, folder: Path) -> dict[str, Any]:
    """Run a side of the second table and return its line: with the share of Algorithm 1's picks."""
    bank = folder / "bank.npz"
    if not bank.exists():
        _, arrays = run("projected_bank", job, folder)
        np.savez(bank, **arrays)
    line, found = run(side, {**job, "bank": str(bank)}, folder)
    wall, cpu = map(float, found["seconds"])
    with np.load(bank) as file:
        M = file["bank"]
    exact = fast.greedy_coreset(M, len(found["picks"]), START)
    return {
        **line,
        "seconds": wall,
        "seconds_cpu": cpu,
        "rows": len(exact),
        "shape": M.shape,
        "same": float(np.mean(exact == found["picks"])),
    }


def rounds(options: argparse.Namespace, job: Job, folder: Path) -> None:
    """Run what is missing in the file of results."""
    dataset = datasets.mvtec(job["folder"], job["category"])
    done = {(r["side"], r["ratio"], r["round"]) for r in read()[1:]}
    sides = options.side
    missing = [
        (sides[(i + number) % len(sides)], ratio, number)
        for number in range(options.repeat)
        for ratio in options.coreset
        for i in range(len(sides))
    ]
    missing = [key for key in missing if key not in done]
    if missing:
        _, same = run("same_scores", job, folder)
        error = float(same["error"])
        print(f"scores for the same coreset: largest relative difference {error:.1e}", flush=True)
        if error > SAME:
            sys.exit(f"the programs do not compute the same: expected less than {SAME:g}")
        run("minicore", {**job, "ratio": 0.001, "false_positive_rate": None}, folder)
    for side, ratio, number in missing:
        this = {**job, "ratio": ratio, "picks": options.picks}
        line = detect(side, this, dataset, folder) if side in SIDES else select(side, this, folder)
        line = {"side": side, "ratio": ratio, "round": number, **line}
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def read() -> list[dict[str, Any]]:
    """Return the lines of the file: the machine, then one line per run."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]


def spread(values: list[float], digits: int = 0) -> str:
    """Return the median, with the smallest and largest value in parentheses."""
    low, middle, high = (f"{v:.{digits}f}" for v in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def tables(results: list[dict[str, Any]]) -> str:
    """Return two Markdown tables: whole processes, and the selection of the coreset alone."""
    whole = [
        ["coreset", "program", "runs", "whole process, s", "of all processors, s", "fit, s",
         "score, s", "peak memory, GB", "image AUROC", "pixel AUROC"],
    ]  # fmt: skip
    alone = [["picks", "program", "runs", "seconds", "of all processors, s", "same picks"]]
    for ratio in sorted({r["ratio"] for r in results}):
        for side in (*SIDES, *SELECTIONS):
            runs = [r for r in results if (r["side"], r["ratio"]) == (side, ratio)]
            if not runs:
                continue
            column = {name: [r[name] for r in runs] for name in runs[0] if name in runs[-1]}
            if side not in SIDES:
                digits = 1 if side == "fast" else 0
                alone.append(
                    [f"{runs[0]['rows']:,} of {runs[0]['shape'][0]:,}", side, f"{len(runs)}",
                     spread(column["seconds"], digits), spread(column["seconds_cpu"], digits),
                     f"{100 * min(column['same']):.4g} %"]
                )  # fmt: skip
                continue
            part = runs[0].get("picks")
            name = side if part is None else f"{side}, from {part:,} of {runs[0]['rows']:,} picks"
            auroc = [
                f"{100 * median(column[key]):.2f}" if key in column else ""
                for key in ("image_auroc", "pixel_auroc")
            ]
            memory = spread([peak / 1e9 for peak in column["peak"]], 1)
            times = [spread(column[key]) for key in ("wall", "cpu", "fit", "score")]
            whole.append([f"{100 * ratio:g} %", name, f"{len(runs)}", *times, memory, *auroc])
    return "\n\n".join(markdown.table(rows, names=2) for rows in (whole, alone) if len(rows) > 1)


def main() -> None:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("network", type=Path, nargs="?")
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--architecture", default="resnet50", help="the name of NETWORK in timm")
    parser.add_argument("--coreset", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--side", nargs="+", choices=[*SIDES, *SELECTIONS],
                        default=[*SIDES, *SELECTIONS])  # fmt: skip
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--picks", type=int, help="of anomalib; the time is scaled to all picks")
    parser.add_argument("--table", action="store_true", help="only print the tables")
    options = parser.parse_args()
    if not options.table:
        if options.network is None:
            parser.error("expected DATA and NETWORK")
        job = {
            "folder": str(options.data.resolve()),
            "category": options.category,
            "network": str(options.network.resolve()),
            "architecture": options.architecture,
            "threads": options.threads,
        }
        described = machine.describe(options.threads)
        described["versions"] |= {name: importlib.metadata.version(name) for name in PACKAGES}
        described |= {"category": options.category, "network": options.network.name}
        if not RESULTS.exists():
            RESULTS.write_text(json.dumps(described) + "\n", "utf-8")
        for name in ("category", "network", "cpu", "threads", "versions"):
            if (there := read()[0][name]) != described[name]:
                parser.error(f"{RESULTS} has {name} {there}, not {described[name]}: move the file")
        with tempfile.TemporaryDirectory() as folder:
            rounds(options, job, Path(folder))
    first, *results = read()
    print(json.dumps(first, indent=1))
    print("\n" + tables(results))


if __name__ == "__main__":
    main()
