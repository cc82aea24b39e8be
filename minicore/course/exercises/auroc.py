"""Exercise on the AUROC: how well the scores separate good and anomalous images."""

import numpy as np

from minicore.course.exercise import Array, Case, Draw, Exercise, Hint, mistake
from minicore.evaluation import metrics


def auroc(labels: Array, scores: Array) -> float:
    """Return the area under the ROC curve."""
    return metrics.image_auroc(labels, scores)


def _pairs(labels: Array, scores: Array, tie: float) -> float:
    """Return the share of correctly ordered pairs; a pair of equal scores counts `tie`."""
    bad, good = scores[labels == 1][:, None], scores[labels == 0][None]
    return float((bad > good).mean() + tie * (bad == good).mean())


def _trapezoid(labels: Array, scores: Array, ascending: bool = False) -> float:
    """Return the area under a curve with one point per image; ties stay in the input order."""
    order = np.argsort(scores if ascending else -scores, kind="stable")
    hit = np.concatenate([[0], np.cumsum(labels[order] == 1)]) / (labels == 1).sum()
    alarm = np.concatenate([[0], np.cumsum(labels[order] == 0)]) / (labels == 0).sum()
    return float(((hit[1:] + hit[:-1]) / 2 * np.diff(alarm)).sum())


def _labels(draw: Draw, key: int, n: int, levels: int) -> tuple[Array, Array]:
    """Return random labels and scores, (n,) each; scores are rounded to 1 / `levels`."""
    rng = draw.generator(key)
    labels = rng.permutation(np.arange(n) % 3 == 0).astype(np.int64)
    return labels, (rng.normal(labels, 1.0) * levels).round() / levels


_EQUAL_SCORES = Hint(
    "ties",
    "Your result is right if all scores are different. If a good and an anomalous image have the "
    "same score, the pair counts one half.",
)

AUROC = Exercise(
    name="auroc",
    title="AUROC",
    question="Return the probability that an anomalous image (label 1) has a higher score than a "
    "good image (label 0). Use all pairs. A pair with equal scores counts one half.",
    goal="compute the AUROC from pairs, also with equal scores",
    minutes=10,
    returns="float",
    reference=auroc,
    make=lambda draw: (
        Case("twelve images", _labels(draw, 1, 12, 1000)),
        Case("thirty images", _labels(draw, 2, 30, 1000)),
        Case("separated classes", (np.array([0, 1, 0, 1]), np.array([0.1, 0.8, 0.3, 0.9]))),
        Case("wrong order", (np.array([1, 0]), np.array([0.2, 0.7]))),
        Case("some equal scores", _labels(draw, 3, 30, 1), _EQUAL_SCORES),
        Case("all scores equal", (np.array([0, 1, 0, 1, 1]), np.full(5, 0.5)), _EQUAL_SCORES),
    ),
    mistakes=(
        mistake(
            "ties",
            _EQUAL_SCORES.words,
            lambda labels, scores: _pairs(labels, scores, 0),
            lambda labels, scores: _pairs(labels, scores, 1),
            _trapezoid,
        ),
        mistake(
            "reversed",
            "The order is reversed. A higher score means more anomalous. Label 1 means anomalous.",
            lambda labels, scores: 1 - _pairs(labels, scores, 0.5),
            lambda labels, scores: _pairs(1 - labels, scores, 0),
            lambda labels, scores: _pairs(1 - labels, scores, 1),
            lambda labels, scores: _trapezoid(labels, scores, ascending=True),
        ),
        mistake(
            "divisor",
            "The count is right, but the divisor is wrong. How many pairs of one good and one "
            "anomalous image are there?",
            lambda labels, scores: _times(labels, scores, len(labels) ** -2),
            lambda labels, scores: _times(labels, scores, 2 / len(labels) / (len(labels) - 1)),
            lambda labels, scores: _times(labels, scores, 1 / len(labels)),
            lambda labels, scores: _times(labels, scores, 1.0),
        ),
        mistake(
            "percent",
            "Your result is in per cent. A probability is between 0 and 1.",
            lambda labels, scores: 100 * _pairs(labels, scores, 0.5),
        ),
        mistake(
            "accuracy",
            "This is the accuracy for one threshold. The AUROC needs no threshold. It compares "
            "every anomalous image with every good image.",
            lambda labels, scores: float(((scores > 0.5) == labels).mean()),
            lambda labels, scores: float(((scores >= 0.5) == labels).mean()),
            lambda labels, scores: float(((scores > scores.mean()) == labels).mean()),
            lambda labels, scores: float(((scores > np.median(scores)) == labels).mean()),
        ),
        mistake(
            "average-precision",
            "This is the area under the precision–recall curve. The AUROC is a different area: it "
            "does not depend on the number of anomalous images.",
            lambda labels, scores: metrics.average_precision(labels, scores),
        ),
        mistake(
            "correlation",
            "This is the correlation of scores and labels. Count pairs instead.",
            lambda labels, scores: float(np.corrcoef(labels, scores)[0, 1]),
        ),
    ),
)


def _times(labels: Array, scores: Array, factor: float) -> float:
    """Return the number of correctly ordered pairs times a factor."""
    pairs = int((labels == 1).sum() * (labels == 0).sum())
    return _pairs(labels, scores, 0.5) * pairs * factor


ALL = (AUROC,)
