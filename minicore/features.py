"""Images -> patch features, streamed: the part of the flow that fitting and scoring share."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from minicore import equations, fast, threads
from minicore.backbones import Backbone, JointBackbone
from minicore.clock import Seconds
from minicore.config import Features
from minicore.errors import BackboneError, ImageError
from minicore.images import ImageLike, batches
from minicore.progress import bar as progress_bar
from minicore.recording import Recording

Place: TypeAlias = Callable[[tuple[int, int, int, int]], np.ndarray]
DECODING = 2  # threads ahead of the network, of which they take but a little time


def engine_functions(engine: str) -> Any:
    """Give the module that holds the equations' functions: `minicore.equations` or `.fast`."""
    return equations if engine == "equations" else fast


def patch_batches(
    images: Sequence[ImageLike],
    backbone: Backbone | JointBackbone,
    config: Features,
    *,
    pixels: tuple[int, int] | None = None,
    scales: Sequence[float] = (1.0,),
    place: Place | None = None,
    engine: str,
    batch_size: int,
    seconds: Seconds,
    doing: str,
    progress: bool,
) -> Iterator[tuple[tuple[int, int], tuple[float, float], np.ndarray]]:
    """Equations 1 to 3 of images, a batch at a time.

    Parameters
    ----------
    images : sequence of paths or uint8 arrays
    backbone : Backbone or JointBackbone
    config : Features
        A `Config` is one.
    pixels : (int, int), optional
        (h, w) that each prepared image must have. By default that of the first image.
    scales : sequence of float
        What to multiply each network's patch features with.
    place : callable, optional
        Told the shape of the next patches, gives a float32 array to write them into, if that saves
        a copy. By default a new one.
    engine : {"fast", "equations"}
    batch_size : int
        Images a batch; the memory of two batches is in use.
    seconds : Seconds
        Told how long each stage took.
    doing : str
        What the progress bar says.
    progress : bool
        Show it.

    Yields
    ------
    size : (int, int)
        (h, w) of the prepared images in pixels.
    cell : (float, float)
        Rows and columns of pixels that a cell of the finest level covers.
    patches : (n, h', w', D) float32
    """
    d, d_target = config.dimension if config.embedding == "paper" else (None, None)
    embedding = config.patchsize, config.stride, d, d_target
    with (
        contextlib.closing(_looks(images, backbone, config, pixels, batch_size, seconds)) as looks,
        progress_bar(len(images), doing, "image", show=progress) as bar,
    ):
        for n, size, networks in looks:
            blocks, cells = [], []
            for scale in scales:
                with seconds.of("network"):
                    levels = next(networks)
                _check_sizes(config, levels[0].shape[2:])
                its_cells = tuple(cell(size, phi.shape[2:]) for phi in levels)
                cells.append(its_cells[0])
                with seconds.of("patches (eq 1–3)"):
                    options: dict[str, Any] = {"cells": its_cells}
                    if place is not None and engine == "fast" and len(scales) == 1:
                        options["out"] = place(_shape(levels, *embedding))
                    patches = engine_functions(engine).patch_features(levels, *embedding, **options)
                    if scale != 1:
                        patches *= np.float32(scale)
                blocks.append(patches)
            patches = join(blocks, backbone) if len(blocks) > 1 else blocks[0]
            yield size, cells[0], patches
            bar.update(n)


def cell(pixels: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """Find how many rows and columns of pixels a cell of a feature map covers.

    A network that halves its image several times, each time with padding, makes ⌈h/t⌉ rows of h
    rows of pixels, where t is a power of two. At most one power of two fits two rows or more. If
    none fits, the cells are taken to cover the image evenly: t = h / h*.

    Parameters
    ----------
    pixels : (int, int)
        (h, w) of the prepared images.
    grid : (int, int)
        (h*, w*) of the feature map.

    Returns
    -------
    (float, float)
        t of the rows and of the columns.
    """
    sides = []
    for side, cells in zip(pixels, grid, strict=True):
        t = 2.0 ** math.ceil(math.log2(side / cells))
        sides.append(t if math.ceil(side / t) == cells else side / cells)
    return sides[0], sides[1]


def _looks(
    images: Sequence[ImageLike],
    backbone: Backbone | JointBackbone,
    config: Features,
    pixels: tuple[int, int] | None,
    batch_size: int,
    seconds: Seconds,
) -> Generator[tuple[int, tuple[int, int], Iterator[tuple[np.ndarray, ...]]], None, None]:
    """Give n, (h, w) and the networks' feature maps of a batch at a time, recorded or computed."""
    if isinstance(backbone, Recording) and backbone.knows(images, config.preprocessing):
        if pixels and pixels != backbone.size:
            raise ImageError(
                f"{images[0]}: expected {pixels[0]} × {pixels[1]} pixels like the training images, "
                f"found a recording of {backbone.size[0]} × {backbone.size[1]}; record it anew"
            )
        played = backbone.play(images, batch_size)
        while True:
            with seconds.of("recorded maps"):
                found = next(played, None)
            if found is None:
                return
            n, levels = found
            yield n, backbone.size, iter((levels,))
    workers = min(DECODING, threads.count())
    prepare = batches(images, config.preprocessing, batch_size, workers=workers, pixels=pixels)
    with contextlib.closing(prepare) as prepared:
        while True:
            with seconds.of("images"):
                batch = next(prepared, None)
            if batch is None:
                return
            yield len(batch), batch.shape[2:], backbone.levels(batch)


def _check_sizes(config: Features, side: tuple[int, int]) -> None:
    """Refuse what is larger than the finest level, (h*, w*), and would take memory to say nothing.

    A neighbourhood more than twice as wide makes all patches alike.
    """
    for name, largest in (("patchsize", 2 * max(side) + 1), ("stride", max(side))):
        value = getattr(config, name)
        if value > largest:
            raise ValueError(
                f"{name} must be at most {largest} for a feature map of {side[0]} × {side[1]}, "
                f"got {value!r}"
            )


def check_smoothing(sigma: float, pixels: tuple[int, int]) -> None:
    """Refuse to smooth a map by more than its size: all pixels would be alike.

    Parameters
    ----------
    sigma : float
        In pixels.
    pixels : (int, int)
        (h, w) of the prepared images.

    Raises
    ------
    ValueError
        If it is larger than both.
    """
    if sigma > max(pixels):
        raise ValueError(
            f"sigma must be at most {max(pixels)} for images of {pixels[0]} × {pixels[1]} pixels, "
            f"got {sigma!r}"
        )


class SamePlace:
    """One array for every batch, where nobody looks back: new memory takes time to be given.

    A `place` for `patch_batches`: what it yielded is overwritten once the next is asked for.
    """

    def __init__(self) -> None:
        self._array = np.empty(0, np.float32)

    def __call__(self, shape: tuple[int, int, int, int]) -> np.ndarray:
        """Give the array, of this shape."""
        size = math.prod(shape)
        if self._array.size < size:
            self._array = np.empty(size, np.float32)
        return self._array[:size].reshape(shape)


def _shape(
    levels: Sequence[np.ndarray], p: int, s: int, d: int | None, d_target: int | None
) -> tuple[int, int, int, int]:
    """Shape of the patch features of these levels, as `patch_features` will give them."""
    n, _, h_star, w_star = levels[0].shape
    D = d_target or sum(d or phi.shape[1] for phi in levels)
    return n, -(-h_star // s), -(-w_star // s), D


def join(blocks: list[np.ndarray], backbone: Backbone | JointBackbone) -> np.ndarray:
    """Concatenate the patch features of several networks, (n, h', w', D_k) each.

    Raises
    ------
    BackboneError
        If the networks' grids differ.
    """
    grids = [block.shape[1:3] for block in blocks]
    if len(set(grids)) > 1:
        names = ", ".join(
            f"{n.name} {h} × {w}" for n, (h, w) in zip(backbone.networks, grids, strict=True)
        )
        raise BackboneError(
            f"the networks' patches lie on different grids: {names}; choose layers whose finest "
            f"level has the same stride, or average scores instead (minicore.Ensemble)"
        )
    return np.concatenate(blocks, axis=3)
