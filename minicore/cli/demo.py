"""``minicore demo``: learn the synthetic parts and find their defects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.model import new_model
from minicore.cli.options import (
    BackboneOption,
    BatchOption,
    CoresetOption,
    EmbeddingOption,
    EngineOption,
    OverwriteOption,
    SeedOption,
    ThreadsOption,
)
from minicore.errors import OutputError


def demo(
    category: Annotated[
        list[str] | None, typer.Argument(help="Names of synthetic parts.", show_default="all five")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("minicore-demo"),
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = "concat",
    coreset: CoresetOption = 0.1,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = "fast",
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn five synthetic parts and find their defects. Print scores and times, draw a picture."""
    from minicore import datasets
    from minicore.backbones import Backbone
    from minicore.cli.demo_run import PICTURES, run_demo
    from minicore.images.decode import SUFFIXES
    from minicore.runtime.files import check_writable, identities
    from minicore.runtime.kinds import PICTURE, made_by_minicore

    network = Backbone(backbone or "default", threads=threads, batch_size=batch_size)
    for name in PICTURES:
        check_writable(
            out / name, inputs=identities(network.files), overwrite=overwrite, kind=PICTURE
        )
    images = sorted(path for path in out.glob("*") if path.suffix.lower() in SUFFIXES)
    foreign = [path.name for path in images if not made_by_minicore(path)]
    if foreign and not overwrite:  # a later `fit` of this folder would learn from the pictures
        raise OutputError(
            f"{out}: contains images that minicore did not make, such as {foreign[0]}; choose "
            f"another folder with --out"
        )
    print(f"network: {network.name} ({network.path.name}), layers {', '.join(network.layers)}")
    model = new_model(
        backbone=network, embedding=embedding, coreset=coreset, seed=seed,
        engine=engine, threads=threads, batch_size=batch_size,
    )  # fmt: skip
    run_demo(category or datasets.SYNTHETIC, model, out, seed=seed, overwrite=overwrite)
