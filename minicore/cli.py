"""The ``minicore`` command.

Results go to standard output, everything else to standard error. Exit codes: 0 done; 1 refused or
failed, with one line that says why; 2 the command line was not understood; 3 done, and
``--exit-code`` was given and an image is anomalous.
"""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from minicore import __version__
from minicore.errors import MinicoreError

ANOMALOUS = 3

app = typer.Typer(
    help="PatchCore on a CPU: learn from good images, find the defective ones and where.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
backbone_app = typer.Typer(
    help="Networks: which there are, what a file holds.", no_args_is_help=True
)
app.add_typer(backbone_app, name="backbone")


class EngineName(str, Enum):
    """Which implementation runs."""

    fast = "fast"
    equations = "equations"


class EmbeddingName(str, Enum):
    """How feature maps become patch features."""

    concat = "concat"
    paper = "paper"


class Layout(str, Enum):
    """How a data set's folders are laid out."""

    mvtec = "mvtec"
    mvtec_loco = "mvtec_loco"
    visa = "visa"
    btad = "btad"
    kolektor_sdd = "kolektor_sdd"
    mtd = "mtd"


class StorageName(str, Enum):
    """How an ONNX file holds its weights."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


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
    int | None, typer.Option(help="Shorter side in pixels.  [default: the network's, 256]")
]
CropOption = Annotated[
    int | None, typer.Option(help="Side of the central crop.  [default: the network's, 224]")
]
FprOption = Annotated[
    float, typer.Option("--fpr", help="Share of good images that may be called anomalous.")
]
BatchOption = Annotated[int, typer.Option("--batch-size", help="Images the network sees at once.")]
SeedOption = Annotated[int, typer.Option(help="Same seed, same result.")]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Changes the speed, no result.  [default: all cores]")
]
EngineOption = Annotated[
    EngineName, typer.Option(help="equations: the literal loops, the same results, slowly.")
]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _fresh(
    *,
    backbone: str | None,
    embedding: EmbeddingName,
    coreset: float,
    seed: int,
    engine: EngineName,
    threads: int | None,
    batch_size: int,
    layers: str | None = None,
    **options: Any,
) -> Any:
    """Build a PatchCore from the options that every fitting command has."""
    from minicore.patchcore import PatchCore

    return PatchCore(
        backbone,
        embedding.value,
        coreset,
        seed,
        engine.value,
        layers=tuple(map(str.strip, layers.split(","))) if layers else None,
        n_threads=threads,
        batch_size=batch_size,
        **options,
    )


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    _main.debug = debug  # type: ignore[attr-defined]


@app.command()
def demo(
    category: Annotated[
        list[str] | None, typer.Argument(help="Synthetic parts to show.  [default: all five]")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("minicore-demo"),
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = EmbeddingName.concat,
    coreset: CoresetOption = 0.1,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
) -> None:
    """Learn five drawn parts, find their defects, show scores, times and a picture."""
    from minicore import datasets
    from minicore.backbones import Backbone
    from minicore.demo import demo as run

    network = Backbone(backbone or "default", threads=threads, batch_size=batch_size)
    print(f"network: {network.name} ({network.path.name}), layers {', '.join(network.layers)}")
    if "note" in network.metadata:
        print(f"         {network.metadata['note']}")
    model = _fresh(
        backbone=None, embedding=embedding, coreset=coreset, seed=seed,
        engine=engine, threads=threads, batch_size=batch_size,
    ).set_params(backbone=network)  # fmt: skip
    run(category or datasets.SYNTHETIC, model, out, seed=seed, say=print)


@app.command()
def fit(
    images: Annotated[Path, typer.Argument(help="Folder of good images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = EmbeddingName.concat,
    coreset: CoresetOption = 0.1,
    layers: LayersOption = None,
    patchsize: PatchsizeOption = 3,
    stride: StrideOption = 1,
    b: BOption = 9,
    resize: ResizeOption = None,
    crop: CropOption = None,
    fpr: FprOption = 0.05,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
) -> None:
    """Learn from a folder of good images and write a model."""
    from minicore import datasets

    if out.is_dir():  # found out now, not after minutes of work
        raise MinicoreError(
            f"{out}: a folder; name the file to write, such as {out / 'my.minicore'}"
        )
    train = datasets.folder(images).train
    model = _fresh(
        backbone=backbone, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=b, resize=resize, crop=crop,
        false_positive_rate=fpr, seed=seed, threads=threads, engine=engine, batch_size=batch_size,
    ).fit(train)  # fmt: skip
    model.save(out)
    rows, width = model.memory_bank_.shape
    _say(f"{len(train)} images -> {rows:,} patch features of {width} values")
    if model.threshold_ is None:
        _say("no threshold: it takes at least two images")
    else:
        _say(f"anomalous above {model.threshold_:.4f} ({_promise(model, fpr)})")
    _say(f"model: {out}")


def _promise(model: Any, fpr: float) -> str:
    """Say what the threshold promises, which few held-out images limit."""
    held = len(model.held_out_scores_)
    if fpr * (held + 1) >= 1:
        return f"at most {fpr:.0%} of good images, from {held} held out"
    return f"about 1 in {held + 1} good images; {fpr:.0%} would take {round(1 / fpr) - 1} held out"


@app.command()
def score(
    model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write.  [default: the screen]")
    ] = None,
    format: Annotated[Format, typer.Option(help="CSV, or JSON lines.")] = Format.csv,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for heat maps, a PNG for each image.")
    ] = None,
    backbone: BackboneOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 3 if an image is anomalous.")
    ] = False,
) -> None:
    """Score images with a model: one line each, in the order given."""
    from minicore.images import as_images
    from minicore.outputs import ScoreWriter, heat_map_names, save_heat_map
    from minicore.patchcore import PatchCore

    paths = [path for source in images for path in as_images(source)]
    fitted = PatchCore.load(
        model, backbone, engine=engine.value, n_threads=threads, batch_size=batch_size
    )
    pictures = heat_map_names(paths, maps) if maps else None
    anomalous = 0
    with ScoreWriter(out, format.value) as writer:
        first = 0
        for found in fitted.stream(paths):
            for i, s in enumerate(found.scores, first):
                verdict = None if fitted.threshold_ is None else bool(s > fitted.threshold_)
                anomalous += bool(verdict)
                writer.write(paths[i], float(s), float(found.distances[i - first]), verdict)
                if pictures:
                    save_heat_map(pictures[i], paths[i], found.maps[i - first], fitted)
            first += len(found.scores)
    if out:
        _say(f"{len(paths)} scores: {out}")
    if exit_code and anomalous:
        raise typer.Exit(ANOMALOUS)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="The data set's folder, as published.")],
    category: Annotated[
        list[str] | None, typer.Argument(help="Which of its categories.  [default: all]")
    ] = None,
    layout: Annotated[Layout, typer.Option(help="How the folder is laid out.")] = Layout.mvtec,
    out: Annotated[Path | None, typer.Option("--json", help="Also write the numbers here.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for panels, histogram and ROC of each category.")
    ] = None,
    backbone: BackboneOption = None,
    embedding: EmbeddingOption = EmbeddingName.concat,
    coreset: CoresetOption = 0.1,
    layers: LayersOption = None,
    patchsize: PatchsizeOption = 3,
    stride: StrideOption = 1,
    b: BOption = 9,
    resize: ResizeOption = None,
    crop: CropOption = None,
    fpr: FprOption = 0.05,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
) -> None:
    """Fit and test each category of a data set; print a table."""
    from minicore import datasets
    from minicore import evaluation as evaluation_
    from minicore.files import whole
    from minicore.outputs import save_pictures

    single = layout in (Layout.kolektor_sdd, Layout.mtd)
    if single and category:
        raise MinicoreError(f"{layout.value} has no categories; leave out {' '.join(category)}")
    names = [None] if single else category or datasets.categories(data, layout.value)
    load = getattr(datasets, layout.value)
    found = [load(data) if name is None else load(data, name) for name in names]
    model = _fresh(
        backbone=backbone, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=b, resize=resize, crop=crop,
        false_positive_rate=fpr, seed=seed, threads=threads, engine=engine, batch_size=batch_size,
    )  # fmt: skip

    rows = []
    for dataset in found:
        row, detection = evaluation_.evaluate(model, dataset)
        rows.append(row)
        _say(f"{dataset.name}: fitted in {row.fit_seconds:.0f} s, {row.milliseconds:.0f} ms/image")
        if pictures:
            save_pictures(pictures / dataset.name, model, dataset, detection)
        if out:  # after every category: what is done is kept
            content = {
                "minicore": __version__,
                "config": model.config_.to_json(),
                "categories": [r.to_json() for r in rows],
            }
            with whole(out, "w") as file:
                json.dump(content, file, indent=2)
    print(evaluation_.table(rows))


@app.command()
def info(model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")]) -> None:
    """Print what a model was fitted with, as JSON."""
    from minicore import modelfile

    arrays, header = modelfile.read(model)
    shapes = {name: [str(a.dtype), *a.shape] for name, a in arrays.items()}
    print(json.dumps({**header, "arrays": shapes}, indent=2))


@backbone_app.command("list")
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


StorageOption = Annotated[
    StorageName, typer.Option(help="How weights are stored; they compute in float32 always.")
]


@backbone_app.command("get")
def backbone_get(
    network: Annotated[str, typer.Argument(help="A name from `minicore backbone list`.")],
    url: Annotated[str | None, typer.Option(help="Another server of the same checkpoint.")] = None,
    storage: StorageOption = StorageName.float32,
) -> None:
    """Download a known network, check it, convert it to ONNX, and keep it in the cache."""
    from minicore.backbones.catalog import CATALOG, get

    if network in CATALOG:
        _say(f"{network}: {CATALOG[network].licence}")
    print(get(network, url=url, storage=storage.value))


@backbone_app.command("convert")
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


@backbone_app.command("info")
def backbone_info(
    network: Annotated[str, typer.Argument(help="An .onnx file or a known network.")] = "default",
) -> None:
    """Print a network's layers, widths, preprocessing, checksum and source, as JSON."""
    from minicore.backbones import Backbone

    print(json.dumps(Backbone(network).describe(), indent=2))


def main(arguments: list[str] | None = None) -> None:
    """Run the command; refusals are one line on standard error, not a traceback."""
    try:
        app(arguments)
    except (MinicoreError, ValueError, OSError) as error:
        if getattr(_main, "debug", False):
            raise
        _say(f"minicore: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
