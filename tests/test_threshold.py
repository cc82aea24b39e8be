"""The decision threshold: split conformal, from images the trial model has not seen."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from minicore import PatchCore, datasets
from minicore.threshold import conformal_threshold


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.1", "0.29", "0.5", "0.7"])
def test_the_threshold_is_the_smallest_that_keeps_the_promise(rate):
    for n in range(1, 120):
        k = min(
            ceil((1 - Fraction(rate)) * (n + 1)), n
        )  # of n + 1 in random order, k or more below
        assert conformal_threshold(np.arange(1.0, n + 1), float(rate)) == k


def test_held_out_images_are_scored_by_a_model_without_them(tiny, gear):
    options = {"coreset_ratio": 0.2, "projection_dim": 8, "seed": 3}
    model = PatchCore(tiny, **options, false_positive_rate=0.5).fit(gear.train)
    order = np.random.default_rng([3, 12]).permutation(12)
    trial = PatchCore(tiny, **options, false_positive_rate=None)
    trial.fit(gear.train[np.sort(order[2:])])
    found = trial.detect(gear.train[np.sort(order[:2])])
    assert np.array_equal(model.held_out_scores_, found.scores)
    assert model.threshold_ == found.scores.max()  # the 2nd of 2, of 3 with the new one
    assert model.map_threshold_ == pytest.approx(found.maps.max(), rel=1e-6)


def test_new_good_images_are_called_anomalous_as_rarely_as_promised(tiny):
    parts = datasets.synthetic("fabric", n_train=45, n_good=40, n_defective=0, size=128)
    model = PatchCore(tiny, false_positive_rate=0.3).fit(parts.train)
    assert len(model.held_out_scores_) == 9
    assert np.mean(model.predict(parts.test) == -1) <= 0.3


@pytest.mark.parametrize("n, rate", [(4, None), (1, 0.05)])
def test_without_a_threshold_there_are_scores_and_predict_refuses(tiny, gear, n, rate):
    model = PatchCore(tiny, false_positive_rate=rate, b=2).fit(gear.train[:n])
    assert model.threshold_ is model.map_threshold_ is None and model.held_out_scores_.size == 0
    assert model.anomaly_score(gear.test).shape == (10,)
    for refused in (model.predict, model.decision_function):
        with pytest.raises(ValueError, match=r"no threshold: fit it with false_positive_rate set"):
            refused(gear.test)
