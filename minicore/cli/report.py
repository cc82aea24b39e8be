"""``minicore report``: write one HTML file about one run or two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.messages import print_message
from minicore.cli.options import OverwriteOption


def report(
    run: Annotated[Path, typer.Argument(help="A folder that `minicore reproduce` wrote.")],
    other: Annotated[
        Path | None,
        typer.Argument(help="A second folder, to compare two runs.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML file to write.",
            show_default="report.html in RUN; with two runs, compared.html",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write one HTML file about a run: its numbers, curves and mistakes, and how to repeat it."""
    from minicore.studies.report import changed_categories, save
    from minicore.studies.reproduce import Run

    runs = [Run.open(folder) for folder in (run, other) if folder is not None]
    name = "report.html" if other is None else "compared.html"
    changed = changed_categories(*runs) if len(runs) == 2 else []
    if changed:
        print_message(
            f"warning: {run} and {other} used different images or masks of {', '.join(changed)}: "
            f"the data may be the reason for a difference"
        )
    print_message(f"report: {save(out or run / name, *runs, overwrite=overwrite)}")
