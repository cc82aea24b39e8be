"""Questions of notebook 04: a budget, and half the bytes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minicore import equations, fast
from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import parts, patches

BUDGET, CROP, D, SHARE = 16e9, 320, 1024, 0.01
EVERY = 32  # of the rows of the bank


def images_that_fit(
    size: float = BUDGET, crop: int = CROP, D: int = D, share: float = 1, number: int = 4
) -> float:
    """Return how many images fit into a bank of this size in bytes; a fraction."""
    return size / ((crop // 8) ** 2 * D * number * share)


def _both(size: float = BUDGET, crop: int = CROP, D: int = D, number: int = 4) -> tuple[int, int]:
    return (
        int(images_that_fit(size, crop, D, 1, number)),
        int(images_that_fit(size, crop, D, SHARE, number)),
    )


def budget(seed: int) -> tuple[int, int]:
    """Return how many images fit with all rows, and with 1 % of them."""
    return _both()


@functools.lru_cache(maxsize=1)
def _bank(seed: int) -> tuple[Array, Array]:
    """Return the bank of the blister packs, and the patches of the first empty pocket."""
    blister = parts("blister", 24, 0, 12, seed)
    P_test = patches(blister.test[blister.kinds == "missing"])
    return equations.memory_bank(patches(blister.train)), P_test[0].reshape(784, -1)


@functools.lru_cache(maxsize=1)
def _changes(seed: int) -> tuple[Array, Array, Array]:
    """Return the change of some rows, their distance to another row, and changed neighbours."""
    M, queries = _bank(seed)
    half = M.astype(np.float16).astype(np.float32)
    other = fast.nearest(M[::EVERY], M, 2)[0][:, 1]
    changed = fast.nearest(queries, M)[1] != fast.nearest(queries, half)[1]
    return np.linalg.norm(half[::EVERY] - M[::EVERY], axis=1), other, changed


def half_the_bytes(seed: int) -> tuple[float, int]:
    """Return the median relative change of a row, and the patches with another nearest row."""
    change, other, changed = _changes(seed)
    return float(np.median(change / other)), int(changed.sum())


def _other_quotient(seed: int, quotient: Any) -> tuple[float, int]:
    """Return the answer with another first number."""
    return float(quotient), half_the_bytes(seed)[1]


def _lengths(seed: int) -> Array:
    return np.linalg.norm(_bank(seed)[0][::EVERY], axis=1)


MEMORY = Question(
    name="04.2",
    title="A budget",
    question="How many images with a crop of 320 pixels fit into a bank of 16 GB (16 · 10⁹ bytes), "
    "D = 1024, float32: with all rows, and with 1 % of the rows?",
    returns="2 whole numbers: all rows, 1 % of the rows",
    compute=budget,
    mistakes=(
        mistake(
            "rounded-up",
            "The last image does not fit completely. Round down.",
            lambda seed: tuple(count + 1 for count in _both()),
        ),
        mistake(
            "rounded-twice",
            "You multiply a number that is already rounded. Round only the result.",
            lambda seed: (_both()[0], int(_both()[0] / SHARE)),
        ),
        mistake(
            "binary",
            "You use GB of 2³⁰ bytes. Here a GB has 10⁹ bytes.",
            lambda seed: _both(size=16 * 2**30),
        ),
        mistake(
            "crop",
            "You use a crop of 224 pixels. Use 320.",
            lambda seed: _both(crop=224),
        ),
        mistake(
            "pixels",
            "You use one patch for each pixel. There is one patch for every 8 × 8 pixels.",
            lambda seed: _both(crop=8 * CROP),
        ),
        mistake(
            "dimension",
            "You use the 384 numbers of the network of this notebook. Use those of the paper's "
            "network.",
            lambda seed: _both(D=384),
        ),
        mistake(
            "bytes-per-number",
            "A float32 has 4 bytes. You use another number.",
            lambda seed: _both(number=8),
            lambda seed: _both(number=2),
            lambda seed: _both(number=1),
        ),
        mistake(
            "share-reversed",
            "If you keep fewer rows, more images fit.",
            lambda seed: (_both()[0], int(images_that_fit() * SHARE)),
        ),
    ),
)

HALF = Question(
    name="04.3",
    title="Half the bytes",
    question="Divide the change of each row of M[::32] in float16 by its distance to the nearest "
    "other row of M; take the median. For how many of the 784 patches of P_test[0] (missing) does "
    "the nearest row change?",
    returns="2 numbers: median (a fraction), patches (a whole number)",
    compute=half_the_bytes,
    mistakes=(
        mistake(
            "mean",
            "You take the mean. Take the median, over the quotients.",
            lambda seed: _other_quotient(seed, np.mean(_changes(seed)[0] / _changes(seed)[1])),
            lambda seed: _other_quotient(seed, _changes(seed)[0].mean() / _changes(seed)[1].mean()),
        ),
        mistake(
            "not-divided",
            "This is the change of a row itself. Divide it by the distance to another row.",
            lambda seed: _other_quotient(seed, np.median(_changes(seed)[0])),
        ),
        mistake(
            "length",
            "You divide by the length of the row. Divide by the distance to the nearest other row.",
            lambda seed: _other_quotient(seed, np.median(_changes(seed)[0] / _lengths(seed))),
        ),
        mistake(
            "inverted",
            "You divide the distance by the change. Divide the other way round.",
            lambda seed: _other_quotient(seed, np.median(_changes(seed)[1] / _changes(seed)[0])),
        ),
        mistake(
            "not-changed",
            "You count the patches that keep their nearest row. Count the others.",
            lambda seed: (half_the_bytes(seed)[0], 784 - half_the_bytes(seed)[1]),
        ),
    ),
)

ALL = (MEMORY, HALF)
