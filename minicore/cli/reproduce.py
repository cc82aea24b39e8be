"""``minicore reproduce``: the paper's tables, measured beside published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.options import (
    BackboneOption,
    EmbeddingName,
    EmbeddingOption,
    LayersOption,
    Layout,
    ThreadsOption,
    say,
)


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
    """Measure the rows of the paper's tables S1 and S2; stop and go on at any time."""
    from minicore.machine import command
    from minicore.reproduce import reproduce as run
    from minicore.reproduce import row, tables

    def names(text: str) -> list[str]:
        return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))

    asked = {"embedding": embedding.value, "patchsize": patchsize, "b": b}
    done = run(
        data,
        out,
        [row(name) for name in names(rows)],
        categories=category,
        layout=layout.value,
        seeds=[_seed(text) for text in names(seeds)],
        backbone=backbone or "default",
        layers=names(layers) if layers else None,
        image_size=image_size,
        parameters={k: v for k, v in asked.items() if v is not None},
        jobs=jobs,
        n_threads=threads,
        command=command(),
    )
    print(tables.write(done))
    say(f"tables, every unit, and what a report is made of: {done.folder}")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"--seeds: expected whole numbers separated by commas, got {text!r}")
    return int(text)
