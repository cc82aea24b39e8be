"""Print the tables of docs/scale.md from scale.jsonl: ``python docs/studies/scale_tables.py``.

The last two tables compute time, traffic and memory of larger banks on many machines.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scale import D_STAR, NOISE, PARTS, REAL, RESULTS, SHARES, D, Record, read
from scipy.optimize import nnls

from minicore.cluster.coordinator import FEWEST, FEWEST_OF_PART, MOST, PER_PICK

LINK = 10e9 / 8  # bytes per second
MACHINES, CORES = 100, 16
BILLION = 10**9


def exact_records(done: list[Record]) -> list[Record]:
    """Return the results of rounds on the usual bank in the usual number of parts, by size."""
    usual = {"method": "rounds", "parts": PARTS, "noise": NOISE, "real": REAL}
    return sorted((r for r in done if usual.items() <= r.items()), key=lambda r: (r["N"], r["l"]))


def print_table(heads: str, lines: list[list[str]]) -> None:
    """Print a table in Markdown."""
    columns = heads.split("; ")
    print(f"\n| {' | '.join(columns)} |\n{'|--:' * len(columns)}|")
    for cells in lines:
        print(f"| {' | '.join(cells)} |")


def fit(columns: list[list[float]], values: list[float]) -> tuple[np.ndarray, float]:
    """Return the factors of the columns with the least relative errors, and the largest error."""
    A = np.array(columns, float) / np.array(values)[:, None]
    factors = nnls(A, np.ones(len(A)))[0]
    return factors, float(np.abs(A @ factors - 1).max())


def tables(done: list[Record]) -> None:
    """Print what was measured."""
    records = [r for r in exact_records(done) if r["N"] >= 100_000]
    print_table(
        "rows; picks; rounds; sent to each part; received; parts; coordinator; one machine",
        [
            [
                f"{r['N']:,}", f"{r['l']:,}", f"{r['rounds']}", size(r["sent"] / PARTS),
                size(r["received"]), *seconds(r, "parts", "coordinator", "one machine"),
            ]
            for r in records
        ],
    )  # fmt: skip
    by_parts = (r for r in done if r["method"] == "rounds" and (r["N"], r["l"]) == (10**6, 10**4))
    print_table(
        "parts; rounds; sent to each part; received; parts; slowest part; coordinator",
        [
            [
                f"{r['parts']}", f"{r['rounds']}", size(r["sent"] / r["parts"]),
                size(r["received"]), *seconds(r, "parts", "slowest", "coordinator"),
            ]
            for r in sorted(by_parts, key=lambda r: r["parts"])
        ],
    )  # fmt: skip
    print_table(
        "real rows; noise; rounds; received; parts",
        [
            [
                f"{r['real']:,}", "–" if r["real"] == REAL else f"{r['noise']}",
                f"{r['rounds']}", size(r["received"]), *seconds(r, "parts"),
            ]
            for r in done if r["method"] == "rounds" and r["N"] == REAL
        ],
    )  # fmt: skip
    print_table(
        "candidates, at least; rounds; received; parts; coordinator",
        [
            [
                f"{r['fewest']:,}", f"{r['rounds']}", size(r["received"]),
                *seconds(r, "parts", "coordinator"),
            ]
            for r in done if r["method"] == "fewest"
        ],
    )  # fmt: skip
    exact = {(r["N"], r["l"]): r for r in records}
    print_table(
        "selection; radius; received; slowest part; coordinator",
        [
            [
                name, f"{x['radius']:.3f}", size(x["received"]),
                *seconds(x, "slowest", "coordinator"),
            ]
            for r in done if r["method"] == "two rounds" and r["N"] == 10**6
            for name, x in (("two rounds", r), ("Algorithm 1", exact[r["N"], r["l"]]))
        ],
    )  # fmt: skip


def laws(done: list[Record]) -> dict[str, Any]:
    """Fit how rounds and seconds grow, print it, and return what `machines` needs."""
    records = [r for r in exact_records(done) if r["N"] >= 100_000]
    logs = np.array([[1, np.log(r["l"]), np.log(r["N"])] for r in records])
    counts = np.log([r["rounds"] for r in records])
    c = np.linalg.lstsq(logs, counts, rcond=None)[0]
    off = np.exp(np.abs(logs @ c - counts).max()) - 1
    print(
        f"\nrounds = {np.exp(c[0]):.2g} · l^{c[1]:.2f} · N^{c[2]:.2f}; error at most {percent(off)}"
    )
    parts, coordinator = (
        [r["seconds"][name] for r in records] for name in ("parts", "coordinator")
    )
    (a, b), off = fit([[r["N"] * r["rounds"], r["N"] * r["l"]] for r in records], parts)
    print(f"parts, seconds = {a:.2g} · N · rounds + {b:.2g} · N · l; error at most {percent(off)}")
    (d, e), off = fit([[r["candidates"], r["l"]] for r in records], coordinator)
    print(
        f"coordinator, seconds = {d:.2g} · candidates + {e:.2g} · l; error at most {percent(off)}"
    )
    compared = [r["compared"] / r["l"] for r in records]
    print(
        f"a row is compared with {percent(min(compared))} to {percent(max(compared))} of the picks"
    )
    shares = [r["candidates"] / (FEWEST * r["rounds"] + PER_PICK * r["l"]) for r in records]
    print(
        f"candidates are {percent(min(shares))} to {percent(max(shares))} of {FEWEST:,} · rounds + "
        f"{PER_PICK} · l"
    )
    stage, call, serial = (
        next(r for r in done if r["method"] == method and r.get("N", MOST) == MOST)
        for method in ("stages", "calls", "candidates")
    )
    row = sum(stage["seconds"].values())
    print(f"from file to ψ: {1e6 * row:.0f} µs a row; usual distance {stage['nearest']:.2f}")
    every = [r for r in done if r["method"] == "candidates"]
    names = " / ".join(f"{r['N']:,}" for r in every)
    times = " / ".join(f"{1000 * r['seconds']['coordinator'] / r['l']:.2f}" for r in every)
    print(f"Algorithm 1 among {names} candidates: {times} ms a pick")
    print(f"a call to a part: {1000 * call['seconds']['round'] / call['parts']:.1f} ms")
    return {
        "rounds": lambda N, l: np.exp(c @ [1, np.log(l), np.log(N)]) + l * PER_PICK / MOST,
        "seconds": lambda N, l, rounds: a * N * rounds + b * N * l,
        "row": row,
        "call": call["seconds"]["round"] / call["parts"],
        "serial": serial["seconds"]["coordinator"] / serial["l"],
        "bytes": records[-1]["bytes of a row"],
    }


def machines(law: dict[str, Any]) -> None:
    """Print time, traffic and memory on many machines, by the laws."""
    parts = MACHINES * CORES
    asked = max(FEWEST, FEWEST_OF_PART * parts)  # candidates of a round, at least
    times, memory = [], []
    for N, share in itertools.product((BILLION // 10, BILLION), SHARES):
        l = round(share * N)
        count = law["rounds"](N, l)
        sent = MACHINES * l * (4 * D_STAR + 8)
        received = (asked * count + PER_PICK * l) * (4 * D_STAR + 16)
        stages = (
            law["row"] * N / parts, law["seconds"](N, l, count) / parts, law["serial"] * l,
            count * law["call"] * parts, (sent + received) / LINK,
        )  # fmt: skip
        times.append(
            [f"{N:,}", f"{l:,}", f"{count:,.0f}", size(sent), size(received)]
            + [duration(x) for x in (*stages, sum(stages))]
        )
        of_part, of_coordinator = l * (law["bytes"] - 16), l * (4 * D_STAR + 16)
        held = law["bytes"] * N / MACHINES, of_part, CORES * of_part, of_coordinator, l * 4 * D
        if N == BILLION:
            memory.append([f"{l:,}", *map(size, held)])
    print_table(
        "rows; picks; rounds; sent; received; patches; catching up; coordinator; calls; traffic; "
        "in all",
        times,
    )
    print_table(
        "picks; rows of a machine; picks in one part; picks in 16 parts; picks of the "
        "coordinator; their patches",
        memory,
    )


def duration(seconds: float) -> str:
    """Return a time as text with two digits."""
    units = (("h", 3600), ("min", 60), ("s", 1))
    unit, length = next((u for u in units if seconds >= 2 * u[1]), units[-1])
    return f"{digits(seconds / length)} {unit}"


def size(count: float) -> str:
    """Return bytes as text with two digits."""
    unit, length = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{digits(count / length)} {unit}"


def seconds(record: Record, *names: str) -> list[str]:
    """Return measured seconds as text; a dash for what was not measured."""
    found = (record["seconds"].get(name) for name in names)
    return ["–" if x is None else f"{digits(x)} s" for x in found]


def percent(value: float) -> str:
    """Return a share as text."""
    return f"{100 * value:.0f} %"


def digits(value: float) -> str:
    """Return a number with two digits, or all digits before the point."""
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


if __name__ == "__main__":
    results = read(RESULTS)
    tables(results)
    machines(laws(results))
