"""Selection of the coreset at random and by k-means."""

from dataclasses import replace

import numpy as np
import pytest

from minicore import PatchCore
from minicore.patchcore.selection import pick


@pytest.fixture
def config(tiny, gear):
    """A valid configuration."""
    return PatchCore(tiny, coreset_ratio=0.1, b=2).fit(gear.train[:1]).config_


def test_the_seed_draws_random_rows_each_once(config):
    config = replace(config, selection="random", coreset_ratio=0.25)
    psi_M = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    picks, radii = pick(psi_M, config)
    assert len(set(picks)) == len(picks) == 100 and picks.min() >= 0 and picks.max() < 400
    assert not len(radii)
    fewer = pick(psi_M, replace(config, coreset_ratio=0.1))[0]
    assert np.array_equal(fewer, picks[:40])
    assert not np.array_equal(pick(psi_M, replace(config, seed=1))[0], picks)


def test_k_means_keeps_the_row_nearest_to_each_centre(config):
    rng = np.random.default_rng(0)
    centres = 100 * rng.normal(size=(5, 8))
    # Each cluster has ten pairs of rows with the centre in the middle, so the centre is their mean.
    # One more row lies at the centre. This row must be kept.
    around = rng.normal(size=(5, 10, 8))
    rows = np.concatenate(
        [centres[:, None], centres[:, None] + around, centres[:, None] - around], 1
    )
    shuffled = rng.permutation(105)
    psi_M = rows.reshape(105, 8)[shuffled].astype(np.float32)
    picks, radii = pick(psi_M, replace(config, selection="kmeans", coreset_ratio=5 / 105))
    assert sorted(shuffled[picks]) == [0, 21, 42, 63, 84] and not len(radii)


def test_a_row_nearest_to_several_centres_is_kept_once(config):
    psi_M = np.zeros((64, 8), np.float32)
    psi_M[32:] = 1
    picks, _ = pick(psi_M, replace(config, selection="kmeans", coreset_ratio=0.25))
    assert picks.tolist() == [0, 32]  # of equal rows the lowest


def test_k_means_is_the_same_for_any_number_of_threads(config):
    from threadpoolctl import threadpool_limits

    psi_M = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    config = replace(config, selection="kmeans", coreset_ratio=0.02)
    expected = pick(psi_M, config)[0]
    with threadpool_limits(1):
        assert np.array_equal(pick(psi_M, config)[0], expected)


@pytest.mark.parametrize("selection", ["random", "kmeans"])
def test_a_model_stores_how_its_rows_were_selected(selection, tiny, gear, tmp_path):
    model = PatchCore(tiny, coreset_ratio=0.1, selection=selection).fit(gear.train)
    every = PatchCore(tiny, coreset_ratio=1.0, false_positive_rate=None).fit(gear.train)
    M = every.memory_bank_[np.argsort(every.coreset_indices_)]
    assert np.array_equal(model.memory_bank_, M[model.coreset_indices_])  # real patches
    assert not len(model.coreset_radii_)
    again = PatchCore.load(model.save(tmp_path / "model.minicore"))
    assert again.config_.selection == again.selection == selection
    assert np.array_equal(again.anomaly_score(gear.test), model.anomaly_score(gear.test))


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"selection": "best"}, "selection must be 'greedy' or 'random' or 'kmeans'"),
        ({"selection": "random", "coreset_radius": 1.0}, "coreset_radius must be None unless"),
    ],
)
def test_an_impossible_selection_is_refused(wrong, words, tiny, gear):
    with pytest.raises(ValueError, match=words):
        PatchCore(tiny, **wrong).fit(gear.train[:1])
