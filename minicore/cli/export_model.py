"""``minicore export``: write a model as one ONNX file, or check such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minicore.cli.messages import print_message
from minicore.cli.model import image_size as parsed_size
from minicore.cli.model import one_or_several
from minicore.cli.options import BackbonesOption, CheckImages, ExportStorage, OverwriteOption
from minicore.errors import MinicoreError

if TYPE_CHECKING:
    from minicore.export import Check


def export(
    model: Annotated[
        Path | None, typer.Argument(help="A model that `minicore fit` wrote.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Argument(help="The .onnx file to write.", show_default=False)
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            help="Check this exported file instead: run its check images and compare.",
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            help="With --check: the execution provider of onnxruntime.",
            show_default="CPUExecutionProvider",
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Size in pixels of the images that the file will get. It resizes and crops them.",
            show_default="the size of the training images",
        ),
    ] = None,
    prepared: Annotated[
        bool,
        typer.Option("--prepared", help="The file gets images that are already resized, cropped."),
    ] = False,
    storage: Annotated[
        ExportStorage,
        typer.Option(
            help="How the file stores network and memory bank. float16: half the size, rounded."
        ),
    ] = "float32",
    explain: Annotated[
        bool, typer.Option("--explain", help="Add every intermediate result as an output.")
    ] = False,
    check_images: Annotated[
        CheckImages | None,
        typer.Option(
            help="The three check images in the file, which anyone who has it can see.",
            show_default="training if the training images are still there, otherwise drawn",
        ),
    ] = None,
    backbone: BackbonesOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model as one ONNX file, from the pixels of an image to score, map and verdict."""
    from minicore import export as exports
    from minicore import load
    from minicore.runtime.files import check_writable, identities
    from minicore.runtime.kinds import EXPORT

    if check is not None:
        half = storage != "float32"
        if any((model, image_size, prepared, half, explain, check_images, backbone, overwrite)):
            raise MinicoreError(
                "--check FILE checks a file and writes none: use it without MODEL, OUT and other "
                "options except --provider"
            )
        _print_checks(exports.check(check, provider))
        print_message(f"{check}: unchanged, and all numbers agree")
        return
    if model is None or out is None:
        raise MinicoreError("expected MODEL and OUT, or --check FILE")
    if provider is not None:
        raise MinicoreError("--provider: only with --check")
    if image_size is not None and "x" not in image_size.lower():
        raise MinicoreError(f"--image-size {image_size}: expected HEIGHTxWIDTH")
    check_writable(out, inputs=identities([model]), overwrite=overwrite, kind=EXPORT)
    exported = exports.to_onnx(
        load(model, one_or_several(backbone)),
        out,
        image_size=parsed_size(image_size, "--image-size"),
        prepared=prepared, storage=storage, explain=explain, check_images=check_images,
        overwrite=overwrite,
    )  # fmt: skip
    _print_checks(exported.checks)
    (H, W), which = exported.image_size, exported.check_images
    print_message(f"{out}: {out.stat().st_size / 1e6:.1f} MB, for images of {H} × {W} pixels")
    if exported.rounding is not None:
        print_message(f"float16 changes scores and maps by up to {100 * exported.rounding:.2g} %")
    if which == "training":
        print_message(
            "the file contains two training images, and the negative of one, for --check; "
            "--check-images drawn leaves them out"
        )
    elif which == "drawn" and check_images is None:
        print_message(
            "no training images of this size were found, so the check images are drawn ones"
        )
    elif which == "none":
        print_message("the file contains no check images, so --check will refuse it")
    if not exported.has_threshold:
        print_message(
            "the model has no threshold, so the file has no outputs `p_value` and `anomalous`"
        )


def _print_checks(checks: list[Check]) -> None:
    """Print expected and found numbers as a table."""
    row = "{:<6} {:<18} {:>12} {:>12} {:>11}"
    print(row.format("image", "number", "minicore", "found", "difference"))
    for c in checks:
        numbers = (f"{c.expected:.6g}", f"{c.found:.6g}", f"{c.difference:.0e}")
        print(row.format(c.image, c.what, *numbers))
