"""Scores: histogram, ROC curve and bars of seconds."""

import numpy as np
import pytest

from minicore import plots
from minicore.evaluation import metrics


def test_histogram_counts_every_image_and_no_bar_crosses_the_threshold(scored):
    labels, scores = scored
    threshold = float(np.median(scores))  # between scores
    axes = plots.histogram(labels, scores, threshold).axes[0]
    filled = list(axes.containers)  # the outlines are not containers
    assert [sum(p.get_height() for p in bars) for bars in filled] == [40, 30]
    right = [p for bars in filled for p in bars if p.get_x() >= threshold - 1e-9]
    left = [p for bars in filled for p in bars if p.get_x() + p.get_width() <= threshold + 1e-9]
    assert len(left) + len(right) == sum(map(len, filled))
    assert sum(p.get_height() for p in right) == np.sum(scores >= threshold)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "good (40)", "anomalous (30)", f"threshold {threshold:.3g}",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [None, -1e3, 0.5, 2.0, 1e3])
def test_histogram_accepts_few_scores_equal_scores_and_one_class(threshold):
    for labels, scores in (([0], [2.0]), ([1, 1, 1], [2, 2, 2]), ([0, 1], [0.1, 0.7])):
        plots.histogram(labels, scores, threshold)._repr_png_()


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [1.0], r"same shape \(n,\), n ≥ 1, got \(2,\) and \(1,\)"),
        ([], [], "n ≥ 1"),
        ([0, 2], [1, 2], "labels must be 0"),
        ([0, 1], [1, np.inf], "scores must be finite"),
    ],
)
def test_histogram_raises_errors_that_name_the_wrong_argument(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        plots.histogram(labels, scores)


def test_roc_draws_the_curve_and_writes_its_area(scored):
    axes = plots.roc(*scored).axes[0]
    drawn = np.array([axes.lines[-1].get_xdata(), axes.lines[-1].get_ydata()])
    assert np.array_equal(drawn, metrics.roc_curve(*scored))
    assert f"AUROC {100 * metrics.image_auroc(*scored):.2f} %" in [t.get_text() for t in axes.texts]
    assert axes.get_xlim() == axes.get_ylim() == (0, 1)


def test_timings_draw_one_bar_and_one_number_per_stage_from_top_to_bottom():
    seconds = {"decode": 0.31, "backbone": 2.4, "patches": 0.0189, "score": 19.4e-6}
    axes = plots.timings(seconds).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx(list(seconds.values()))
    assert [t.get_text() for t in axes.texts] == ["310 ms", "2.4 s", "18.9 ms", "19.4 µs"]
    assert axes.yaxis_inverted() and axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 19.4e-6 and axes.get_xlim()[1] > 2.4


@pytest.mark.parametrize("seconds", [{}, {"a": 0.0}, {"a": -1.0}, {"a": float("nan")}])
def test_timings_must_be_positive(seconds):
    with pytest.raises(ValueError, match="seconds must be positive and finite"):
        plots.timings(seconds)
