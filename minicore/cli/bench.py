"""``minicore bench``: how long everything takes on this machine."""

from __future__ import annotations

import functools
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.options import (
    BackboneOption,
    EmbeddingName,
    EmbeddingOption,
    OverwriteOption,
    SeedOption,
    ThreadsOption,
    say,
)
from minicore.errors import MinicoreError


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
        bool, typer.Option("--growth", help="Measure how each cost grows, instead.")
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
    overwrite: OverwriteOption = False,
) -> None:
    """Time every equation here: literal loops, the fast engine, libraries, the machine's limit."""
    from minicore.backbones import Backbone
    from minicore.runtime.files import check_apart, check_outputs, identities
    from minicore.runtime.kinds import NUMBERS, PICTURE
    from minicore.runtime.machine import command
    from minicore.studies import bench as bench_
    from minicore.studies.bench.material import BATCH, read_images

    if growth and stage:
        raise MinicoreError("--growth has stages of its own; leave out " + " ".join(stage))
    drawn = ("growth",) if growth else ("bench", "bound")
    files = {name: pictures / f"{name}.png" for name in drawn} if pictures else {}
    network = Backbone(backbone or "default", threads=threads, batch_size=BATCH)
    images = [str(image) for part in read_images(data, True)[1:] for image in part] if data else []
    inputs = identities([*images, *network.files])
    if pictures:
        check_apart(pictures, images)
    outputs = [*([(out, NUMBERS)] if out else []), *((path, PICTURE) for path in files.values())]
    check_outputs(outputs, inputs=inputs, overwrite=overwrite)
    name, train, test = read_images(data, full)
    kind = bench_.RandomMaterial if random else bench_.Material
    name = f"random vectors in the shapes of {name}" if random else name
    material = kind(train, test, network, embedding.value, coreset, seed, name)
    say(f"{material.name}: {len(train)} images to learn, {len(test)} to score; {network.name}")
    names = [s.value for s in stage] if stage else None
    settings = {"command": command(), "full": full}
    measured = bench_.run_growth if growth else functools.partial(bench_.run, names=names)
    found = measured(material, repeats=repeats, n_threads=threads, settings=settings)
    print((found.growth_table() if growth else found.table()) + "\n")
    print("\n".join(found.words()))
    if out:
        found.save(out, overwrite=overwrite)
        say(f"samples: {out}")
    if files:
        _draw(found, material, files, overwrite)


def _draw(found, material, files: dict[str, Path], overwrite: bool) -> None:
    from minicore import plots
    from minicore.studies import bench
    from minicore.studies.bench import charts

    figures = {
        "bench": lambda: charts.comparison(found.timings),
        "bound": lambda: charts.bound(bench.bound(material.bank, material.queries[0])),
        "growth": lambda: charts.growth(found.curves),
    }
    for name, file in files.items():
        say(f"picture: {plots.save(figures[name](), file, overwrite=overwrite)}")
