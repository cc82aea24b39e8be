"""The result of a benchmark: all samples, the machine, and tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicore import __version__
from minicore.runtime import markdown
from minicore.runtime.files import atomic_write
from minicore.studies.bench.growth import Curve
from minicore.studies.bench.stages import Stage
from minicore.studies.bench.stopwatch import Timing

GLUE = "\N{NO-BREAK SPACE}"  # keeps a number and its unit on one line
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


@dataclass
class Result:
    """All measured times, with the settings and the machine.

    Attributes
    ----------
    settings : dict
        Options of the run, and the data.
    machine : dict
        CPU, cores, threads, versions (`minicore.runtime.machine.describe`).
    timings : list of Timing
    same : dict of str to bool
        For each stage that was checked: whether the fast engine and the literal loops have equal
        results, on the part of the work that both did.
    curves : list of Curve
        Growth of the times, if that was measured.
    """

    settings: dict[str, Any]
    machine: dict[str, Any]
    timings: list[Timing] = field(default_factory=list)
    same: dict[str, bool] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)

    def add(
        self,
        stage: Stage,
        samples: list[tuple[float, ...]],
        first: list[float],
        results: dict[str, Any],
    ) -> None:
        """Add the results of `measure` for a stage."""
        for side, seconds, beyond in zip(stage.sides, samples, first, strict=True):
            self.timings.append(
                Timing(
                    stage.name, stage.equation, stage.size, side.name, seconds, beyond,
                    side.part, side.limit,
                )
            )  # fmt: skip
        if stage.same is not None:
            self.same[stage.name] = bool(stage.same(results))

    def stages(self) -> dict[str, list[Timing]]:
        """Return the timings of each stage, in order."""
        groups: dict[str, list[Timing]] = {}
        for timing in self.timings:
            groups.setdefault(timing.stage, []).append(timing)
        return groups

    def to_json(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return {
            "minicore": __version__,
            "settings": self.settings,
            "machine": self.machine,
            "timings": [timing.to_json() for timing in self.timings],
            "same": self.same,
            "curves": [curve.to_json() for curve in self.curves],
        }

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the result as JSON. The file appears only when it is complete."""
        with atomic_write(path, "w", overwrite=overwrite) as file:
            json.dump(self.to_json(), file, indent=1)
            file.write("\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a file that `save` wrote."""
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(
            stored["settings"],
            stored["machine"],
            [Timing.from_json(timing) for timing in stored["timings"]],
            stored["same"],
            [Curve.from_json(curve) for curve in stored["curves"]],
        )

    def table(self) -> str:
        """Return the timings as a Markdown table, one row per side."""
        rows = [["stage", "side", "median", "min – max", "÷ fast", "÷ limit", "extrapolated from"]]
        for stage, timings in self.stages().items():
            fast = next((t.median for t in timings if t.side.startswith("fast")), None)
            limit = next((t.median for t in timings if t.limit), None)
            for i, t in enumerate(timings):
                head = f"{stage} ({t.equation})" if i == 0 else ""
                ratios = [f"{significant(t.median / x)}" if x else "" for x in (fast, limit)]
                side = f"*limit: {t.side}*" if t.limit else t.side
                spread = span(min(t.seconds), max(t.seconds))
                rows.append([head, side, duration(t.median), spread, *ratios, t.part])
        return markdown.table(rows, names=2)

    def growth_table(self) -> str:
        """Return the curves as a Markdown table, one row per curve."""
        rows = [["stage", "grows with", "side", "from", "to", "time", "grows as"]]
        for c in self.curves:
            low, high = c.medians[[0, -1]]
            rows.append(
                [
                    c.stage, f"{c.axis} ({c.fixed})", c.side, f"{c.sizes[0]:,}", f"{c.sizes[-1]:,}",
                    span(low, high), f"power {c.slope:.2f}".replace("-", "−"),
                ]
            )  # fmt: skip
        return markdown.table(rows, names=3)

    def notes(self) -> list[str]:
        """Return lines that explain the table: sizes, machine, versions, data, checks."""
        m, s = self.machine, self.settings
        blas = ", ".join(m["blas"])
        lines = [
            *(f"{stage}: {timings[0].size}" for stage, timings in self.stages().items()),
            f"{m['cpu']}, {m['threads']} of {m['cores']} cores; {m['system']}; BLAS: {blas}",
            "; ".join(f"{name} {version}" for name, version in m["versions"].items()),
            f"{s['data']}: {s['train']} images to learn, {s['test']} to score; network "
            f"{s['network']}, embedding {s['embedding']}; coreset {s['coreset']:.0%}",
            f"median of {s['repeats']} rounds; in each round all sides run once",
        ]
        if self.timings:
            lines.append(
                f"first calls are not counted; they took {sum(t.first for t in self.timings):.1f} "
                f"s more than later calls (to compile code, or to load compiled code)"
            )
        different = [stage for stage, same in self.same.items() if not same]
        if self.same:
            lines.append(
                f"NOT EQUAL to the results of the literal loops: {', '.join(different)}"
                if different
                else f"checked: equal to the results of the literal loops: {', '.join(self.same)}"
            )
        if (m["load"] or 0) > m["cores"] / 2:
            lines.append(
                f"other programs were running at the start (load {m['load']:.1f}, "
                f"{m['cores']} cores): these are times of a busy machine"
            )
        if "faiss-cpu" not in m["versions"]:
            lines.append(
                "faiss was not measured because it is not installed: pip install faiss-cpu"
            )
        return lines


def significant(x: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    digits = max(0, 2 - int(np.floor(np.log10(abs(x))))) if x else 0
    return f"{float(f'{x:.3g}'):,.{digits}f}"


def duration(seconds: float) -> str:
    """Return a duration with three significant digits, in s, ms or µs."""
    unit, size = _unit(seconds)
    return f"{significant(seconds / size)}{GLUE}{unit}"


def span(low: float, high: float) -> str:
    """Return two durations. If they have the same unit, it is written once."""
    (unit, size), (other, _) = _unit(low), _unit(high)
    first = f"{significant(low / size)}" if unit == other else duration(low)
    return f"{first} – {duration(high)}"


def _unit(seconds: float) -> tuple[str, float]:
    """Return the largest unit that is not above a duration, or µs, and its length in seconds."""
    for unit, size in UNITS:
        if float(f"{seconds:.3g}") >= size:
            return unit, size
    return UNITS[-1]
