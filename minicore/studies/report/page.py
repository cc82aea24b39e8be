"""The page itself: what was read, counted and drawn goes into a template."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from minicore.runtime import progress
from minicore.runtime.files import atomic_write, check_writable, identities
from minicore.runtime.kinds import REPORT
from minicore.studies.report import pictures, provenance, tables
from minicore.studies.report.disagreement import disagree
from minicore.studies.report.mistakes import show
from minicore.studies.report.reading import Reading, read
from minicore.studies.reproduce import Run

# Names of files, categories and defects are text wherever they stand: the template engine escapes
# them all, in attributes too, and a name it does not know is an error.
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("minicore.studies.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(run: Run, other: Run | None = None) -> bytes:
    """Make the report of a run, or of two runs side by side.

    Parameters
    ----------
    run : Run
        From `Run.open`; it need not be finished.
    other : Run, optional
        Then the page has both runs' numbers and their differences, the settings that differ, and
        the images on whose rank the two disagree most.

    Returns
    -------
    bytes
        HTML in UTF-8. Units whose file is damaged are named on it, and left out of the numbers.
    """
    readings = [read(run)] if other is None else [read(run), read(other)]
    css = Markup(TEMPLATES.get_template("style.css").render())
    context: dict[str, Any] = {
        "readings": readings,
        "table": tables.by_category(readings),
        "means": tables.means(readings),
        "provenance": [Provenance.of(reading) for reading in readings],
        "colours": pictures.colours(),
        "css": css,
        "css_sha256": base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
    }
    if other is None:
        context["sections"] = _sections(readings[0])
        text = TEMPLATES.get_template("run.html").render(context)
    else:
        context["sections"] = _disagreements(*readings)
        context["other_data"] = provenance.other_data(run, other)
        context["differences"] = provenance.differences(*readings)
        text = TEMPLATES.get_template("pair.html").render(context)
    return text.encode("utf-8", errors="replace")  # the names of files need not be UTF-8


def save(path: str | Path, run: Run, other: Run | None = None, *, overwrite: bool = False) -> Path:
    """Write the report of a run, or of two runs side by side: one file, whole or not at all.

    Parameters
    ----------
    path : str or Path
    run : Run
    other : Run, optional
        As for `page`.
    overwrite : bool, default False
        Whether to replace a file that minicore did not make. The runs' own files are never
        replaced.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the file cannot be written, or must not be replaced.
    """
    inputs = identities(file for its in (run, other) if its for file in its.files())
    check_writable(path, inputs=inputs, overwrite=overwrite, kind=REPORT)
    content = page(run, other)
    with atomic_write(path, inputs=inputs, overwrite=overwrite) as file:
        file.write(content)
    return Path(path)


@dataclass(frozen=True)
class Provenance:
    """What it takes to repeat a run, for the template."""

    settings: dict[str, str]
    rows: list[str]
    configuration: dict[str, list[str]]
    stages: list[str]
    seconds: dict[str, list[float | None]]

    @classmethod
    def of(cls, reading: Reading) -> Provenance:
        """Collect it."""
        return cls(
            provenance.flat(reading.run.settings),
            *provenance.configurations(reading),
            *provenance.stages(reading),
        )


def _sections(reading: Reading) -> list[tuple[str, list[Any]]]:
    """Show every category: its rows, one after the other."""
    with progress.bar(len(reading.units), "report", "row") as bar:
        found: dict[str, list[Any]] = {}
        for key in reading.units:
            found.setdefault(key[0], []).append(show(reading, key))
            bar.update()
    return list(found.items())


def _disagreements(a: Reading, b: Reading) -> list[tuple[str, list[Any]]]:
    """Show every category that both runs have: the rows that both have."""
    found: dict[str, list[Any]] = {}
    for key in a.units:
        if key in b.units:
            found.setdefault(key[0], []).append(disagree(a, b, key))
    return list(found.items())
