"""Questions of notebook 01: the receptive field, and the effect at a corner."""

from __future__ import annotations

import functools

import numpy as np

from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import backbone, levels, parts
from minicore.images import prepare

CROP = 224  # pixels
ARCHITECTURE = {  # (kernel, stride), from input to output; those of side 1 are left out
    "stem": [(7, 2), (3, 2)],
    "layer1": [(3, 1)] * 3,
    "layer2": [(3, 2)] + [(3, 1)] * 3,
    "layer3": [(3, 2)] + [(3, 1)] * 5,
}
STEP, INSIDE = 8, 7  # side of a square; squares of the 14 × 14 that are in the image, per side


def fields(minus_one: int = 1, stride_first: bool = False) -> dict[str, list[int]]:
    """Return the side of the receptive field after each block of each level."""
    r = j = 1
    found: dict[str, list[int]] = {}
    for level, layers in ARCHITECTURE.items():
        found[level] = []
        for k, s in layers:
            j *= s if stride_first else 1
            r += (k - minus_one) * j
            j *= 1 if stride_first else s
            found[level].append(r)
    return found


def first_wide_block(seed: int) -> tuple[int, int]:
    """Return the first block of layer3 with a field wider than the image, and its field."""
    return _first_wide(fields()["layer3"])


def _first_wide(sides: list[int]) -> tuple[int, int]:
    block = next((i for i, r in enumerate(sides) if r > CROP), len(sides) - 1)
    return block + 1, sides[block]


def _moved(before: int) -> tuple[int, int]:
    """Return a block before or after the right one, with its own field."""
    block, _ = _first_wide(fields()["layer3"])
    return block + before, fields()["layer3"][block - 1 + before]


@functools.lru_cache(maxsize=2)
def effect(seed: int, p: int = 1) -> Array:
    """Return how much each square in the image changes the vector at (0, 0), (7, 7)."""
    circuit = parts("circuit", 1, 0, 0, seed)
    image = prepare(circuit.train[0], backbone().preprocessing)
    batch = np.repeat(image[None], INSIDE * INSIDE, axis=0)
    for n, hidden in enumerate(batch):
        a, b = divmod(n, INSIDE)
        hidden[:, STEP * a : STEP * (a + 1), STEP * b : STEP * (b + 1)] = 0
    reach = p // 2 + 1  # positions outside the map are zero before and after
    maps = backbone()(batch)["layer2"][:, :, :reach, :reach]
    difference = maps - levels(circuit.train)[0][0, :, :reach, :reach]
    change = np.linalg.norm(difference.sum(axis=(2, 3)) / p**2, axis=1)
    return np.asarray(change.reshape(INSIDE, INSIDE))


def _centre(effect: Array, power: int = 2, first: float = STEP / 2, step: int = STEP) -> Array:
    weights, middles = effect.astype(float) ** power, first + step * np.arange(INSIDE)
    rows, columns = weights.sum(axis=1), weights.sum(axis=0)
    return np.array([rows @ middles, columns @ middles]) / weights.sum()


def centre(seed: int) -> Array:
    """Return the row and the column of the middle of the bright spot, in pixels."""
    return _centre(effect(seed))


LAYERS = Question(
    name="01.2",
    title="How many layers are needed?",
    question="After which block of layer3 (counted from 1) is the receptive field wider than the "
    "224 pixels of the image, and how wide is it then?",
    returns="2 whole numbers: block of layer3, side of the field in pixels",
    compute=first_wide_block,
    mistakes=(
        mistake(
            "stride-first",
            "You multiply j by the stride before you use it. The kernel of a layer moves over the "
            "positions of the layer before, so first update r with the old j.",
            lambda seed: _first_wide(fields(stride_first=True)["layer3"]),
        ),
        mistake(
            "kernel-side",
            "You add the whole side of the kernel. A kernel of side 1 adds nothing.",
            lambda seed: _first_wide(fields(minus_one=0)["layer3"]),
        ),
        mistake(
            "from-zero",
            "You count blocks from 0. Count them from 1.",
            lambda seed: (_moved(0)[0] - 1, _moved(0)[1]),
        ),
        mistake(
            "all-levels",
            "You count the blocks of all levels. Count those of layer3 only.",
            lambda seed: (
                _moved(0)[0] + len(ARCHITECTURE["layer1"] + ARCHITECTURE["layer2"]),
                _moved(0)[1],
            ),
        ),
        mistake(
            "last-narrow",
            "This is the last block whose field still fits into the image.",
            lambda seed: _moved(-1),
        ),
        mistake(
            "later-block",
            "This field is wider than the image, but an earlier block already has such a field.",
            lambda seed: _moved(1),
        ),
    ),
)

CORNER = Question(
    name="01.3",
    title="Another position",
    question="Where is the middle of the bright spot of (0, 0), layer2, p = 1? Weight the middles "
    "of the squares with their effects (second powers).",
    returns="2 numbers: row and column in pixels of the image",
    compute=centre,
    mistakes=(
        mistake(
            "not-squared",
            "You weight with the changes. Weight with their second powers, as the chart does.",
            lambda seed: _centre(effect(seed), power=1),
        ),
        mistake(
            "first-pixels",
            "You use the first pixel of each square. Use its middle.",
            lambda seed: _centre(effect(seed), first=0),
        ),
        mistake(
            "in-squares",
            "These are numbers of squares. Convert them to pixels.",
            lambda seed: _centre(effect(seed), first=0, step=1),
            lambda seed: _centre(effect(seed), first=0.5, step=1),
            lambda seed: _centre(effect(seed), first=INSIDE, step=1),
            lambda seed: _centre(effect(seed), first=INSIDE + 0.5, step=1),
        ),
        mistake(
            "not-moved",
            "You count pixels from the first of the 14 × 14 squares. This square is outside the "
            "image: it begins at the pixel `first`.",
            lambda seed: _centre(effect(seed), first=STEP * INSIDE + STEP / 2),
            lambda seed: _centre(effect(seed), first=STEP * INSIDE),
        ),
        mistake(
            "brightest",
            "This is the middle of the brightest square. Use all squares, each with its weight.",
            lambda seed: STEP * np.array(divmod(int(effect(seed).argmax()), INSIDE)) + STEP / 2,
        ),
        mistake(
            "p-three",
            "This is the spot for p = 3. Use p = 1.",
            lambda seed: _centre(effect(seed, p=3)),
        ),
    ),
)

ALL = (LAYERS, CORNER)
