"""Where a patch lies: what is at a place of the image shows at that place of the map.

A network of stride t gives one cell for every t pixels. The centre of cell k is t (k + ½).
Patch i of stride s was taken at cell s i.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore import PatchCore, equations, fast, trace
from minicore.evaluation.baselines import SPADE
from minicore.patchcore.features import cell

SIZES = [(side, side) for side in range(222, 231)] + [(222, 230), (229, 224), (256, 225)]
STRIDES = [1, 2, 3, 4]
DEFAULT = Path(__file__).parents[2] / "weights" / "default.onnx"

engines = pytest.mark.parametrize("engine", [equations, fast], ids=["equations", "fast"])
embeddings = pytest.mark.parametrize("dimensions", [(None, None), (8, 8)], ids=["concat", "paper"])


def grid_of(size, t):
    """Rows and columns of the cells of a network of stride t that pads its input."""
    return tuple(math.ceil(side / t) for side in size)


def centroid(heat):
    """Row and column of the mean of a map; the centre of pixel 0 is at ½."""
    places = np.indices(heat.shape) + 0.5
    return (places * heat).sum(axis=(1, 2)) / heat.sum()


@pytest.mark.slow
@engines
@pytest.mark.parametrize("s", STRIDES)
@pytest.mark.parametrize("size", SIZES)
def test_the_score_of_a_patch_lands_on_the_centre_of_its_cell(engine, size, s):
    patches = grid_of(grid_of(size, 8), s)
    scores = np.zeros((3, *patches))
    chosen = [(2, 2), (patches[0] // 2, 2), (patches[0] - 3, patches[1] - 3)]
    for i, place in enumerate(chosen):
        scores[i][place] = 1
    for heat, (i, j) in zip(engine.anomaly_map(scores, *size, 2.0, s, (8, 8)), chosen, strict=True):
        assert np.abs(centroid(heat) - (8 * (s * i + 0.5), 8 * (s * j + 0.5))).max() < 0.5


@pytest.mark.slow
@engines
@embeddings
@pytest.mark.parametrize("s", STRIDES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 1], ids=["layer2", "layer3"])
def test_an_impulse_in_a_feature_map_lands_where_it_was(engine, dimensions, level, size, s):
    """With a stride, the coarser level is taken to lie behind its true place, as in equation 3."""
    t = (8, 16)
    levels = [np.zeros((1, 4 * k, *grid_of(size, 8 * k)), np.float32) for k in (1, 2)]
    grid = levels[level].shape[2:]
    # As near to the far border, where errors add up, as all of its effect is inside. At stride 1
    # the neighbouring patches see it too.
    at = [s * (math.ceil(n / s) - (4 if s == 1 else 3)) for n in grid]
    levels[level][0, 1, at[0], at[1]] = 1
    cells = tuple(cell(size, phi.shape[2:]) for phi in levels)
    patches = engine.patch_features(tuple(levels), 3, s, *dimensions, cells)
    scores = np.linalg.norm(patches, axis=3)
    heat = engine.anomaly_map(scores, *size, 0.0, s, cells[0])[0]
    assert heat.max() > 0
    behind = (s - 1) * (t[level] - t[0]) / 2
    expected = [t[level] * (k + 0.5) + behind for k in at]
    assert np.abs(centroid(heat) - expected).max() < 0.5


@engines
@pytest.mark.parametrize("s", STRIDES)
def test_beyond_the_outermost_patches_their_values_are_repeated(engine, s):
    scores = np.arange(1.0, 10.0).reshape(1, 3, 3)
    heat = engine.anomaly_map(scores, 24 * s, 24 * s, 0.0, s, (8, 8))[0]
    assert (heat[:4, :4] == 1).all()
    assert (heat[16 * s + 4 :, 16 * s + 4 :] == 9).all()


@pytest.mark.slow
@engines
def test_a_map_of_stride_1_over_whole_cells_is_the_paper_s(engine):
    scores = np.random.default_rng(0).random((2, 28, 20))
    expected = engine.anomaly_map(scores, 224, 160)
    np.testing.assert_array_equal(engine.anomaly_map(scores, 224, 160, 4.0, 1, (8, 8)), expected)
    levels = tuple(
        np.random.default_rng(n).random((1, 3, n, n)).astype(np.float32) for n in (28, 14)
    )
    expected = engine.patch_features(levels)
    got = engine.patch_features(levels, cells=((8, 8), (16, 16)))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@engines
def test_a_stride_without_the_size_of_a_cell_is_refused(engine):
    with pytest.raises(ValueError, match="cell"):
        engine.anomaly_map(np.ones((1, 4, 4)), 64, 64, 4.0, 2)
    with pytest.raises(ValueError, match="stride"):
        engine.anomaly_map(np.ones((1, 4, 4)), 64, 64, 4.0, 0, (8, 8))
    with pytest.raises(ValueError, match="cells"):
        engine.patch_features((np.ones((1, 2, 4, 4), np.float32),) * 2, cells=((8, 8),))


@pytest.mark.slow
@given(st.integers(1, 5), st.integers(2, 60), st.data())
def test_the_size_of_a_cell_is_found_for_every_side(power, cells, data):
    t = 2**power
    side = data.draw(st.integers(t * (cells - 1) + 1, t * cells))
    assert cell((side, side), (cells, cells)) == (t, t)


def test_a_network_of_another_kind_has_cells_that_cover_the_image_evenly():
    assert cell((224, 112), (16, 8)) == (14, 14)
    assert cell((100, 90), (11, 9)) == (100 / 11, 10)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
steps = st.tuples(st.floats(0.5, 40), st.floats(0.5, 40))
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.integers(1, 5), steps, seeds)
def test_both_engines_put_patches_at_the_same_places(grid, size, s, t, seed):
    scores = np.random.default_rng(seed).exponential(3, (2, *grid)).astype(np.float32)
    got, expected = (e.anomaly_map(scores, *size, 1.5, s, t) for e in (fast, equations))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(sizes, st.integers(1, 5), steps, steps, st.sampled_from([(None, None), (9, 7)]), seeds)
def test_both_engines_join_levels_at_the_same_places(grid, s, t_1, t_2, dimensions, seed):
    rng = np.random.default_rng(seed)
    coarse = tuple(math.ceil(n / 2) for n in grid)
    levels = tuple(
        rng.standard_normal((2, c, *sides)).astype(np.float32)
        for c, sides in ((3, grid), (5, coarse))
    )
    got, expected = (
        e.patch_features(levels, 3, s, *dimensions, (t_1, t_2)) for e in (fast, equations)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


# ------------------------------------------------------------------- the whole model


@pytest.mark.slow
@pytest.mark.parametrize("s", STRIDES)
@pytest.mark.parametrize("size", [(224, 224), (225, 225)])
def test_a_spot_in_an_image_shows_at_its_place_in_the_map(size, s):
    if not DEFAULT.is_file():
        pytest.skip("needs weights/default.onnx")
    good = np.random.default_rng(0).integers(118, 138, (2, *size, 3), dtype=np.uint8)
    options = {"resize": "none", "crop": "none", "coreset_ratio": 1.0, "progress": False}
    model = PatchCore(DEFAULT, stride=s, b=None, false_positive_rate=None, **options).fit(good)
    spots = [(y, x) for y in (70, 91, 118, 150) for x in (66, 97, 121, 155)]
    images = np.repeat(good[:1], len(spots), axis=0)
    for image, (y, x) in zip(images, spots, strict=True):
        image[y - 4 : y + 4, x - 4 : x + 4] = 255
    found = model.detect(images).maps
    peaks = [np.add(np.unravel_index(heat.argmax(), size), 0.5) for heat in found]
    off = [centroid(np.maximum(heat - heat.max() / 2, 0)) for heat in found] - np.array(spots)
    assert np.abs(peaks - np.array(spots)).max() <= 4 * s  # half the way to the next patch
    assert np.abs(off.mean(axis=0)).max() <= 2 * s


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_the_model_and_its_trace_know_where_a_patch_lies(tiny, gear, engine):
    """Sides that the network's strides do not divide, and a stride."""
    model = PatchCore(tiny, stride=2, engine=engine, resize=72, crop=(60, 67), progress=False)
    found = model.fit(gear.train).detect(gear.test[-1:])
    assert model.input_size_ == (60, 67) and model.grid_ == (4, 5)
    heat = equations.anomaly_map(found.patch_scores, 60, 67, 4.0, 2, (8, 8))
    np.testing.assert_allclose(found.maps, heat, rtol=1e-5)
    t = trace(model, gear.test[-1])
    np.testing.assert_array_equal(t.map, found.maps[0])
    assert t.cell_at(3, 4) == (48, 64, 56, 72)  # its last columns lie outside the image
    levels = tuple(phi[None] for phi in t.feature_maps.values())
    patches = equations.patch_features(levels, 3, 2, None, None, ((8, 8), (16, 16)))
    np.testing.assert_allclose(t.patches, patches[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_baselines_know_where_a_patch_lies(tiny, gear):
    model = SPADE(tiny, stride=2, resize=72, crop=(60, 67), progress=False).fit(gear.train)
    found = model.detect(gear.test)
    heat = equations.anomaly_map(found.patch_scores, 60, 67, model.sigma, 2, (8, 8))
    np.testing.assert_allclose(found.maps, heat, rtol=1e-5)


def test_the_threshold_of_the_map_comes_from_maps_like_those_of_a_score(tiny, gear, monkeypatch):
    geometry, original = [], fast.anomaly_map

    def spy(patch_scores, height, width, sigma, s=None, cell=None):
        geometry.append((height, width, s, cell))
        return original(patch_scores, height, width, sigma, s, cell)

    monkeypatch.setattr(fast, "anomaly_map", spy)
    PatchCore(tiny, stride=2, resize=72, crop=(60, 67), progress=False).fit(gear.train)
    assert set(geometry) == {(60, 67, 2, (8, 8))}
