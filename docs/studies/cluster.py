"""Fit the same model on one machine and over worker processes, and compare time, bytes and memory.

    python docs/studies/cluster.py DATA [CATEGORY …]

DATA is the folder of MVTec AD. Every fit runs in a new process. The models must be equal, to the
bit. A worker has one thread. Peak memory is that of the process of the coordinator, and of the
largest worker.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from minicore import PatchCore, datasets
from minicore.cli.cluster import open_cluster

STAGES = {
    "memory bank": (
        "images", "network", "patches (eq 1–3)", "memory bank (eq 1–4)", "memory bank (eq 4)",
        "projection (eq 5)",
    ),
    "coreset": ("coreset (eq 5)",),
    "threshold": ("threshold",),
}  # fmt: skip
HEAD = "| category | share | workers | memory bank | coreset | threshold | all | rounds | sent |"
HEAD += " received | coordinator | worker |"


def peak() -> float:
    """Return the largest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def fit(options: argparse.Namespace) -> dict[str, Any]:
    """Fit once; return what it took, and save the model."""
    paths = sorted(datasets.mvtec(options.data, options.category[0]).train)
    model = PatchCore(
        options.backbone, coreset_ratio=options.share[0], n_threads=options.threads,
        progress=False, false_positive_rate=None if options.without_threshold else 0.05,
    )  # fmt: skip
    workers = options.workers[0] or None
    with open_cluster(None, workers) as client:
        begin = time.perf_counter()
        model.fit(paths, client=client)
        seconds = time.perf_counter() - begin
        took: dict[str, Any] = {"all": seconds, "coordinator": peak()}
        if client is not None:
            took["worker"] = max(client.run(peak).values())
            found = model.cluster_coreset_
            took |= {"rounds": found.rounds, "sent": found.sent, "received": found.received}
    for name, stages in STAGES.items():
        took[name] = sum(model.seconds_.get(stage, 0.0) for stage in stages)
    model.save(options.out)
    return took


def row(category: str, share: float, workers: int, took: dict[str, Any]) -> str:
    """Return a row of the table."""
    seconds = [f"{took[name]:.1f} s" for name in (*STAGES, "all")]
    over = workers > 0
    cells = [
        category, f"{share:.0%}", str(workers) if over else "one machine", *seconds,
        str(took["rounds"]) if over else "",
        *(f"{took[name] / 1e6:.0f} MB" if over else "" for name in ("sent", "received")),
        f"{took['coordinator']:.2f} GB", f"{took['worker']:.2f} GB" if over else "",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("category", nargs="*", default=["bottle", "screw"])
    parser.add_argument("--backbone")
    parser.add_argument("--share", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--threads", type=int, help="of the fit on one machine")
    parser.add_argument("--without-threshold", action="store_true")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.out:  # the process of one fit
        print(json.dumps(fit(options)))
        return

    common = [] if options.backbone is None else ["--backbone", options.backbone]
    common += [] if options.threads is None else ["--threads", str(options.threads)]
    common += ["--without-threshold"] if options.without_threshold else []
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}  # no time in the models
    print(HEAD + "\n" + "|---" * 12 + "|", flush=True)
    for category in options.category:
        for share in options.share:
            expected = None
            for workers in (0, *options.workers):
                with tempfile.TemporaryDirectory() as folder:
                    out = Path(folder, "model")
                    words = [str(options.data.absolute()), category, "--share", str(share)]
                    words += ["--workers", str(workers), "--out", str(out), *common]
                    done = subprocess.run(
                        [sys.executable, __file__, *words],
                        env=environment, check=True, stdout=subprocess.PIPE,
                    )  # fmt: skip
                    expected = expected or out.read_bytes()
                    assert out.read_bytes() == expected, "the models differ"
                took = json.loads(done.stdout.splitlines()[-1])
                print(row(category, share, workers, took), flush=True)


if __name__ == "__main__":
    main()
