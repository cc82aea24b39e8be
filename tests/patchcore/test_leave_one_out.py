"""Each training image is scored by the coreset without its own rows, with its holes filled."""

from dataclasses import replace

import numpy as np
import pytest

from minicore import PatchCore, equations
from minicore.fast.covered import covered
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.leave_one_out import leave_one_out
from minicore.patchcore.search import Search, mean_of_top
from minicore.patchcore.selection import covering_radius, pick, project

D, GRID = 6, (3, 4)
P = GRID[0] * GRID[1]


@pytest.fixture(scope="module")
def config(tiny):
    model = PatchCore(tiny, coreset_ratio=0.2, projection_dim=4, b=3)
    model.backbone_ = model._open_backbone()
    return model._configure(model.backbone_)


def bank(n, seed=0, repeats=()):
    """Return a bank of n images; `repeats` lists images that are equal to the first one."""
    rng = np.random.default_rng(seed)
    patches = rng.standard_normal((n, *GRID, D)).astype(np.float32)
    patches += 2 * rng.standard_normal((n, 1, 1, D)).astype(np.float32)  # images differ
    patches[list(repeats)] = patches[0]
    M = MemoryBank(n, "float32")
    M.append(patches)
    return M


def left_out(M, config, picks, first, engine="fast"):
    """Return the result for some picks, not necessarily of Algorithm 1."""
    psi_M = project(M, config)
    radius = covering_radius(psi_M, picks, np.empty(0), config)
    return leave_one_out(M, psi_M, picks, radius, first, Search(M[picks], config.b), engine)


def literal(M, psi_M, picks, first, image, config):
    """Return the score and the distances of one image, as the docstring of the module says."""
    of_row = np.repeat(first, P)
    others = np.flatnonzero(of_row != image)
    radius = equations.nearest(psi_M, psi_M[picks])[0].max()
    kept = list(picks[of_row[picks] != image])
    added = []
    while True:
        if kept + added:
            d = equations.nearest(psi_M[others], psi_M[kept + added])[0][:, 0]
        else:
            d = np.full(len(others), np.inf)
        # Only patches whose nearest pick was from this image can be farther than r.
        if d.max() <= radius:
            break
        added.append(others[d.argmax()])
    rows = M[:][kept + added]
    own = M[:][image * P : (image + 1) * P]
    return (
        equations.anomaly_score(own, rows, config.b),
        equations.nearest(own, rows)[0][:, 0].astype(np.float32),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_scores_are_those_of_the_literal_procedure(config, seed, engine):
    M, first = bank(7, seed, repeats=[4]), np.array([0, 1, 2, 3, 0, 5, 6])
    psi_M = project(M, config)
    picks, _ = pick(psi_M, config)
    found = left_out(M, config, picks, first, engine)
    scores = found.scores(config)
    different = np.unique(first)
    assert len(scores) == len(found.distances) == len(different) == 6
    for i, image in enumerate(different):
        s, distances = literal(M, psi_M, picks, first, image, config)
        assert np.allclose(found.distances[i], distances, rtol=1e-6)
        assert scores[i] == pytest.approx(s, rel=1e-6)


def test_holes_are_filled(config):
    M, first = bank(8), np.arange(8)
    picks, _ = pick(project(M, config), config)
    found = left_out(M, config, picks, first)
    assert sum(len(each.filled) for each in found._left_out) >= 4
    for i, each in enumerate(found._left_out):
        unfilled = equations.nearest(M[i * P : (i + 1) * P], M[picks[picks // P != i]])[0][:, 0]
        assert (found.distances[i] <= unfilled * (1 + 1e-6)).all()
        assert each.kept.sum() == (picks // P != i).sum()


def test_the_coreset_of_one_image_is_replaced_for_this_image(config):
    M, first = bank(3), np.arange(3)
    found = left_out(M, config, np.arange(P), first)  # all picks are from image 0
    assert np.isfinite(found.distances).all() and (found.distances > 0).all()


def test_equation_7_needs_enough_rows_of_other_images(config):
    patches = bank(2)[:].reshape(2, *GRID, D).copy()
    patches[1] = patches[1, 0, 0]  # one row covers all patches of this image
    M = MemoryBank(2, "float32")
    M.append(patches)
    picks = np.append(np.arange(P), P)
    found = left_out(M, config, picks, np.arange(2))
    message = "b must be at most the 1 rows of the memory bank without one image, got 3; lower b"
    with pytest.raises(ValueError, match=message):
        found.scores(config)


def test_scores_without_equation_7_and_of_the_top_are_those_of_the_distances(config):
    M = bank(5)
    picks, _ = pick(project(M, config), config)
    found = left_out(M, config, picks, np.arange(5))
    plain, top = replace(config, b=None), replace(config, b=None, score="top")
    assert np.array_equal(found.scores(plain), found.distances.max(axis=1).astype(float))
    assert np.array_equal(found.scores(top), mean_of_top(found.distances))


@pytest.mark.parametrize("seed", range(4))
def test_covered_patches_are_in_no_hole(config, seed):
    M, first = bank(7, seed, repeats=[4]), np.array([0, 1, 2, 3, 0, 5, 6])
    psi_M = project(M, config)
    picks, radii = pick(psi_M, config)
    image_of_pick, of_patch = first[picks // P], np.repeat(first, P)
    nearest = equations.nearest(psi_M, psi_M[picks])[1].reshape(7, *GRID)
    nearest[1] = -1  # not known
    found = covered(psi_M, first, nearest, psi_M[picks], image_of_pick, radii[-1])
    hole = np.zeros(len(M), bool)
    for image in range(7):
        kept = psi_M[picks[image_of_pick != image]]
        hole |= (of_patch != image) & (equations.nearest(psi_M, kept)[0][:, 0] > radii[-1])
    assert found.sum() > 0 and hole.any()
    assert not (found & hole).any()


def test_the_covering_radius_is_that_of_algorithm_1(config):
    M = bank(5)
    psi_M = project(M, config)
    picks, radii = pick(psi_M, config)
    assert covering_radius(psi_M, picks, radii, config) == radii[-1]
    assert covering_radius(psi_M, picks, np.empty(0), config) == radii[-1]
