"""The score of an image: equation 7, or the mean of the largest patch distances."""

from dataclasses import replace

import numpy as np
import pytest

from minicore import Ensemble, PatchCore, load, plots, trace
from minicore.patchcore.search import top_patches

WHOLE = {"resize": "none", "crop": "none"}  # 16 × 16 patches: 1 % are three


@pytest.fixture(scope="module")
def model(tiny, gear):
    return PatchCore(tiny, score="top", **WHOLE).fit(gear.train)


@pytest.fixture(scope="module")
def paper(tiny, gear):
    return PatchCore(tiny, **WHOLE).fit(gear.train)


def test_one_per_cent_of_the_patches_is_rounded_and_at_least_one():
    counts = {patches: top_patches(patches) for patches in (1, 64, 149, 151, 256, 784)}
    assert counts == {1: 1, 64: 1, 149: 1, 151: 2, 256: 3, 784: 8}


def test_the_score_top_is_the_mean_of_the_largest_distances(model, paper, gear):
    found, expected = model.detect(gear.test), paper.detect(gear.test)
    for name in ("distances", "patch_scores", "maps"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    largest = np.sort(found.patch_scores.reshape(len(gear.test), -1))[:, -3:]
    np.testing.assert_allclose(found.scores, largest.mean(axis=1), rtol=1e-6)
    assert np.array_equal(largest[:, -1], found.distances) and (found.scores < largest[:, -1]).all()


def test_the_score_top_leaves_equation_7_out(model, tiny, gear):
    assert model.b == 9 and model.config_.b is None
    few = PatchCore(tiny, score="top", b=9, coreset_ratio=0.001).fit(gear.train[:2])
    assert len(few.memory_bank_) == 1
    with pytest.raises(ValueError, match=r"^b must be None if score is 'top', got 9"):
        replace(model.config_, b=9)


def test_the_threshold_comes_from_scores_of_the_same_kind(model, paper, tiny, gear):
    largest = PatchCore(tiny, b=None, **WHOLE).fit(gear.train)
    assert (model.calibration_scores_ < largest.calibration_scores_).all()
    assert (model.calibration_scores_ > largest.calibration_scores_ / 2).all()
    assert np.array_equal(model.calibration_peaks_, paper.calibration_peaks_)
    assert np.array_equal(
        model.predict(gear.test) == -1, model.anomaly_score(gear.test) > model.threshold_
    )


def test_both_engines_and_a_saved_model_give_the_same_score(model, tiny, gear, tmp_path):
    literal = PatchCore(tiny, score="top", engine="equations", **WHOLE).fit(gear.train)
    np.testing.assert_allclose(
        literal.anomaly_score(gear.test), model.anomaly_score(gear.test), rtol=1e-6
    )
    again = load(model.save(tmp_path / "m"), progress=False)
    assert again.score == "top" and again.config_ == model.config_
    assert np.array_equal(again.anomaly_score(gear.test), model.anomaly_score(gear.test))


def test_the_trace_and_its_poster_show_the_score_top(model, paper, gear):
    found = trace(model, gear.test[-1])
    assert found.top == 3 and found.weight == 1 and len(found.neighbours) == 1
    assert found.s == model.anomaly_score(gear.test)[-1]
    assert found.s == pytest.approx(np.sort(found.patch_scores, axis=None)[-3:].mean(), rel=1e-6)
    assert trace(paper, gear.test[-1]).top is None
    texts = [t.get_text() for t in plots.trace(found, gear.train).texts]
    assert "equation 7 is not used" in texts
    (words,) = [text for text in texts if text.startswith("s = ")]
    assert words == f"s = mean of the distances = {found.s:.3g}"


def test_members_of_an_ensemble_can_have_different_scores(tiny, gear):
    members = [PatchCore(tiny, score=score, **WHOLE) for score in ("max", "top")]
    ensemble = Ensemble(members, progress=False).fit(gear.train)
    parts = [m.anomaly_score(gear.test) / m.threshold_ for m in ensemble.models_]
    np.testing.assert_allclose(ensemble.anomaly_score(gear.test), np.mean(parts, axis=0))
