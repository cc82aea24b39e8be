"""Question of notebook 03: three levels."""

from __future__ import annotations

import functools

import numpy as np

from minicore.backbones import Backbone
from minicore.course.exercise import mistake
from minicore.course.question import Question
from minicore.course.questions.nb01 import CROP, fields

LEVELS = ("layer1", "layer2", "layer3")
P = 3


@functools.cache
def _shapes() -> dict[str, tuple[int, int]]:
    """Return the channels and the positions per side of each level."""
    maps = Backbone(layers=LEVELS)(np.zeros((1, 3, CROP, CROP), np.float32))
    return {level: (found.shape[1], found.shape[2]) for level, found in maps.items()}


def _counts(levels: tuple[str, ...], grid: str = "layer1") -> tuple[int, int]:
    """Return the patches per image and the numbers per patch of joined levels."""
    return _shapes()[grid][1] ** 2, sum(_shapes()[level][0] for level in levels)


def _widths(p: int = P) -> tuple[int, ...]:
    """Return the pixels per side of p × p positions of the finer grid and of layer3."""
    return tuple(p * CROP // _shapes()[level][1] for level in ("layer2", "layer3"))


def sizes(seed: int) -> tuple[int, ...]:
    """Return patches per image, numbers per patch, and the two sides in pixels."""
    return (*_counts(LEVELS), *_widths())


def _receptive(seed: int) -> tuple[int, ...]:
    """Return the fields of p × p positions instead of their cells."""
    grown = (
        fields()[level][-1] + (P - 1) * CROP // _shapes()[level][1]
        for level in ("layer2", "layer3")
    )
    return (*_counts(LEVELS), *grown)


THREE_LEVELS = Question(
    name="03.3",
    title="Three levels",
    question="With three levels: how many patches has an image, and how many numbers has a patch? "
    "How many pixels wide are 3 × 3 cells of the 28 × 28 grid, and 3 × 3 cells of layer3?",
    returns="4 whole numbers: patches, numbers per patch, two widths in pixels",
    compute=sizes,
    mistakes=(
        mistake(
            "coarser-grid",
            "All levels are enlarged to the grid of the finest level. Which level is it now?",
            lambda seed: (*_counts(LEVELS, "layer2"), *_widths()),
            lambda seed: (*_counts(LEVELS, "layer3"), *_widths()),
        ),
        mistake(
            "two-levels",
            "This is the length of a patch of layer2 and layer3. Layer1 has channels too.",
            lambda seed: (*_counts(LEVELS[1:]), *_widths()),
        ),
        mistake(
            "per-side",
            "This is the number of patches along one side of the grid.",
            lambda seed: (_shapes()["layer1"][1], _counts(LEVELS)[1], *_widths()),
        ),
        mistake(
            "one-cell",
            "This is the width of one cell. Give the width of three.",
            lambda seed: (*_counts(LEVELS), *_widths(1)),
        ),
        mistake(
            "area",
            "This is the number of pixels in the square. Give its width.",
            lambda seed: (*_counts(LEVELS), *(width**2 for width in _widths())),
        ),
        mistake(
            "receptive-field",
            "This is the receptive field, which is much larger. Give the width of the cells.",
            _receptive,
        ),
    ),
)

ALL = (THREE_LEVELS,)
