r"""Feature maps of images on disk, so that several models can be made of one pass of the network.

On a CPU the network takes most of the time of a fit, and what it gives does not depend on the
coreset, the seed, the patch size or the method that reads it. A recording stands in the network's
place: a `Backbone` that reads the maps of the images it knows instead of computing them.

The maps are kept as they come, float32, (n, c_j, h_j, w_j) a layer: a file each. They are read in
pieces, not mapped: pages of a mapping would count as the memory of whoever is measured.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from minicore.backbones import Backbone
from minicore.errors import BackboneError, MinicoreError, OutputError
from minicore.images import ImageLike, Preprocessing, batches
from minicore.images.listing import fingerprint
from minicore.runtime import threads
from minicore.runtime.files import is_folder, temporary_path, write_all
from minicore.runtime.progress import bar as progress_bar

INDEX = "index.json"
SUFFIX = ".float32"  # one file for each layer
FORMAT = 1


class Recording(Backbone):
    """A network whose feature maps of some images are on disk.

    Parameters
    ----------
    network : Backbone
        The network that was recorded; it is used for images that were not.
    folder : Path
        What `record` wrote.
    layers : sequence of str, optional
        Some of those recorded, in any order. By default all.

    Attributes
    ----------
    size : (int, int)
        (h, w) of the prepared images in pixels.
    seconds_an_image : float
        What reading, preparing and looking at an image took when it was recorded.
    network_seconds : float
        How long the network itself took, of all images together.

    Raises
    ------
    BackboneError
        If the folder holds no recording, or lacks a layer.
    """

    def __init__(
        self, network: Backbone, folder: str | Path, layers: Sequence[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        index = _index(self.folder)
        if index is None:
            raise BackboneError(f"{self.folder}: no complete recording of feature maps")
        wanted = tuple(index["layers"] if layers is None else layers)
        missing = [layer for layer in wanted if layer not in index["layers"]]
        if missing:
            raise BackboneError(
                f"{self.folder}: {', '.join(missing)} not recorded, only "
                f"{', '.join(index['layers'])}"
            )
        super().__init__(
            network.path, layers=wanted, threads=network.threads, batch_size=network.batch_size
        )
        self.source, self.name = network.source, network.name
        self.preprocessing = network.preprocessing
        self.size: tuple[int, int] = tuple(index["size"])
        self.seconds_an_image: float = index["seconds"] / len(index["images"])
        self.network_seconds: float = index["network_seconds"]
        self._shapes = {layer: tuple(index["layers"][layer]) for layer in wanted}
        self._at = {name: i for i, name in enumerate(index["images"])}

    def knows(self, images: Sequence[ImageLike], preprocessing: Preprocessing) -> bool:
        """Tell whether these images were recorded as they are to be prepared now."""
        return preprocessing == self.preprocessing and all(
            not isinstance(image, np.ndarray) and _name(image) in self._at for image in images
        )

    def play(
        self, images: Sequence[ImageLike], batch_size: int
    ) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
        """Read the maps of images that it knows, a batch at a time.

        Parameters
        ----------
        images : sequence of Path
        batch_size : int

        Yields
        ------
        n : int
            Images of the batch.
        levels : tuple of (n, c_j, h_j, w_j) float32
            Finest first, in the order of `layers`.
        """
        with contextlib.ExitStack() as open_files:
            files = [
                open_files.enter_context(_file(self.folder, layer).open("rb", buffering=0))
                for layer in self.layers
            ]
            for first in range(0, len(images), batch_size):
                rows = [self._at[_name(image)] for image in images[first : first + batch_size]]
                yield (
                    len(rows),
                    tuple(
                        self._read(file, layer, rows)
                        for file, layer in zip(files, self.layers, strict=True)
                    ),
                )

    def _read(self, file: IO[bytes], layer: str, rows: list[int]) -> np.ndarray:
        shape = self._shapes[layer]
        maps = np.empty((len(rows), *shape), np.float32)
        one = maps[0].nbytes
        start = 0
        while start < len(rows):  # neighbours in one go: images are asked for as recorded
            end = start + 1
            while end < len(rows) and rows[end] == rows[end - 1] + 1:
                end += 1
            file.seek(rows[start] * one)
            if file.readinto(maps[start:end].data.cast("B")) != (end - start) * one:  # type: ignore[attr-defined]
                raise BackboneError(f"{file.name}: has become shorter; delete {self.folder}")
            start = end
        return maps


def record(
    network: Backbone, images: Sequence[ImageLike], folder: str | Path, *, progress: bool = True
) -> Recording:
    """Run the network on images once and keep its feature maps.

    Parameters
    ----------
    network : Backbone
        Its `layers` are kept.
    images : sequence of Path
    folder : str or Path
        Appears when it is complete. What was recorded there from the same files by the same
        network is taken as it is; another or a damaged recording is replaced.
    progress : bool

    Returns
    -------
    Recording

    Raises
    ------
    ImageError
        If an image cannot be used.
    OutputError
        If the maps cannot be written, or the folder holds other files.
    """
    folder = Path(folder)
    _check_own(folder)
    what: dict[str, Any] = {
        "format": FORMAT,
        "network": network.sha256,
        "preprocessing": asdict(network.preprocessing),
        "fingerprint": fingerprint(images).hex(),
    }
    there = _index(folder)
    if there is not None:
        same = all(there[key] == json.loads(json.dumps(value)) for key, value in what.items())
        if same and set(network.layers) <= set(there["layers"]):
            return Recording(network, folder, network.layers)
    partial = temporary_path(folder, "partial")
    try:
        partial.mkdir(parents=True)
        what |= _write(network, images, partial, progress)
        (partial / INDEX).write_text(json.dumps(what), "utf-8")
        _replace(partial, folder)
    except OSError as error:
        if isinstance(error, MinicoreError):
            raise
        raise OutputError(
            f"{folder}: cannot hold the feature maps of {len(images)} images: "
            f"{error.strerror or error}; give a folder with room"
        ) from error
    finally:
        remove(partial)
    return Recording(network, folder, network.layers)


def _write(
    network: Backbone, images: Sequence[ImageLike], folder: Path, progress: bool
) -> dict[str, Any]:
    """Write the maps; say what the index is to tell about them."""
    shapes: dict[str, list[int]] = {}
    size: list[int] = []
    workers = min(2, threads.count())
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(_file(folder, layer).open("wb", buffering=0))
            for layer in network.layers
        ]
        bar = stack.enter_context(progress_bar(len(images), "features", "image", show=progress))
        before, looked = time.perf_counter(), 0.0
        for batch in batches(images, network.preprocessing, network.batch_size, workers=workers):
            size = list(batch.shape[2:])
            started = time.perf_counter()
            found = network(batch)
            looked += time.perf_counter() - started
            for file, (layer, maps) in zip(files, found.items(), strict=True):
                shapes[layer] = list(maps.shape[1:])
                write_all(file, np.ascontiguousarray(maps))
            bar.update(len(batch))
        seconds = time.perf_counter() - before
    return {
        "images": [_name(image) for image in images],
        "layers": shapes,
        "size": size,
        "seconds": seconds,
        "network_seconds": looked,
    }


def _index(folder: Path) -> dict[str, Any] | None:
    """Read the account of a complete recording, if there is one."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        if index["format"] != FORMAT or not index["images"]:
            return None
        for layer, shape in index["layers"].items():
            if _file(folder, layer).stat().st_size != 4 * len(index["images"]) * np.prod(shape):
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return index


def _replace(partial: Path, folder: Path) -> None:
    """Give the partial folder its name; another process may have been quicker."""
    _check_own(folder)
    remove(folder)
    try:
        partial.rename(folder)
    except OSError:
        if _index(folder) is None:
            raise


def _check_own(folder: Path) -> None:
    """Refuse a folder that holds anything else than a recording."""
    for path in folder.iterdir() if is_folder(folder) else ():
        if path.name != INDEX and path.suffix != SUFFIX:
            raise OutputError(f"{path}: is not part of a recording; give another folder")


def remove(folder: Path) -> None:
    """Delete a recording, whole or half-written; other files in its folder stay, and so does it.

    Parameters
    ----------
    folder : Path
        It need not be there. A link is left alone.
    """
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        for file in [folder / INDEX, *folder.glob(f"*{SUFFIX}")]:
            file.unlink(missing_ok=True)
        folder.rmdir()


def _file(folder: Path, layer: str) -> Path:
    return folder / f"{layer.replace('/', '_')}{SUFFIX}"


def _name(image: ImageLike) -> str:
    return str(Path(image).absolute())  # type: ignore[arg-type]  # an array has no name
