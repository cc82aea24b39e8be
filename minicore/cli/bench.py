"""``minicore bench``: how long everything takes on this machine."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.options import (
    BackboneOption,
    EmbeddingName,
    EmbeddingOption,
    SeedOption,
    ThreadsOption,
    say,
)


class StageName(str, Enum):
    """What is timed."""

    patches = "patches"
    projection = "projection"
    coreset = "coreset"
    build = "build"
    nearest = "nearest"
    score = "score"
    map = "map"
    whole = "whole"


def bench(
    stage: Annotated[
        list[StageName] | None, typer.Argument(help="What to time.  [default: all]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of good images, or a category of MVTec AD.  [default: drawn parts]"
        ),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Random vectors of the same shapes: the worst case.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="All images, of drawn parts as many as MVTec AD has. Minutes."),
    ] = False,
    growth: Annotated[
        bool, typer.Option("--growth", help="Also measure how each cost grows.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--json", help="Also write every sample here.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for pictures: the bars, the bound, the growth.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the median counts.")] = 5,
    coreset: Annotated[
        float, typer.Option("--coreset", help="Share of the memory bank to keep (equation 5).")
    ] = 0.1,
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = EmbeddingName.concat,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
) -> None:
    """Time every equation here: literal loops, the fast engine, libraries, the machine's limit."""
    from minicore import bench as bench_
    from minicore.backbones import Backbone
    from minicore.bench.material import BATCH, read_images
    from minicore.bench.result import command
    from minicore.files import check_writable

    files = {name: pictures / f"{name}.png" for name in DRAWN} if pictures else {}
    for path in (out, *files.values()):
        if path:
            check_writable(path)
    name, train, test = read_images(data, full)
    network = Backbone(backbone or "default", threads=threads, batch_size=BATCH)
    kind = bench_.RandomMaterial if random else bench_.Material
    name = f"random vectors in the shapes of {name}" if random else name
    material = kind(train, test, network, embedding.value, coreset, seed, name)
    say(f"{material.name}: {len(train)} images to learn, {len(test)} to score; {network.name}")
    found = bench_.run(
        material,
        [s.value for s in stage] if stage else None,
        repeats=repeats,
        n_threads=threads,
        growth=growth,
        settings={"command": command(), "full": full},
    )
    print(found.table() + "\n")
    print("\n".join(found.words()))
    if found.curves:
        print("\n" + found.growth_table())
    if out:
        found.save(out)
        say(f"samples: {out}")
    if files:
        _draw(found, material, files)


DRAWN = ("bench", "bound", "growth")


def _draw(found, material, files: dict[str, Path]) -> None:
    """Leave the pictures there is something to draw for."""
    from minicore import bench, plots

    figures = {"bench": plots.comparison(found.timings)}
    figures["bound"] = plots.bound(bench.bound(material.bank, material.queries[0]))
    if found.curves:
        figures["growth"] = plots.growth(found.curves)
    for name, figure in figures.items():
        say(f"picture: {plots.save(figure, files[name])}")
