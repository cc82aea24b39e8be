"""``minicore fit``: learn from good images and write a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    SeedOption,
    StrideOption,
    ThreadsOption,
)

if TYPE_CHECKING:
    from minicore.patchcore.detector import Detector


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
) -> None:
    """Learn from a folder of good images and write a model."""
    from minicore import datasets
    from minicore.runtime.files import check_writable, identities
    from minicore.runtime.kinds import MODEL

    train = datasets.folder(images).train
    inputs = identities([*map(str, train), *files_of_networks(backbone)])
    check_writable(out, inputs=inputs, overwrite=overwrite, kind=MODEL)
    model = new_model(
        backbone=backbone, ensemble=ensemble, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=neighbours(b), resize=resize, crop=crop,
        false_positive_rate=fpr, bank_storage=bank_storage, seed=seed, threads=threads,
        engine=engine, batch_size=batch_size, augment=augment, angles=degrees(angles),
    ).fit(train)  # fmt: skip
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


def _visible_part(model: Detector) -> str:
    """Return which part of each image the model uses, in words."""
    preprocessing, (height, width) = model.preprocessing_, model.input_size_
    part = "all" if preprocessing.crop is None else "the central"
    resize = preprocessing.resize
    resized = "" if resize is None else f" after resizing to {resize}"
    return f"{part} {height} × {width} pixels{resized}"


def _threshold_lines(model: Detector, fpr: float) -> list[str]:
    """Return lines about the threshold and, if there are too few images, the number needed."""
    from minicore.patchcore.threshold import images_needed

    if model.threshold_ is None:
        return [
            "no threshold, so `minicore score` leaves the column `anomalous` empty: a threshold "
            "needs at least two different good images"
        ]
    member = model.members_[0]
    held_out, (needed, total) = len(member.calibration_scores_), images_needed(fpr)
    rate = f"{100 * fpr:g} %" if held_out >= needed else f"1 in {held_out + 1}"
    lines = [
        f"anomalous above {model.threshold_:.4f}: about {rate} of new good images will score "
        f"higher (an estimate, from {count(held_out, 'image')} held out)"
    ]
    if held_out < needed:
        more = total - (member.made_.images - member.made_.copies)
        lines.append(
            f"collect {count(more, 'more good image')} ({total} in all): a rate of {100 * fpr:g} % "
            f"needs {needed} held-out images, which are a fifth of all; with fewer, the threshold "
            f"can be far too high or too low"
        )
    return lines
