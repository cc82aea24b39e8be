r"""Feature maps of images on disk, so that several models can use one pass of the network.

On a CPU the network takes most of the time of a fit. Its feature maps do not depend on the coreset,
the seed, the patchsize or the method that uses them. A recording replaces the network: it is a
`Backbone` that reads the maps of recorded images instead of computing them.

Each layer is one file, (n, c_j, h_j, w_j) float32. Its name is the number of the layer in the
index, because the name of a layer may be impossible for a file. The files are read in pieces, not
mapped into memory: mapped pages would count as memory of the process when a study measures it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from minicore.backbones import Backbone
from minicore.backbones.feature_maps import FeatureMaps
from minicore.errors import BackboneError, ImageError, MinicoreError, OutputError
from minicore.images import ImageLike, Preprocessing
from minicore.images.listing import fingerprint
from minicore.runtime import system
from minicore.runtime.clock import Seconds
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
        The recorded network. It runs on images that were not recorded.
    folder : Path
        A folder that `record` wrote.
    layers : sequence of str, optional
        Some of the recorded layers, in any order. By default all.

    Attributes
    ----------
    size : (int, int)
        (h, w) of the prepared images in pixels.
    seconds_an_image : float
        Time per image of reading, preparing and running the network, during recording.
    network_seconds : float
        Time of the network alone, for all images.

    Raises
    ------
    BackboneError
        If the folder contains no complete recording, or a layer is missing.
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
        self._numbers = {layer: i for i, layer in enumerate(index["layers"])}
        self._at = {name: i for i, name in enumerate(index["images"])}
        self._digests = [bytes.fromhex(digest) for digest in index["digests"]]

    def contains(self, images: Sequence[ImageLike], preprocessing: Preprocessing) -> bool:
        """Return whether all these images were recorded, with this preprocessing."""
        return preprocessing == self.preprocessing and all(
            not isinstance(image, np.ndarray) and _name(image) in self._at for image in images
        )

    def feature_maps(
        self,
        images: Sequence[ImageLike],
        preprocessing: Preprocessing,
        batch_size: int,
        *,
        pixels: tuple[int, int] | None = None,
        skipped: dict[int, ImageError] | None = None,
        digests: list[bytes] | None = None,
        seconds: Seconds | None = None,
        angles: Sequence[float] = (0.0,),
    ) -> Generator[FeatureMaps, None, None]:
        """Read the maps if all images were recorded; otherwise run the network.

        The maps of turned images are not recorded.

        Parameters, results and errors are those of `Backbone.feature_maps`. The time of reading is
        added to the stage "recorded maps".
        """
        seconds = Seconds() if seconds is None else seconds
        if tuple(angles) != (0,) or not self.contains(images, preprocessing):
            yield from super().feature_maps(
                images, preprocessing, batch_size, pixels=pixels, skipped=skipped,
                digests=digests, seconds=seconds, angles=angles,
            )  # fmt: skip
            return
        if pixels and pixels != self.size:
            raise ImageError(
                f"{images[0]}: expected {pixels[0]} × {pixels[1]} pixels like the training images, "
                f"found a recording of {self.size[0]} × {self.size[1]}; record it again"
            )
        with contextlib.ExitStack() as open_files:
            files = [
                open_files.enter_context(
                    _file(self.folder, self._numbers[layer]).open("rb", buffering=0)
                )
                for layer in self.layers
            ]
            for first in range(0, len(images), batch_size):
                rows = [self._at[_name(image)] for image in images[first : first + batch_size]]
                if digests is not None:
                    digests += [self._digests[row] for row in rows]
                with seconds.of("recorded maps"):
                    levels = tuple(
                        self._read(file, layer, rows)
                        for file, layer in zip(files, self.layers, strict=True)
                    )
                yield FeatureMaps((levels,), self.size)

    def _read(self, file: IO[bytes], layer: str, rows: list[int]) -> np.ndarray:
        shape = self._shapes[layer]
        maps = np.empty((len(rows), *shape), np.float32)
        one = maps[0].nbytes
        start = 0
        while start < len(rows):  # read consecutive rows at once
            end = start + 1
            while end < len(rows) and rows[end] == rows[end - 1] + 1:
                end += 1
            file.seek(rows[start] * one)
            if file.readinto(maps[start:end].data.cast("B")) != (end - start) * one:  # type: ignore[attr-defined]
                raise BackboneError(f"{file.name}: is shorter than before; delete {self.folder}")
            start = end
        return maps


def record(
    network: Backbone, images: Sequence[ImageLike], folder: str | Path, *, progress: bool = True
) -> Recording:
    """Run the network on images and write its feature maps to a folder.

    Parameters
    ----------
    network : Backbone
        Its `layers` are recorded.
    images : sequence of Path
    folder : str or Path
        The folder appears when the recording is complete. A complete recording of the same files by
        the same network is reused. Any other recording is replaced.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Recording

    Raises
    ------
    ImageError
        If an image cannot be used.
    OutputError
        If the maps cannot be written, or the folder contains other files.
    """
    folder = Path(folder)
    _check_own(folder)
    wanted: dict[str, Any] = {
        "format": FORMAT,
        "network": network.sha256,
        "preprocessing": asdict(network.preprocessing),
        "fingerprint": fingerprint(images).hex(),
    }
    existing = _index(folder)
    if existing is not None:
        same = all(existing[key] == json.loads(json.dumps(value)) for key, value in wanted.items())
        if same and set(network.layers) <= set(existing["layers"]):
            return Recording(network, folder, network.layers)
    partial = temporary_path(folder, "partial")
    try:
        partial.mkdir(parents=True)
        index = wanted | _write(network, images, partial, progress)
        (partial / INDEX).write_text(json.dumps(index), "utf-8")
        _replace(partial, folder)
    except OSError as error:
        if isinstance(error, MinicoreError):
            raise
        raise OutputError(
            f"{folder}: cannot hold the feature maps of {len(images)} images: "
            f"{error.strerror or error}; choose a folder with enough space"
        ) from error
    finally:
        remove(partial)
    return Recording(network, folder, network.layers)


def _write(
    network: Backbone, images: Sequence[ImageLike], folder: Path, progress: bool
) -> dict[str, Any]:
    """Write the maps; return their entries of the index."""
    shapes: dict[str, list[int]] = {}
    size: list[int] = []
    seconds = Seconds()
    digests: list[bytes] = []
    before = time.perf_counter()
    recorded = network.feature_maps(
        images, network.preprocessing, network.batch_size, digests=digests, seconds=seconds
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(recorded))
        files = [
            stack.enter_context(_file(folder, i).open("wb", buffering=0))
            for i in range(len(network.layers))
        ]
        bar = stack.enter_context(progress_bar(len(images), "features", "image", show=progress))
        for found in recorded:
            size = list(found.size)
            for file, layer, maps in zip(files, network.layers, found.networks[0], strict=True):
                shapes[layer] = list(maps.shape[1:])
                write_all(file, np.ascontiguousarray(maps))
            bar.update(len(found))
    return {
        "images": [_name(image) for image in images],
        "digests": [digest.hex() for digest in digests],
        "layers": shapes,
        "size": size,
        "seconds": time.perf_counter() - before,
        "network_seconds": seconds.get("network", 0.0),
    }


def _index(folder: Path) -> dict[str, Any] | None:
    """Return the index of a complete recording; None if there is none."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        if index["format"] != FORMAT or not index["images"]:
            return None
        if len(index["digests"]) != len(index["images"]):
            return None
        for i, shape in enumerate(index["layers"].values()):
            if _file(folder, i).stat().st_size != 4 * len(index["images"]) * np.prod(shape):
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return index


def _replace(partial: Path, folder: Path) -> None:
    """Rename the partial folder, unless another process has finished first."""
    _check_own(folder)
    remove(folder)
    try:
        system.replace(partial, folder)
    except OSError:
        if _index(folder) is None:
            raise


def _check_own(folder: Path) -> None:
    """Raise an error if the folder contains anything except a recording."""
    for path in folder.iterdir() if is_folder(folder) else ():
        if path.name != INDEX and path.suffix != SUFFIX:
            raise OutputError(f"{path}: is not part of a recording; choose another folder")


def remove(folder: Path) -> None:
    """Delete a complete or partial recording. Other files, and a folder that has any, remain.

    Parameters
    ----------
    folder : Path
        It may be missing. A link is not followed.
    """
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        for file in [folder / INDEX, *folder.glob(f"*{SUFFIX}")]:
            system.unlink(file)
        folder.rmdir()


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}{SUFFIX}"


def _name(image: ImageLike) -> str:
    return str(Path(image).absolute())  # type: ignore[arg-type]  # an array has no name
