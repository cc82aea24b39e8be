"""Projection: the coreset among all patches."""

import numpy as np
import pytest

from minicore import plots


def test_coreset_draws_all_picks_in_order_and_writes_the_covering_radius(bank):
    features, picked, farthest = bank
    figure = plots.coreset(features, picked)
    axes = figure.axes[0]
    everything, chosen = axes.collections
    assert len(everything.get_offsets()) == len(features)
    assert np.array_equal(chosen.get_array(), np.arange(20, 0, -1))
    assert axes.get_title(loc="left") == f"greedy, 20 rows: largest distance {farthest:.3g}"
    centred = features - features.mean(axis=0)
    spread = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    assert np.sum(everything.get_offsets() ** 2) == pytest.approx(spread[:2].sum(), rel=1e-4)
    # The first pick is drawn last, where row 0 lies.
    assert np.allclose(chosen.get_offsets()[-1], everything.get_offsets()[0], atol=1e-5)


def test_random_rows_are_drawn_beside_the_coreset_with_the_same_limits(bank):
    figure = plots.coreset(*bank[:2], beside_random=True, sample=100, seed=3)
    greedy, random = figure.axes[:2]
    assert greedy.get_xlim() == random.get_xlim() and greedy.get_ylim() == random.get_ylim()
    assert [len(c.get_offsets()) for c in random.collections] == [100, 20]
    assert random.get_title(loc="left").startswith("random, 20 rows: ")


@pytest.mark.parametrize(
    ("features", "indices", "message"),
    [
        (np.ones(5), [0], r"features must be \(N, d\)"),
        (np.ones((5, 1)), [0], r"features must be .* got \(5, 1\)"),
        (np.ones((5, 3)), [], "indices must be"),
        (np.ones((5, 3)), [0, 5], "indices must be .* N = 5"),
        (np.ones((5, 3)), [-1], "indices must be"),
    ],
)
def test_coreset_raises_errors_that_name_the_wrong_argument(features, indices, message):
    with pytest.raises(ValueError, match=message):
        plots.coreset(features, indices)
