"""Draw good parts, the same parts with a defect, and exact masks, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicore.datasets.drawn.blister import blister
from minicore.datasets.drawn.canvas import Anchors, Canvas, between
from minicore.datasets.drawn.circuit import circuit
from minicore.datasets.drawn.defects import PAINTERS
from minicore.datasets.drawn.fabric import fabric
from minicore.datasets.drawn.gear import gear
from minicore.datasets.drawn.wood import wood

# A scene draws one part and returns the places where a defect may be painted. The first generator
# determines pose, threads and grain, with the same random numbers for each flaw. The second one
# determines which piece is missing or misplaced. Therefore a part with a flaw differs from the
# good part only in the flaw.
Scene = Callable[[Canvas, np.random.Generator, "str | None", np.random.Generator], Anchors]

_SCENES: dict[str, Scene] = {
    "fabric": fabric,
    "wood": wood,
    "circuit": circuit,
    "blister": blister,
    "gear": gear,
}
CATEGORIES = tuple(_SCENES)
DEFECTS = (*PAINTERS, "missing", "misplaced")

_MARGIN = 18.0  # units of 1/256; the default crop, 224 of 256, removes 16


def part(
    category: str, defect: str | None, *, size: int = 256, seed: tuple[int, ...] = (0,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one part twice: good, and with a defect.

    Parameters
    ----------
    category : str
        One of `CATEGORIES`.
    defect : str or None
        One of `DEFECTS`; with None both images are good.
    size : int
        Height and width in pixels.
    seed : tuple of int
        Determines both images. The good part does not depend on `defect`.

    Returns
    -------
    good, bad : uint8 (size, size, 3)
    mask : bool (size, size)
        True exactly where the two images differ.

    Raises
    ------
    ValueError
        If `category` or `defect` is unknown.
    """
    for name, value, known in (
        ("category", category, CATEGORIES),
        ("defect", defect, (*DEFECTS, None)),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {known}, found {value!r}")
    key = (*seed, CATEGORIES.index(category))
    good, anchors = _paint(category, None, size, key)
    camera = _camera(good, key)
    image = _expose(good, camera)
    if defect is None:
        return image, image.copy(), np.zeros((size, size), bool)
    if defect in PAINTERS:
        bad = good.copy()
        rng = _generator(key, 2)
        x, y = anchors[int(rng.integers(len(anchors)))]
        PAINTERS[defect](bad, rng, x + between(rng, -5, 5), y + between(rng, -5, 5))
    else:
        bad, _ = _paint(category, defect, size, key)

    # The mask is where the difference is visible, without single pixels. The bad image equals the
    # good one everywhere else.
    changed = np.abs(bad.rgb - good.rgb).max(axis=0) > 4 / 255
    inner = (np.abs(bad.x - 128) < 128 - _MARGIN) & (np.abs(bad.y - 128) < 128 - _MARGIN)
    mask = _majority(changed) & inner
    flawed = np.where(mask[..., None], _expose(bad, camera), image)
    # Change a pixel of the mask by one level if it is equal by chance, to keep the mask exact.
    same = mask & (flawed == image).all(axis=-1)
    flawed[same] ^= 1
    return image, flawed, mask


def parts(
    category: str, defects: Sequence[str | None], *, size: int, seed: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw parts with the given defects. Part i depends only on (*seed, i) and its defect.

    Returns
    -------
    images : uint8 (n, size, size, 3)
    masks : bool (n, size, size)
    """
    images = np.empty((len(defects), size, size, 3), np.uint8)
    masks = np.empty((len(defects), size, size), bool)
    for i, defect in enumerate(defects):
        _, images[i], masks[i] = part(category, defect, size=size, seed=(*seed, i))
    return images, masks


def _generator(seed: tuple[int, ...], purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([*seed, purpose]))


def _paint(
    category: str, flaw: str | None, size: int, seed: tuple[int, ...]
) -> tuple[Canvas, Anchors]:
    canvas = Canvas.blank(size)
    return canvas, _SCENES[category](canvas, _generator(seed, 0), flaw, _generator(seed, 1))


def _camera(canvas: Canvas, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return uneven light (h, w) and sensor noise (3, h, w), both in grey levels."""
    rng = _generator(seed, 3)
    gain, right, down = (between(rng, -a, a) for a in (0.03, 0.035, 0.035))
    light = 1 + gain + right * (canvas.x - 128) / 128 + down * (canvas.y - 128) / 128
    noise = rng.random(canvas.rgb.shape, dtype=np.float32)
    noise += rng.random(canvas.rgb.shape, dtype=np.float32)
    return light * np.float32(255), (noise - 1) * np.float32(5) + np.float32(0.5)


def _expose(canvas: Canvas, camera: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    light, noise = camera
    levels = np.clip(canvas.rgb * light + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def _majority(mask: np.ndarray) -> np.ndarray:
    """Return the pixels with at least five set pixels in their 3 × 3 neighbourhood."""
    rows = np.pad(mask, 1).astype(np.uint8)
    rows = rows[:-2] + rows[1:-1] + rows[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] > 4
