"""``minicore evaluate``: fit and test each category of a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minicore import __version__
from minicore.cli.messages import print_message
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
    Layout,
    OverwriteOption,
    PatchsizeOption,
    ResizeOption,
    ScoreOption,
    SeedOption,
    StrideOption,
    ThreadsOption,
    WhitenOption,
)
from minicore.errors import MinicoreError


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder of the data set, as published.")],
    category: Annotated[
        list[str] | None, typer.Argument(help="Categories of the data set.", show_default="all")
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(
            help="Layout of the folder. folder: your own data in train/good (or good), test/good "
            "and test/<defect>, without masks."
        ),
    ] = "mvtec",
    out: Annotated[
        Path | None, typer.Option("--json", help="Also write the numbers to this file.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures: images, histogram and ROC of each category."),
    ] = None,
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
) -> None:
    """Fit and test each category of a data set, and print a table."""
    from minicore import datasets
    from minicore.cli.outputs import PICTURES, save_pictures
    from minicore.evaluation import evaluate as evaluation_
    from minicore.runtime.files import atomic_write, check_apart, check_outputs, identities
    from minicore.runtime.kinds import NUMBERS, PICTURE

    without_categories = layout in datasets.WITHOUT_CATEGORIES
    if without_categories and category:
        raise MinicoreError(f"{layout} has no categories; leave out {' '.join(category)}")
    load = datasets.LOADERS[layout]
    if without_categories:
        parts = [load(data)]
    else:
        parts = [load(data, name) for name in category or datasets.categories(data, layout)]
    images = [file for dataset in parts for file in dataset.files()]
    tables = data.glob("split_csv/*.csv")  # VisA's lists of images
    inputs = identities([*images, *files_of_networks(backbone), *tables])
    folders = [pictures / dataset.name for dataset in parts] if pictures else []
    drawn = [folder / name for folder in folders for name in PICTURES]
    outputs = [*([(out, NUMBERS)] if out else []), *((path, PICTURE) for path in drawn)]
    for folder in folders:
        check_apart(folder, images)
    check_outputs(outputs, inputs=inputs, overwrite=overwrite)
    model = new_model(
        backbone=backbone, ensemble=ensemble, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=neighbours(b), whiten=whiten, score=score,
        resize=resize, crop=crop, false_positive_rate=fpr, bank_storage=bank_storage, seed=seed,
        threads=threads, engine=engine, batch_size=batch_size, augment=augment,
        angles=degrees(angles),
    )  # fmt: skip

    rows = []
    for dataset in parts:
        row, detection = evaluation_.evaluate(model, dataset)
        rows.append(row)
        print_message(
            f"{dataset.name}: fitted in {row.fit_seconds:.0f} s, {row.milliseconds:.0f} ms/image"
        )
        if pictures:
            save_pictures(pictures / dataset.name, model, dataset, detection, overwrite=overwrite)
        if out:  # after every category, so that a later failure loses no finished category
            configs = [member.config_.to_json() for member in model.members_]
            content = {
                "minicore": __version__,
                "config": configs[0] if len(configs) == 1 else configs,
                "categories": [r.to_json() for r in rows],
            }
            with atomic_write(out, "w", inputs=inputs, overwrite=overwrite) as file:
                json.dump(content, file, indent=2)
    print(evaluation_.table(rows))
