"""The options that several commands share, each written once."""

from __future__ import annotations

import re
import sys
from enum import Enum
from typing import Annotated, Any

import typer

from minicore.checks import is_number
from minicore.errors import MinicoreError, ParameterError, one_line


class EngineName(str, Enum):
    """Which implementation runs."""

    fast = "fast"
    equations = "equations"


class EmbeddingName(str, Enum):
    """How feature maps become patch features."""

    concat = "concat"
    paper = "paper"


class Joining(str, Enum):
    """What becomes of several networks."""

    features = "features"
    scores = "scores"


class Layout(str, Enum):
    """How a data set's folders are laid out."""

    mvtec = "mvtec"
    mvtec_loco = "mvtec_loco"
    visa = "visa"
    btad = "btad"
    kolektor_sdd = "kolektor_sdd"
    mtd = "mtd"
    folder = "folder"


class StorageName(str, Enum):
    """How an ONNX file holds its weights."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


class BankStorageName(str, Enum):
    """How a fit keeps the whole memory bank."""

    float32 = "float32"
    float16 = "float16"
    disk = "disk"


class OnError(str, Enum):
    """What to do about an image that cannot be read."""

    stop = "stop"
    skip = "skip"


class FigureName(str, Enum):
    """A study of one parameter."""

    coreset = "coreset"
    patchsize = "patchsize"
    levels = "levels"
    shots = "shots"
    time = "time"
    reweighting = "reweighting"


class Format(str, Enum):
    """How scores are written."""

    csv = "csv"
    jsonl = "jsonl"


BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone", help="An .onnx file or a known network.  [default: the one shipped]"
    ),
]
BackbonesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        help="An .onnx file or a known network; given several times, an ensemble.  [default: the "
        "one shipped]",
    ),
]
EnsembleOption = Annotated[
    Joining,
    typer.Option(
        "--ensemble",
        help="With several networks. features: one bank of all features joined. scores: a bank "
        "each, their scores averaged.",
    ),
]
EmbeddingOption = Annotated[
    EmbeddingName,
    typer.Option(
        help="concat: all channels, averaged over the patch. paper: the authors' pooling to 1024, "
        "for wide networks."
    ),
]
CoresetOption = Annotated[
    float, typer.Option("--coreset", help="Share of the memory bank to keep (equation 5).")
]
LayersOption = Annotated[
    str | None, typer.Option(help="Comma-separated, finest first.  [default: layer2,layer3]")
]
PatchsizeOption = Annotated[int, typer.Option(help="Side of a neighbourhood, p (equation 1).")]
StrideOption = Annotated[int, typer.Option(help="Step between patches, s (equation 3).")]
BOption = Annotated[
    int, typer.Option("--b", help="Neighbours in equation 7; 1 leaves the re-weighting out.")
]
ResizeOption = Annotated[
    str | None,
    typer.Option(
        help="Shorter side in pixels, or HEIGHTxWIDTH, or none.  [default: the network's, 256]"
    ),
]
CropOption = Annotated[
    str | None,
    typer.Option(
        help="Side of the central crop, or HEIGHTxWIDTH, or none.  [default: the network's, 224]"
    ),
]
FprOption = Annotated[
    float, typer.Option("--fpr", help="Share of good images that may be called anomalous, about.")
]
BankStorageOption = Annotated[
    BankStorageName,
    typer.Option(
        help="Where the whole memory bank is kept during a fit: in memory; rounded, at half the "
        "size; in a temporary file ($TMPDIR), the same results."
    ),
]
BatchOption = Annotated[int, typer.Option("--batch-size", help="Images the network sees at once.")]
SeedOption = Annotated[int, typer.Option(help="Same seed, same result.")]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Changes the speed, no result.  [default: all cores]")
]
EngineOption = Annotated[
    EngineName, typer.Option(help="equations: the literal loops, the same results, slowly.")
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Also replace files that minicore did not make. Files that are read never are.",
    ),
]
StorageOption = Annotated[
    StorageName, typer.Option(help="How weights are stored; they compute in float32 always.")
]


# What the command line calls a parameter of Python's.
OPTIONS = {
    "coreset_ratio": "--coreset",
    "false_positive_rate": "--fpr",
    "n_threads": "--threads",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            "b", "backbone", "bank_storage", "batch_size", "crop", "embedding", "engine", "layers",
            "patchsize", "resize", "seed", "stride",
        )
    },
}  # fmt: skip
SHARES = ("coreset_ratio", "false_positive_rate")
_PARAMETER = re.compile(
    rf"(?<![\w/-])({'|'.join(OPTIONS)})(?= must be | or raise | to ')|(?<=raise )(coreset_ratio)"
)


def say(text: str) -> None:
    """Print a line that is not a result, to standard error."""
    print(one_line(text), file=sys.stderr, flush=True)


def count(n: int, what: str) -> str:
    """Return ``1 image``, ``2 images``."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def in_options(error: Exception) -> str:
    """Return an error's text, with the options' names for those of Python's parameters."""
    text = _PARAMETER.sub(lambda found: OPTIONS[found[0]], f"{error}")
    if isinstance(error, ParameterError):
        text = text.replace(", or None, got", ", got")
        text = text.replace("(h, w) or None, got", "HEIGHTxWIDTH or none, got")
        if error.name in SHARES and is_number(error.value) and 1 <= error.value < 100:
            share = f"{OPTIONS[error.name]} {error.value / 100:g}"
            text += f"; {share} means {error.value:g} %"
    return text


def size(text: str | None, option: str) -> Any:
    """Read ``224``, ``72x140`` or ``none``."""
    if text is None or text == "none":
        return text
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise MinicoreError(f"{option} {text}: expected pixels, HEIGHTxWIDTH or none")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def new_model(
    *,
    backbone: Any,
    embedding: EmbeddingName,
    coreset: float,
    seed: int,
    engine: EngineName,
    threads: int | None,
    batch_size: int,
    ensemble: Joining = Joining.features,
    layers: str | None = None,
    resize: str | None = None,
    crop: str | None = None,
    bank_storage: BankStorageName = BankStorageName.float32,
    **options: Any,
) -> Any:
    """Build the model that the options of a fitting command ask for."""
    from minicore.backbones.joint import layer_sets
    from minicore.patchcore.ensemble import Ensemble
    from minicore.patchcore.estimator import PatchCore

    def single(network: Any, names: Any) -> PatchCore:
        return PatchCore(
            network,
            embedding.value,
            coreset,
            seed,
            engine.value,
            layers=names,
            resize=size(resize, "--resize"),
            crop=size(crop, "--crop"),
            bank_storage=bank_storage.value,
            n_threads=threads,
            batch_size=batch_size,
            **options,
        )

    names = tuple(map(str.strip, layers.split(","))) if layers else None
    several = backbone if isinstance(backbone, list) and len(backbone) > 1 else None
    if ensemble is Joining.scores and several is None:
        raise MinicoreError("--ensemble scores: give --backbone at least twice")
    if several is None:
        return single(backbone[0] if isinstance(backbone, list) and backbone else backbone, names)
    if ensemble is Joining.features:
        return single(several, names)
    sets = layer_sets(names, len(backbone))
    return Ensemble([single(one, its) for one, its in zip(several, sets, strict=True)])
