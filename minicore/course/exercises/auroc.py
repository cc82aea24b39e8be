"""Exercise on the AUROC: how well scores part good from anomalous."""

import numpy as np

from minicore.course.exercise import Case, Exercise, Hint, mistake
from minicore.evaluation import metrics


def auroc(labels, scores):
    """How well the scores part the classes."""
    return metrics.image_auroc(labels, scores)


def _pairs(labels, scores, tie):
    bad, good = scores[labels == 1][:, None], scores[labels == 0][None]
    return float((bad > good).mean() + tie * (bad == good).mean())


def _trapezoid(labels, scores, ascending=False):
    """Take the area under the curve with samples one by one, ties in the order given."""
    order = np.argsort(scores if ascending else -scores, kind="stable")
    hit = np.concatenate([[0], np.cumsum(labels[order] == 1)]) / (labels == 1).sum()
    alarm = np.concatenate([[0], np.cumsum(labels[order] == 0)]) / (labels == 0).sum()
    return float(((hit[1:] + hit[:-1]) / 2 * np.diff(alarm)).sum())


def _labels(seed, n, levels):
    """Seeded labels, and scores of so many different values, (n,) each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3 == 0).astype(np.int64)
    return labels, (rng.normal(labels, 1.0) * levels).round() / levels


_EQUAL_SCORES = Hint(
    "ties", "Right until a good and an anomalous image have the same score: that pair counts half."
)

AUROC = Exercise(
    name="auroc",
    title="AUROC",
    question="The probability that an anomalous image (label 1) has a higher score than a good one "
    "(label 0), over all pairs; a pair of equal scores counts half.",
    returns="float",
    reference=auroc,
    cases=(
        Case("twelve images", _labels(1, 12, 1000)),
        Case("thirty images", _labels(2, 30, 1000)),
        Case("all apart", (np.array([0, 1, 0, 1]), np.array([0.1, 0.8, 0.3, 0.9]))),
        Case("all the wrong way round", (np.array([1, 0]), np.array([0.2, 0.7]))),
        Case("some equal scores", _labels(3, 30, 1), _EQUAL_SCORES),
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
            "The wrong way round: a higher score means more anomalous, and 1 is anomalous.",
            lambda labels, scores: 1 - _pairs(labels, scores, 0.5),
            lambda labels, scores: _pairs(1 - labels, scores, 0),
            lambda labels, scores: _pairs(1 - labels, scores, 1),
            lambda labels, scores: _trapezoid(labels, scores, ascending=True),
        ),
        mistake(
            "divisor",
            "The pairs are counted rightly and divided wrongly: how many pairs of a good and an "
            "anomalous image are there?",
            lambda labels, scores: _times(labels, scores, len(labels) ** -2),
            lambda labels, scores: _times(labels, scores, 2 / len(labels) / (len(labels) - 1)),
            lambda labels, scores: _times(labels, scores, 1 / len(labels)),
            lambda labels, scores: _times(labels, scores, 1.0),
        ),
        mistake(
            "percent",
            "A probability is between 0 and 1; this is per cent.",
            lambda labels, scores: 100 * _pairs(labels, scores, 0.5),
        ),
        mistake(
            "accuracy",
            "This is the share of images that one threshold gets right. The AUROC needs no "
            "threshold: it compares every anomalous image with every good one.",
            lambda labels, scores: float(((scores > 0.5) == labels).mean()),
            lambda labels, scores: float(((scores >= 0.5) == labels).mean()),
            lambda labels, scores: float(((scores > scores.mean()) == labels).mean()),
            lambda labels, scores: float(((scores > np.median(scores)) == labels).mean()),
        ),
        mistake(
            "average-precision",
            "This is the area under the precision–recall curve. The AUROC is another: it does not "
            "depend on how many anomalous images there are.",
            lambda labels, scores: metrics.average_precision(labels, scores),
        ),
        mistake(
            "correlation",
            "This is the correlation of scores and labels; count pairs instead.",
            lambda labels, scores: float(np.corrcoef(labels, scores)[0, 1]),
        ),
    ),
)


def _times(labels, scores, factor):
    return _pairs(labels, scores, 0.5) * (labels == 1).sum() * (labels == 0).sum() * factor


ALL = (AUROC,)
