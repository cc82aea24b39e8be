"""``minicore fit``: learn from good images and write a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicore.cli.messages import count, print_message
from minicore.cli.model import degrees, files_of_networks, neighbours, new_model
from minicore.cli.options import (
    AnglesOption,
    AugmentOption,
    BackbonesOption,
    BankStorageOption,
    BatchOption,
    BOption,
    ClusterOption,
    CoresetOption,
    CropOption,
    EmbeddingOption,
    EngineOption,
    EnsembleOption,
    FprOption,
    LayersOption,
    OverwriteOption,
    PatchsizeOption,
    ResizeOption,
    ScoreOption,
    SeedOption,
    StrideOption,
    ThreadsOption,
    WhitenOption,
    WorkersOption,
)

if TYPE_CHECKING:
    from distributed import Client

    from minicore.patchcore.detector import Detector
    from minicore.patchcore.ensemble import Ensemble
    from minicore.patchcore.estimator import PatchCore

FEW = 50  # images; with fewer, a line recommends more
PICKS = ".picks"  # suffix of the file of an unfinished fit over a cluster


def fit(
    images: Annotated[Path, typer.Argument(help="Folder of good images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    backbone: BackbonesOption = None,
    ensemble: EnsembleOption = "features",
    embedding: EmbeddingOption = "concat",
    coreset: CoresetOption = 0.1,
    layers: LayersOption = None,
    patchsize: PatchsizeOption = 3,
    stride: StrideOption = 1,
    b: BOption = "9",
    whiten: WhitenOption = False,
    score: ScoreOption = "max",
    resize: ResizeOption = None,
    crop: CropOption = None,
    fpr: FprOption = 0.05,
    bank_storage: BankStorageOption = "float32",
    augment: AugmentOption = None,
    angles: AnglesOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = "fast",
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
) -> None:
    """Learn from a folder of good images and write a model."""
    from minicore import datasets
    from minicore.cli.cluster import open_cluster
    from minicore.runtime.files import check_writable, identities
    from minicore.runtime.kinds import MODEL

    train = datasets.folder(images).train
    inputs = identities([*map(str, train), *files_of_networks(backbone)])
    check_writable(out, inputs=inputs, overwrite=overwrite, kind=MODEL)
    model = new_model(
        backbone=backbone, ensemble=ensemble, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=neighbours(b), whiten=whiten, score=score,
        resize=resize, crop=crop, false_positive_rate=fpr, bank_storage=bank_storage, seed=seed,
        threads=threads, engine=engine, batch_size=batch_size, augment=augment,
        angles=degrees(angles),
    )  # fmt: skip
    with open_cluster(cluster, workers) as client:
        if client is None:
            model.fit(train)
        else:
            _fit_over_cluster(model, train, client, Path(f"{out}{PICKS}"))
    model.save(out, overwrite=overwrite)
    turns = len(model.members_[0].config_.turns)
    turned = f", each at {turns} angles" if turns > 1 else ""
    print_message(f"{count(len(train), 'image')}{turned}; the model uses {_visible_part(model)}")
    for member in model.members_:
        rows, width = member.memory_bank_.shape
        print_message(f"{member.backbone_.name}: {rows:,} patch features of {width} values")
    for line in _threshold_lines(model, fpr):
        print_message(line)
    print_message(f"model: {out}")


def _fit_over_cluster(
    model: PatchCore | Ensemble, train: Any, client: Client, resume: Path
) -> None:
    """Fit over the workers. The file `resume` is deleted at the end."""
    from minicore.patchcore.ensemble import Ensemble

    if isinstance(model, Ensemble):
        model.fit(train, client=client)
    else:
        if resume.exists():
            print_message(f"continuing an unfinished fit from {resume}")
        model.fit(train, client=client, resume=resume)
    for member in model.members_:
        found = member.cluster_coreset_
        megabytes = (found.sent + found.received) / 1e6
        print_message(
            f"{member.backbone_.name}: coreset selected in {count(found.rounds, 'round')}, "
            f"{megabytes:,.0f} MB sent"
        )


def _visible_part(model: Detector) -> str:
    """Return which part of each image the model uses, in words."""
    preprocessing, (height, width) = model.preprocessing_, model.input_size_
    part = "all" if preprocessing.crop is None else "the central"
    resize = preprocessing.resize
    resized = "" if resize is None else f" after resizing to {resize}"
    return f"{part} {height} × {width} pixels{resized}"


def _threshold_lines(model: Detector, fpr: float) -> list[str]:
    """Return lines about the threshold and, if there are few images, a remedy."""
    if model.threshold_ is None:
        return [
            "no threshold, so `minicore score` leaves the columns `p_value` and `anomalous` empty: "
            "a threshold needs at least two different good images"
        ]
    n = len(model.calibration_scores_)
    lines = [
        f"anomalous above {model.threshold_:.4f}: about {100 * fpr:g} % of new good images will "
        f"score higher (an estimate, from the scores of {count(n, 'image')})"
    ]
    if n < FEW:
        lines.append(
            f"collect {count(FEW - n, 'more good image')} ({FEW} in all): with fewer, the "
            f"threshold can be far too high or too low"
        )
    return lines
