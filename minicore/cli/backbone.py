"""``minicore backbone``: which networks there are, how to get one, what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.options import StorageName, StorageOption, say

app = typer.Typer(
    help="Networks: which there are, how to get one, what a file holds.", no_args_is_help=True
)


@app.command("list")
def backbone_list() -> None:
    """List the known networks: what they cost, and which are ready to use."""
    from minicore.backbones.catalog import CATALOG, cache_folder, find

    print(f"{'name':22s} {'layer2 + layer3':>15s} {'GMAC':>6s} {'MB':>5s}  ready")
    print(f"{'default':22s} {'128 + 256':>15s} {'0.6':>6s} {'6':>5s}  {find()}")
    for name, network in CATALOG.items():
        file = cache_folder() / f"{name}.onnx"
        widths = f"{network.layers['layer2']} + {network.layers['layer3']}"
        ready = str(file) if file.is_file() else "no"
        print(f"{name:22s} {widths:>15s} {network.gmacs:6.1f} {network.megabytes:5.0f}  {ready}")


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
) -> None:
    """Turn a checkpoint of a ResNet, wide ResNet or ResNeXt into ONNX, without PyTorch."""
    from minicore.backbones.catalog import convert

    print(convert(checkpoint, out, name=name, storage=storage.value))


@app.command("info")
def backbone_info(
    network: Annotated[str, typer.Argument(help="An .onnx file or a known network.")] = "default",
) -> None:
    """Print a network's layers, widths, preprocessing, checksum and source, as JSON."""
    from minicore.backbones import Backbone

    print(json.dumps(Backbone(network).describe(), indent=2))
