"""Question of notebook 07: pairs of images that can change places."""

from __future__ import annotations

import functools

import numpy as np

from minicore import equations, fast
from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import backbone, parts, patches
from minicore.evaluation import metrics
from minicore.patchcore.estimator import PatchCore

SIZES, B = (16, 12, 24), 2


@functools.lru_cache(maxsize=1)
def _decided(seed: int) -> tuple[Array, Array, Array, Array]:
    """Return the labels, s*, the deciding patches, and the bank with 1 % of the rows."""
    gear = parts("gear", *SIZES, seed)
    model = PatchCore(
        backbone(), coreset_ratio=0.01, seed=0, false_positive_rate=None, progress=False
    ).fit(gear.train)
    P, bank = patches(gear.test).reshape(len(gear.test), 784, -1), model.memory_bank_
    distances = fast.nearest(P.reshape(-1, P.shape[2]), bank)[0].reshape(len(P), -1)
    deciding = P[np.arange(len(P)), distances.argmax(axis=1)]
    return gear.labels, distances.max(axis=1), deciding, bank


@functools.lru_cache(maxsize=8)
def _scores(seed: int, b: int, around_patch: bool = False) -> Array:
    """Return equation 7; `around_patch` uses the wrong neighbourhood."""
    _, _, deciding, bank = _decided(seed)
    s = []
    for m_test in deciding:
        m_star = fast.nearest(m_test[None], bank)[1][0, 0]
        centre = m_test if around_patch else bank[m_star]
        rows = fast.nearest(centre[None], bank, b)[1][0]
        distances = np.linalg.norm(m_test.astype(float) - bank[rows], axis=1)
        s.append(equations.reweight(distances.min(), distances))
    return np.array(s)


def _answer(
    seed: int, b: int = B, bound: int = B, around_patch: bool = False
) -> tuple[int, int, float]:
    """Return the pairs close enough, the pairs that change places, and AUROC."""
    labels, s_star, _, _ = _decided(seed)
    s = _scores(seed, b, around_patch)
    good, bad = labels == 0, labels == 1
    before, after = (x[bad][:, None] > x[good] for x in (s_star, s))
    ratio = s_star[bad][:, None] / s_star[good]
    near = (ratio > 1 - 1 / bound) & (ratio < bound / (bound - 1))
    return int(near.sum()), int((before != after).sum()), metrics.image_auroc(labels, s)


def pairs(seed: int) -> tuple[int, int, float]:
    """Return the answer for b = 2."""
    return _answer(seed)


def _one_way(seed: int, better: bool) -> tuple[int, int, float]:
    labels, s_star, _, _ = _decided(seed)
    good, bad = labels == 0, labels == 1
    before, after = (x[bad][:, None] > x[good] for x in (s_star, _scores(seed, B)))
    moved = (after & ~before) if better else (before & ~after)
    return pairs(seed)[0], int(moved.sum()), pairs(seed)[2]


def _equation_6(seed: int) -> float:
    labels, s_star, _, _ = _decided(seed)
    return metrics.image_auroc(labels, s_star)


PAIRS = Question(
    name="07.2",
    title="Which pairs?",
    question="With b = 2: how many pairs are close enough to change places, how many change "
    "places, and what is the AUROC of the new scores (0 to 1)?",
    returns="3 numbers: pairs close enough, pairs that change places, AUROC",
    compute=pairs,
    mistakes=(
        mistake(
            "old-bounds",
            "Your bounds are those of b = 9. With b = 2, by which factor may two s* differ?",
            lambda seed: _answer(seed, bound=9),
        ),
        mistake(
            "nine",
            "These are the scores of b = 9.",
            lambda seed: _answer(seed, b=9),
        ),
        mistake(
            "patch-neighbours",
            "You use the two memories nearest to the test patch. Use those nearest to m*.",
            lambda seed: _answer(seed, around_patch=True),
        ),
        mistake(
            "one-direction",
            "You count only pairs that became right, or only pairs that became wrong. Count both.",
            lambda seed: _one_way(seed, better=True),
            lambda seed: _one_way(seed, better=False),
        ),
        mistake(
            "equation-6",
            "This is the AUROC of s*. Use the new scores.",
            lambda seed: (*pairs(seed)[:2], _equation_6(seed)),
        ),
        mistake(
            "reversed",
            "Below one half of the pairs would be right. Are good and defective exchanged?",
            lambda seed: (*pairs(seed)[:2], 1 - pairs(seed)[2]),
        ),
    ),
)

ALL = (PAIRS,)
