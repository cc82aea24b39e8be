"""The threshold and p-values: a Gumbel distribution of scores of images that are left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from minicore import Ensemble, PatchCore, datasets
from minicore.errors import MinicoreWarning
from minicore.patchcore.threshold import gumbel, p_values, threshold

some_scores = arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 100, width=32))
RATES = st.floats(0.001, 0.999)


@given(st.floats(-5, 5), st.floats(0.1, 5), st.integers(0, 100))
def test_the_distribution_of_many_scores_is_found(mu, beta, seed):
    scores = stats.gumbel_r.rvs(mu, beta, size=20_000, random_state=seed)
    assert gumbel(scores) == pytest.approx((mu, beta), abs=0.05 * beta)


@given(some_scores)
def test_the_distribution_has_the_mean_and_the_deviation_of_the_scores(scores):
    mean, variance = stats.gumbel_r.stats(*gumbel(scores), moments="mv")
    assert mean == pytest.approx(scores.mean(), rel=1e-9, abs=1e-9)
    assert np.sqrt(variance) == pytest.approx(scores.std(ddof=1), rel=1e-9, abs=1e-9)


@given(some_scores, RATES)
def test_the_threshold_is_a_quantile(scores, rate):
    mu, beta = gumbel(scores)
    expected = stats.gumbel_r.isf(rate, mu, beta)
    assert threshold(scores, rate) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(some_scores, st.floats(-1000, 1000), RATES)
def test_a_score_is_above_the_threshold_if_its_p_value_is_below_the_rate(scores, s, rate):
    limit = threshold(scores, rate)
    (p,) = p_values(np.array([s]), scores)
    assert 0 <= p <= 1
    if abs(s - limit) > 1e-9 * max(1, abs(limit)):
        assert (s > limit) == (p < rate)


@given(some_scores)
def test_p_values_fall_with_the_score(scores):
    p = p_values(np.linspace(-10, 200, 50), scores)
    assert (np.diff(p) <= 0).all() and p[0] > 0.3 and p[-1] < 0.7


def test_equal_scores_give_a_threshold():
    scores = np.full(4, 3.0)
    assert threshold(scores, 0.05) == 3
    assert list(p_values(np.array([2.9, 3.1]), scores)) == [1, 0]


def test_new_good_images_are_called_anomalous_about_as_rarely_as_asked(tiny):
    parts = datasets.synthetic("fabric", n_train=30, n_good=60, n_defective=0, size=128)
    model = PatchCore(tiny, false_positive_rate=0.2, progress=False).fit(parts.train)
    p = model.p_value(parts.test)
    assert len(model.calibration_scores_) == 30
    assert np.array_equal(model.predict(parts.test) == -1, p < 0.2)
    assert 0.02 < np.mean(p < 0.2) < 0.4  # 12 of 60; the chance of a number outside is tiny
    assert np.array_equal(p, p_values(model.anomaly_score(parts.test), model.calibration_scores_))


@pytest.mark.parametrize("n, rate", [(4, None), (1, 0.05)])
def test_without_a_threshold_there_are_scores_and_predict_refuses(tiny, gear, n, rate):
    model = PatchCore(tiny, false_positive_rate=rate, b=2).fit(gear.train[:n])
    assert model.threshold_ is model.map_threshold_ is None and model.calibration_scores_.size == 0
    assert model.anomaly_score(gear.test).shape == (10,)
    for refused in (model.predict, model.decision_function, model.p_value):
        with pytest.raises(ValueError, match=r"no threshold: fit it with false_positive_rate set"):
            refused(gear.test)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float32", "float16", "disk"])
@pytest.mark.parametrize("times", [2, 3])
def test_copies_of_images_do_not_lower_the_threshold(tiny, gear, storage, times):
    options = {"coreset_ratio": 0.5, "bank_storage": storage, "progress": False}
    once = PatchCore(tiny, **options).fit(gear.train)
    several = PatchCore(tiny, **options)
    with pytest.warns(MinicoreWarning, match=f"{12 * (times - 1)} of {12 * times} training images"):
        several.fit(np.concatenate([gear.train] * times))
    assert len(several.calibration_scores_) == len(once.calibration_scores_) == 12
    assert several.threshold_ > 0.5 * once.threshold_  # 0, if copies were on both sides
    assert several.calibration_scores_.min() > 0


def test_images_that_are_all_equal_give_no_threshold(tiny, gear):
    same = np.repeat(gear.train[:1], 4, axis=0)
    with pytest.warns(MinicoreWarning, match="3 of 4 training images are copies"):
        model = PatchCore(tiny, progress=False).fit(same)
    assert model.threshold_ is None and model.map_threshold_ is None
    ensemble = Ensemble([PatchCore(tiny, progress=False)] * 2, progress=False)
    with (
        pytest.warns(MinicoreWarning),
        pytest.raises(ValueError, match="at least two different images for its threshold; all 4"),
    ):
        ensemble.fit(same)


def test_a_warning_of_copies_names_a_pair_of_files(tiny, mvtec_root, tmp_path):
    good = sorted((mvtec_root / "gear" / "train" / "good").iterdir())
    copy = tmp_path / "copy.png"
    copy.write_bytes(good[3].read_bytes())
    with pytest.warns(MinicoreWarning) as caught:
        PatchCore(tiny, progress=False).fit([*good, copy])
    (said,) = (str(w.message) for w in caught)
    assert said.startswith("1 of 13 training images is a copy of another, for example")
    assert f"for example {copy} of {good[3]};" in said
