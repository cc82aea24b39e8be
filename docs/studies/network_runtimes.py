"""Compare OpenVINO with onnxruntime for the network: time, feature maps, AUROC.

    pip install openvino
    python docs/studies/network_runtimes.py DATA bottle screw --backbone default

DATA is the folder of MVTec AD. minicore itself does not use OpenVINO. It computes in float32, and
in bfloat16 where the processor has it. The first table has the times of batches of eight images, in
alternation, and the largest difference of a feature map, as a share of its largest value. The
second has image and pixel AUROC of models whose fit and scores both use one runtime, the largest
change of a score, and the share of the coreset's rows that onnxruntime's model has too.

When openvino is imported, its package openvino_telemetry reports to Google Analytics. Here it is
imported without that package.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from minicore import Backbone, PatchCore, datasets, fast
from minicore.evaluation.evaluate import evaluate
from minicore.images import batches
from minicore.runtime import markdown

BATCH = 8
ONNXRUNTIME = "onnxruntime"


def start_threads() -> None:
    """Start the threads of Numba. After openvino is imported, Numba would use the TBB inside it."""
    fast.greedy_coreset(np.random.default_rng(0).random((100, 8), np.float32), 10, 0)


def import_openvino() -> Any:
    """Import openvino without its telemetry."""
    sys.modules["openvino_telemetry"] = None
    import openvino

    return openvino


class OpenVino(Backbone):
    """A network that OpenVINO runs, each image on one thread.

    Parameters
    ----------
    path_or_name : str
        As for `Backbone`.
    precision : {"f32", "bf16"}
    threads : int
    """

    def __init__(self, path_or_name: str, precision: str, threads: int) -> None:
        super().__init__(path_or_name, threads=threads, batch_size=BATCH)
        self.precision = precision
        self._own = threading.local()  # a request serves one thread at a time

    @cached_property
    def _network(self) -> Any:
        openvino = import_openvino()
        core = openvino.Core()
        whole = core.read_model(self.path)
        outputs = [whole.output(layer) for layer in self.layers]
        options = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.threads,  # images that run at the same time
            "ENABLE_CPU_PINNING": False,
        }
        needed = openvino.Model(outputs, whole.get_parameters())
        return core.compile_model(needed, "CPU", options)

    def _run_on(self, session: Any, images: np.ndarray) -> list[np.ndarray]:
        if not hasattr(self._own, "request"):
            self._own.request = self._network.create_infer_request()
        maps = self._own.request.infer({self.input_name: images})
        return [maps[layer].copy() for layer in self.layers]


def networks(name: str, threads: int) -> dict[str, Backbone]:
    """Return the network as each runtime opens it."""
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found: dict[str, Backbone] = {ONNXRUNTIME: Backbone(name, threads=threads, batch_size=BATCH)}
    found["OpenVINO, float32"] = OpenVino(name, "f32", threads)
    if "BF16" in capabilities:
        found["OpenVINO, bfloat16"] = OpenVino(name, "bf16", threads)
    return found


def times(runtimes: dict[str, Backbone], images: list[Path], rounds: int) -> None:
    """Print the time of each runtime, and the difference of its maps from onnxruntime's."""
    first = runtimes[ONNXRUNTIME]
    batch = next(batches(images, first.preprocessing, BATCH))
    expected = first(batch)
    wall: dict[str, list[float]] = {name: [] for name in runtimes}
    cpu: dict[str, list[float]] = {name: [] for name in runtimes}
    order = itertools.cycle(itertools.permutations(runtimes))
    for i in range(rounds + 2):
        for name in next(order):
            before = time.perf_counter(), time.process_time()
            runtimes[name](batch)
            if i >= 2:
                wall[name].append((time.perf_counter() - before[0]) * 1e3 / BATCH)
                cpu[name].append((time.process_time() - before[1]) * 1e3 / BATCH)
    rows = [["runtime", "ms per image", "to onnxruntime", "CPU time to onnxruntime", "maps"]]
    for name, network in runtimes.items():
        maps = network(batch)
        difference = max(np.abs(maps[j] - phi).max() / phi.max() for j, phi in expected.items())
        ratios = [
            median(a / b for a, b in zip(each[name], each[ONNXRUNTIME], strict=True))
            for each in (wall, cpu)
        ]
        middle = f"{median(wall[name]):.1f}"
        rows.append([name, middle, *(f"{ratio:.2f}" for ratio in ratios), f"{difference:.1e}"])
    print(markdown.table(rows) + "\n")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("category", nargs="+")
    parser.add_argument("--backbone", default="default")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="0: only the times")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    start_threads()
    runtimes = networks(options.backbone, options.threads)
    parts = [datasets.mvtec(options.data, category) for category in options.category]
    times(runtimes, list(parts[0].train)[:BATCH], options.rounds)
    rows = [["category", "seed", "runtime", "image AUROC", "pixel AUROC", "fit s"]]
    rows[0] += ["scores", "same rows"]
    for part, seed in itertools.product(parts, range(options.seeds)):
        expected = picks = None
        for name, network in runtimes.items():
            model = PatchCore(
                network, seed=seed, false_positive_rate=None, progress=False,
                n_threads=options.threads,
            )  # fmt: skip
            found, detection = evaluate(model, part)
            expected = detection.scores if expected is None else expected
            picks = model.coreset_indices_ if picks is None else picks
            same = f"{np.isin(model.coreset_indices_, picks).mean():.0%}"
            aurocs = [f"{100 * (x or 0):.2f}" for x in (found.image_auroc, found.pixel_auroc)]
            change = f"{np.abs(detection.scores / expected - 1).max():.1e}"
            seconds = f"{found.fit_seconds:.1f}"
            rows.append([part.name, str(seed), name, *aurocs, seconds, change, same])
            print(*rows[-1], file=sys.stderr)
    if options.seeds:
        print(markdown.table(rows))


if __name__ == "__main__":
    main()
