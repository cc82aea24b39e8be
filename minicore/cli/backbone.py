"""``minicore backbone``: which networks there are, how to get one, what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.options import OverwriteOption, StorageName, StorageOption, ThreadsOption, say

CATEGORIES = ("bottle", "screw")  # of MVTec AD: those the networks were measured on

app = typer.Typer(
    help="Networks: which there are, how to get one, what a file holds.", no_args_is_help=True
)


@app.command("list")
def backbone_list() -> None:
    """List the known networks: what they cost, how they did here, and which are ready to use."""
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
    say(
        "ms: an image of 224 × 224 on two cores with AVX-512. bottle, screw: image / pixel AUROC "
        "on MVTec AD in per cent, coreset 10 %, where measured"
    )


@app.command("get")
def backbone_get(
    network: Annotated[str, typer.Argument(help="A name from `minicore backbone list`.")],
    url: Annotated[str | None, typer.Option(help="Another server of the same checkpoint.")] = None,
    storage: StorageOption = StorageName.float32,
) -> None:
    """Download a known network, check it, convert it to ONNX, and keep it in the cache."""
    from minicore.backbones.catalog import CATALOG, get

    if network in CATALOG:
        say(f"{network}: {CATALOG[network].licence}")
    print(get(network, url=url, storage=storage.value))


@app.command("convert")
def backbone_convert(
    checkpoint: Annotated[Path, typer.Argument(help="A .pth or .safetensors file.")],
    out: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    name: Annotated[
        str | None, typer.Option(help="Which network it must be, such as resnet50.")
    ] = None,
    storage: StorageOption = StorageName.float32,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn a checkpoint of a ResNet, wide ResNet or ResNeXt into ONNX, without PyTorch."""
    from minicore.backbones.catalog import convert

    print(convert(checkpoint, out, name=name, storage=storage.value, overwrite=overwrite))


@app.command("info")
def backbone_info(
    network: Annotated[str, typer.Argument(help="An .onnx file or a known network.")] = "default",
    time: Annotated[
        bool, typer.Option("--time", help="Also measure the milliseconds an image takes here.")
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
