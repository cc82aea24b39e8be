"""Questions of notebook 00: a small coreset, and the neighbourhood."""

from __future__ import annotations

import functools

import numpy as np

from minicore import equations, fast
from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import largest, levels, parts

D_STAR, PART, SMALLEST = 128, 20, 320  # the notebook keeps 1/20 of the rows


@functools.lru_cache(maxsize=1)
def _levels(seed: int) -> tuple[tuple[Array, ...], ...]:
    """Return the feature maps of the training gears, the good gear and the defective gear."""
    gear = parts("gear", 12, 6, 12, seed)
    bad_one = gear.first("missing")
    return tuple(levels(images) for images in (gear.train, gear.test[:1], gear.test[[bad_one]]))


@functools.lru_cache(maxsize=4)
def _patches(seed: int, p: int) -> tuple[Array, Array]:
    """Return the bank, and the patches of the good and of the defective gear."""
    train, good, bad = (fast.patch_features(maps, p) for maps in _levels(seed))
    return equations.memory_bank(train), np.concatenate([good, bad])


@functools.lru_cache(maxsize=16)
def _stars(seed: int, part: int = PART, p: int = 3, bank_p: int | None = None) -> Array:
    """Return s* of the good and of the defective gear; part = 1 searches the whole bank."""
    M, _ = _patches(seed, bank_p or p)
    _, queries = _patches(seed, p)
    if part > 1:
        psi = equations.projection(M.shape[1], D_STAR, seed=0)
        M = M[fast.greedy_coreset(M @ psi, len(M) // part)]
    return largest(queries, M)


def growth(seed: int) -> Array:
    """Return how much s* of the good and of the defective gear grow with a smaller coreset."""
    return _stars(seed, SMALLEST) - _stars(seed)


def ratios(seed: int) -> Array:
    """Return s* of the defective gear divided by that of the good gear, for p = 1, 3, 5."""
    return _ratios(seed)


def _ratios(seed: int, part: int = PART, bank_p: int | None = None) -> Array:
    stars = np.array([_stars(seed, part, p, bank_p) for p in (1, 3, 5)])
    return np.asarray(stars[:, 1] / stars[:, 0])


def _differences(seed: int) -> Array:
    stars = np.array([_stars(seed, p=p) for p in (1, 3, 5)])
    return np.asarray(stars[:, 1] - stars[:, 0])


SMALL_CORESET = Question(
    name="00.1",
    title="How small can the coreset be?",
    question="By how much does s* grow, in the coreset, if l = len(M) // 320 instead of // 20: for "
    "the good part and for the defect?",
    returns="2 numbers: good part, defect",
    compute=growth,
    mistakes=(
        mistake(
            "whole-bank",
            "You use the distances in all of M. They do not depend on the coreset. Use the "
            "distances in the coreset.",
            lambda seed: _stars(seed, 1) - _stars(seed, 1),
            lambda seed: _stars(seed, SMALLEST) - _stars(seed, 1),
        ),
        mistake(
            "not-a-difference",
            "These are the values of s* themselves. Subtract those of the larger coreset.",
            lambda seed: _stars(seed, SMALLEST),
        ),
        mistake(
            "quotient",
            "You divide the two values of s*. Subtract them.",
            lambda seed: _stars(seed, SMALLEST) / _stars(seed),
            lambda seed: _stars(seed, SMALLEST) / _stars(seed) - 1,
        ),
        mistake(
            "other-size",
            "Your small coreset has another number of rows. Halve it four times.",
            lambda seed: _stars(seed, 160) - _stars(seed),
            lambda seed: _stars(seed, 80) - _stars(seed),
            lambda seed: _stars(seed, 40) - _stars(seed),
        ),
        mistake(
            "last-step",
            "You compare with the step before. Compare with the coreset of the notebook.",
            lambda seed: _stars(seed, SMALLEST) - _stars(seed, 160),
        ),
    ),
)

NEIGHBOURHOOD = Question(
    name="00.2",
    title="What does the neighbourhood do?",
    question="Divide s* of the defect by s* of the good part, both in the coreset, for p = 1, 3 "
    "and 5.",
    returns="3 numbers: p = 1, p = 3, p = 5",
    compute=ratios,
    mistakes=(
        mistake(
            "inverted",
            "You divide the good part by the defect. Divide the defect by the good part.",
            lambda seed: 1 / _ratios(seed),
        ),
        mistake(
            "old-memory",
            "The patches have the new p, but the memory bank still has p = 3. Run all cells after "
            "the change.",
            lambda seed: _ratios(seed, bank_p=3),
        ),
        mistake(
            "whole-bank",
            "You use the distances in all of M. Use the distances in the coreset.",
            lambda seed: _ratios(seed, part=1),
        ),
        mistake(
            "difference",
            "You subtract the two values of s*. All distances become smaller as p grows, so divide "
            "them.",
            _differences,
        ),
    ),
)

ALL = (SMALL_CORESET, NEIGHBOURHOOD)
