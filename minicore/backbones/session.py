"""Backbone: any ONNX file that turns images into feature maps, run by onnxruntime.

The file can contain JSON under the metadata key ``minicore``: name, layers, preprocessing, source
and licence. `backbones.convert` writes it. A file without this metadata works too: then the layers
are the outputs of the file, and the preprocessing is that of the paper.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from minicore.backbones.catalog import find
from minicore.backbones.download import sha256
from minicore.backbones.external import external_files
from minicore.backbones.feature_maps import FeatureSource, Levels
from minicore.backbones.network_file import (
    Session,
    choose_layers,
    first_line,
    image_input,
    open_session,
    read_metadata,
    read_preprocessing,
)
from minicore.checks import require_threads, require_whole
from minicore.errors import BackboneError, ParameterError
from minicore.images import Override
from minicore.runtime.files import is_file

PROVENANCE = ("source", "source_sha256", "licence")


class Backbone(FeatureSource):
    r"""A network that computes feature maps, $\phi_j$ in the paper.

    Parameters
    ----------
    path_or_name : str or Path, default "default"
        An ``.onnx`` file, or "default" for the network that ships with minicore, or the name of a
        downloaded network (``minicore backbone get``).
    layers : sequence of str, optional
        Outputs to use, finest first. By default layer2 and layer3, as in the paper, if the file has
        them; otherwise every output that is a feature map.
    threads : int, optional
        Threads of onnxruntime; by default the number of cores of the process. Several images run
        in parallel, one per thread, which is faster than all threads on one image.
    batch_size : int, default 8
        Largest number of images that run together. It bounds memory and changes no result:
        onnxruntime computes each image by itself on a CPU, so the maps are identical for any batch
        size and number of threads.
    resize, crop, mean, std : optional
        Replace parts of the preprocessing of the file (`minicore.images.Preprocessing`); "none"
        leaves resizing or cropping out.

    Attributes
    ----------
    source : str
        The name or path that was given.
    path : Path
        The ONNX file.
    files : list of Path
        The ONNX file, and the files beside it that contain its weights, if there are any.
    name : str
        Name of the network: from the metadata, otherwise from the file name.
    layers : tuple of str
        The outputs in use.
    input_name : str
        The name of the input in the file.
    fixed_batch : int
        The batch size for which the file was made; 0 if it is variable.
    preprocessing : Preprocessing
        How images are prepared for the network.
    metadata : dict
        The metadata of the file; empty if it has none.

    Raises
    ------
    BackboneError
        If the file is missing or damaged, or has no usable input or outputs.
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        path_or_name: str | Path = "default",
        *,
        layers: Sequence[str] | None = None,
        threads: int | None = None,
        batch_size: int = 8,
        resize: Override = None,
        crop: Override = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.threads = threads
        self.batch_size = batch_size
        require_threads(self, "threads")
        require_whole(self, "batch_size", 1)
        require_layers(layers)
        if not isinstance(path_or_name, (str, Path)):
            raise ParameterError("path_or_name", "a file or a name", path_or_name)
        self.source = str(path_or_name)
        self.files = network_files(path_or_name)
        self.path = self.files[0]
        self._session = open_session(self.path, 1)
        try:
            self.metadata = read_metadata(self._session, self.path)
            self.input_name, fixed_batch, fixed_size = image_input(self._session, self.path)
            self.layers = choose_layers(self._session, self.path, layers)
        except UnicodeDecodeError as error:
            raise BackboneError(f"{self.path}: damaged: a name in it is not text") from error
        self.name = self.metadata.get("name") or self.path.stem
        if fixed_batch:
            self.batch_size = min(batch_size, fixed_batch)
        self.fixed_batch = fixed_batch
        self.preprocessing = read_preprocessing(
            self.metadata, self.path, resize=resize, crop=crop, mean=mean, std=std
        )
        if fixed_size and crop is None:
            try:
                self.preprocessing = replace(self.preprocessing, crop=fixed_size)
            except ValueError as error:
                raise BackboneError(f"{self.path}: made for images too large: {error}") from error

    def __repr__(self) -> str:
        return f"Backbone({self.name!r}, layers={self.layers})"

    # For copies (scikit-learn) and pickles (joblib, Dask): the session of onnxruntime is left out
    # and opened again. The file must not have changed. Another process may have another working
    # folder, and another machine may have minicore and its networks elsewhere.
    def __getstate__(self) -> dict[str, Any]:
        sessions = ("_session", "_session_of_all_threads")
        state = {name: value for name, value in vars(self).items() if name not in sessions}
        return state | {"path": self.path.absolute(), "files": [f.absolute() for f in self.files]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if not is_file(self.path):
            self.path = find(self.source) if _is_name(self.source) else _there(self.path)
            self.files = [self.path, *external_files(self.path)]
        if state.get("sha256") not in (None, _checksum(self.path)):
            raise BackboneError(
                f"{self.path}: has changed since the network was copied or pickled; it had the "
                f"SHA-256 {self.sha256[:12]}…"
            )
        self._session = open_session(self.path, 1)

    @functools.cached_property
    def _session_of_all_threads(self) -> Session:
        """The session for one image, or for a file with a fixed batch size: it uses all threads."""
        return open_session(self.path, self._threads)

    @property
    def _threads(self) -> int:
        from minicore.runtime import threads as cores

        return self.threads or cores.available()

    @property
    def networks(self) -> tuple[Backbone]:
        """A tuple of this network; `JointBackbone` has several."""
        return (self,)

    def levels(self, batch: np.ndarray) -> tuple[Levels, ...]:
        """Run the network; return a tuple with one element, its feature maps, finest first."""
        return (tuple(self(batch).values()),)

    @functools.cached_property
    def sha256(self) -> str:
        """Checksum of the file, 64 hexadecimal digits.

        If other files contain the weights: the checksum of the checksums of all files.
        """
        return _checksum(self.path)

    @functools.cached_property
    def widths(self) -> dict[str, int]:
        """Number of channels of each layer in use, $c_j$."""
        return {layer: maps.shape[1] for layer, maps in self._probe.items()}

    @functools.cached_property
    def strides(self) -> dict[str, int]:
        """Pixels of the image from one position of each layer's map to the next, along a row."""
        width = self._probe_size[1]
        return {layer: round(width / maps.shape[3]) for layer, maps in self._probe.items()}

    @property
    def _probe_size(self) -> tuple[int, int]:
        crop = self.preprocessing.crop or 224
        return crop if isinstance(crop, tuple) else (crop, crop)

    @functools.cached_property
    def _probe(self) -> dict[str, np.ndarray]:
        return self(np.zeros((1, 3, *self._probe_size), np.float32))

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network.

        Parameters
        ----------
        batch : (n, 3, h, w) float32
            Prepared images (`minicore.images.preprocess`).

        Returns
        -------
        maps : dict of str to (n, c_j, h_j, w_j) float32
            One feature map per layer, in the order of `layers`.

        Raises
        ------
        ValueError
            If the batch has another shape.
        BackboneError
            If the network fails, or an output is not a feature map, or is finer than the image.
        RuntimeError
            In a process that was forked after a network had run.
        """
        from minicore.runtime.threads import (
            mark_network_started,  # imports Numba, which `backbone list` does not need
        )

        mark_network_started()
        if batch.ndim != 4 or batch.shape[1] != 3 or len(batch) == 0:
            raise ValueError(f"batch must be (n, 3, h, w) with n >= 1, got shape {batch.shape}")
        batch = np.ascontiguousarray(batch, np.float32)
        parts = [
            self._run(batch[first : first + self.batch_size])
            for first in range(0, len(batch), self.batch_size)
        ]
        whole = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return dict(zip(self.layers, whole, strict=True))

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        n = len(images)
        if self.fixed_batch > n:  # the file has a fixed batch size: add images of zeros
            filler = np.zeros((self.fixed_batch - n, *images.shape[1:]), np.float32)
            images = np.concatenate([images, filler])
        if n > 1 and not self.fixed_batch and self._threads > 1:
            maps = self._run_side_by_side(images)
        else:
            session = self._session if self._threads == 1 else self._session_of_all_threads
            maps = self._run_on(session, images)
        return [phi[:n] for phi in maps]

    def _run_side_by_side(self, images: np.ndarray) -> list[np.ndarray]:
        """Run each image by itself, in as many threads as allowed."""
        pool = concurrent.futures.ThreadPoolExecutor(min(self._threads, len(images)))
        try:
            each = list(
                pool.map(
                    lambda i: self._run_on(self._session, images[i : i + 1]), range(len(images))
                )
            )
        finally:
            pool.shutdown(cancel_futures=True)
        return [np.concatenate(maps) for maps in zip(*each, strict=True)]

    def _run_on(self, session: Session, images: np.ndarray) -> list[np.ndarray]:
        try:
            maps = session.run(list(self.layers), {self.input_name: images})
        except Exception as error:  # onnxruntime's errors have no narrower base class
            raise BackboneError(f"{self.path}: the network failed: {first_line(error)}") from error
        for layer, phi in zip(self.layers, maps, strict=True):
            if phi.ndim != 4 or len(phi) != len(images) or phi.dtype != np.float32 or not phi.size:
                raise BackboneError(
                    f"{self.path}: output {layer!r} is {phi.dtype} {phi.shape}, expected float32 "
                    f"feature maps (n, c, h, w); choose other layers"
                )
            if any(np.greater(phi.shape[2:], images.shape[2:])):
                size, image = ("{} × {}".format(*a.shape[2:]) for a in (phi, images))
                raise BackboneError(
                    f"{self.path}: output {layer!r} is {size} for an image of {image}, finer than "
                    f"its pixels; choose other layers"
                )
        return maps

    def milliseconds(self, repeats: int = 9) -> float:
        """Return the milliseconds per image: median of several full batches, after a first run."""
        batch = np.zeros((self.batch_size, 3, *self._probe_size), np.float32)
        self(batch)
        seconds = []
        for _ in range(repeats):
            before = time.perf_counter()
            self(batch)
            seconds.append(time.perf_counter() - before)
        return 1e3 * float(np.median(seconds)) / self.batch_size

    def describe(self) -> dict[str, Any]:
        """Return name, file, checksum, layers, preprocessing and source, for JSON."""
        return {
            "name": self.name,
            "file": str(self.path),
            "sha256": self.sha256,
            "layers": self.widths,
            "strides": self.strides,
            "preprocessing": asdict(self.preprocessing),
            **{k: self.metadata[k] for k in PROVENANCE if k in self.metadata},
        }


def require_layers(layers: Any) -> None:
    """Raise an error unless `layers` is None, a name, or a list of names."""
    several = layers if isinstance(layers, (list, tuple)) else [layers]
    if layers is not None and not all(isinstance(layer, str) for layer in several):
        raise ParameterError("layers", "a list of names, or None", layers)


def network_files(path_or_name: str | Path) -> list[Path]:
    """Return the file of a network, and the files beside it that contain its weights.

    Parameters
    ----------
    path_or_name : str or Path
        As for `Backbone`.

    Returns
    -------
    list of Path
        The ONNX file first.

    Raises
    ------
    BackboneError
        If there is no such network, or some of its weights are outside its folder.
    """
    path = _locate(path_or_name)
    return [path, *external_files(path)]


def _locate(path_or_name: str | Path) -> Path:
    """Return the path of a file or, for anything else, of the network of that name."""
    if _is_name(path_or_name):
        return find(str(path_or_name))
    return _there(Path(path_or_name))


def _is_name(path_or_name: str | Path) -> bool:
    path = Path(path_or_name)
    return path.suffix.lower() != ".onnx" and path.parent == Path()


def _there(path: Path) -> Path:
    if not is_file(path):
        raise BackboneError(f"{path}: no such file; expected an .onnx network")
    return path


def _checksum(path: Path) -> str:
    own = sha256(path)
    others = [sha256(file) for file in external_files(path)]
    return hashlib.sha256("".join([own, *others]).encode()).hexdigest() if others else own
