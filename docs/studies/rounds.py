"""Select the coreset of one category in rounds: rounds and bytes, and the time beside one machine.

    python docs/studies/rounds.py DATA

DATA is the folder of MVTec AD. The parts are in this process. The first table counts rounds and
bytes for numbers of picks, candidates and parts. The second compares the time of the rounds with
that of `fast.greedy_coreset`, in alternation.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from minicore import PatchCore, datasets, fast
from minicore.cluster import Coreset, InProcess, Part, coordinator, greedy_coreset
from minicore.patchcore.selection import project

START = 1234
SHARES = (0.01, 0.1)
CANDIDATES = (1024, 4096, 16384, None)  # None: as many as minicore chooses
PARTS = (1, 4, 16)


def projected(paths: list[Path]) -> np.ndarray:
    """Return ψ(M) of these images, by the network that ships with minicore."""
    every = PatchCore(
        coreset_ratio=1.0, selection="random", false_positive_rate=None, progress=False
    ).fit(paths)
    M = np.empty_like(every.memory_bank_)
    M[every.coreset_indices_] = every.memory_bank_
    return project(M, every.config_)


def divided(psi_M: np.ndarray, count: int, images: int) -> InProcess:
    """Return parts of nearly as many images each."""
    of_image = len(psi_M) // images
    edges = [images * i // count * of_image for i in range(count + 1)]
    return InProcess([Part(psi_M[a:b], a) for a, b in itertools.pairwise(edges)])


def select(workers: InProcess, l: int, candidates: int | None) -> Coreset:
    """Run the rounds with a fixed number of candidates, or with the usual rule for None."""
    usual = coordinator.FEWEST, coordinator.PER_PICK
    if candidates is not None:
        coordinator.FEWEST, coordinator.PER_PICK = candidates, 0
    try:
        return greedy_coreset(workers, l, START)
    finally:
        coordinator.FEWEST, coordinator.PER_PICK = usual


def seconds(function: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Return the time of a call on the clock, and that of all processors."""
    wall, processors = time.perf_counter(), time.process_time()
    function(*arguments)
    return time.perf_counter() - wall, time.process_time() - processors


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("category", nargs="?", default="bottle")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()

    paths = sorted(datasets.mvtec(options.data, options.category).train)
    psi_M = projected(paths)
    sizes = [round(share * len(psi_M)) for share in SHARES]
    exact = {l: fast.greedy_coreset(psi_M, l, START, return_radii=True) for l in sizes}
    print(f"{options.category}, {len(psi_M):,} rows of {psi_M.shape[1]}\n")
    print("| picks | parts | candidates of a round | rounds | candidates | sent | received |")
    print("|---|---|---|---|---|---|---|")
    for l, count, candidates in itertools.product(sizes, PARTS, CANDIDATES):
        found = select(divided(psi_M, count, len(paths)), l, candidates)
        assert np.array_equal(found.rows, exact[l][0]) and np.array_equal(found.radii, exact[l][1])
        print(
            f"| {l:,} | {count} | {candidates or 'chosen'} | {found.rounds} | "
            f"{found.candidates:,} | {found.sent / 1e6:.1f} MB | {found.received / 1e6:.1f} MB |",
            flush=True,
        )

    print(f"\nMedian of {options.repeat}, seconds on the clock (of all processors)\n")
    print("| picks | one machine | rounds, 1 part | rounds, 4 parts in one process |")
    print("|---|---|---|---|")
    one, parts_1, parts_4 = (
        lambda l: fast.greedy_coreset(psi_M, l, START, return_radii=True),
        lambda l: greedy_coreset(divided(psi_M, 1, len(paths)), l, START),
        lambda l: greedy_coreset(divided(psi_M, 4, len(paths)), l, START),
    )
    for l in sizes:
        laps = [[seconds(f, l) for f in (one, parts_1, parts_4)] for _ in range(options.repeat)]
        cells = [
            f"{median(wall for wall, _ in column):.2f} ({median(cpu for _, cpu in column):.2f})"
            for column in zip(*laps, strict=True)
        ]
        print(f"| {l:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
