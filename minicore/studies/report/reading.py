"""Read the numbers of all units of a run, and list damaged and missing units."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minicore.errors import ModelError
from minicore.evaluation.evaluate import Evaluation
from minicore.studies.report.validation import check
from minicore.studies.reproduce import Finished, Row, Run, Unit
from minicore.studies.reproduce.methods import order

Key = tuple[str, str]  # category, row


@dataclass(frozen=True)
class Measured:
    """A unit without its evidence, so that thousands fit into memory."""

    evaluation: Evaluation
    seconds: dict[str, float]
    peak_memory: int | None
    config: dict[str, Any]
    sha256: str  # of its file
    size: int  # of its file, bytes


@dataclass(frozen=True)
class Reading:
    """The content of the folder of a run.

    Attributes
    ----------
    run : Run
    name : str
        Name of the folder without its path, which is private.
    units : dict of (str, str) to dict of int to Measured
        By category and row, then by seed, all in order.
    damaged : dict of Unit to str
        Damaged units, with the reason.
    missing : list of Unit
        Unfinished units: each category of the run with each row and each seed of the run. Methods
        without random choices have the first seed only.
    """

    run: Run
    name: str
    units: dict[Key, dict[int, Measured]]
    damaged: dict[Unit, str]
    missing: list[Unit]

    @property
    def rows(self) -> list[str]:
        """The rows of all categories, in order."""
        return sorted({row for _, row in self.units}, key=order)

    @property
    def count(self) -> int:
        """The number of units that are not damaged."""
        return sum(map(len, self.units.values()))

    def load(self, key: Key, seed: int | None = None) -> Finished:
        """Return a unit with its evidence, by default the unit of the smallest seed."""
        return self.run.load(Unit(*key, min(self.units[key]) if seed is None else seed))


def read(run: Run) -> Reading:
    """Read every unit of a run.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Reading
        It lists damaged units. They raise no error.
    """
    units: dict[Key, dict[int, Measured]] = {}
    damaged: dict[Unit, str] = {}
    found = sorted(run.finished(), key=_order)
    for unit in found:
        path = unit.path(run.folder)
        try:
            content = path.read_bytes()
            finished = run.load(unit)
            check(finished)
        except (ModelError, OSError) as error:
            # Without the path of the folder, so that the page does not depend on it.
            damaged[unit] = str(error).replace(str(path), path.name)
            continue
        units.setdefault((unit.category, unit.row), {})[unit.seed] = Measured(
            finished.evaluation,
            finished.seconds,
            finished.peak_memory,
            finished.config,
            hashlib.sha256(content).hexdigest(),
            len(content),
        )
    missing = sorted(_expected(found) - set(found), key=_order)
    return Reading(run, run.folder.resolve().name, units, damaged, missing)


def _expected(found: Sequence[Unit]) -> set[Unit]:
    seeds = sorted({unit.seed for unit in found})
    return {
        Unit(category, row, seed)
        for category in {unit.category for unit in found}
        for row in {unit.row for unit in found}
        for seed in (seeds if Row(row, {}).seeded else seeds[:1])
    }


def _order(unit: Unit) -> tuple[str, tuple[bool, float, str], int]:
    return unit.category, order(unit.row), unit.seed
