"""``minicore reproduce``: the paper's tables, measured beside published, and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicore.cli.options import (
    BackboneOption,
    EmbeddingName,
    EmbeddingOption,
    FigureName,
    LayersOption,
    Layout,
    ThreadsOption,
    say,
)

if TYPE_CHECKING:
    from minicore.studies.reproduce import Run


def reproduce(
    data: Annotated[Path, typer.Argument(help="The data set's folder, as published.")],
    category: Annotated[
        list[str] | None, typer.Argument(help="Which of its categories.  [default: all]")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The run's folder: the same again goes on there.")
    ] = Path("minicore-reproduction"),
    rows: Annotated[
        str,
        typer.Option(
            help="Comma-separated: PatchCore-P keeps P per cent; SPADE, PaDiM, MahalanobisAD, OCSVM"
        ),
    ] = "PatchCore-25,PatchCore-10,PatchCore-1",
    figure: Annotated[
        list[FigureName] | None,
        typer.Option(
            help="Measure what this figure of the paper needs, and draw it, instead of the tables' "
            "rows; may be given several times."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "0,1,2",
    layout: Annotated[
        Layout, typer.Option("--layout", "--dataset", help="How the folder is laid out.")
    ] = Layout.mvtec,
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = EmbeddingName.concat,
    layers: LayersOption = None,
    image_size: Annotated[
        int, typer.Option(help="Side of the central crop: 224, 280 or 320 in the paper.")
    ] = 224,
    patchsize: Annotated[
        int | None, typer.Option(help="Side of a neighbourhood, p.  [default: 3]")
    ] = None,
    b: Annotated[
        int | None, typer.Option("--b", help="Neighbours in equation 7.  [default: 9]")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Units at a time, each on its share of the threads.")
    ] = 1,
    threads: ThreadsOption = None,
) -> None:
    """Measure the rows of the paper's tables S1 and S2, or its figures; stop and go on any time."""
    from minicore.runtime.machine import command
    from minicore.studies.reproduce import reproduce as run
    from minicore.studies.reproduce import row, smallest, summary

    def names(text: str) -> list[str]:
        return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))

    asked = {"embedding": embedding.value, "patchsize": patchsize, "b": b}
    asked = {k: v for k, v in asked.items() if v is not None}
    studies = _studies(figure or [], {*asked, *(["layers"] if layers else [])})
    if studies:
        most = smallest(data, category, layout.value)
        studies = [study.within(most) for study in studies]
        wanted = list({its.name: its for study in studies for its in study.rows}.values())
    else:
        wanted = [row(name) for name in names(rows)]
    numbers = [_seed(text) for text in names(seeds)]
    done = run(
        data,
        out,
        wanted,
        categories=category,
        layout=layout.value,
        seeds=numbers,
        backbone=backbone or "default",
        layers=names(layers) if layers else None,
        image_size=image_size,
        parameters=asked,
        jobs=jobs,
        n_threads=threads,
        command=command(),
    )
    text = summary.write(done)
    print("\n\n".join(_draw(done, studies, numbers)) if studies else text)
    say(f"tables, every unit, and what a report is made of: {done.folder}")


def _studies(figures: list[FigureName], asked: set[str]) -> list[Any]:
    """Find the studies that are asked for; what one varies cannot be set for all of its rows."""
    from minicore.studies.reproduce.sweeps import study

    studies = [study(name) for name in dict.fromkeys(figure.value for figure in figures)]
    for its in studies:
        if its.varies in asked:
            raise ValueError(
                f"--figure {its.name} varies {its.varies}: leave --{its.varies} out, or give "
                f"another figure"
            )
    return studies


def _draw(run: Run, studies: list[Any], seeds: list[int]) -> list[str]:
    """Draw each study into the run's folder, and give its numbers."""
    from minicore import plots
    from minicore.studies.reproduce import summary
    from minicore.studies.reproduce.curves import curves, table
    from minicore.studies.reproduce.figure import figure

    found, texts = summary.lines(run), []
    for study in studies:
        drawn = curves(study, found, seeds)
        file = plots.save(figure(study, drawn), run.folder / f"figure-{study.name}.png")
        say(f"picture: {file}")
        texts.append(table(study, drawn))
    return texts


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"--seeds: expected whole numbers separated by commas, got {text!r}")
    return int(text)
