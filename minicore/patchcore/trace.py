r"""Trace: every intermediate result of one image, from its pixels to its score, as named arrays.

    image -> prepared -> feature maps -> patches (1-3) -> nearest (6) -> deciding patch, m* (6)
          -> neighbours of m*, weight (7) -> score; map

A trace is for teaching, and for users who ask *why* a part is defective. It contains the patch that
decides, and the training image and position of the most similar stored patch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from minicore.equations import distance
from minicore.images import Preprocessing, as_images, prepare, view
from minicore.patchcore import bank
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.features import cell, engine_functions
from minicore.patchcore.search import top_patches
from minicore.runtime import threads


class Rectangle(NamedTuple):
    """Pixels of a prepared image: rows `top` to `bottom`, columns `left` to `right`, exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Return this part of an image (h, w, ...), as a view, without pixels outside it.

        Parameters
        ----------
        image : (h, w, ...) array

        Returns
        -------
        (at most bottom - top, at most right - left, ...) array
        """
        return image[max(self.top, 0) : self.bottom, max(self.left, 0) : self.right]


class Origin(NamedTuple):
    """A patch of a training image: number of the image, row and column on its patch grid.

    With ``augment="rotations"`` row and column are those of the turned image.
    """

    image: int
    row: int
    column: int


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    r"""The results of each step for one image. D: values of a patch; l: rows of the bank.

    All arrays are read-only.

    Attributes
    ----------
    image : (h, w, 3) uint8
        The image, resized and cropped.
    prepared : (3, h, w) float32
        The normalised image: the input of the network.
    feature_maps : dict of str to (c_j, h_j, w_j) float32
        $\phi_j$ of each layer, finest first.
    patches : (h', w', D) float32
        The locally aware patch features, equations 1 to 3; whitened if the model whitens them.
    memory_bank : (l, D) float32
        $\mathcal{M}_C$ of the model, equations 4 and 5.
    patch_scores : (h', w') float32
        Distance of each patch to its nearest row of the bank (equation 6 without the arg max).
    nearest : (h', w') int64
        The nearest row of the bank for each patch.
    origins : (h', w', 3) int64
        Origin of each nearest row: training image, row and column on its patch grid.
    angles : (h', w') float64
        Degrees by which the training image of each origin was turned (`minicore.images.view`);
        0 without ``augment="rotations"``.
    position : (int, int)
        Row and column of the deciding patch $m^{test,*}$, equation 6.
    s_star : float
        $s^* = \lVert m^{test,*} - m^* \rVert_2$, equation 6.
    m_star : int
        Row of the bank nearest to the deciding patch, $m^*$.
    origin : Origin
        Training image and position of $m^*$.
    origin_angle : float
        Degrees by which this image was turned, as `angles`.
    neighbours : (b,) int64
        $\mathcal{N}_b(m^*)$, rows of the bank, the nearest first. The first is $m^*$. If the model
        does not use equation 7, it is the only one.
    neighbour_distances : (b,) float64
        $\lVert m^{test,*} - m \rVert_2$ of each.
    neighbour_origins : (b, 3) int64
        Training image, row and column of each, as `origins`.
    neighbour_angles : (b,) float64
        Degrees by which the training image of each was turned, as `angles`.
    softmax : (b,) float64
        $\exp \lVert m^{test,*} - m \rVert_2$ of each, divided by the sum of all. The first is the
        quotient of equation 7.
    weight : float
        One minus this quotient; 1 if the model does not use equation 7 (`b` is None, or `score` is
        "top").
    top : int or None
        Number of patches whose distances are averaged if `score` is "top"; None if it is "max".
    s : float
        The anomaly score. "max": weight times $s^*$, equation 7. "top": the mean of the `top`
        largest values of `patch_scores`.
    map : (h, w) float32
        `patch_scores`, upsampled and smoothed.
    threshold, map_threshold : float or None
        Thresholds of the model. An image with a larger `s` is anomalous, and so is a pixel with a
        larger map value.
    patchsize, stride : int
        $p$ and $s$ of equations 1 and 3.
    preprocessing : Preprocessing
        Resizing and cropping, for example to show a training image with `minicore.images.view`.
    """

    image: np.ndarray
    prepared: np.ndarray
    feature_maps: dict[str, np.ndarray]
    patches: np.ndarray
    memory_bank: np.ndarray
    patch_scores: np.ndarray
    nearest: np.ndarray
    origins: np.ndarray
    angles: np.ndarray
    position: tuple[int, int]
    s_star: float
    m_star: int
    origin: Origin
    origin_angle: float
    neighbours: np.ndarray
    neighbour_distances: np.ndarray
    neighbour_origins: np.ndarray
    neighbour_angles: np.ndarray
    softmax: np.ndarray
    weight: float
    top: int | None
    s: float
    map: np.ndarray
    threshold: float | None
    map_threshold: float | None
    patchsize: int
    stride: int
    preprocessing: Preprocessing

    def cell_at(self, row: int, column: int) -> Rectangle:
        """Return the pixels of a patch's own position: one cell of the first feature map.

        Parameters
        ----------
        row, column : int
            Position on the patch grid of this image or of a training image.

        Returns
        -------
        Rectangle
        """
        return self._around(row, column, 0)

    def window_at(self, row: int, column: int) -> Rectangle:
        r"""Return the pixels of a patch's neighbourhood, equation 1: $p \times p$ cells.

        At the border it extends beyond the image, where equation 2 reads zeros. The receptive field
        of the network is larger.

        Parameters
        ----------
        row, column : int
            Position on the patch grid of this image or of a training image.

        Returns
        -------
        Rectangle
        """
        return self._around(row, column, self.patchsize // 2)

    def _around(self, row: int, column: int, reach: int) -> Rectangle:
        height, width = self.map.shape
        finest = next(iter(self.feature_maps.values()))
        (top, bottom), (left, right) = (
            [round((self.stride * at + k) * t) for k in (-reach, reach + 1)]
            for at, t in zip((row, column), cell((height, width), finest.shape[1:]), strict=True)
        )
        return Rectangle(top, left, bottom, right)

    @property
    def cell(self) -> Rectangle:
        """The deciding patch, as `cell_at`."""
        return self.cell_at(*self.position)

    @property
    def window(self) -> Rectangle:
        """The neighbourhood of the deciding patch, as `window_at`."""
        return self.window_at(*self.position)

    @property
    def origin_cell(self) -> Rectangle:
        """The patch $m^*$ on its training image, as `cell_at`."""
        return self.cell_at(self.origin.row, self.origin.column)

    @property
    def origin_window(self) -> Rectangle:
        """The neighbourhood of $m^*$ on its training image, as `window_at`."""
        return self.window_at(self.origin.row, self.origin.column)

    def __repr__(self) -> str:
        lines = ["Trace of one image"]
        for field in fields(self):
            value = getattr(self, field.name)
            parts = value if isinstance(value, dict) else {"": value}
            for key, part in parts.items():
                name = f"{field.name}[{key!r}]" if key else field.name
                lines.append(f"  {name:24s} {_brief(part)}")
        for name in ("cell", "window", "origin_cell", "origin_window"):
            lines.append(f"  {name:24s} {getattr(self, name)}")
        return "\n".join(lines)


def trace(model: PatchCore, image: Any) -> Trace:
    r"""Return the results of every equation for one image.

    Parameters
    ----------
    model : PatchCore
        Fitted or loaded.
    image : path, or uint8 (h, w, 3) or (h, w)
        One image.

    Returns
    -------
    Trace
        Its scores and map are identical to those of `PatchCore.detect`.

    Raises
    ------
    TypeError
        If `model` is not a PatchCore.
    ValueError
        If there is not exactly one image.
    ImageError
        If the image cannot be used.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.

    Examples
    --------
    >>> t = minicore.trace(model, "part.png")
    >>> t.origin
    Origin(image=17, row=3, column=21)

    Notes
    -----
    Equations 1 to 3, 6 and 7 of Roth et al., CVPR 2022.
    """
    if not isinstance(model, PatchCore):
        raise TypeError(f"model must be a PatchCore, got {type(model).__name__}")
    check_is_fitted(model, "memory_bank_")
    one = [image] if isinstance(image, np.ndarray) and image.ndim == 2 else image
    images = as_images(one)
    if len(images) != 1:
        raise ValueError(f"trace needs exactly one image, got {len(images)}")
    with threads.limit(model.n_threads):
        return _follow(model, images[0])


def _follow(model: PatchCore, image: Any) -> Trace:
    config, engine, search = model.config_, engine_functions(model.engine), model._search
    preprocessing = config.preprocessing

    # Equations 1 to 3
    (feature_maps,) = model.backbone_.feature_maps(
        [image], preprocessing, 1, pixels=model.input_size_
    )
    phi = [phi_j[0] for levels in feature_maps.networks for phi_j in levels]
    patches, size, of_cell = model._embed(feature_maps, model.engine)
    rows = patches.reshape(-1, patches.shape[-1])

    # Equations 6 and 7
    s, s_star, patch_scores = search.score(patches, model.engine)
    nearest = search.nearest(rows, 1, model.engine)[1].reshape(patch_scores.shape[1:])
    deciding = int(patch_scores.argmax())
    m_star = int(nearest.flat[deciding])
    b = 1 if config.b is None else config.b  # without equation 7: only m*
    neighbours = search.nearest(search.bank[[m_star]], b, model.engine)[1][0]
    m_test = rows[deciding]
    to_neighbours = np.array([distance(m_test, search.bank[m]) for m in neighbours])
    shares = softmax(to_neighbours)

    # Where each row of the coreset is from (equation 4)
    turns = np.array(config.turns)
    found_at = bank.origins(model.coreset_indices_, model.grid_, len(turns))
    origins, angles = found_at[:, [0, 2, 3]], turns[found_at[:, 1]]
    origin = Origin(*map(int, origins[m_star]))
    position = divmod(deciding, model.grid_[1])
    maps = engine.anomaly_map(patch_scores, *size, config.sigma, config.stride, of_cell)

    found = Trace(
        image=view(image, preprocessing),
        prepared=prepare(image, preprocessing),
        feature_maps=dict(zip(model.backbone_.layers, phi, strict=True)),
        patches=patches[0],
        memory_bank=search.bank.view(),
        patch_scores=patch_scores[0],
        nearest=nearest,
        origins=origins[nearest],
        angles=angles[nearest],
        position=position,
        s_star=float(s_star[0]),
        m_star=m_star,
        origin=origin,
        origin_angle=float(angles[m_star]),
        neighbours=neighbours,
        neighbour_distances=to_neighbours,
        neighbour_origins=origins[neighbours],
        neighbour_angles=angles[neighbours],
        softmax=shares,
        weight=1.0 if config.b is None else float(1 - shares[0]),
        top=top_patches(patch_scores[0].size) if config.score == "top" else None,
        s=float(s[0]),
        map=maps[0],
        threshold=model.threshold_,
        map_threshold=model.map_threshold_,
        patchsize=config.patchsize,
        stride=config.stride,
        preprocessing=preprocessing,
    )
    for value in [*vars(found).values(), *found.feature_maps.values()]:
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return found


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
