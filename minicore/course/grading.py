"""Grade submissions: run each notebook in a process of its own, and collect the points."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minicore.course.release import read_manifest, read_notebook
from minicore.course.student import exercises_of
from minicore.errors import DatasetError, MinicoreError
from minicore.runtime import system
from minicore.runtime.kinds import GRADE_FIELDS


@dataclass(frozen=True)
class Grade:
    """The points of a student.

    Attributes
    ----------
    student : str
    points : dict of str to float
        For each exercise the share of right hidden cases, 0 to 1.
    notes : tuple of str
        What is not right, such as "eq5: library".
    """

    student: str
    points: dict[str, float]
    notes: tuple[str, ...]

    @property
    def total(self) -> float:
        """The sum of the points."""
        return sum(self.points.values())


def submissions(folder: str | Path) -> dict[str, list[Path]]:
    """Return the notebooks of each student.

    Parameters
    ----------
    folder : str or Path
        Holds one folder for each student, or one notebook for each student.

    Raises
    ------
    DatasetError
        If there are none.
    """
    found = {}
    entries = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith("."):
            notebooks = sorted(entry.rglob("*.ipynb"))
            found[entry.name] = [n for n in notebooks if ".ipynb_checkpoints" not in n.parts]
        elif entry.suffix == ".ipynb":
            found[entry.stem] = [entry]
    if not any(found.values()):
        raise DatasetError(f"{folder}: no submissions; expected a folder of notebooks per student")
    return found


def grade(
    release: str | Path,
    folder: str | Path,
    *,
    exercises: Sequence[str] | None = None,
    seconds: float = 120.0,
    done: Callable[[Grade], None] = lambda _: None,
) -> list[Grade]:
    """Grade all submissions with the hidden cases of a release.

    The submissions run with the rights of the user: run this in a container.

    Parameters
    ----------
    release : str or Path
        The folder that `minicore.course.release.release` wrote.
    folder : str or Path
        The submissions, as for `submissions`.
    exercises : sequence of str, optional
        The exercises of this homework. By default all.
    seconds : float, default 120
        Time limit for each notebook.
    done : callable, optional
        Is called with each grade.

    Returns
    -------
    list of Grade
        One for each submission, and one for each student of the release without a submission.

    Raises
    ------
    MinicoreError
        If there is no release or no such exercise.
    """
    settings = read_manifest(release)
    known = settings["exercises"]
    for name in exercises or ():
        if name not in known:
            raise MinicoreError(f"no exercise {name!r}; choose some of {', '.join(known)}")
    names = [name for name in known if exercises is None or name in exercises]
    handed_in = submissions(folder)
    seeds: dict[str, int] = settings["students"]
    grades = []
    for student in [*handed_in, *(s for s in seeds if s not in handed_in)]:
        given = {"seed": settings["seed"], "drawn": seeds.get(student, 0)}
        found = _grade(student, handed_in.get(student, []), names, given, seconds)
        if seeds and student not in seeds:
            words = "not in the list of the release: open exercises are checked with seed 0"
            found = replace(found, notes=(*found.notes, words))
        done(found)
        grades.append(found)
    return grades


def _grade(
    student: str, notebooks: list[Path], names: list[str], given: dict[str, int], seconds: float
) -> Grade:
    best: dict[str, tuple[float, str]] = {}
    notes = [] if notebooks else ["no submission"]
    asked: set[str] = set()
    for notebook in notebooks:
        try:
            asking = exercises_of(read_notebook(notebook), notebook.name, strict=False)
            asked |= asking
            if not asking & {*names, ""}:
                continue  # no exercise of this homework
            marks = _run(notebook, given, seconds)
        except MinicoreError as error:
            notes.append(f"{notebook.name}: {error}".replace(f"{notebook}: ", "", 1))
            continue
        for name, (share, keyword) in marks.items():
            if name in names:
                best[name] = max(best.get(name, (0.0, "")), (share, keyword))
    points = {name: round(best.get(name, (0.0, ""))[0], 2) for name in names}
    missing = [name for name in names if name not in asked]
    if missing and not notes and "" not in asked:
        notes.append(f"no notebook with {', '.join(missing)}")
    wrong = [f"{name}: {best[name][1]}" for name in names if best.get(name, (0.0, ""))[1]]
    return Grade(student, points, (*wrong, *notes))


def _run(notebook: Path, given: dict[str, int], seconds: float) -> dict[str, Any]:
    """Return the marks of a notebook, from a process of its own in an empty folder."""
    command = [sys.executable, "-m", "minicore.course.submission", str(notebook.resolve())]
    with (
        tempfile.TemporaryDirectory() as empty,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=empty,
            env={**os.environ, "MPLBACKEND": "agg"},
            start_new_session=True,
        ) as process,
    ):
        try:
            output, _ = process.communicate(json.dumps(given).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise MinicoreError(f"{notebook}: stopped after {seconds:g} s") from None
        finally:
            with contextlib.suppress(OSError):  # it has ended
                system.end(process)
    try:
        return dict(json.loads(output))
    except ValueError:
        raise MinicoreError(f"{notebook}: ended without a result") from None


def table(grades: Sequence[Grade]) -> list[list[str]]:
    """Return the grades as rows of text, the header first: student, points, exercises, notes."""
    names = list(grades[0].points)
    rows = [[*GRADE_FIELDS, *names, "notes"]]
    for found in grades:
        points = [f"{found.points[name]:g}" for name in names]
        rows.append([found.student, f"{found.total:g}", *points, "; ".join(found.notes)])
    return rows
