"""Question of notebook 06: a missing part on a board and in a pack."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicore.course.exercise import Array, mistake
from minicore.course.question import Question
from minicore.course.questions.drawn_parts import backbone, parts
from minicore.patchcore.estimator import PatchCore

GOOD = {"circuit": 4, "blister": 6}  # good test images of each part
Summary = Callable[..., Any]


@functools.lru_cache(maxsize=2)
def _scores(seed: int, category: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return s* and s of the good test images and of those with a missing part."""
    data = parts(category, 12, GOOD[category], 12, seed)
    model = PatchCore(
        backbone(), coreset_ratio=0.05, seed=0, false_positive_rate=None, progress=False
    ).fit(data.train)
    chosen = np.isin(data.kinds, ("good", "missing"))
    found = model.detect(data.test[chosen])
    rows = {kind: data.kinds[chosen] == kind for kind in ("good", "missing")}
    return (
        {kind: found.distances[of] for kind, of in rows.items()},
        {kind: found.scores[of] for kind, of in rows.items()},
    )


def _quotients(
    seed: int, missing: Summary = np.mean, good: Summary = np.max, reweighted: bool = False
) -> Array:
    found = [_scores(seed, category)[reweighted] for category in GOOD]
    return np.array([missing(s["missing"]) / good(s["good"]) for s in found])


def missing_to_good(seed: int) -> Array:
    """Return the mean s* of a missing part divided by the largest good s*: boards, packs."""
    return _quotients(seed)


MISSING = Question(
    name="06.3",
    title="What equation 6 cannot find",
    question="Divide the mean s* of the images with a missing part by the largest s* of a good "
    "image: for the circuit boards, and for the blister packs.",
    returns="2 numbers: boards, packs",
    compute=missing_to_good,
    mistakes=(
        mistake(
            "reweighted",
            "You use the scores of equation 7. Use the distances of equation 6.",
            lambda seed: _quotients(seed, reweighted=True),
        ),
        mistake(
            "mean-of-good",
            "You divide by the mean of the good images. Divide by the largest of them: a threshold "
            "must be above it.",
            lambda seed: _quotients(seed, good=np.mean),
        ),
        mistake(
            "largest-missing",
            "You use only one of the images with a missing part. Take the mean of both.",
            lambda seed: _quotients(seed, missing=np.max),
            lambda seed: _quotients(seed, missing=np.min),
        ),
        mistake(
            "inverted",
            "You divide the good image by the images with a missing part.",
            lambda seed: 1 / _quotients(seed),
        ),
        mistake(
            "difference",
            "You subtract. Boards and packs have different distances, so divide.",
            lambda seed: np.array(
                [
                    s["missing"].mean() - s["good"].max()
                    for s in (_scores(seed, category)[0] for category in GOOD)
                ]
            ),
        ),
    ),
)

ALL = (MISSING,)
