"""Fit on more and more images: ``python docs/studies/many_images.py NETWORK``.

NETWORK is an ONNX file of minicore with a ResNet, for instance the file that
``minicore backbone get resnet50`` downloads. The images are drawn parts. The smallest number is a
quarter of the images of hazelnut, the largest category of MVTec AD; the largest number is ten times
as many.

Each fit is a process of its own that reads image files. Measured are the seconds of each stage, and
the largest memory of the process until the projection ends, and in each later stage (Linux only:
every 20 ms). The memory bank of the largest fit takes 12.6 GB on the disk, or in memory.

Each fit is a line of ``many_images.jsonl`` beside this file. Finished fits are not repeated, so an
interrupted study continues. At the end the table is printed; ``--table`` only prints it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm.auto import tqdm

from minicore import PatchCore, datasets
from minicore.runtime import machine, threads

RESULTS = Path(__file__).with_suffix(".jsonl")
HAZELNUT = 391  # good images
SIZES = HAZELNUT // 4, HAZELNUT, 5 * HAZELNUT // 2, 5 * HAZELNUT, 10 * HAZELNUT
STORAGES = "disk", "float32"
SHARE = 0.01
READING = 4  # stages of each batch of images: images, network, patches, memory bank
Record = dict[str, Any]


def draw(folder: Path, n: int) -> None:
    """Write n good images of a drawn circuit, a hundred of each seed."""
    for first in tqdm(range(0, n, 100), "drawing the parts"):
        some = datasets.synthetic(
            n_train=min(100, n - first), n_good=0, n_defective=0, seed=first // 100
        )
        for i, image in enumerate(some.train, first):
            Image.fromarray(image).save(folder / f"{i:04}.png")


def fit(folder: Path, n: int, storage: str, network: str) -> Record:
    """Fit on n images and return the seconds of each stage and its largest memory in bytes."""
    model = PatchCore(
        network, "paper", SHARE, bank_storage=storage, false_positive_rate=0.05, progress=False
    )
    page = os.sysconf("SC_PAGE_SIZE")
    memory = [0]  # until the end of the projection, then in each later stage
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            stage = max(0, len(getattr(model, "seconds_", ())) - READING)
            memory.extend([0] * (stage + 1 - len(memory)))
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
            memory[stage] = max(memory[stage], pages * page)

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = time.perf_counter()
    try:
        model.fit(sorted(folder.glob("*.png"))[:n])
    finally:
        ended.set()
        watcher.join()
    return {
        "images": n,
        "storage": storage,
        "rows": n * model.grid_[0] * model.grid_[1],
        "dimensions": model.memory_bank_.shape[1],
        "picks": model.bank_rows_,
        "all": time.perf_counter() - before,
        "seconds": model.seconds_,
        "memory": dict(
            zip(["projection", *list(model.seconds_)[READING + 1 :]], memory, strict=False)
        ),
    }


def table(records: list[Record]) -> str:
    """Return the seconds and the memory of each fit."""
    heads = ("images", "patches", "bank_storage", "network", "patches, bank", "projection",
             "coreset", "threshold", "all, s", "largest memory")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|--:|--:|:--|{'--:|' * (len(heads) - 3)}"]
    for r in sorted(records, key=lambda r: (r["images"], r["storage"])):
        of = {name.split(" (")[0]: seconds for name, seconds in r["seconds"].items()}
        shown = (
            of["images"] + of["network"], of["patches"] + of["memory bank"], of["projection"],
            of["coreset"], of["threshold"], r["all"],
        )  # fmt: skip
        stage = max(r["memory"], key=r["memory"].get)
        cells = [f"{r['images']:,}", f"{r['rows']:,}", r["storage"]]
        cells += [f"{s:.0f}" if s >= 9.95 else f"{s:.1f}" for s in shown]
        cells.append(f"{r['memory'][stage] / 1e9:.1f} GB ({stage.split(' (')[0]})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def read() -> list[Record]:
    """Return the machine and the fits so far."""
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("network", type=Path, nargs="?")
    parser.add_argument("--images", type=int, nargs="+", default=SIZES)
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)  # one fit, in this process
    options = parser.parse_args()
    if options.only is not None:
        record = fit(options.only, *options.images, *options.storage, str(options.network))
        print(json.dumps(record))
        return
    if not options.table:
        if options.network is None:
            parser.error("expected NETWORK")
        described = {**machine.describe(threads.count()), "network": options.network.name}
        if not RESULTS.exists():
            RESULTS.write_text(json.dumps(described) + "\n", "utf-8")
        for name in ("network", "cpu", "threads", "versions"):
            if (there := read()[0][name]) != described[name]:
                parser.error(f"{RESULTS} has {name} {there}, not {described[name]}: move the file")
        run(options.network.resolve(), options.images, options.storage)
    print(table(read()[1:]))


def run(network: Path, sizes: list[int], storages: list[str]) -> None:
    """Run the fits that are missing, and store each."""
    done = {(r["images"], r["storage"]) for r in read()[1:]}
    todo = [(n, s) for n in sizes for s in storages if (n, s) not in done]
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), max((n for n, _ in todo), default=0))
        for n, storage in tqdm(todo, "fits"):
            command = [
                sys.executable, __file__, str(network), "--images", str(n), "--storage", storage,
                "--only", folder,
            ]  # fmt: skip
            fitted = subprocess.run(command, capture_output=True, text=True)
            if fitted.returncode:
                sys.exit(fitted.stderr[-2000:])
            with RESULTS.open("a", encoding="utf-8") as stream:
                stream.write(fitted.stdout.splitlines()[-1] + "\n")


if __name__ == "__main__":
    main()
