"""``minicore update``: learn more good images with a saved model."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minicore.cli.messages import count, print_message
from minicore.cli.model import one_or_several
from minicore.cli.options import BackbonesOption, BatchOption, OverwriteOption, ThreadsOption
from minicore.errors import MinicoreError, ModelError, one_line
from minicore.runtime import system

if TYPE_CHECKING:
    from minicore.patchcore.estimator import PatchCore
    from minicore.patchcore.update import Growth

LINES = 30  # of the table; more images are added up by tens
LATEST = 10  # images whose mean is compared with that of the fit
NAMED = 5  # files that a message names


def update(
    model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")],
    images: Annotated[Path, typer.Argument(help="Folder of more good images.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The model file to write.", show_default="MODEL"),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            help="Only draw the patches that would be added, to this file (.png, .svg or .pdf). "
            "The model is not changed.",
        ),
    ] = None,
    backbone: BackbonesOption = None,
    threads: ThreadsOption = None,
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn more good images: add the patches that the model does not know yet.

    A defect in these images is learned too. Look at the new patches first, with --show.
    """
    from minicore import datasets
    from minicore.cli.outputs import save_additions
    from minicore.patchcore.ensemble import Ensemble
    from minicore.patchcore.saved import load
    from minicore.patchcore.update import find_growth, grow
    from minicore.runtime import threads as cores
    from minicore.runtime.files import check_apart, check_writable, identities
    from minicore.runtime.kinds import MODEL, PICTURE

    new = datasets.folder(images).train
    detector = load(model, one_or_several(backbone), n_threads=threads, batch_size=batch_size)
    if isinstance(detector, Ensemble):
        raise ModelError(
            f"{model}: an ensemble of scores cannot be updated; fit it again on all images"
        )
    read: list[str | Path] = [*map(str, new), *detector.network_files_]
    if show is not None:
        _check_suffix(show)
        check_apart(show.parent, map(str, new))
        inputs = identities([*read, model])
        check_writable(show, inputs=inputs, overwrite=overwrite, kind=PICTURE)
    else:
        inputs = identities([*read, *([model] if out else [])])
        check_writable(out or model, inputs=inputs, overwrite=overwrite, kind=MODEL)

    with cores.limit(threads):
        growth = find_growth(detector, new)
    for line in _table(growth, detector.threshold_):
        print(line)
    sys.stdout.flush()
    for line in _summary(growth, detector):
        print_message(line)
    if show is not None:
        if len(growth.features):
            save_additions(show, detector, growth, overwrite=overwrite)
            print_message(f"picture: {show}")
        command = ["minicore", "update", str(model), str(images)]
        command += [] if out is None else ["--out", str(out)]
        command += [word for name in backbone or [] for word in ("--backbone", name)]
        print_message(
            f"the model is not changed; if all new patches are good: {system.quoted(command)}"
        )
        return
    before = detector.threshold_
    with cores.limit(threads):
        grow(detector, growth)
    detector.save(out or model, overwrite=overwrite)
    if detector.threshold_ is not None:
        was = "" if before is None else f" (before: {before:.4f})"
        scores = count(len(detector.calibration_scores_), "good image")
        print_message(f"anomalous above {detector.threshold_:.4f}{was}, from {scores}")
    print_message(f"model: {out or model}")


def _check_suffix(show: Path) -> None:
    from minicore.plots.style import SUFFIXES

    if show.suffix.lower() not in SUFFIXES:
        raise MinicoreError(f"--show {show}: the suffix must be {', '.join(SUFFIXES)}")


def _table(growth: Growth, threshold: float | None) -> list[str]:
    """Return a line for each image or, if there are many, for each ten."""
    if len(growth.rows) > LINES:
        lines = ["rows added  images"]
        for first in range(0, len(growth.rows), 10):
            some = growth.rows[first : first + 10]
            lines.append(f"{some.sum():>10,}  {first + 1} to {first + len(some)}")
        return lines
    lines = ["rows added  score     image"]
    for i, (image, rows) in enumerate(zip(growth.new_images, growth.rows, strict=True)):
        score = "" if math.isnan(growth.scores[i]) else f"{growth.scores[i]:.4f}"
        score = "copy" if growth.copies[i] else score
        mark = "*" if threshold is not None and growth.scores[i] > threshold else " "
        lines.append(f"{rows:>10,}  {score:<8}{mark} {one_line(str(image))}")
    return lines


def _summary(growth: Growth, model: PatchCore) -> list[str]:
    """Return lines about the new rows, and about images that may be defective."""
    rows, learned = growth.rows, growth.rows[~growth.copies]
    l, bank, made = len(model.coreset_radii_), len(model.memory_bank_), model.made_
    fitted = made.images - made.copies - made.updated
    lines = [
        f"{count(int(rows.sum()), 'new row')} from {count(len(learned), 'new image')}; the memory "
        f"bank had {count(bank, 'row')}"
    ]
    if len(learned):
        some = learned[-LATEST:]
        lines.append(
            f"the last {count(len(some), 'new image')} added {some.mean():.1f} rows per image, and "
            f"those of the fit {l / fitted:.1f}; close to 0, more good images change little"
        )
    if model.threshold_ is not None:
        above = [growth.new_images[i] for i, s in enumerate(growth.scores) if s > model.threshold_]
        if above:
            names = ", ".join(Path(str(image)).name for image in above[:NAMED])
            more = ", …" if len(above) > NAMED else ""
            lines.append(
                f"{count(len(above), 'new image')} above the threshold {model.threshold_:.4f} (*): "
                f"{names}{more}; if an image is defective, its defect is learned (--show draws it)"
            )
    return lines
