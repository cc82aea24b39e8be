"""Prepare images in batches, in threads that work ahead of the network."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from minicore.errors import ImageError
from minicore.images.preprocess import ImageLike, Preprocessing, prepare_turned

DIGEST = 16  # bytes


def batches(
    images: Sequence[ImageLike],
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    workers: int = 2,
    pixels: tuple[int, int] | None = None,
    skipped: dict[int, ImageError] | None = None,
    digests: list[bytes] | None = None,
    angles: Sequence[float] = (0.0,),
) -> Generator[np.ndarray, None, None]:
    """Prepare images in order, a batch at a time.

    While the network works on one batch, threads decode the next batch. So at most two batches are
    in memory, for any number of images. Threads are enough, because Pillow releases the interpreter
    lock while it decodes and resizes.

    Parameters
    ----------
    images : sequence of paths and arrays
        As `as_images` returns them.
    preprocessing : Preprocessing
    batch_size : int
        Only the last batch may be smaller, even if images are left out.
    workers : int
        Number of decoding threads. They end with the iterator, even if it is closed early.
    pixels : (int, int), optional
        (h', w') that each image must have. By default the size of the first image.
    skipped : dict, optional
        If given, images that cannot be used are left out, and the position and the error of each
        are stored here. When a batch is yielded, all errors before its last image are already
        stored.
    digests : list, optional
        If given, a hash of each prepared image is appended before its batch is yielded: `DIGEST`
        bytes of BLAKE2b. Images that are equal for the network have equal hashes, on any machine.
        The hash of turned copies is that of the first.
    angles : sequence of float
        Each image is prepared once for every angle (`minicore.images.view`); these turned copies
        follow each other.

    Yields
    ------
    float32 (n, 3, h', w')

    Raises
    ------
    ImageError
        If an image cannot be used, or has another size than `pixels`, and `skipped` is None.
    ValueError
        If `batch_size` or `workers` is less than 1.
    """
    if batch_size < 1 or workers < 1:
        raise ValueError(
            f"batch_size and workers: expected at least 1, found {batch_size} and {workers}"
        )
    return _batches(
        images, preprocessing, batch_size, workers, pixels, skipped, digests, tuple(angles)
    )


def _batches(
    images: Sequence[ImageLike],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int,
    pixels: tuple[int, int] | None,
    skipped: dict[int, ImageError] | None,
    digests: list[bytes] | None,
    angles: tuple[float, ...],
) -> Generator[np.ndarray, None, None]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="minicore-decode")
    pending: deque[Future[tuple[list[np.ndarray], bytes]]] = deque()
    expected = pixels
    like = "the training images" if pixels else "the first image"
    batch: list[np.ndarray] = []
    submitted, hashed = 0, digests is not None
    try:
        for i, image in enumerate(images):
            ahead = max((2 * batch_size - len(batch)) // len(angles), 2)
            for later in images[submitted : i + ahead]:
                pending.append(pool.submit(_prepared, later, preprocessing, angles, hashed))
                submitted += 1
            try:
                copies, digest = pending.popleft().result()
                found = copies[0].shape[1:]
                expected = expected or found
                if found != expected:
                    name = f"image {i}" if isinstance(image, np.ndarray) else image
                    raise ImageError(
                        f"{name}: expected {expected[0]} × {expected[1]} pixels like {like}, found "
                        f"{found[0]} × {found[1]}; choose a crop or an exact resize"
                    )
            except ImageError as error:
                if skipped is None:
                    raise
                skipped[i] = error
                continue
            if digests is not None:
                digests.append(digest)
            for copy in copies:
                batch.append(copy)
                if len(batch) == batch_size:
                    yield np.stack(batch)
                    batch = []
        if batch:
            yield np.stack(batch)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepared(
    image: ImageLike, preprocessing: Preprocessing, angles: tuple[float, ...], hashed: bool
) -> tuple[list[np.ndarray], bytes]:
    """Return the turned copies of an image, and the hash of the first; b"" without `hashed`."""
    copies = prepare_turned(image, preprocessing, angles)
    if not hashed:
        return copies, b""
    return copies, hashlib.blake2b(copies[0].data.cast("B"), digest_size=DIGEST).digest()
