"""``minicore bench``: measure how long each equation takes on this machine."""

from __future__ import annotations

import functools
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minicore.cli.messages import print_message
from minicore.cli.options import (
    BackboneOption,
    EmbeddingOption,
    OverwriteOption,
    SeedOption,
    ThreadsOption,
)
from minicore.errors import MinicoreError

if TYPE_CHECKING:
    from minicore.studies.bench import Material, Result


class StageName(str, Enum):
    """Names of `minicore.studies.bench.STAGES`; typer has no lists of a Literal."""

    patches = "patches"
    projection = "projection"
    coreset = "coreset"
    build = "build"
    nearest = "nearest"
    score = "score"
    map = "map"
    whole = "whole"
    export = "export"


def bench(
    stage: Annotated[
        list[StageName] | None, typer.Argument(help="Stages to measure.", show_default="all")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of good images, or a category of MVTec AD.", show_default="synthetic parts"
        ),
    ] = None,
    random: Annotated[
        bool,
        typer.Option(
            "--random", help="Use random vectors of the same shapes: the worst case of a search."
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Use all images; without --data, as many synthetic parts as MVTec AD has bottles. "
            "Takes minutes.",
        ),
    ] = False,
    growth: Annotated[
        bool,
        typer.Option("--growth", help="Measure instead how each time grows with the size."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--json", help="Also write every sample to this file.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for the charts: times, search bound, growth.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Number of rounds. The median is reported.")
    ] = 5,
    coreset: Annotated[
        float, typer.Option("--coreset", help="Share of the memory bank to keep (equation 5).")
    ] = 0.1,
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = "concat",
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure the time of every equation: literal loops, fast engine, other libraries, limits."""
    from minicore.backbones import Backbone
    from minicore.runtime.files import check_apart, check_outputs, identities
    from minicore.runtime.kinds import NUMBERS, PICTURE
    from minicore.runtime.machine import command
    from minicore.studies import bench as bench_
    from minicore.studies.bench.material import BATCH, read_images

    if growth and stage:
        raise MinicoreError("--growth has its own stages; leave out " + " ".join(stage))
    charts = ("growth",) if growth else ("bench", "bound")
    files = {name: pictures / f"{name}.png" for name in charts} if pictures else {}
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
    material = kind(train, test, network, embedding, coreset, seed, name)
    print_message(
        f"{material.name}: {len(train)} images to learn, {len(test)} to score; {network.name}"
    )
    names = [s.value for s in stage] if stage else None
    settings = {"command": command(), "full": full}
    run = bench_.run_growth if growth else functools.partial(bench_.run, names=names)
    result = run(material, repeats=repeats, n_threads=threads, settings=settings)
    print((result.growth_table() if growth else result.table()) + "\n")
    print("\n".join(result.notes()))
    if out:
        result.save(out, overwrite=overwrite)
        print_message(f"samples: {out}")
    if files:
        _draw(result, material, files, overwrite)


def _draw(result: Result, material: Material, files: dict[str, Path], overwrite: bool) -> None:
    from minicore import plots
    from minicore.studies import bench
    from minicore.studies.bench import charts

    figures = {
        "bench": lambda: charts.comparison(result.timings),
        "bound": lambda: charts.bound(bench.bound(material.bank, material.queries[0])),
        "growth": lambda: charts.growth(result.curves),
    }
    for name, file in files.items():
        print_message(f"picture: {plots.save(figures[name](), file, overwrite=overwrite)}")
