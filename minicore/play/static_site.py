"""The playground without a server: a folder that any web server can offer.

The browser computes the equations with onnxruntime-web, from the graphs of `static_graphs`. Network
and memory bank are stored as float16. All large files are compressed here, because not every server
compresses what it sends.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minicore.backbones import open_backbone
from minicore.errors import MinicoreError
from minicore.export import equation_nodes as eq
from minicore.export.network_nodes import network_models
from minicore.export.onnx_file import opened as open_networks
from minicore.export.onnx_file import rounded_bank
from minicore.fast.score import upsampling_matrix
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Search
from minicore.patchcore.threshold import gumbel
from minicore.play.examples import RATE, Examples, Opened, drawn
from minicore.play.message import Message
from minicore.play.scene import Scene, prepare
from minicore.play.sources import FUNCTIONS, PAGE, source
from minicore.play.static_graphs import graphs
from minicore.runtime import system
from minicore.runtime.progress import bar as progress_bar

RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs")  # of onnxruntime-web
BINARY = "ort-wasm-simd-threaded.wasm"
SHARES = tuple(float(f"{10 ** (-2 + k / 10):.2g}") for k in range(11))  # 1 % to 10 %
NEIGHBOURS = range(2, 21)  # every b of the page
SIGMAS = np.arange(0, 12.5, 0.5)  # every σ of the page, in pixels
GOOD, DEFECTIVE = 6, 12  # examples


def write_site(
    folder: str | Path,
    onnxruntime_web: str | Path,
    part: str = "gear",
    *,
    backbone: Any = None,
    progress: bool = True,
) -> Scene:
    """Write the playground of one drawn part as static files.

    Parameters
    ----------
    folder : str or Path
        A new or empty folder.
    onnxruntime_web : str or Path
        The npm package onnxruntime-web, for example ``node_modules/onnxruntime-web``.
    part : str, default "gear"
        One of `minicore.datasets.SYNTHETIC`.
    backbone : str or Path, optional
        As for `PatchCore`.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    Scene
        The model that the page shows, with the same rounded network and memory bank.

    Raises
    ------
    MinicoreError
        If the folder is not empty, or the package is not there.
    """
    folder, package = Path(folder), Path(onnxruntime_web) / "dist"
    missing = [name for name in (*RUNTIME, BINARY) if not (package / name).is_file()]
    if missing:
        raise MinicoreError(f"{package / missing[0]}: missing; npm install onnxruntime-web")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MinicoreError(f"{folder}: is not an empty folder; choose another one")
    examples = drawn(part)
    network = open_backbone(backbone)
    networks = network_models(network.networks, "float16")
    with open_networks(networks, network, half=True) as rounded:
        model = PatchCore(
            rounded, coreset_ratio=SHARES[-1], false_positive_rate=None, progress=progress
        ).fit(examples.training)
        round_bank(model)
        scene = prepare(model, examples.training, false_positive_rate=RATE)
    opened = Opened(1, part, scene, _chosen(examples))
    shown, limits = opened.message(), _thresholds(scene, progress)
    content = Message(
        shown.values | {"first_share": limits["coresets"][0] / scene.all_rows},
        shown.arrays
        | limits
        | _smoothing(model, scene.levels[0]["cell"])
        | {
            "bank": model.memory_bank_.astype(np.float16),
            "squared_norms": eq.centred_norms(model.memory_bank_)[1][0],
        }
        | {name: np.frombuffer(file, np.uint8) for name, file in graphs(scene, networks).items()},
    )
    with _new_folder(folder) as new:
        for path in PAGE.iterdir():
            shutil.copy(path, new)
        page = (PAGE / "index.html").read_text(encoding="utf-8")
        page = page.replace('data-engine="local"', f'data-engine="static" data-part="{part}"')
        (new / "index.html").write_text(page, encoding="utf-8")
        for name in RUNTIME:
            shutil.copy(package / name, new)
        _write_compressed(new / "runtime.bin", (package / BINARY).read_bytes())
        _write_compressed(new / "scene.bin", content.pack())
        for name in FUNCTIONS:
            (new / f"{name}.json").write_text(json.dumps(source(name)), encoding="utf-8")
        _write_images(new, opened, shown.values["images"])
    return scene


def round_bank(model: PatchCore) -> None:
    """Round the memory bank of a fitted model to float16, as the site stores it."""
    model.memory_bank_ = rounded_bank(model.memory_bank_)
    model._search = Search(model.memory_bank_, model.config_.b)


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `folder` if all of it was written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".minicore-", dir=folder.parent) as temporary:
        new = Path(temporary) / folder.name
        new.mkdir()
        yield new
        if folder.exists():
            folder.rmdir()  # empty; Windows does not replace it
        system.replace(new, folder)


def _chosen(examples: Examples) -> Examples:
    """Return a few examples, evenly from all."""

    def some(images: Sequence[Any], n: int) -> list[Any]:
        numbers = np.linspace(0, len(images) - 1, n).round().astype(int)
        return [images[i] for i in np.unique(numbers)]

    return Examples(
        examples.training, some(examples.good, GOOD), some(examples.defective, DEFECTIVE)
    )


def _thresholds(scene: Scene, progress: bool) -> dict[str, np.ndarray]:
    """Return the thresholds for every setting of the page: S shares, B values of b, K of σ."""
    config = scene.model.config_
    coresets = np.array([round(share * scene.all_rows) for share in SHARES], np.int32)
    by_score, by_peak, good, of_good = [], [], [], []
    with progress_bar(len(SHARES), "thresholds", "coreset", show=progress) as bar:
        for rows in coresets:
            of_share = replace(config, coreset_ratio=rows / scene.all_rows)
            found = [scene.thresholds(replace(of_share, b=b)) for b in NEIGHBOURS]
            by_score.append([each.score for each in found])
            good.append([each.good_scores for each in found])
            of_good.append([gumbel(each.good_scores) for each in found])
            by_peak.append([scene.thresholds(replace(of_share, sigma=s)).map for s in SIGMAS])
            bar.update(1)
    return {
        "coresets": coresets,
        "thresholds": np.array(by_score, np.float32),
        "good_scores": np.array(good, np.float32),
        "gumbel": np.array(of_good, np.float32),
        "map_thresholds": np.array(by_peak, np.float32),
    }


def _smoothing(model: PatchCore, cell: tuple[float, float]) -> dict[str, np.ndarray]:
    """Return the two matrices of the map for every σ: (K, h, h') and (K, w', w)."""
    rows, columns = (
        np.stack(
            [
                upsampling_matrix(
                    model.grid_[axis], model.input_size_[axis], s, model.config_.stride, cell[axis]
                )
                for s in SIGMAS
            ]
        ).astype(np.float32)
        for axis in (0, 1)
    )
    return {"rows": rows, "columns": columns.transpose(0, 2, 1)}


def _write_images(folder: Path, opened: Opened, images: dict[str, int]) -> None:
    """Write the examples exactly, and the training images, which are only shown, in less space."""
    for kind, count in images.items():
        for number in range(count):
            pixels = opened.image(kind, number)
            assert pixels is not None
            file = folder / f"{kind}-{number}.webp"
            Image.fromarray(pixels).save(file, lossless=kind != "training")


def _write_compressed(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, 9, mtime=0))
