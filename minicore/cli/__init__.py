"""The ``minicore`` command.

Results go to standard output, everything else to standard error. Exit codes: 0 done; 1 refused or
failed, with one line that says why; 2 the command line was not understood; 3 done, and
``--exit-code`` was given and an image is anomalous; 4 done, but for images that ``--on-error skip``
left out, or with ``--exit-code`` for images in a folder that were not looked at, whatever the
others are; 130 and 143 stopped by Ctrl-C and by SIGTERM.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from minicore import __version__
from minicore.cli import backbone as backbone_
from minicore.cli import bench as bench_
from minicore.cli import report as report_
from minicore.cli import reproduce as reproduce_
from minicore.cli.options import (
    BackboneOption,
    BackbonesOption,
    BankStorageName,
    BankStorageOption,
    BatchOption,
    BOption,
    CoresetOption,
    CropOption,
    EmbeddingName,
    EmbeddingOption,
    EngineName,
    EngineOption,
    EnsembleOption,
    Format,
    FprOption,
    Joining,
    LayersOption,
    Layout,
    OnError,
    OverwriteOption,
    PatchsizeOption,
    ResizeOption,
    SeedOption,
    StrideOption,
    ThreadsOption,
    count,
    in_options,
    new_model,
    say,
)
from minicore.errors import MinicoreError, MinicoreWarning, OutputError

ANOMALOUS, SKIPPED = 3, 4
NO_ROOM = (errno.ENOSPC, errno.EPIPE, errno.EFBIG)  # of a file, `files.atomic_write` says which

app = typer.Typer(
    help="PatchCore on a CPU: learn from good images, find the defective ones and where.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(backbone_.app, name="backbone")
app.command()(bench_.bench)
app.command()(reproduce_.reproduce)
app.command()(report_.report)


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors. May stand anywhere.")
    ] = False,
) -> None:
    pass


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
    overwrite: OverwriteOption = False,
) -> None:
    """Learn five drawn parts, find their defects, show scores, times and a picture."""
    from minicore import datasets
    from minicore.backbones import Backbone
    from minicore.cli.demo import PICTURES
    from minicore.cli.demo import demo as run
    from minicore.images.decode import SUFFIXES
    from minicore.runtime.files import check_writable, identities
    from minicore.runtime.kinds import PICTURE, made_by_minicore

    network = Backbone(backbone or "default", threads=threads, batch_size=batch_size)
    for name in PICTURES:
        check_writable(
            out / name, inputs=identities(network.files), overwrite=overwrite, kind=PICTURE
        )
    images = sorted(path for path in out.glob("*") if path.suffix.lower() in SUFFIXES)
    foreign = [path.name for path in images if not made_by_minicore(path)]
    if foreign and not overwrite:  # a later fit of this folder would learn from the pictures
        raise OutputError(
            f"{out}: holds images that minicore did not make, such as {foreign[0]}; give another "
            f"folder with --out"
        )
    print(f"network: {network.name} ({network.path.name}), layers {', '.join(network.layers)}")
    model = new_model(
        backbone=network, embedding=embedding, coreset=coreset, seed=seed,
        engine=engine, threads=threads, batch_size=batch_size,
    )  # fmt: skip
    run(category or datasets.SYNTHETIC, model, out, seed=seed, say=print, overwrite=overwrite)


@app.command()
def fit(
    images: Annotated[Path, typer.Argument(help="Folder of good images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    backbone: BackbonesOption = None,
    ensemble: EnsembleOption = Joining.features,
    embedding: EmbeddingOption = EmbeddingName.concat,
    coreset: CoresetOption = 0.1,
    layers: LayersOption = None,
    patchsize: PatchsizeOption = 3,
    stride: StrideOption = 1,
    b: BOption = 9,
    resize: ResizeOption = None,
    crop: CropOption = None,
    fpr: FprOption = 0.05,
    bank_storage: BankStorageOption = BankStorageName.float32,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn from a folder of good images and write a model."""
    from minicore import datasets
    from minicore.runtime.files import check_writable, identities
    from minicore.runtime.kinds import MODEL

    train = datasets.folder(images).train
    networks = _network_files(backbone)
    inputs = identities([*map(str, train), *networks])
    check_writable(out, inputs=inputs, overwrite=overwrite, kind=MODEL)
    model = new_model(
        backbone=backbone, ensemble=ensemble, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=b, resize=resize, crop=crop,
        false_positive_rate=fpr, bank_storage=bank_storage, seed=seed, threads=threads,
        engine=engine, batch_size=batch_size,
    ).fit(train)  # fmt: skip
    model.save(out, overwrite=overwrite)
    say(f"{count(len(train), 'image')}, of each {_seen(model)}")
    for member in model.members_:
        rows, width = member.memory_bank_.shape
        say(f"{member.backbone_.name}: {rows:,} patch features of {width} values")
    for line in _decision(model, fpr):
        say(line)
    say(f"model: {out}")


def _network_files(backbone: list[str] | None) -> list[Path]:
    """List the files of the networks that ``--backbone`` asks for."""
    from minicore.backbones import network_files

    return [file for name in backbone or ["default"] for file in network_files(name)]


def _seen(model: Any) -> str:
    """Say which part of an image the model looks at: what is cropped away, it does not see."""
    prepared, (height, width) = model.preprocessing_, model.input_size_
    resized = "" if prepared.resize is None else f" after resizing to {prepared.resize}"
    part = "all" if prepared.crop is None else "the central"
    return f"{part} {height} × {width} pixels{resized}"


def _decision(model: Any, fpr: float) -> list[str]:
    """Describe the threshold, and what to do if the images were too few for `fpr`."""
    from minicore.patchcore.threshold import images_needed

    if model.threshold_ is None:
        return [
            "no threshold, so `minicore score` leaves the verdict blank: a threshold takes at "
            "least two different good images"
        ]
    member = model.members_[0]
    held, (needed, in_all) = len(member.held_out_scores_), images_needed(fpr)
    rate = f"{100 * fpr:g} %" if held >= needed else f"1 in {held + 1}"
    lines = [
        f"anomalous above {model.threshold_:.4f}: about {rate} of new good images will score "
        f"higher (an estimate, from {count(held, 'image')} held out)"
    ]
    if held < needed:
        more = in_all - (member.made_.images - member.made_.copies)
        lines.append(
            f"collect {count(more, 'more good image')} ({in_all} in all): {100 * fpr:g} % takes "
            f"{needed} held-out images, a fifth of all; a threshold from fewer can be far too high "
            f"or too low"
        )
    return lines


@app.command()
def score(
    model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write.  [default: the screen]")
    ] = None,
    format: Annotated[Format, typer.Option(help="CSV, or JSON lines.")] = Format.csv,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for heat maps: NAME.heat.png for each image.")
    ] = None,
    backbone: BackbonesOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 3 if an image is anomalous, with 4 if a folder holds images that were "
            "not looked at.",
        ),
    ] = False,
    on_error: Annotated[
        OnError,
        typer.Option(
            help="At an image that cannot be read or has another size. stop: write nothing. skip: "
            "score the others, list it on standard error, exit with 4."
        ),
    ] = OnError.stop,
) -> None:
    """Score images with a model: one line each, in the order given."""
    from minicore.cli.outputs import ScoreWriter, heat_map_names, save_heat_map
    from minicore.errors import ImageError
    from minicore.images import as_images
    from minicore.images.listing import left_out
    from minicore.patchcore.ensemble import load
    from minicore.runtime.files import check_apart, check_outputs, identities, is_folder
    from minicore.runtime.kinds import PICTURE, SCORES

    paths = [path for source in images for path in as_images(source)]
    unseen = {path for source in images if is_folder(source) for path in left_out(source)}
    unseen -= {path for path in unseen if maps in path.parents}  # earlier heat maps
    networks = backbone[0] if backbone and len(backbone) == 1 else backbone or None
    fitted = load(model, networks, engine=engine.value, n_threads=threads, batch_size=batch_size)
    pictures = heat_map_names(paths, maps) if maps else None
    inputs = identities([*map(str, paths), model, *fitted.network_files_])
    not_seen = identities(unseen).keys() - inputs.keys()
    if maps:
        check_apart(maps, map(str, paths))
    outputs = [*([(out, SCORES)] if out else []), *((path, PICTURE) for path in pictures or [])]
    check_outputs(outputs, inputs=inputs, overwrite=overwrite)
    anomalous = 0
    skipped: dict[int, ImageError] = {}
    scored = (i for i in range(len(paths)) if i not in skipped)
    with ScoreWriter(out, format.value, inputs=inputs, overwrite=overwrite) as writer:
        for found in fitted.stream(paths, skipped=skipped if on_error is OnError.skip else None):
            for row, s in enumerate(found.scores):
                i = next(scored)
                verdict = None if fitted.threshold_ is None else bool(s > fitted.threshold_)
                anomalous += bool(verdict)
                writer.write(paths[i], float(s), float(found.distances[row]), verdict)
                if pictures and found.maps is not None:  # a PatchCore gives them
                    save_heat_map(
                        pictures[i], paths[i], found.maps[row], fitted, float(s),
                        overwrite=overwrite,
                    )  # fmt: skip
    done = len(paths) - len(skipped)
    if out:
        say(f"{count(done, 'score')}: {out}")
    for i in sorted(skipped):
        say(f"skipped: {skipped[i]}")
    if skipped:
        say(f"{len(skipped)} of {count(len(paths), 'image')} skipped")
    where = f"; heat maps: {maps}" if maps else ""
    if fitted.threshold_ is None:
        say(
            f"{count(done, 'image')}, no verdict: {model} has no threshold; fit it on at least two "
            f"different good images{where}"
        )
    else:
        say(
            f"{anomalous} of {count(done, 'image')} anomalous (score above "
            f"{fitted.threshold_:.4f}){where}"
        )
    if skipped:
        raise typer.Exit(SKIPPED)
    if exit_code and not_seen:
        raise typer.Exit(SKIPPED)
    if exit_code and anomalous:
        raise typer.Exit(ANOMALOUS)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="The data set's folder, as published.")],
    category: Annotated[
        list[str] | None, typer.Argument(help="Which of its categories.  [default: all]")
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(
            help="How the folder is laid out. folder: your own data, train/good (or good), "
            "test/good and test/<defect>, without masks."
        ),
    ] = Layout.mvtec,
    out: Annotated[Path | None, typer.Option("--json", help="Also write the numbers here.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for panels, histogram and ROC of each category.")
    ] = None,
    backbone: BackbonesOption = None,
    ensemble: EnsembleOption = Joining.features,
    embedding: EmbeddingOption = EmbeddingName.concat,
    coreset: CoresetOption = 0.1,
    layers: LayersOption = None,
    patchsize: PatchsizeOption = 3,
    stride: StrideOption = 1,
    b: BOption = 9,
    resize: ResizeOption = None,
    crop: CropOption = None,
    fpr: FprOption = 0.05,
    bank_storage: BankStorageOption = BankStorageName.float32,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    engine: EngineOption = EngineName.fast,
    batch_size: BatchOption = 8,
    overwrite: OverwriteOption = False,
) -> None:
    """Fit and test each category of a data set; print a table."""
    from minicore import datasets
    from minicore.cli.outputs import PICTURES, save_pictures
    from minicore.evaluation import evaluate as evaluation_
    from minicore.runtime.files import atomic_write, check_apart, check_outputs, identities
    from minicore.runtime.kinds import NUMBERS, PICTURE

    single = layout.value in datasets.WITHOUT_CATEGORIES
    if single and category:
        raise MinicoreError(f"{layout.value} has no categories; leave out {' '.join(category)}")
    names = [None] if single else category or datasets.categories(data, layout.value)
    load = datasets.LOADERS[layout.value]
    found = [load(data) if name is None else load(data, name) for name in names]
    networks = _network_files(backbone)
    images = [file for dataset in found for file in dataset.files()]
    inputs = identities([*images, *networks, *data.glob("split_csv/*.csv")])  # VisA's tables
    folders = [pictures / dataset.name for dataset in found] if pictures else []
    drawn = [folder / name for folder in folders for name in PICTURES]
    outputs = [*([(out, NUMBERS)] if out else []), *((path, PICTURE) for path in drawn)]
    for folder in folders:
        check_apart(folder, images)
    check_outputs(outputs, inputs=inputs, overwrite=overwrite)
    model = new_model(
        backbone=backbone, ensemble=ensemble, embedding=embedding, coreset=coreset, layers=layers,
        patchsize=patchsize, stride=stride, b=b, resize=resize, crop=crop,
        false_positive_rate=fpr, bank_storage=bank_storage, seed=seed, threads=threads,
        engine=engine, batch_size=batch_size,
    )  # fmt: skip

    rows = []
    for dataset in found:
        row, detection = evaluation_.evaluate(model, dataset)
        rows.append(row)
        say(f"{dataset.name}: fitted in {row.fit_seconds:.0f} s, {row.milliseconds:.0f} ms/image")
        if pictures:
            save_pictures(pictures / dataset.name, model, dataset, detection, overwrite=overwrite)
        if out:  # after every category: what is done is kept
            configs = [member.config_.to_json() for member in model.members_]
            content = {
                "minicore": __version__,
                "config": configs[0] if len(configs) == 1 else configs,
                "categories": [r.to_json() for r in rows],
            }
            with atomic_write(out, "w", inputs=inputs, overwrite=overwrite) as file:
                json.dump(content, file, indent=2)
    print(evaluation_.table(rows))


@app.command()
def info(model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")]) -> None:
    """Print what a model was fitted with, as JSON."""
    from minicore.patchcore import modelfile

    arrays, header = modelfile.read(model)
    shapes = {name: [str(a.dtype), *a.shape] for name, a in arrays.items()}
    print(json.dumps({**header, "arrays": shapes}, indent=2))


def main(arguments: list[str] | None = None) -> None:
    """Run the command; refusals are one line on standard error, not a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    _end_well_when_told_to()
    try:
        try:
            with _warnings_as_lines():
                app([a for a in arguments if a != "--debug"] if len(arguments) > 1 else arguments)
        finally:
            _flush()
    except (MinicoreError, ValueError, OSError, MemoryError) as error:
        if debug:
            raise
        what = f"{error}" or type(error).__name__
        if isinstance(error, MemoryError):
            what = f"out of memory: {what}; take fewer images, or lower --batch-size or --coreset"
        elif isinstance(error, OSError) and not error.filename and error.errno in NO_ROOM:
            what = f"standard output: cannot be written: {error.strerror}"
        elif isinstance(error, OSError) and error.filename and not isinstance(error, MinicoreError):
            what = f"{os.fsdecode(error.filename)}: {error.strerror}"
        elif isinstance(error, OutputError) or not isinstance(error, MinicoreError):
            what = in_options(error) or what
        say(f"minicore: {what}")
        sys.exit(1)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print each warning of ours once, on one line, without the place in the code."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, MinicoreWarning):
                say(f"minicore: warning: {message}")
            else:
                others(message, category, *place, **more)

        warnings.filterwarnings("default", category=MinicoreWarning)
        warnings.showwarning = show
        yield


def _end_well_when_told_to() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that it takes half-written files along."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        main_thread = threading.current_thread() is threading.main_thread()
        if number is not None and main_thread and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _flush() -> None:
    """Find out now whether standard output takes it all; Python itself would at exit, at length."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # what it has not taken is to be forgotten
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
