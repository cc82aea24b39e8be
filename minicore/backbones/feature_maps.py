"""Compute feature maps of images: the part that all networks share."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from minicore.errors import ImageError
from minicore.images import ImageLike, Preprocessing, batches
from minicore.runtime.clock import Seconds

DECODING = 2  # threads that prepare images ahead of the network

Levels: TypeAlias = tuple[np.ndarray, ...]


class FeatureMaps(NamedTuple):
    r"""Feature maps of one batch of images.

    Attributes
    ----------
    networks : tuple of tuple of (n, c_j, h_j, w_j) float32
        For each network its levels $\phi_j$, finest first. Most models have one network.
    size : (int, int)
        (h, w) of the prepared images in pixels.
    """

    networks: tuple[Levels, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.networks[0][0])


class FeatureSource:
    """Base of `Backbone` and `JointBackbone`: one or more networks with the same input images."""

    def levels(self, batch: np.ndarray) -> tuple[Levels, ...]:
        """Run each network on prepared images (n, 3, h, w); see `FeatureMaps.networks`."""
        raise NotImplementedError

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
        """Prepare images and run the networks, a batch at a time.

        Parameters
        ----------
        images : sequence of paths and arrays
            As `minicore.images.as_images` returns them.
        preprocessing : Preprocessing
        batch_size : int
        pixels, skipped, digests, angles
            As for `minicore.images.batches`.
        seconds : Seconds, optional
            The time of the stages "images" and "network" is added to it.

        Yields
        ------
        FeatureMaps
            Of `batch_size` images; the last batch may be smaller.

        Raises
        ------
        ImageError, BackboneError
            If an image or the network cannot be used.
        """
        from minicore.runtime import threads  # imports Numba, which `backbone list` does not need

        seconds = Seconds() if seconds is None else seconds
        workers = min(DECODING, threads.count())
        prepared = batches(
            images, preprocessing, batch_size,
            workers=workers, pixels=pixels, skipped=skipped, digests=digests, angles=angles,
        )  # fmt: skip
        with contextlib.closing(prepared):
            while True:
                with seconds.of("images"):
                    batch = next(prepared, None)
                if batch is None:
                    return
                with seconds.of("network"):
                    networks = self.levels(batch)
                yield FeatureMaps(networks, batch.shape[2:])
