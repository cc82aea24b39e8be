"""``minicore backbone``: list, download, convert and describe networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.messages import print_message
from minicore.cli.options import OverwriteOption, ThreadsOption, WeightStorageOption

CATEGORIES = ("bottle", "screw")  # the categories of MVTec AD on which networks were measured

app = typer.Typer(help="List, download, convert and describe networks.", no_args_is_help=True)


@app.command("list")
def backbone_list() -> None:
    """List the known networks: cost, measured AUROC, and whether they are downloaded."""
    from minicore.backbones.catalog import CATALOG, MEASURED, find
    from minicore.runtime import cache

    rows = [("default", "128 + 256", 0.58, 6.3, str(find()))]
    for name, network in CATALOG.items():
        file = cache.folder("backbones") / f"{name}.onnx"
        widths = f"{network.layers['layer2']} + {network.layers['layer3']}"
        ready = str(file) if file.is_file() else "no"
        rows.append((name, widths, network.gmacs, network.megabytes, ready))
    heads = ("name", "layer2 + layer3", "GMAC", "ms", "MB", *CATEGORIES, "ready")
    print("{:22s} {:>15s} {:>5s} {:>5s} {:>5s}  {:14s} {:14s} {}".format(*heads))
    for name, widths, gmacs, megabytes, ready in rows:
        measured = MEASURED.get(name.removesuffix("_v2"))
        milliseconds = f"{measured.milliseconds:.0f}" if measured else "–"
        auroc = MEASURED[name].auroc if name in MEASURED else {}
        shown = ["{:.2f} / {:.2f}".format(*auroc[c]) if c in auroc else "–" for c in CATEGORIES]
        print(
            f"{name:22s} {widths:>15s} {gmacs:5.1f} {milliseconds:>5s} {megabytes:5.0f}  "
            f"{shown[0]:14s} {shown[1]:14s} {ready}"
        )
    print_message(
        "ms: time per image of 224 × 224 on two cores with AVX-512. bottle, screw: image / pixel "
        "AUROC on MVTec AD in per cent with a coreset of 10 %; – means not measured"
    )


@app.command("get")
def backbone_get(
    network: Annotated[str, typer.Argument(help="A name from `minicore backbone list`.")],
    url: Annotated[str | None, typer.Option(help="Download the checkpoint from here.")] = None,
    storage: WeightStorageOption = "float32",
) -> None:
    """Download a known network, check it, convert it to ONNX and store it in the cache."""
    from minicore.backbones.catalog import CATALOG, get

    if network in CATALOG:
        print_message(f"{network}: {CATALOG[network].licence}")
    print(get(network, url=url, storage=storage))


@app.command("convert")
def backbone_convert(
    checkpoint: Annotated[Path, typer.Argument(help="A .pth or .safetensors file.")],
    out: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    name: Annotated[
        str | None, typer.Option(help="The network that it must contain, such as resnet50.")
    ] = None,
    storage: WeightStorageOption = "float32",
    overwrite: OverwriteOption = False,
) -> None:
    """Convert a checkpoint of a ResNet, wide ResNet or ResNeXt to ONNX, without PyTorch."""
    from minicore.backbones.catalog import convert

    print(convert(checkpoint, out, name=name, storage=storage, overwrite=overwrite))


@app.command("info")
def backbone_info(
    network: Annotated[str, typer.Argument(help="An .onnx file or a known network.")] = "default",
    time: Annotated[
        bool, typer.Option("--time", help="Also measure the milliseconds per image.")
    ] = False,
    threads: ThreadsOption = None,
) -> None:
    """Print a network's layers, widths, preprocessing, checksum and source, as JSON."""
    from minicore.backbones import Backbone

    opened = Backbone(network, threads=threads)
    described = opened.describe()
    if time:
        described["milliseconds"] = round(opened.milliseconds(), 2)
    print(json.dumps(described, indent=2))
