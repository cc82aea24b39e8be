"""The data of a benchmark: images, feature maps, memory bank, coreset. Computed when needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from minicore import datasets, fast
from minicore.backbones import Backbone
from minicore.backbones.feature_maps import FeatureMaps
from minicore.datasets.folders import missing
from minicore.equations import projection
from minicore.errors import DatasetError
from minicore.images import ImageLike, as_images, batches
from minicore.patchcore.config import Embedding

TRAIN, TEST = 40, 16  # number of images without --full
FULL_TRAIN, FULL_TEST = 209, 83  # drawn parts with --full: as many as MVTec AD has bottles
BATCH = 8
QUERIES = 4  # test images whose patches are searched


class Material:
    """Images and everything that is computed from them.

    Parameters
    ----------
    train, test : list of images
    backbone : Backbone
    embedding : {"concat", "paper"}
    ratio : float
        Share of the memory bank that the coreset keeps.
    seed : int
        Seed of the projection.
    name : str
        Description of the data for the table.
    """

    def __init__(
        self,
        train: list[ImageLike],
        test: list[ImageLike],
        backbone: Backbone,
        embedding: Embedding = "concat",
        ratio: float = 0.1,
        seed: int = 0,
        name: str = "images",
    ) -> None:
        self.train, self.test, self.name = train, test, name
        self.backbone, self.embedding, self.ratio, self.seed = backbone, embedding, ratio, seed

    @property
    def dimensions(self) -> tuple[int, int] | tuple[None, None]:
        """Arguments d and d_target of `patch_features`."""
        return (1024, 1024) if self.embedding == "paper" else (None, None)

    @cached_property
    def prepared(self) -> list[np.ndarray]:
        """All images, prepared for the network, in batches (n, 3, h, w) float32."""
        images = [*self.train, *self.test]
        return list(batches(images, self.backbone.preprocessing, BATCH))

    @cached_property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Feature maps of the first batch of training images, each (n, c_j, h_j, w_j) float32."""
        return next(self._feature_maps(self.train[:BATCH])).networks[0]

    @property
    def image_size(self) -> tuple[int, int]:
        """Size (h, w) of the anomaly map in pixels."""
        first = next(batches(self.train[:1], self.backbone.preprocessing, 1))
        return first.shape[2], first.shape[3]

    @property
    def grid(self) -> tuple[int, int]:
        """Size (h', w') of the grid of patches of an image."""
        return self.levels[0].shape[2], self.levels[0].shape[3]

    def _patches(self, images: list[ImageLike]) -> np.ndarray:
        """Return the patch features of some images, (n, h' w', D) float32."""
        parts = []
        for maps in self._feature_maps(images):
            rows = fast.patch_features(maps.networks[0], 3, 1, *self.dimensions)
            parts.append(rows.reshape(len(rows), -1, rows.shape[3]))
        return np.concatenate(parts)

    def _feature_maps(self, images: Sequence[ImageLike]) -> Iterator[FeatureMaps]:
        return self.backbone.feature_maps(images, self.backbone.preprocessing, BATCH)

    @cached_property
    def M(self) -> np.ndarray:
        """The memory bank of all training images, (N, D) float32."""
        patches = self._patches(self.train)
        return patches.reshape(-1, patches.shape[2])

    @cached_property
    def queries(self) -> np.ndarray:
        """Patch features of a few test images, evenly spaced over all, (n, h' w', D) float32."""
        chosen = np.linspace(0, len(self.test) - 1, min(QUERIES, len(self.test))).astype(int)
        return self._patches([self.test[i] for i in chosen])

    def psi(self, d_star: int) -> np.ndarray:
        """Return the projection that `PatchCore` uses, (D, d_star) float32."""
        psi: np.ndarray = projection(self.M.shape[1], d_star, self.seed)
        return psi

    @cached_property
    def psi_M(self) -> np.ndarray:
        """The bank, projected to 128 dimensions if it has more: the input of the coreset."""
        return self.M if self.M.shape[1] <= 128 else fast.project(self.M, self.psi(128))

    @property
    def l(self) -> int:  # noqa: E743  # the paper's name
        """Number of rows of the coreset."""
        return max(1, round(self.ratio * len(self.M)))

    @cached_property
    def bank(self) -> np.ndarray:
        """The coreset, (l, D) float32."""
        return self.M[fast.greedy_coreset(self.psi_M, self.l)]


class RandomMaterial(Material):
    """Independent normal numbers in the same shapes: the worst case of a search."""

    @cached_property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Random feature maps in the shapes of the network's."""
        shapes = [maps.shape for maps in super().levels]
        return tuple(self._normal(1 + j, *shape) for j, shape in enumerate(shapes))

    def _patches(self, images: list[ImageLike]) -> np.ndarray:
        h, w = self.grid
        D = self.dimensions[1] or sum(maps.shape[1] for maps in self.levels)
        return self._normal(len(images), len(images), h * w, D)

    def _normal(self, key: int, *shape: int) -> np.ndarray:
        return np.random.default_rng([self.seed, key]).standard_normal(shape, np.float32)


def read_images(data: Path | None, full: bool) -> tuple[str, list[ImageLike], list[ImageLike]]:
    """Return images to learn from and images to score.

    Parameters
    ----------
    data : Path or None
        A category of MVTec AD (a folder that contains ``train/good``), or a folder of images: every
        eighth image is scored, the others are learned. None draws parts.
    full : bool
        Whether to use all images. Otherwise at most `TRAIN` and `TEST`.

    Returns
    -------
    name : str
        Description of the data.
    train, test : list of images

    Raises
    ------
    MinicoreError
        If there are fewer than two images.
    """
    if data is None:
        n_train, n_test = (FULL_TRAIN, FULL_TEST) if full else (TRAIN, TEST)
        drawn = datasets.synthetic(
            "circuit", n_train=n_train, n_good=n_test // 2, n_defective=n_test - n_test // 2
        )
        return "drawn parts (circuit)", list(as_images(drawn.train)), list(as_images(drawn.test))
    if not data.is_dir():
        raise missing(data, "a folder of images")
    if (data / "train").is_dir():
        category = datasets.mvtec(data.resolve().parent, data.resolve().name)
        train, test = list(as_images(category.train)), list(as_images(category.test))
    else:
        images = list(as_images(datasets.folder(data).train))
        if len(images) < 2:
            raise DatasetError(
                f"{data}: expected two images or more, one of them to score; found one"
            )
        test = images[::8]
        train = [image for i, image in enumerate(images) if i % 8]
    if not full:
        train = train[:TRAIN]
        chosen = np.linspace(0, len(test) - 1, min(TEST, len(test))).astype(int)
        test = [test[i] for i in chosen]
    return "/".join(data.resolve().parts[-3:]), train, test
