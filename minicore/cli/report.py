"""``minicore report``: one HTML file from a run's folder, or from two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.options import OverwriteOption, say


def report(
    run: Annotated[Path, typer.Argument(help="A folder that `minicore reproduce` wrote.")],
    other: Annotated[
        Path | None, typer.Argument(help="Another, to be set beside it.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML file to write.  [default: report.html in RUN; of two, compared.html]",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write one HTML file about a run: table, curves, mistakes, all it takes to repeat it."""
    from minicore.studies.report import other_data, save
    from minicore.studies.reproduce import Run

    runs = [Run.open(folder) for folder in (run, other) if folder is not None]
    name = "report.html" if other is None else "compared.html"
    changed = other_data(*runs) if len(runs) == 2 else []
    if changed:
        say(
            f"warning: {run} and {other} have different images or masks of {', '.join(changed)}: "
            f"a difference there may come from the data"
        )
    say(f"report: {save(out or run / name, *runs, overwrite=overwrite)}")
