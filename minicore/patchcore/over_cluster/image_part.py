r"""A part of a memory bank on a worker of a cluster, made there from image files.

It holds the patch features of some training images and their projection $\psi$. So only picked rows
and small arrays are sent to the coordinator (`minicore.patchcore.over_cluster.cluster_fit`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicore.cluster import Part
from minicore.errors import ImageError
from minicore.images import ImageLike, image_size
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.leave_one_out import Holes, LeaveOneOut, Others
from minicore.patchcore.over_cluster.on_worker import recorded_warnings, unpacked
from minicore.patchcore.selection import project
from minicore.patchcore.training import hashes

if TYPE_CHECKING:
    from minicore.cluster.dask_stream import Packed
    from minicore.patchcore.estimator import PatchCore


class Facts(NamedTuple):
    """What the coordinator must know of the images of a part.

    Attributes
    ----------
    sizes : list of (int, int)
        (h, w) of each image file in pixels.
    digests : (n, 16) uint8
        As `PatchCore.image_digests_`.
    hashes : list of bytes
        Of the patch features of each image (`training.hashes`).
    grid, input_size, cell
        As `PatchCore.grid_` and `input_size_`, and `Patches.cell`.
    warnings : list of str
        What minicore has warned of.
    """

    sizes: list[tuple[int, int]]
    digests: np.ndarray
    hashes: list[bytes]
    grid: tuple[int, int]
    input_size: tuple[int, int]
    cell: tuple[float, float]
    warnings: list[str]


class ImagePart(Part):
    """The rows of the memory bank that come from some consecutive training images.

    Parameters
    ----------
    packed : Packed
        A `PatchCore` with its network and configuration, not fitted. It computes the patch
        features.
    images : sequence of paths and arrays
    at : int
        Number of the first of them among all training images.
    pixels : (int, int)
        (h, w) that each prepared image must have.

    Raises
    ------
    ImageError, BackboneError
        If an image or the network cannot be used.
    """

    def __init__(
        self, packed: Packed, images: Sequence[ImageLike], at: int, pixels: tuple[int, int]
    ) -> None:
        model: PatchCore = copy.copy(unpacked(packed))  # several parts may share it
        self._images, self._at, self._config = images, at, model.config_
        self._M = MemoryBank(len(images), model.bank_storage, len(model.config_.turns))
        with recorded_warnings() as warned:
            cell = model._fill(self._M, images, pixels)
        self._facts = Facts(
            [image_size(image) for image in images], model.image_digests_, hashes(self._M),
            model.grid_, model.input_size_, cell, warned,
        )  # fmt: skip
        self._searched = b""  # the coreset of `_left_out`
        super().__init__(project(self._M, self._config), at * self._M.rows[0].size)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_searched": b"", "_left_out": None}

    @property
    def nbytes(self) -> int:
        """Bytes of the patch features, of their projection, and what is computed from it once."""
        return super().nbytes + 4 * self._M.shape[0] * self._M.shape[1]

    def of_images(self, digests: np.ndarray, method: str, *arguments: Any) -> Any:
        """Call a method, if this part was made from the images with these digests.

        A part is made again if its worker dies. Meanwhile, a file may have changed.

        Raises
        ------
        ImageError
            If an image has changed.
        """
        changed = np.flatnonzero((self._facts.digests != digests).any(axis=1))
        if len(changed):
            image = self._images[changed[0]]
            raise ImageError(f"{image}: this image has changed during the fit; fit again")
        return getattr(self, method)(*arguments)

    def facts(self) -> Facts:
        """Return the facts about the images."""
        return self._facts

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return the patch features of those rows that this part holds, (k, D) float32."""
        with self._lock:  # a bank on disk has one position in its file
            return self._M[self._local(rows)]

    def holes(self, others: Others) -> Holes:
        """Find patches without a near row if an image is left out; see `LeaveOneOut.holes`."""
        with self._lock:
            return self._leave_one_out(others).holes()

    def scores(
        self, others: Others, filled: Mapping[int, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score each different image without its own rows; see `LeaveOneOut.fill`.

        Returns
        -------
        scores, peaks : (m,) float64
        """
        config, facts = self._config, self._facts
        with self._lock:
            left_out = self._leave_one_out(others)
            left_out.fill(filled)
            peaks = left_out.peaks(facts.input_size, facts.cell, config)
            return left_out.scores(config), peaks

    def _leave_one_out(self, others: Others) -> LeaveOneOut:
        """Search once for the same coreset, also if this part was made again between two calls."""
        if self._searched != others.picks:  # Dask may have sent it again
            self._left_out = LeaveOneOut(self._M, self._bank, others, self._at)
            self._searched = others.picks
        return self._left_out
