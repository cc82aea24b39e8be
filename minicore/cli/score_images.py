"""``minicore score``: score images with a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from minicore.cli.messages import count, print_message
from minicore.cli.model import one_or_several
from minicore.cli.options import (
    BackbonesOption,
    BatchOption,
    ClusterOption,
    EngineOption,
    OverwriteOption,
    ThreadsOption,
    WorkersOption,
)

Format = Literal["csv", "jsonl"]
OnError = Literal["stop", "skip"]
ANOMALOUS, NOT_SCORED = 3, 4  # exit codes


def score(
    model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write.", show_default="standard output"),
    ] = None,
    format: Annotated[Format, typer.Option(help="CSV, or one JSON object per line.")] = "csv",
    maps: Annotated[
        Path | None, typer.Option(help="Folder for heat maps: NAME.heat.png for each image.")
    ] = None,
    backbone: BackbonesOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = "fast",
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="End with exit code 3 if an image is anomalous, and with 4 if a folder contains "
            "images that were not scored.",
        ),
    ] = False,
    on_error: Annotated[
        OnError,
        typer.Option(
            help="What to do if an image cannot be read or has another size. stop: write nothing. "
            "skip: score the other images, list this one on standard error, end with exit code 4."
        ),
    ] = "stop",
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    shards: Annotated[
        int | None,
        typer.Option(
            help="With --cluster or --workers: divide a memory bank that is too large for a worker "
            "into so many parts.",
        ),
    ] = None,
) -> None:
    """Score images with a model: one line per image, in the order given."""
    from minicore.cli.cluster import open_cluster
    from minicore.cli.outputs import ScoreWriter, heat_map_names, save_heat_map
    from minicore.errors import ImageError
    from minicore.images import as_images
    from minicore.images.listing import left_out
    from minicore.patchcore.saved import load
    from minicore.patchcore.threshold import p_values
    from minicore.runtime.files import check_apart, check_outputs, identities, is_folder
    from minicore.runtime.kinds import PICTURE, SCORES

    if shards is not None and cluster is None and workers is None:
        raise ValueError("--shards needs --cluster or --workers")
    paths = [path for source in images for path in as_images(source)]
    unlisted = {path for source in images if is_folder(source) for path in left_out(source)}
    unlisted -= {path for path in unlisted if maps in path.parents}  # earlier heat maps
    networks = one_or_several(backbone)
    detector = load(model, networks, engine=engine, n_threads=threads, batch_size=batch_size)
    pictures = heat_map_names(paths, maps) if maps else None
    inputs = identities([*map(str, paths), model, *detector.network_files_])
    not_scored = identities(unlisted).keys() - inputs.keys()
    if maps:
        check_apart(maps, map(str, paths))
    outputs = [*([(out, SCORES)] if out else []), *((path, PICTURE) for path in pictures or [])]
    check_outputs(outputs, inputs=inputs, overwrite=overwrite)

    threshold, n_anomalous = detector.threshold_, 0
    skipped: dict[int, ImageError] = {}
    scored = (i for i in range(len(paths)) if i not in skipped)
    into = skipped if on_error == "skip" else None
    with (
        open_cluster(cluster, workers) as client,
        ScoreWriter(out, format, inputs=inputs, overwrite=overwrite) as writer,
    ):
        for batch in detector.stream(paths, skipped=into, client=client, shards=shards):
            p = [None] * len(batch.scores)
            if threshold is not None:
                p = p_values(batch.scores, detector.calibration_scores_).tolist()
            for row, s in enumerate(batch.scores):
                i = next(scored)
                anomalous = None if threshold is None else bool(s > threshold)
                n_anomalous += bool(anomalous)
                writer.write(paths[i], float(s), float(batch.distances[row]), p[row], anomalous)
                if pictures and batch.maps is not None:
                    save_heat_map(
                        pictures[i], paths[i], batch.maps[row], detector, float(s),
                        overwrite=overwrite,
                    )  # fmt: skip

    n_scored = len(paths) - len(skipped)
    if out:
        print_message(f"{count(n_scored, 'score')}: {out}")
    for i in sorted(skipped):
        print_message(f"skipped: {skipped[i]}")
    if skipped:
        print_message(f"{len(skipped)} of {count(len(paths), 'image')} skipped")
    heat_maps = f"; heat maps: {maps}" if maps else ""
    if threshold is None:
        print_message(
            f"{count(n_scored, 'image')}, no verdict: {model} has no threshold; fit it on at least "
            f"two different good images{heat_maps}"
        )
    else:
        print_message(
            f"{n_anomalous} of {count(n_scored, 'image')} anomalous (score above "
            f"{threshold:.4f}){heat_maps}"
        )
    if skipped or (exit_code and not_scored):
        raise typer.Exit(NOT_SCORED)
    if exit_code and n_anomalous:
        raise typer.Exit(ANOMALOUS)
