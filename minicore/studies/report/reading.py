"""What is in a run's folder: which units, their numbers, and which files are of no use."""

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
    """A unit without its evidence: thousands fit in memory."""

    evaluation: Evaluation
    seconds: dict[str, float]
    peak_memory: int | None
    config: dict[str, Any]
    sha256: str  # of its file
    size: int


@dataclass(frozen=True)
class Reading:
    """A run's folder, read once.

    Attributes
    ----------
    run : Run
    name : str
        Of the folder: where it stands is nobody's business.
    units : dict
        By category and row, then by seed, all in order.
    damaged : dict of Unit to str
        What is wrong with its file.
    missing : list of Unit
        What other units of the run let expect: each category with each row and each seed, but of
        a method in which nothing is random the first seed only.
    """

    run: Run
    name: str
    units: dict[Key, dict[int, Measured]]
    damaged: dict[Unit, str]
    missing: list[Unit]

    @property
    def rows(self) -> list[str]:
        """Name the rows of all categories, in order."""
        return sorted({row for _, row in self.units}, key=order)

    @property
    def count(self) -> int:
        """Count the units that are of use."""
        return sum(map(len, self.units.values()))

    def load(self, key: Key, seed: int | None = None) -> Finished:
        """Read a unit with its evidence; by default that of the smallest seed."""
        return self.run.load(Unit(*key, min(self.units[key]) if seed is None else seed))


def read(run: Run) -> Reading:
    """Read every unit of a run, one after the other.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Reading
        Damaged units are named in it; they raise nothing.
    """
    units: dict[Key, dict[int, Measured]] = {}
    damaged: dict[Unit, str] = {}
    found = sorted(run.finished(), key=_order)
    for unit in found:
        path = unit.path(run.folder)
        try:
            content = path.read_bytes()
            one = run.load(unit)
            check(one)
        except (ModelError, OSError) as error:
            # Without the folder: the page is the same wherever the run's folder lies.
            damaged[unit] = str(error).replace(str(path), path.name)
            continue
        units.setdefault((unit.category, unit.row), {})[unit.seed] = Measured(
            one.evaluation,
            one.seconds,
            one.peak_memory,
            one.config,
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
