"""Measure Algorithm 1 in rounds on up to ten million patches.

    python docs/studies/scale.py DATA

DATA is the folder of MVTec AD; it must contain bottle, screw and pill. Each result is appended to
``scale.jsonl`` beside this file, a line per setting, so that an interrupted run continues.
``scale_tables.py`` prints the tables of ``docs/scale.md``, and ``docs/images/scale.py`` draws its
picture. All parts are in this process, which uses one thread. Seconds are those of its processor,
so that other programs do not count.

The bank has the patches of all good training images, in a random order of the images. It has
`REAL` rows; larger banks continue with copies of these rows. Each copy differs from its row by a
normal vector of length `NOISE`, half of the usual distance between a patch and the nearest patch of
another image.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from material import REAL as CATEGORIES
from material import material

from minicore import PatchCore, datasets, fast
from minicore.backbones import open_backbone
from minicore.cluster import InProcess, Part, coordinator, rounds, two_round_coreset
from minicore.cluster.dask_workers import DaskWorkers
from minicore.equations import projection
from minicore.patchcore.features import embed
from minicore.runtime import threads

RESULTS = Path(__file__).with_suffix(".jsonl")
REAL = 624_064
NOISE = 0.2
PARTS = 16
D_STAR = 128
START = 1234
FEWEST = coordinator.FEWEST
EXACT = 1_000_000  # rows up to which the picks are compared with those of one machine
SHARES = 0.001, 0.01, 0.1
PATCHES = 784  # of an image
D = 384  # of the network that ships with minicore; the one of the paper has 1,024

Record = dict[str, Any]


def settings() -> Iterator[Record]:
    """Yield what is measured, in this order."""
    usual = {"method": "rounds", "parts": PARTS, "noise": NOISE, "real": REAL}
    yield {"method": "stages"}
    yield {"method": "calls", "parts": 100}
    for N, share in itertools.product((10_000, 100_000, REAL, 1_000_000), SHARES):
        if N != REAL or share == 0.01:
            yield {**usual, "N": N, "l": round(share * N)}
    for parts in (1, 4, 64):
        yield {**usual, "N": 1_000_000, "l": 10_000, "parts": parts}
    for candidates in (16_384, 131_072, REAL):
        yield {"method": "candidates", "N": candidates, "l": candidates // 8}
    for noise in (0.5 * NOISE, NOISE, 2 * NOISE):
        yield {**usual, "N": REAL, "l": 6241, "real": REAL // 8, "noise": noise}
    for N in (100_000, 1_000_000):
        yield {**usual, "N": N, "l": N // 100, "method": "two rounds"}
    for fewest in (4096, 16_384, 65_536):
        yield {**usual, "N": REAL, "l": 6241, "method": "fewest", "fewest": fewest}
    for share, N in ((0.001, 3_000_000), (0.001, 10_000_000), (0.01, 3_000_000)):
        yield {**usual, "N": N, "l": round(share * N)}


# ------------------------------------------------------- measuring


def real_rows(data: Path) -> np.ndarray:
    """Return ψ of the patches of all good training images, (REAL, 128) float32."""
    images = []
    for name in CATEGORIES:
        train = material(name, data).train
        n, P, D = train.shape
        psi_M = fast.project(train.reshape(-1, D), projection(D, D_STAR, 0))
        images.append(psi_M.reshape(n, P, D_STAR))
    found = np.concatenate(images)
    order = np.random.default_rng(0).permutation(len(found))
    rows = found[order].reshape(-1, D_STAR)
    if len(rows) != REAL:
        sys.exit(f"{data} has {len(rows):,} good patches, but MVTec AD has {REAL:,}")
    return rows


def bank(rows: np.ndarray, N: int, real: int, noise: float) -> np.ndarray:
    """Return N rows: the first `real` ones, then copies of them with noise."""
    M = np.empty((N, D_STAR), np.float32)
    sigma = np.float32(noise / np.sqrt(D_STAR))
    for copy, first in enumerate(range(0, N, real)):
        rng = np.random.default_rng([1, copy])
        for a in range(first, min(first + real, N), 65_536):
            b = min(a + 65_536, first + real, N)
            M[a:b] = rows[a - first : b - first]
            if copy:
                M[a:b] += sigma * rng.standard_normal((b - a, D_STAR), dtype=np.float32)
    return M


class Timed(InProcess):
    """Parts in this process; `all` and `slowest` are the seconds of all and of the slowest part."""

    all = slowest = 0.0

    def call(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """Call a method of several parts; see `Workers`."""
        results, seconds = {}, [0.0]
        for i, own in arguments.items():
            started = time.process_time()
            results |= super().call(method, {i: own})
            seconds.append(time.process_time() - started)
        self.all += sum(seconds)
        self.slowest += max(seconds)
        return results


def measure(M: np.ndarray, setting: Record) -> Record:
    """Select one coreset, and return its rounds, bytes and seconds."""
    N, l = setting["N"], setting["l"]
    coordinator.FEWEST = setting.get("fewest", FEWEST)
    edges = [N * i // setting["parts"] for i in range(setting["parts"] + 1)]
    started = time.process_time()
    workers = Timed([Part(M[a:b], a) for a, b in itertools.pairwise(edges)])
    prepare = time.process_time() - started
    started = time.process_time()
    if setting["method"] == "two rounds":
        approximation = two_round_coreset(workers, l, START)
        elapsed = time.process_time() - started
        found: Record = {
            "sent": approximation.sent, "received": approximation.received,
            "radius": approximation.radius,
        }  # fmt: skip
    else:
        ends = [1]
        for coreset in rounds(workers, l, START):
            ends.append(len(coreset.rows))
        elapsed = time.process_time() - started
        learned = sum(int(part._own._seen.sum()) for part in workers.parts)
        held = sum(part.nbytes + 16 * part.size()[1] for part in workers.parts)  # distance, _seen
        found = {
            "rounds": coreset.rounds, "candidates": coreset.candidates, "sent": coreset.sent,
            "received": coreset.received, "radius": float(coreset.radii[-1]),
            "compared": learned / N, "bytes of a row": held / N,
            "picks of a round": np.diff(ends).tolist(),
        }  # fmt: skip
    found["seconds"] = {
        "prepare": prepare, "parts": workers.all, "slowest": workers.slowest,
        "coordinator": elapsed - workers.all,
    }  # fmt: skip
    if setting["method"] != "two rounds" and N <= EXACT:
        started = time.process_time()
        expected, radii = fast.greedy_coreset(M, l, START, return_radii=True)
        found["seconds"]["one machine"] = time.process_time() - started
        assert np.array_equal(coreset.rows, expected), setting
        assert np.array_equal(coreset.radii, radii), setting
        found["exact"] = True
    return found


def stages(data: Path, rows: np.ndarray) -> Record:
    """Return the time of each patch from file to ψ, and the usual distance of unlike patches."""
    paths = sorted(datasets.mvtec(data, CATEGORIES[0]).train)[:64]
    network = open_backbone(None)
    config = PatchCore()._configure(network)
    seconds = {}
    for _ in range(2):  # the first time compiles
        started = time.process_time()
        for maps in network.feature_maps(paths, network.preprocessing, 8):
            embed(maps, config, "fast")
        seconds["patches"] = (time.process_time() - started) / (len(paths) * PATCHES)
        M = np.random.default_rng(0).standard_normal((50_000, D)).astype(np.float32)
        started = time.process_time()
        fast.project(M, projection(D, D_STAR, 0))
        seconds["projection"] = (time.process_time() - started) / len(M)
    image = np.arange(len(rows)) // PATCHES
    nearest = []
    for m in np.random.default_rng(2).choice(len(rows), 100, replace=False):
        squared = ((rows - rows[m]) ** 2).sum(axis=1)
        nearest.append(np.sqrt(squared[image != image[m]].min()))
    return {"seconds": seconds, "nearest": float(np.median(nearest))}


def calls(parts: int) -> Record:
    """Return the time of a call to all parts of a Dask cluster on this machine, by the clock."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        workers = DaskWorkers(client, Part, [(np.zeros((1, 1)), i) for i in range(parts)])
        laps = []
        for _ in range(11):
            started = time.perf_counter()
            workers.call("size", dict.fromkeys(range(parts), ()))
            laps.append(time.perf_counter() - started)
    return {"seconds": {"round": float(np.median(laps[1:]))}}


def run(data: Path, out: Path) -> None:
    """Measure every setting that is not in the file yet."""
    done = read(out)
    todo = [s for s in settings() if not any(s.items() <= record.items() for record in done)]
    if not todo:
        return
    rows = real_rows(data)
    M, made = rows[:0], None
    with threads.limit(1):
        measure(rows[:50_000], {"method": "rounds", "N": 50_000, "l": 500, "parts": 2})  # compiles
        for setting in todo:
            started = time.process_time()
            if setting["method"] == "stages":
                found = stages(data, rows)
            elif setting["method"] == "calls":
                found = calls(setting["parts"])
            elif setting["method"] == "candidates":
                fast.greedy_coreset(rows[: setting["N"]], setting["l"])
                found = {"seconds": {"coordinator": time.process_time() - started}}
            else:
                wanted = setting["N"], setting["real"], setting["noise"]
                if wanted != made:
                    del M
                    M, made = bank(rows, *wanted), wanted
                found = measure(M, setting)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rounded({**setting, **found})) + "\n")
            print(setting, f"{time.process_time() - started:.1f} s", file=sys.stderr, flush=True)


def rounded(value: Any) -> Any:
    """Return the value with floats of five digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def read(path: Path) -> list[Record]:
    """Return the results that are in the file."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path)
    run(parser.parse_args().data, RESULTS)
