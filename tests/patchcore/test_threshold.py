"""The decision threshold: split conformal, from images the trial model has not seen."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from minicore import Ensemble, PatchCore, datasets
from minicore.errors import MinicoreWarning
from minicore.patchcore.threshold import (
    HELD_OUT,
    conformal_threshold,
    hold_out,
    images_needed,
    split,
)


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.1", "0.29", "0.5", "0.7"])
def test_the_threshold_is_the_smallest_that_keeps_the_rate(rate):
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
    assert np.array_equal(model.calibration_scores_, found.scores)
    assert model.threshold_ == found.scores.max()  # the 2nd of 2, of 3 with the new one
    assert model.map_threshold_ == pytest.approx(found.maps.max(), rel=1e-6)


@pytest.mark.slow
def test_new_good_images_are_called_anomalous_as_rarely_as_asked(tiny):
    parts = datasets.synthetic("fabric", n_train=45, n_good=40, n_defective=0, size=128)
    model = PatchCore(tiny, false_positive_rate=0.3).fit(parts.train)
    assert len(model.calibration_scores_) == 9
    assert np.mean(model.predict(parts.test) == -1) <= 0.3


@pytest.mark.parametrize("n, rate", [(4, None), (1, 0.05)])
def test_without_a_threshold_there_are_scores_and_predict_refuses(tiny, gear, n, rate):
    model = PatchCore(tiny, false_positive_rate=rate, b=2).fit(gear.train[:n])
    assert model.threshold_ is model.map_threshold_ is None and model.calibration_scores_.size == 0
    assert model.anomaly_score(gear.test).shape == (10,)
    for refused in (model.predict, model.decision_function):
        with pytest.raises(ValueError, match=r"no threshold: fit it with false_positive_rate set"):
            refused(gear.test)


@pytest.mark.parametrize("rate, held_out, in_all", [(0.05, 19, 93), (0.01, 99, 493), (0.3, 3, 13)])
def test_so_many_images_are_needed_and_no_fewer(rate, held_out, in_all):
    assert images_needed(rate) == (held_out, in_all)
    assert len(split(in_all, 0)[0]) == held_out > len(split(in_all - 1, 0)[0])
    assert rate * (held_out + 1) >= 1 > rate * held_out


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float32", "float16", "disk"])
@pytest.mark.parametrize("times", [2, 3])
def test_copies_of_images_do_not_lower_the_threshold(tiny, gear, storage, times):
    options = {"coreset_ratio": 0.5, "bank_storage": storage, "progress": False}
    once = PatchCore(tiny, **options).fit(gear.train)
    several = PatchCore(tiny, **options)
    with pytest.warns(MinicoreWarning, match=f"{12 * (times - 1)} of {12 * times} training images"):
        several.fit(np.concatenate([gear.train] * times))
    assert len(several.calibration_scores_) == len(once.calibration_scores_) == 2
    assert several.threshold_ > 0.5 * once.threshold_  # 0, if copies were on both sides
    assert several.calibration_scores_.min() > 0


def test_without_copies_the_images_held_out_are_those_of_the_seed():
    for n in (2, 12, 100):
        for seed in (0, 1):
            for ours, plain in zip(hold_out(np.arange(n), seed), split(n, seed), strict=True):
                assert np.array_equal(ours, plain)


def test_copies_are_held_out_together_and_scored_once():
    first = np.array([0, 1, 0, 3, 4, 3, 6, 0, 8, 9, 10, 9])
    for seed in range(20):
        held_out, kept = hold_out(first, seed)
        assert len(held_out) == round(HELD_OUT * 8) and set(held_out) <= set(first)
        assert not set(first[held_out]) & set(first[kept])
        assert set(kept) == set(np.flatnonzero(~np.isin(first, held_out)))


def test_images_that_are_all_equal_give_no_threshold(tiny, gear):
    same = np.repeat(gear.train[:1], 4, axis=0)
    with pytest.warns(MinicoreWarning, match="3 of 4 training images are copies"):
        model = PatchCore(tiny, progress=False).fit(same)
    assert model.threshold_ is None and model.map_threshold_ is None
    ensemble = Ensemble([PatchCore(tiny, progress=False)] * 2, progress=False)
    with (
        pytest.warns(MinicoreWarning),
        pytest.raises(ValueError, match="at least two different images, to hold one out; all 4"),
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
