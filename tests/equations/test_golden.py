"""Both engines give the numbers of the authors' code (patchcore-inspection).

`golden/official_patchcore.npz` is the part of `../shared/golden/official_patchcore.npz` that fits
in a repository: all embeddings; every eighth pixel of the maps; of the coreset's and the search's
banks the rows that were the answer, and some others. Leaving out rows that were not the answer
changes no answer.
"""

from pathlib import Path

import numpy as np
import pytest

from minicore import equations, fast

NAME = "official_patchcore.npz"
CASES = ["wrn_like", "p5", "narrow", "odd", "stride2"]

engines = pytest.mark.parametrize("engine", [equations, fast], ids=["equations", "fast"])


@pytest.fixture(params=["committed", "shared"])
def golden(request):
    if request.param == "committed":
        path = Path(__file__).parents[1] / "golden" / NAME
    else:
        path = request.getfixturevalue("shared") / "golden" / NAME
    with np.load(path, allow_pickle=False) as numbers:
        return dict(numbers)


@engines
@pytest.mark.parametrize("case", CASES)
def test_embedding_equals_the_authors(engine, case, golden):
    d, d_target, p, s = map(int, golden[f"{case}/config"])
    d, d_target = d or None, d_target or None
    levels = (golden[f"{case}/layer2"], golden[f"{case}/layer3"])
    expected = golden[f"{case}/embedding"]
    got = engine.patch_features(levels, p, s, d, d_target)
    np.testing.assert_allclose(engine.memory_bank(got), expected, rtol=1e-5, atol=1e-5)


@engines
def test_segmentation_map_equals_the_authors(engine, golden):
    expected = golden["segment/maps"]
    step = 224 // expected.shape[1]
    got = engine.anomaly_map(golden["segment/patch_scores"], 224, 224)[:, ::step, ::step]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@engines
def test_nearest_rows_are_the_authors_and_our_distances_squared_are_theirs(engine, golden):
    distances, indices = engine.nearest(golden["nearest/queries"], golden["nearest/bank"], 3)
    np.testing.assert_array_equal(indices, golden["nearest/indices"])
    np.testing.assert_allclose(distances**2, golden["nearest/squared_distances"], rtol=1e-5)


@engines
def test_coreset_from_the_authors_start_is_the_authors(engine, golden):
    M, expected = golden["coreset/features"], golden["coreset/official_exact_indices"]
    got = engine.greedy_coreset(M, len(expected), int(expected[0]))
    np.testing.assert_array_equal(got, expected)


def test_the_authors_start_is_the_row_of_largest_distances(shared):
    with np.load(shared / "golden" / NAME) as numbers:
        M, picks = numbers["coreset/features"], numbers["coreset/official_exact_indices"]
    distances = equations.nearest(M, M, len(M))[0]
    assert np.linalg.norm(distances, axis=1).argmax() == picks[0]
