"""Checks of the training images: copies of each other, and different sizes."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from minicore.errors import MinicoreWarning
from minicore.images import ImageLike
from minicore.images.batching import DIGEST
from minicore.patchcore.bank import MemoryBank

PROBED = 8  # patches of an image that are compared first; most different images differ in them
LISTED = 3  # sizes that a warning lists


def first_copies(M: MemoryBank) -> np.ndarray:
    """Find images that are copies of each other: all their patch features are equal.

    A few patches of each image are compared first. If they are equal, all patch features of the
    images are compared.

    Parameters
    ----------
    M : MemoryBank

    Returns
    -------
    (n,) int64
        For each image, the number of the first image that is equal to it; its own number if no
        earlier image is equal.
    """
    P = len(M) // M.n
    positions = np.linspace(0, P - 1, min(P, PROBED)).astype(np.int64)
    probes = [M[i * P + positions].tobytes() for i in range(M.n)]
    shared = Counter(probes)
    seen: dict[bytes, int] = {}
    first = np.arange(M.n)
    for i, probe in enumerate(probes):
        if shared[probe] > 1:
            rows = np.ascontiguousarray(M[i * P : (i + 1) * P])
            first[i] = seen.setdefault(hashlib.blake2b(rows.data.cast("B")).digest(), i)
    return first


def hashes(M: MemoryBank) -> list[bytes]:
    """Return a hash of all patch features of each image; equal images have equal hashes."""
    P = len(M) // M.n
    own = (np.ascontiguousarray(M[i * P : (i + 1) * P]) for i in range(M.n))
    return [hashlib.blake2b(rows.data.cast("B"), digest_size=DIGEST).digest() for rows in own]


def first_equal(hashes: Sequence[bytes]) -> np.ndarray:
    """Return what `first_copies` returns, from the `hashes` of all images."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(each, i) for i, each in enumerate(hashes)], np.int64)


def warn_of_copies(images: Sequence[ImageLike], first: np.ndarray) -> int:
    """Warn if images are copies of each other, and return how many copies there are.

    Parameters
    ----------
    images : sequence of paths and arrays
    first : (n,) int64
        The result of `first_copies`.
    """
    copies = np.flatnonzero(first != np.arange(len(first)))
    if len(copies):
        pair = [images[i] for i in (copies[0], first[copies[0]])]
        if not all(isinstance(image, Path) for image in pair):
            pair = [f"image {i}" for i in (copies[0], first[copies[0]])]
        what = "is a copy of another" if len(copies) == 1 else "are copies of others"
        warnings.warn(
            f"{len(copies)} of {len(first)} training images {what}, for example {pair[0]} "
            f"of {pair[1]}; copies count as one image for the threshold: remove them",
            MinicoreWarning,
            stacklevel=3,
        )
    return len(copies)


def common_size(each: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the size of the images, or warn: with different sizes, parts may differ in scale.

    Parameters
    ----------
    each : iterable of (int, int)
        (h, w) of each image in pixels. At least one.

    Returns
    -------
    (int, int) or None
        (h, w) in pixels; None if there are different sizes.
    """
    sizes = Counter(each)
    if len(sizes) == 1:
        return next(iter(sizes))
    named = [f"{n} of {h} × {w}" for (h, w), n in sizes.most_common(LISTED)]
    more = f" and {len(sizes) - LISTED} more sizes" if len(sizes) > LISTED else ""
    warnings.warn(
        f"the training images have {len(sizes)} different sizes: {', '.join(named)} pixels"
        f"{more}; after resizing, parts may differ in scale, and the crop may show different "
        f"areas: photograph all parts at one size and distance",
        MinicoreWarning,
        stacklevel=3,
    )
    return None
