"""``minicore reproduce``: measure the paper's tables and figures."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicore.cli.messages import print_message
from minicore.cli.model import neighbours
from minicore.cli.options import (
    BackboneOption,
    EmbeddingOption,
    LayersOption,
    Layout,
    ThreadsOption,
)

if TYPE_CHECKING:
    from minicore.studies.reproduce import Run, Study


class FigureName(str, Enum):
    """Names of `minicore.studies.reproduce.STUDIES`; typer has no lists of a Literal."""

    coreset = "coreset"
    patchsize = "patchsize"
    levels = "levels"
    shots = "shots"
    time = "time"
    reweighting = "reweighting"


def reproduce(
    data: Annotated[Path, typer.Argument(help="Folder of the data set, as published.")],
    category: Annotated[
        list[str] | None, typer.Argument(help="Categories of the data set.", show_default="all")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder of the run. The same command continues an unfinished run."
        ),
    ] = Path("minicore-reproduction"),
    rows: Annotated[
        str,
        typer.Option(
            help="Rows of the table, separated by commas: PatchCore-P, which keeps P per cent of "
            "the memory bank; SPADE, PaDiM, MahalanobisAD, OCSVM."
        ),
    ] = "PatchCore-25,PatchCore-10,PatchCore-1",
    figure: Annotated[
        list[FigureName] | None,
        typer.Option(
            help="Measure and draw a figure of the paper, instead of the rows of the table. "
            "Repeat the option for several figures."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0,1,2",
    layout: Annotated[
        Layout, typer.Option("--layout", "--dataset", help="Layout of the folder.")
    ] = "mvtec",
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = "concat",
    layers: LayersOption = None,
    image_size: Annotated[
        int,
        typer.Option(help="Side of the central crop in pixels. The paper has 224, 280 and 320."),
    ] = 224,
    patchsize: Annotated[
        int | None,
        typer.Option(help="Side p of the neighbourhood (equation 1).", show_default="3"),
    ] = None,
    b: Annotated[
        str | None,
        typer.Option(
            "--b",
            metavar="INTEGER",
            help="Number of neighbours b in equation 7, or none to leave equation 7 out.",
            show_default="9",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            help="Number of units that are measured at once. They share the threads.",
        ),
    ] = 1,
    threads: ThreadsOption = None,
) -> None:
    """Measure tables S1 and S2 of the paper, or its figures. A stopped run can be continued."""
    from minicore.runtime.machine import command
    from minicore.studies.reproduce import fewest_training_images, row, summary
    from minicore.studies.reproduce import reproduce as run_units

    parameters: dict[str, Any] = {"embedding": embedding}
    if patchsize is not None:
        parameters["patchsize"] = patchsize
    if b is not None:
        parameters["b"] = neighbours(b)
    studies = _studies(figure or [], {*parameters, *(["layers"] if layers else [])})
    if studies:
        n_train = fewest_training_images(data, category, layout)
        studies = [study.within(n_train) for study in studies]
        wanted = list({row.name: row for study in studies for row in study.rows}.values())
    else:
        wanted = [row(name) for name in _split(rows)]
    numbers = [_seed(text) for text in _split(seeds)]
    run = run_units(
        data,
        out,
        wanted,
        categories=category,
        layout=layout,
        seeds=numbers,
        backbone=backbone or "default",
        layers=_split(layers) if layers else None,
        image_size=image_size,
        parameters=parameters,
        jobs=jobs,
        n_threads=threads,
        command=command(),
    )
    text = summary.write(run)
    print("\n\n".join(_draw(run, studies, numbers)) if studies else text)
    print_message(f"tables and finished units, from which `minicore report` works: {run.folder}")


def _split(text: str) -> list[str]:
    """Return the parts of a comma-separated list, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _studies(figures: list[FigureName], set_options: set[str]) -> list[Study]:
    """Return the studies of some figures.

    Raises
    ------
    ValueError
        If the command line sets a parameter that a study varies.
    """
    from minicore.studies.reproduce.sweeps import study as study_named

    studies = [study_named(name) for name in dict.fromkeys(figure.value for figure in figures)]
    for study in studies:
        if study.varies in set_options:
            raise ValueError(
                f"--figure {study.name} varies {study.varies}: leave --{study.varies} out, or "
                f"choose another figure"
            )
    return studies


def _draw(run: Run, studies: list[Study], seeds: list[int]) -> list[str]:
    """Draw the figure of each study into the run's folder. Return the tables of their numbers."""
    from minicore import plots
    from minicore.studies.reproduce import summary
    from minicore.studies.reproduce.curves import curves, table
    from minicore.studies.reproduce.figure import figure

    lines, tables = summary.lines(run), []
    for study in studies:
        measured = curves(study, lines, seeds)
        file = plots.save(figure(study, measured), run.folder / f"figure-{study.name}.png")
        print_message(f"picture: {file}")
        tables.append(table(study, measured))
    return tables


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"--seeds: expected whole numbers separated by commas, got {text!r}")
    return int(text)
