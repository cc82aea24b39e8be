"""Options that several commands share. Each is written once.

The choices are written here and not imported from the library, because the import would load NumPy
and the network even for ``minicore --help``. A test compares the two lists of choices.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Engine = Literal["fast", "equations"]
Embedding = Literal["concat", "paper"]
Augment = Literal["rotations"]
BankStorage = Literal["float32", "float16", "disk"]
WeightStorage = Literal["float32", "float16", "int8"]
ExportStorage = Literal["float32", "float16"]
CheckImages = Literal["training", "drawn", "none"]
Combination = Literal["features", "scores"]
Score = Literal["max", "top"]
Layout = Literal["mvtec", "mvtec_loco", "visa", "btad", "kolektor_sdd", "mtd", "folder"]

BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="The network: an .onnx file, or a name from `minicore backbone list`.",
        show_default="the default network",
    ),
]
BackbonesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        help="The network: an .onnx file, or a name from `minicore backbone list`. Repeat the "
        "option to use several networks.",
        show_default="the default network",
    ),
]
EnsembleOption = Annotated[
    Combination,
    typer.Option(
        "--ensemble",
        help="How several networks are combined. features: one memory bank of joined features. "
        "scores: one memory bank per network, and the mean of the scores.",
    ),
]
EmbeddingOption = Annotated[
    Embedding,
    typer.Option(
        help="How feature maps become patch features. concat: all channels, averaged over the "
        "neighbourhood. paper: the authors' pooling to 1024 values, for wide networks."
    ),
]
CoresetOption = Annotated[
    float, typer.Option("--coreset", help="Share of the memory bank to keep (equation 5).")
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        help="Layers of the network, separated by commas, the finest first.",
        show_default="layer2,layer3",
    ),
]
PatchsizeOption = Annotated[int, typer.Option(help="Side p of the neighbourhood (equation 1).")]
StrideOption = Annotated[int, typer.Option(help="Step s between patches (equation 3).")]
BOption = Annotated[
    str,
    typer.Option(
        "--b",
        metavar="INTEGER",
        help="Number of neighbours b in equation 7, or none to leave equation 7 out.",
    ),
]
WhitenOption = Annotated[
    bool,
    typer.Option(
        "--whiten",
        help="Whiten the patch features: their variance becomes the same in every direction.",
    ),
]
ScoreOption = Annotated[
    Score,
    typer.Option(
        help="The score of an image. max: the largest patch distance, with the weight of equation "
        "7. top: the mean of the largest 1 % of the patch distances, without the weight."
    ),
]
ResizeOption = Annotated[
    str | None,
    typer.Option(
        help="Shorter side of the resized image in pixels, or HEIGHTxWIDTH, or none.",
        show_default="the network's value, 256",
    ),
]
CropOption = Annotated[
    str | None,
    typer.Option(
        help="Side of the central crop in pixels, or HEIGHTxWIDTH, or none.",
        show_default="the network's value, 224",
    ),
]
FprOption = Annotated[
    float,
    typer.Option(
        "--fpr",
        help="Share of good images that may be called anomalous. The threshold is an estimate.",
    ),
]
BankStorageOption = Annotated[
    BankStorage,
    typer.Option(
        help="How the whole memory bank is stored during the fit. float32: in memory. float16: "
        "in memory, rounded, half the size. disk: in a temporary file ($TMPDIR), with the same "
        "results as float32."
    ),
]
AugmentOption = Annotated[
    Augment | None,
    typer.Option(
        help="rotations: also learn each good image turned by each of --angles, for few images of "
        "parts at any angle. Time and memory of the fit grow with the number of angles. A turned "
        "part then counts as good.",
        show_default="none",
    ),
]
AnglesOption = Annotated[
    str | None,
    typer.Option(
        help="With --augment: degrees separated by commas, with 0.",
        show_default="0,45,90,135,180,225,270,315",
    ),
]
BatchOption = Annotated[
    int, typer.Option("--batch-size", help="Number of images that the network processes at once.")
]
SeedOption = Annotated[
    int, typer.Option(help="Seed of all random choices. The same seed repeats the same result.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        help="Number of threads. It changes the speed, not the results.", show_default="all cores"
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        help="fast: the fast engine. equations: the literal loops, slow, with the same results."
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Also replace files that minicore did not make. Input files are never replaced.",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Compute on the workers of the Dask cluster with this scheduler, such as "
        "tcp://host:8786. They must be able to read the same files. The results do not change.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Compute in this number of processes on this machine, each with one thread. The "
        "results do not change.",
    ),
]
WeightStorageOption = Annotated[
    WeightStorage,
    typer.Option(
        "--storage",
        help="How the file stores the weights. The network always computes in float32.",
    ),
]
