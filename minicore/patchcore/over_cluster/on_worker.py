"""What a task on a worker of a cluster needs: a detector, one thread, images it can find."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minicore.cluster.dask_stream import Packed
from minicore.errors import BackboneError, MinicoreWarning
from minicore.images import ImageLike
from minicore.runtime import threads

P = ParamSpec("P")
R = TypeVar("R")


def one_thread(task: Callable[P, R]) -> Callable[P, R]:
    """Limit a function to one thread: Dask runs one task on each thread of a worker."""

    @functools.wraps(task)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with threads.limit(1):
            return task(*args, **kwargs)

    return limited


def named(image: ImageLike) -> ImageLike:
    """Return an image as a worker finds it, which may run in another folder."""
    return image if isinstance(image, np.ndarray) else Path(image).absolute()


@contextlib.contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Record the texts of minicore's warnings in a block, for `warn_again` on the coordinator."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MinicoreWarning)
        yield texts
    texts += [str(each.message) for each in caught if issubclass(each.category, MinicoreWarning)]


def warn_again(texts: Iterable[str]) -> None:
    """Warn of what was recorded on the workers, once for each text."""
    for text in dict.fromkeys(texts):
        warnings.warn(text, MinicoreWarning, stacklevel=3)


def unpacked(packed: Packed) -> Any:
    """Return a detector on a worker.

    Raises
    ------
    BackboneError
        If this worker does not have the network, or another one.
    """
    try:
        return packed.open()
    except BackboneError as error:
        raise BackboneError(
            f"{error} (on a worker: all workers need the network of the model, for example on "
            f"shared storage)"
        ) from error


def opened(packed: Packed) -> Any:
    """Return a fitted detector whose network and members use one thread for each task.

    Raises
    ------
    BackboneError
        As `unpacked`.
    """
    detector = unpacked(packed)
    for member in detector.members_:
        member.n_threads = None
        for network in member.backbone_.networks:
            network.threads = 1
    return detector
