"""Fill the templates of the page and write the HTML file."""

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
from minicore.studies.report.mistakes import section
from minicore.studies.report.reading import Reading, read
from minicore.studies.reproduce import Run

# Names of files, categories and defects are untrusted text. The template engine escapes all text,
# also in attributes. An unknown name in a template is an error.
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("minicore.studies.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(run: Run, other: Run | None = None) -> bytes:
    """Return the report of one run or of two.

    Parameters
    ----------
    run : Run
        From `Run.open`. It may be unfinished.
    other : Run, optional
        With a second run, the page shows the numbers of both runs, their differences, the settings
        that differ, and the images whose ranks differ most.

    Returns
    -------
    bytes
        HTML in UTF-8. It lists damaged units, which are left out of all numbers.
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
        context["changed_categories"] = provenance.changed_categories(run, other)
        context["differences"] = provenance.differences(*readings)
        text = TEMPLATES.get_template("pair.html").render(context)
    return text.encode("utf-8", errors="replace")  # names of files may not be UTF-8


def save(path: str | Path, run: Run, other: Run | None = None, *, overwrite: bool = False) -> Path:
    """Write the report of one run or of two. The file appears only when it is complete.

    Parameters
    ----------
    path : str or Path
    run : Run
    other : Run, optional
        See `page`.
    overwrite : bool, default False
        Whether to replace a file that minicore did not make. The files of the runs are never
        replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        If the file cannot be written, or must not be replaced.
    """
    inputs = identities(file for r in (run, other) if r for file in r.files())
    check_writable(path, inputs=inputs, overwrite=overwrite, kind=REPORT)
    content = page(run, other)
    with atomic_write(path, inputs=inputs, overwrite=overwrite) as file:
        file.write(content)
    return Path(path)


@dataclass(frozen=True)
class Provenance:
    """What is needed to repeat a run, for the template."""

    settings: dict[str, str]
    rows: list[str]
    configuration: dict[str, list[str]]
    stages: list[str]
    seconds: dict[str, list[float | None]]

    @classmethod
    def of(cls, reading: Reading) -> Provenance:
        """Return the provenance of a run."""
        return cls(
            provenance.flat(reading.run.settings),
            *provenance.configurations(reading),
            *provenance.stages(reading),
        )


def _sections(reading: Reading) -> list[tuple[str, list[Any]]]:
    """Return the sections of each category, one per row."""
    with progress.bar(len(reading.units), "report", "row") as bar:
        sections: dict[str, list[Any]] = {}
        for key in reading.units:
            sections.setdefault(key[0], []).append(section(reading, key))
            bar.update()
    return list(sections.items())


def _disagreements(a: Reading, b: Reading) -> list[tuple[str, list[Any]]]:
    """Return the sections of each category that both runs have, one per common row."""
    sections: dict[str, list[Any]] = {}
    for key in a.units:
        if key in b.units:
            sections.setdefault(key[0], []).append(disagree(a, b, key))
    return list(sections.items())
