"""Backbone: any ONNX file that turns images into feature maps, run by onnxruntime.

What a network expects of its input travels in the file itself, as JSON under the metadata key
``minicore`` (name, layers, preprocessing, source, licence), as `backbones.convert` writes it.
A file without it works too: its layers are its outputs, and the preprocessing is the paper's unless
told otherwise.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from minicore.backbones.catalog import find
from minicore.backbones.download import sha256
from minicore.backbones.external import external_files
from minicore.checks import require_threads, require_whole
from minicore.errors import BackboneError, cut, quoted, wrong
from minicore.images import Override, Preprocessing
from minicore.runtime.files import is_file

LONGEST_NAME = 200
LONGEST_REASON = 250  # of onnxruntime's, whose older versions give the C++ function with its types
PROVENANCE = ("source", "source_sha256", "licence")
LARGEST_BATCH = 1024  # that a network may insist on: every batch is filled up to it
FATAL_ONLY = 4  # onnxruntime's severity: its errors come as exceptions too, and are said once


class Backbone:
    r"""A network that gives feature maps, $\phi_j$ in the paper.

    Parameters
    ----------
    path_or_name : str or Path, default "default"
        An ``.onnx`` file, or the name of a network that ships with minicore ("default") or has been
        fetched (``minicore backbone get``).
    layers : sequence of str, optional
        Which outputs to use, finest first. By default layer2 and layer3, the paper's, where the
        file has them, else every output that is a feature map.
    threads : int, optional
        Threads of onnxruntime; by default as many as the process has been given cores. Several
        images are run one a thread, which wastes less than all threads on each of them.
    batch_size : int, default 8
        Most images run at once. Bounds memory, and changes nothing else: in the convolutions of
        onnxruntime's CPU provider each image is computed by itself, so the maps are the same to the
        bit whatever the batch size and the number of threads (tested).
    resize, crop, mean, std : optional
        Instead of the preprocessing that the file asks for
        (`minicore.images.Preprocessing`); "none" leaves the resizing or the cropping out.

    Attributes
    ----------
    source : str
        What was asked for: the name or path given.
    path : Path
        The file.
    files : list of Path
        That file, and those beside it that hold its weights, if there are any.
    name : str
        The network's name: from the metadata, else the file's.
    layers : tuple of str
        The outputs used.
    preprocessing : Preprocessing
        What the network expects of its input.
    metadata : dict
        The file's own account of itself; empty if it has none.

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
            raise wrong("path_or_name", "a file or a name", path_or_name)
        self.source = str(path_or_name)
        self.files = network_files(path_or_name)
        self.path = self.files[0]
        self._session = _open(self.path, 1)
        try:
            self.metadata = _metadata(self._session, self.path)
            self._input, fixed_batch, fixed_size = _image_input(self._session, self.path)
            self.layers = _choose_layers(self._session, self.path, layers)
        except UnicodeDecodeError as error:
            raise BackboneError(f"{self.path}: damaged: a name in it is no text") from error
        self.name = self.metadata.get("name") or self.path.stem
        if fixed_batch:
            self.batch_size = min(batch_size, fixed_batch)
        self._fixed_batch = fixed_batch
        self.preprocessing = _preprocessing(
            self.metadata, self.path, resize=resize, crop=crop, mean=mean, std=std
        )
        if fixed_size and crop is None:
            try:
                self.preprocessing = replace(self.preprocessing, crop=fixed_size)
            except ValueError as error:
                raise BackboneError(f"{self.path}: made for images too large: {error}") from error

    def __repr__(self) -> str:
        return f"Backbone({self.name!r}, layers={self.layers})"

    # scikit-learn copies and joblib pickles: all but onnxruntime's session, which is opened anew,
    # from what must still be the same file.
    def __getstate__(self) -> dict[str, Any]:
        sessions = ("_session", "_session_of_all_threads")
        return {name: value for name, value in vars(self).items() if name not in sessions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        _there(self.path)
        if state.get("sha256") not in (None, _checksum(self.path)):
            raise BackboneError(
                f"{self.path}: another network than this one was when it was copied or pickled "
                f"(SHA-256 {self.sha256[:12]}…)"
            )
        self._session = _open(self.path, 1)

    @functools.cached_property
    def _session_of_all_threads(self):
        """For what cannot be divided: one image, or a file that insists on its batch size."""
        return _open(self.path, self._threads)

    @property
    def _threads(self) -> int:
        from minicore.runtime import threads as cores

        return self.threads or cores.available()

    @property
    def networks(self) -> tuple[Backbone]:
        """Itself: one network, where an ensemble has several."""
        return (self,)

    def levels(self, batch: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Run the network: its feature maps, finest level first."""
        yield tuple(self(batch).values())

    @functools.cached_property
    def sha256(self) -> str:
        """Checksum of the file, 64 hexadecimal digits: tells one network from another.

        Where its weights lie in other files, of the checksums of all.
        """
        return _checksum(self.path)

    @functools.cached_property
    def widths(self) -> dict[str, int]:
        """Channels of each layer used, $c_j$."""
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
            A feature map a layer, in the order of `layers`.

        Raises
        ------
        ValueError
            If the batch has another shape.
        BackboneError
            If the network fails, or gives something else than feature maps no finer than the image.
        RuntimeError
            In a process forked from one in which a network or a kernel of minicore has run.
        """
        from minicore.runtime.threads import (
            mark_network_started,  # Numba comes with it: not for `backbone list`
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
        if self._fixed_batch > n:  # a file exported for one batch size only: fill up
            filler = np.zeros((self._fixed_batch - n, *images.shape[1:]), np.float32)
            images = np.concatenate([images, filler])
        if n > 1 and not self._fixed_batch and self._threads > 1:
            maps = self._run_side_by_side(images)
        else:
            session = self._session if self._threads == 1 else self._session_of_all_threads
            maps = self._run_on(session, images)
        return [phi[:n] for phi in maps]

    def _run_side_by_side(self, images: np.ndarray) -> list[np.ndarray]:
        """Run every image by itself, as many at a time as there are threads."""
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

    def _run_on(self, session, images: np.ndarray) -> list[np.ndarray]:
        try:
            maps = session.run(list(self.layers), {self._input: images})
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise BackboneError(f"{self.path}: the network failed: {_first_line(error)}") from error
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
        """Measure how long an image takes here: the median of some full batches, warm."""
        batch = np.zeros((self.batch_size, 3, *self._probe_size), np.float32)
        self(batch)
        seconds = []
        for _ in range(repeats):
            before = time.perf_counter()
            self(batch)
            seconds.append(time.perf_counter() - before)
        return 1e3 * float(np.median(seconds)) / self.batch_size

    def describe(self) -> dict[str, Any]:
        """Return everything there is to know, for printing and for a saved model."""
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
    """Refuse `layers` that are no names; which names there are, the file knows."""
    several = layers if isinstance(layers, (list, tuple)) else [layers]
    if layers is not None and not all(isinstance(layer, str) for layer in several):
        raise wrong("layers", "a list of names, or None", layers)


def network_files(path_or_name: str | Path) -> list[Path]:
    """Find the file of a network, and those beside it that hold its weights.

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
        If there is no such network, or it keeps weights outside its folder.
    """
    path = _locate(path_or_name)
    return [path, *external_files(path)]


def _locate(path_or_name: str | Path) -> Path:
    """Take a path for a path, and look anything else up by name."""
    path = Path(path_or_name)
    if path.suffix.lower() == ".onnx" or path.parent != Path():
        return _there(path)
    return find(str(path_or_name))


def _there(path: Path) -> Path:
    if not is_file(path):
        raise BackboneError(f"{path}: no such file; expected an .onnx network")
    return path


def _checksum(path: Path) -> str:
    own = sha256(path)
    others = [sha256(file) for file in external_files(path)]
    return hashlib.sha256("".join([own, *others]).encode()).hexdigest() if others else own


def _open(path: Path, threads: int):
    from minicore.backbones.telemetry import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    # Threads that spin between two runs would starve the kernels that work in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            path,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # a second try with the same provider, announced on standard output
        )
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise BackboneError(
            f"{path}: not a network onnxruntime can run: {_first_line(error)}"
        ) from error


def _metadata(session, path: Path) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get("minicore", "{}")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number or a nesting without end
        raise BackboneError(f"{path}: metadata 'minicore' is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        found = quoted(text)
        raise BackboneError(f"{path}: metadata 'minicore' must be a JSON object, found {found}")
    name = metadata.get("name", "")
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise BackboneError(f"{path}: metadata 'name' is {quoted(str(name))}, no name to print")
    return metadata


def _image_input(session, path: Path) -> tuple[str, int, tuple[int, int] | None]:
    """Name of the image input, its batch size if fixed, else 0, its (h, w) if fixed, else None."""
    inputs = session.get_inputs()
    found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
    shape = inputs[0].shape if len(inputs) == 1 else []
    usable = len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))
    if not usable or inputs[0].type != "tensor(float)":
        raise BackboneError(f"{path}: expected one float input (n, 3, h, w), found {found}")
    n, _, h, w = (side if isinstance(side, int) else None for side in shape)
    if n and n > LARGEST_BATCH:
        raise BackboneError(
            f"{path}: made for batches of {n} images, more than {LARGEST_BATCH}; export it with a "
            f"variable batch size"
        )
    return inputs[0].name, n or 0, (h, w) if h and w else None


def _choose_layers(session, path: Path, layers: Sequence[str] | None) -> tuple[str, ...]:
    outputs = {o.name: o for o in session.get_outputs()}
    unprintable = [name for name in outputs if not name.isprintable()]
    if unprintable:
        raise BackboneError(f"{path}: an output is named {quoted(unprintable[0])}")
    maps = [name for name, o in outputs.items() if len(o.shape or ()) in (0, 4)]
    if layers is None:
        layers = [name for name in ("layer2", "layer3") if name in maps] or maps
    if isinstance(layers, str):
        layers = [layers]
    unknown = [layer for layer in layers if layer not in maps]
    if unknown or not layers:
        raise BackboneError(
            f"{path}: no feature map (n, c, h, w) named {', '.join(unknown) or '(anything)'}; "
            f"its outputs are {', '.join(f'{n} {o.shape}' for n, o in outputs.items())}"
        )
    return tuple(layers)


def _preprocessing(
    metadata: dict[str, Any], path: Path, resize: Override, crop: Override, **colours: Any
) -> Preprocessing:
    known = {"resize", "crop", "mean", "std"}
    asked = metadata.get("preprocessing", {})
    try:
        stored = Preprocessing(**{k: v for k, v in asked.items() if k in known})
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise BackboneError(f"{path}: metadata 'preprocessing' is not usable: {error}") from error
    stored = replace(stored, **{k: v for k, v in colours.items() if v is not None})
    return stored.override(resize, crop)


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    line = "".join(c if c.isprintable() else "?" for c in line)  # names out of the file are in it
    return cut(line, LONGEST_REASON)
