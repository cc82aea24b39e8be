"""Run the fuzzer for some minutes, see `fuzz`, and print the endings of each target."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from fuzz.drive import Broken, cases, judge, peak
from fuzz.targets import targets

KEPT = Path(__file__).parent / "seeds"


def run(target, minutes: float, seed: int) -> tuple[Counter[str], dict[str, bytes]]:
    """Fuzz one target. Return the number of each ending, and one case per broken promise."""
    endings, broken = Counter[str](), {}
    with tempfile.TemporaryDirectory() as valid, tempfile.TemporaryDirectory() as scratch:
        seeds = target.seeds(Path(valid))
        stream = cases(target, seeds, Random(seed))
        content, until = next(stream), time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            try:
                ending = judge(target, content, Path(scratch))
            except Broken as error:
                ending = f"BROKEN {error}"[:100].replace(scratch, "")
                broken.setdefault(ending, content)
            endings[ending] += 1
            content = stream.send(ending)
    return endings, broken


def main() -> None:
    every = {target.name: target for target in targets()}
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=sys.modules["fuzz"].__doc__)
    parser.add_argument("target", nargs="*", help=", ".join(every))
    parser.add_argument("--minutes", type=float, default=20, help="all targets together")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    asked = parser.parse_args()
    names = asked.target or list(every)
    failed = False
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff prints a line for each bad file
    for name in names:
        endings, broken = run(every[name], asked.minutes / len(names), asked.seed)
        total, taken = endings.total(), endings["a result"]
        bad = sum(n for ending, n in endings.items() if ending.startswith("BROKEN"))
        print(
            f"{name}: {total} cases, {taken} gave a result, {total - taken - bad} one error in "
            f"{len(endings)} ways, {bad} broke the promise; peak {peak():.0f} MB; "
            f"seed {asked.seed}",
            flush=True,
        )
        for what, content in broken.items():
            failed = True
            path = KEPT / name / hashlib.sha256(content).hexdigest()[:12]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(f"    {endings[what]} × {what}: {path}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
