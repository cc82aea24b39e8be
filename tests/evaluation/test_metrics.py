"""The metrics equal those of scikit-learn, and PRO equals its definition."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from minicore.evaluation import metrics

LABEL_METRICS = [
    metrics.image_auroc,
    metrics.average_precision,
    metrics.f1_threshold,
    metrics.roc_curve,
]
MAP_METRICS = [metrics.pixel_auroc, metrics.pro]


@st.composite
def masks_and_maps(draw):
    """Small batches with both classes; `levels` values only, so ties everywhere, or none."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)))
    levels = draw(st.sampled_from([1, 2, 3, 10, 10**6]))
    share = draw(st.sampled_from([0.1, 0.4, 0.8]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = rng.random(shape) < share
    assume(masks.any() and not masks.all())
    maps = rng.integers(0, levels, shape) / levels + 0.3 * masks * draw(st.booleans())
    return masks, maps.astype(dtype)


def literal_pro(masks, maps, max_fpr):
    """The curve at every threshold there is, by counting; then trapezoids up to max_fpr."""
    regions = []
    for i, mask in enumerate(masks):
        labelled, n = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [maps[i][labelled == k] for k in range(1, n + 1)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        overlap = np.mean([np.mean(region >= threshold) for region in regions])
        points.append((np.mean(maps[~masks] >= threshold), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < max_fpr < x1:
            x1, y1 = max_fpr, y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
        if x1 <= max_fpr:
            area += (x1 - x0) * (y0 + y1) / 2
    return area / max_fpr


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(masks_and_maps(), st.sampled_from([0.01, 0.3, 0.5, 1.0]))
def test_pro_is_its_literal_definition_ties_included(case, max_fpr):
    masks, maps = case
    expected = literal_pro(masks, maps, max_fpr)
    assert metrics.pro(masks, maps, max_fpr) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(masks_and_maps())
def test_pixel_metrics_equal_scikit_learns_ties_included(case):
    masks, maps = case
    truth, values = masks.ravel(), maps.ravel()
    auroc, precision = roc_auc_score(truth, values), average_precision_score(truth, values)
    assert metrics.pixel_auroc(masks, maps) == pytest.approx(auroc, rel=1e-12, abs=1e-12)
    assert metrics.image_auroc(truth, values) == metrics.pixel_auroc(masks, maps)
    assert metrics.average_precision(masks, maps) == pytest.approx(precision, rel=1e-12)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(masks_and_maps())
def test_roc_curve_passes_through_every_corner_of_scikit_learns(case):
    labels, scores = (a.ravel() for a in case)
    ours = set(zip(*np.round(metrics.roc_curve(labels, scores), 12), strict=True))
    fpr, tpr, _ = sklearn_roc_curve(labels, scores, drop_intermediate=True)
    corners = np.round([fpr, tpr], 12)
    # scikit-learn keeps some points in the middle of straight lines: those need not be corners.
    turn = np.abs(_turn(corners)) > 1e-9
    assert set(zip(*corners[:, turn], strict=True)) <= ours


def _turn(points):
    """Twice the area of each point's triangle with its neighbours; ends count as corners."""
    step = np.diff(points)
    inner = step[0, :-1] * step[1, 1:] - step[1, :-1] * step[0, 1:]
    return np.concatenate([[1], inner, [1]])


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(masks_and_maps())
def test_f1_threshold_is_the_largest_of_the_best(case):
    labels, scores = (a.ravel() for a in case)
    threshold, f1 = metrics.f1_threshold(labels, scores)
    every = {t: f1_score(labels, scores >= t) for t in np.unique(scores)}
    assert f1 == pytest.approx(max(every.values()), rel=1e-12)
    assert threshold == max(t for t, value in every.items() if value > f1 - 1e-12)


def test_pro_counts_a_small_defect_as_much_as_a_large_one():
    masks, maps = np.zeros((2, 20, 20), int), np.zeros((2, 20, 20), np.float32)
    masks[0, 2:12, 2:12] = 1  # 100 pixels, found
    maps[0, 2:12, 2:12] = 1
    masks[0, 15, 15] = 1  # one pixel, missed, in the other image's company
    assert metrics.pro(masks, maps) == pytest.approx(0.5 + 0.5 * 0.3 / 2)
    assert metrics.pixel_auroc(masks, maps) == pytest.approx((100 + 0.5) / 101)


def test_regions_that_touch_at_a_corner_are_one():
    masks = np.zeros((1, 4, 4), int)
    masks[0, [0, 1, 1], [0, 1, 2]] = 1  # a corner, then an edge
    maps = np.zeros((1, 4, 4))
    maps[0, 0, 0] = 1
    assert metrics.pro(masks, maps, 1.0) == pytest.approx(1 / 3 + 2 / 3 / 2)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, float])
def test_perfect_scores_earn_exactly_one(dtype):
    masks = np.zeros((3, 30, 30), dtype)
    masks[1, 3:10, 3:9] = masks[1, 20:23, 20:27] = masks[2, 0, 0] = 1
    maps = masks.astype(np.float32)
    assert metrics.pixel_auroc(masks, maps) == 1.0
    assert metrics.average_precision(masks, maps) == 1.0
    assert metrics.pro(masks, maps) == 1.0
    assert metrics.pro(masks, -maps) == 0.0
    assert metrics.f1_threshold(masks, maps) == (1.0, 1.0)


def test_lists_do():
    assert metrics.image_auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert metrics.f1_threshold([0, 1, 0, 1], [1, 2, 3, 4]) == (2.0, 0.8)


def test_of_equal_f1_the_threshold_with_fewest_alarms_wins():
    # At 4: one of two caught, no false alarm. At 1: both, with two. F1 is 2/3 at either.
    assert metrics.f1_threshold([1, 0, 0, 1], [4, 3, 2, 1]) == (4.0, pytest.approx(2 / 3))


@pytest.mark.parametrize("metric", LABEL_METRICS)
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [1.0, 2.0, 3.0], r"labels and scores .* same shape.*\(2,\) and \(3,\)"),
        ([0, 0], [1.0, 2.0], "labels must contain both .* got 0 anomalous of 2"),
        ([1, 1], [1.0, 2.0], "labels must contain both .* got 2 anomalous of 2"),
        ([], [], "labels must contain both .* got 0 anomalous of 0"),
        ([1, -1], [1.0, 2.0], r"labels must be 0 \(good\) or 1 \(anomalous\), got -1"),
        ([0, 1], [1.0, np.nan], "scores must be finite"),
        ([0, 1], [-np.inf, 1.0], "scores must be finite"),
        ([0, 1], ["a", "b"], "scores must be real numbers"),
    ],
)
def test_undefined_cases_say_so_in_one_line(metric, labels, scores, message):
    with pytest.raises(ValueError, match=message) as error:
        metric(labels, scores)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("metric", MAP_METRICS)
@pytest.mark.parametrize(
    ("masks", "maps", "message"),
    [
        (np.ones((2, 4, 4)), np.ones((2, 4, 5)), r"masks and maps .*\(n, h, w\), got \(2, 4, 4\)"),
        (np.eye(4), np.eye(4), r"\(n, h, w\), got \(4, 4\) and \(4, 4\)"),
        (
            np.zeros((2, 4, 4)),
            np.ones((2, 4, 4)),
            "masks must contain both .* got 0 anomalous of 32",
        ),
        (np.eye(4)[None] * 255, np.eye(4)[None], "masks must be 0 .* got 255"),
        (np.eye(4)[None], np.full((1, 4, 4), np.nan), "maps must be finite"),
    ],
)
def test_undefined_maps_say_so_in_one_line(metric, masks, maps, message):
    with pytest.raises(ValueError, match=message):
        metric(masks, maps)


@pytest.mark.parametrize("max_fpr", [0, -0.1, 1.1, np.nan])
def test_pro_names_a_wrong_limit(max_fpr):
    with pytest.raises(ValueError, match="max_fpr"):
        metrics.pro(np.eye(4)[None], np.eye(4)[None], max_fpr)


@pytest.mark.parametrize("metric", [*MAP_METRICS, metrics.average_precision, metrics.f1_threshold])
@pytest.mark.parametrize(("share", "multiple"), [(0.05, 1.9), (0.2, 3.7)])
def test_pixel_metrics_hold_few_copies(metric, share, multiple):
    """The multiples stated in the module: the peak grows with the maps by no more than this."""
    n = 20
    maps = np.random.default_rng(0).random((n, 224, 224), dtype=np.float32)
    masks = np.zeros(maps.shape, bool)
    masks[: n // 2, :, : round(2 * share * 224)] = True
    before = maps.copy()
    tracemalloc.start()
    metric(masks, maps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < multiple * maps.nbytes
    assert np.array_equal(maps, before)


@pytest.mark.parametrize("metric", MAP_METRICS)
def test_masks_of_another_number_or_shape_than_the_maps_are_refused(metric):
    maps, masks = np.zeros((3, 4, 5)), np.eye(4, 5, dtype=bool)[None].repeat(3, 0)
    for some in (
        masks[:2],
        np.concatenate([masks, masks]),
        masks[0],
        masks[:, :3],
        list(masks[:1]),
    ):
        with pytest.raises(ValueError, match=r"^masks and maps must have the same shape \(n, h, w"):
            metric(some, maps)
    with pytest.raises(
        ValueError, match=r"^masks must be one array, got parts of different shapes"
    ):
        metric([masks[0], masks[1], masks[2][:3]], maps)
    with pytest.raises(ValueError, match=r"^maps must be one array, got parts of different shapes"):
        metric(masks, [maps[0], maps[1], maps[2][:3]])
    with pytest.raises(ValueError, match=r"^masks must be 0 \(good\) or 1 \(anomalous\), got nan"):
        metric(np.where(masks, np.nan, 0), maps)
