"""Score images on the workers of a Dask cluster: the same results as in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, Future

from minicore.checks import is_whole
from minicore.cluster.dask_stream import Packed, in_order, send
from minicore.errors import ImageError, ParameterError
from minicore.images import ImageLike
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.over_cluster.on_worker import (
    named,
    one_thread,
    opened,
    recorded_warnings,
    warn_again,
)
from minicore.patchcore.over_cluster.shards import score_over_shards
from minicore.patchcore.search import Detection
from minicore.runtime.progress import bar as progress_bar

BATCHES = 2  # of a task: while the network runs on the first, the second is prepared


def stream(
    detector: Detector,
    images: Sequence[ImageLike],
    client: Client,
    *,
    shards: int | None,
    skipped: dict[int, ImageError] | None,
) -> Iterator[Detection]:
    """Yield the detections of images, in order; see `Detector.stream`."""
    size = detector.members_[0].batch_size
    if shards is None:
        prepare, step = _score_whole(detector, client), BATCHES * size
    else:
        prepare, step = score_over_shards(_with_bank(detector, shards), client, shards), size

    def prepare_slices() -> Callable[[int], Future[Any]]:
        start = prepare()
        return lambda first: start(_sent(images[first : first + step], client))

    results = in_order(client, range(0, len(images), step), prepare_slices)
    with (
        contextlib.closing(results),
        progress_bar(len(images), "score", "image", show=detector.progress) as bar,
    ):
        for first, (batches, errors, warned) in results:
            warn_again(warned)
            errors = {first + i: _renamed(e, images, first, i) for i, e in errors.items()}
            if skipped is not None:
                skipped.update(errors)
            elif errors:  # batches of images before the first error are whole
                batches = batches[: (min(errors) - first) // size]
            for batch in batches:
                yield batch
                bar.update(len(batch.scores))
            if errors and skipped is None:
                raise errors[min(errors)]


def _with_bank(detector: Detector, shards: Any) -> PatchCore:
    """Return the model, or raise an error if its bank cannot be divided into so many shards."""
    if not isinstance(detector, PatchCore):
        raise ValueError(f"shards must be None for {type(detector).__name__}: only for PatchCore")
    l = len(detector.memory_bank_)
    if not is_whole(shards, 1) or shards > l:
        raise ParameterError(
            "shards", f"a whole number from 1 to {l}, the rows of the bank", shards
        )
    return detector


def _score_whole(detector: Detector, client: Client) -> Callable[[], Callable[[Any], Future[Any]]]:
    packed = Packed(detector)

    def prepare() -> Callable[[Any], Future[Any]]:
        model = send(client, packed)
        return lambda images: client.submit(_score, model, images, pure=False)

    return prepare


@one_thread
def _score(
    model: Packed, images: Sequence[ImageLike]
) -> tuple[list[Detection], dict[int, ImageError], list[str]]:
    errors: dict[int, ImageError] = {}
    with recorded_warnings() as warned:
        batches = list(opened(model)._detections(images, skipped=errors))
    return batches, errors, warned


# ------------------------------------------------------------------- images


def _sent(images: Sequence[ImageLike], client: Client) -> Any:
    """Return images as the argument of a task: paths, or arrays on one of the workers."""
    if all(isinstance(image, Path) for image in images):
        return [named(image) for image in images]
    return send(client, [named(image) for image in images])


def _renamed(error: ImageError, images: Sequence[ImageLike], first: int, i: int) -> ImageError:
    """Return the error of image i of a task that begins at image `first`, as on one machine."""
    image = images[first + i]
    if isinstance(image, np.ndarray):
        return ImageError(str(error).replace(f"image {i}:", f"image {first + i}:", 1))
    return ImageError(str(error).replace(str(Path(image).absolute()), str(image)))
