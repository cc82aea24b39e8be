"""Nodes that prepare an image, with the same pixels as Pillow.

Pillow resizes an 8-bit image in two passes, one for each axis. A pass is a sum of pixels with
whole-number weights, in units of 2⁻²², rounded to 8 bits:

    y = ⌊(Σ_k w_k x_k + 2²¹) / 2²²⌋

This is a matrix product. float32 has 24 bits, too few for the sum, so each weight is written as
w = 256 · high + low. Both products are then exact, and so is

    y = ⌊(Σ high x + ⌊Σ low x / 2⁸⌋ + 2¹³) / 2¹⁴⌋

with whole numbers below 2²⁴ and divisions by powers of two. Only the rows and columns that the crop
needs are computed. The node ``Resize`` of ONNX would be shorter, but opset 17 has no antialiasing.
Later opsets have it, but in onnxruntime they differ from Pillow: by 1 grey level in photographs, by
more than 10 in images of noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicore.errors import ImageError, ParameterError
from minicore.images import Preprocessing, view
from minicore.images.preprocess import geometry
from minicore.runtime.onnx_graph import OnnxGraph

BITS = 22  # of Pillow's weights
LOW_BITS = 8
MOST_IMAGES = 50  # that are resized to find the order of the passes
MOST_TAPS = 2**24 // 255**2  # pixels in one sum: more could make the sum of low parts reach 2²⁴

ImageSize = tuple[int, int]


def pillow_weights(before: int, after: int) -> np.ndarray:
    """Return the weights with which Pillow resizes one axis: bilinear, antialiased.

    Parameters
    ----------
    before, after : int
        Number of pixels.

    Returns
    -------
    (after, before) int64
        In units of 2⁻²².
    """
    scale = before / after
    support = max(scale, 1.0)
    weights = np.zeros((after, before), np.int64)
    for i in range(after):
        center = (i + 0.5) * scale
        first, end = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), before)
        triangle = [
            max(1.0 - abs((x - center + 0.5) * (1.0 / support)), 0.0) for x in range(first, end)
        ]
        total = 0.0
        for value in triangle:
            total += value
        weights[i, first:end] = [int(0.5 + value / total * 2**BITS) for value in triangle]
    return weights


class Pass(NamedTuple):
    """Resize and crop along one axis. The result depends on the pixels first … end − 1 only.

    `weights` is (cropped, pixels of the axis), or None if this axis is only cropped.
    """

    first: int
    end: int
    weights: np.ndarray | None

    @classmethod
    def of(cls, before: int, resized: int, first: int, cropped: int) -> Pass:
        """Return the pass for an axis of `before` pixels."""
        if before == resized:
            return cls(first, first + cropped, None)
        weights = pillow_weights(before, resized)[first : first + cropped]
        if (weights > 0).sum(axis=1).max() > MOST_TAPS:
            expected = f"at most {MOST_TAPS // 2} times the size after resizing"
            raise ParameterError("image_size", expected, before)
        used = np.flatnonzero(weights.any(axis=0))
        return cls(int(used[0]), int(used[-1]) + 1, weights)


def rows_first(
    size: ImageSize,
    rows: np.ndarray | None,
    columns: np.ndarray | None,
    preprocessing: Preprocessing,
) -> bool:
    """Return whether Pillow resizes the rows first. This depends on the sizes and on its version.

    The function resizes images of noise with Pillow, and compares both orders with the results.
    For a few pixels both orders often agree. Then it tries more images.

    Parameters
    ----------
    size : (int, int)
        (H, W) of the image in pixels.
    rows, columns : (cropped, H) and (cropped, W) int64, or None
        The weights of both passes. With one pass only, there is no order.
    preprocessing : Preprocessing

    Raises
    ------
    ImageError
        If this version of Pillow resizes in another way.
    """
    if rows is None or columns is None:
        return False
    R, C = rows.astype(float), columns.T.astype(float)

    def rounded(sums: np.ndarray) -> np.ndarray:  # exact: whole numbers below 2⁵³
        return np.floor((sums + 2 ** (BITS - 1)) / 2**BITS)

    possible = [False, True]
    rng = np.random.default_rng(0)
    for _ in range(MOST_IMAGES):
        noise = rng.integers(0, 256, (*size, 3), np.uint8)
        image = noise.transpose(2, 0, 1).astype(float)
        found = (rounded(R @ rounded(image @ C)), rounded(rounded(R @ image) @ C))
        expected = view(noise, preprocessing).transpose(2, 0, 1)
        possible = [order for order in possible if np.array_equal(found[order], expected)]
        if len(possible) < 2:
            break
    if possible:
        return possible[0]
    raise ImageError(
        "image_size: this version of Pillow resizes with other weights than the export; "
        "export for prepared images, or install another version of Pillow"
    )


def pixels(g: OnnxGraph, image: str, size: ImageSize, preprocessing: Preprocessing) -> str:
    """Add resize and crop: (n, H, W, 3) uint8 → (n, 3, h, w) float32, whole numbers, 0 to 255.

    Parameters
    ----------
    g : OnnxGraph
    image : str
        Name of the input.
    size : (int, int)
        H and W.
    preprocessing : Preprocessing

    Returns
    -------
    str

    Raises
    ------
    ImageError, ParameterError
        If the image is smaller than the crop after resizing, or too large.
    """
    (h, w), (crop_h, crop_w), (top, left) = geometry(size, preprocessing, "image_size")
    rows = Pass.of(size[0], h, top, crop_h)
    columns = Pass.of(size[1], w, left, crop_w)
    x = image
    if (rows.end - rows.first, columns.end - columns.first) != size:
        start = g.constant("image/crop.first", np.array([rows.first, columns.first], np.int64))
        end = g.constant("image/crop.end", np.array([rows.end, columns.end], np.int64))
        axes = g.constant("image/crop.axes", np.array([1, 2], np.int64))
        x = g.node("Slice", [x, start, end, axes], "image/crop")
    x = g.node("Cast", [x], "image/float32", to=g.onnx.TensorProto.FLOAT)
    x = g.node("Transpose", [x], "image/channels_first", perm=[0, 3, 1, 2])
    passes = {"columns": columns, "rows": rows}
    if rows_first(size, rows.weights, columns.weights, preprocessing):
        passes = {"rows": rows, "columns": columns}
    for axis, (first, last, weights) in passes.items():
        if weights is not None:
            x = _resized(g, x, axis, weights[:, first:last])
    return x


def _resized(g: OnnxGraph, x: str, axis: str, weights: np.ndarray) -> str:
    """Add one pass: two matrix products, ⌊(high + ⌊low / 2⁸⌋ + 2¹³) / 2¹⁴⌋."""
    name = f"image/{axis}"
    sums = []
    for part, values in zip(("high", "low"), np.divmod(weights, 2**LOW_BITS), strict=True):
        matrix = values.astype(np.float32)
        W = g.constant(f"{name}.{part}_weights", matrix if axis == "rows" else matrix.T)
        sums.append(g.node("MatMul", [W, x] if axis == "rows" else [x, W], f"{name}.{part}"))
    numbers = {"unit": -LOW_BITS, "half": BITS - LOW_BITS - 1, "step": LOW_BITS - BITS}
    unit, half, step = (g.constant(f"{name}.{k}", np.float32(2.0**v)) for k, v in numbers.items())
    low = g.node("Floor", [g.node("Mul", [sums[1], unit], f"{name}.low_units")], f"{name}.carried")
    total = g.node("Add", [g.node("Add", [sums[0], low], f"{name}.sum"), half], f"{name}.total")
    return g.node("Floor", [g.node("Mul", [total, step], f"{name}.quotient")], f"{name}.resized")


def normalised(g: OnnxGraph, x: str, preprocessing: Preprocessing, output: str) -> str:
    """Add the normalisation of a network: (x / 255 − mean) / std."""
    columns = [
        np.array(v, np.float32).reshape(3, 1, 1) for v in (preprocessing.mean, preprocessing.std)
    ]
    whole = g.constant(f"{output}.255", np.float32(255))
    mean, std = (
        g.constant(f"{output}.{k}", v) for k, v in zip(("mean", "std"), columns, strict=True)
    )
    x = g.node("Div", [x, whole], f"{output}.scaled")
    x = g.node("Sub", [x, mean], f"{output}.centred")
    return g.node("Div", [x, std], output)
