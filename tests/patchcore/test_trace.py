"""trace: what it shows is what the model did."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

import minicore
from minicore import PatchCore, equations, images, plots, trace
from minicore.backbones import Backbone
from minicore.patchcore.trace import Rectangle


@pytest.fixture(scope="module")
def model(tiny, gear):
    return PatchCore(tiny, coreset_ratio=0.3).fit(gear.train)


@pytest.fixture(scope="module")
def part(gear):
    return gear.test[-1]


@pytest.fixture(scope="module")
def found(model, part):
    return trace(model, part)


def whole_bank(model, gear):
    """Equation 4 the plain way: (n, h', w', D)."""
    prepared = np.stack([images.prepare(image, model.preprocessing_) for image in gear.train])
    levels = tuple(model.backbone_(prepared).values())
    return equations.patch_features(levels, model.patchsize, model.stride)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"b": None},
        {"whiten": True, "score": "top"},
        {"b": 4, "sigma": 0, "patchsize": 5, "coreset_ratio": 0.4},
        {"stride": 2, "coreset_ratio": 1.0},
        {"embedding": "paper", "dimension": (16, 24), "coreset_ratio": 0.2},
    ],
    ids=str,
)
def test_trace_gives_what_detect_gives_to_the_bit(tiny, gear, options):
    model = PatchCore(tiny, false_positive_rate=None, **options).fit(gear.train)
    together = model.detect(gear.test)
    for i, image in enumerate(gear.test):
        one = trace(model, image)
        assert one.s == together.scores[i] and one.s_star == together.distances[i]
        assert np.array_equal(one.patch_scores, together.patch_scores[i])
        assert np.array_equal(one.map, together.maps[i])


def test_trace_of_the_literal_engine_gives_the_same(tiny, gear, found, part):
    model = PatchCore(tiny, coreset_ratio=0.3, engine="equations", false_positive_rate=None)
    together = model.fit(gear.train).detect(part)
    literal = trace(model, part)
    assert literal.s == pytest.approx(together.scores[0], rel=1e-5)
    assert np.allclose(literal.map, together.maps[0], rtol=1e-5)
    for name in ("nearest", "origins", "neighbours", "neighbour_origins"):
        assert np.array_equal(getattr(literal, name), getattr(found, name))
    for name in ("patches", "patch_scores", "neighbour_distances", "softmax", "s", "map"):
        assert np.allclose(getattr(literal, name), getattr(found, name), rtol=1e-5), name


def test_each_step_follows_from_the_one_before(found):
    rows = found.patches.reshape(-1, found.patches.shape[-1])
    distances, indices = equations.nearest(rows, found.memory_bank)
    assert np.array_equal(indices.reshape(found.nearest.shape), found.nearest)
    assert np.allclose(distances.reshape(found.nearest.shape), found.patch_scores, rtol=1e-5)

    deciding, m_star, s_star = equations.deciding_patch(rows, found.memory_bank)
    assert found.position == divmod(deciding, found.nearest.shape[1])
    assert found.m_star == m_star and found.s_star == pytest.approx(s_star, rel=1e-6)
    assert found.m_star == found.nearest[found.position] == found.neighbours[0]

    around = equations.nearest(found.memory_bank[[found.m_star]], found.memory_bank, 9)[1][0]
    assert np.array_equal(found.neighbours, around)
    away = np.linalg.norm(rows[deciding] - found.memory_bank[around].astype(float), axis=1)
    assert np.allclose(found.neighbour_distances, away, rtol=1e-6)
    assert found.softmax.sum() == pytest.approx(1)
    assert found.weight == 1 - found.softmax[0]
    assert found.s == pytest.approx(found.weight * found.s_star, rel=1e-6)
    assert found.s == pytest.approx(equations.anomaly_score(rows, found.memory_bank, 9), rel=1e-6)


def test_origins_point_at_the_training_patches_that_were_remembered(model, gear, found):
    M = whole_bank(model, gear)
    for rows, origins in (
        (found.nearest, found.origins),
        (found.neighbours, found.neighbour_origins),
        (found.m_star, np.array(found.origin)),
    ):
        remembered = M[tuple(np.moveaxis(origins, -1, 0))]
        assert np.allclose(remembered, found.memory_bank[rows], rtol=1e-4, atol=1e-6)
    assert len(gear.train) > found.origins[..., 0].max() > 0


@pytest.mark.slow
def test_a_remembered_image_is_its_own_origin(tiny, gear):
    model = PatchCore(tiny, coreset_ratio=1.0, false_positive_rate=None).fit(gear.train)
    own = trace(model, gear.train[5])
    assert own.s_star == own.s == 0
    places = np.stack(np.mgrid[:8, :8], axis=-1)
    assert np.array_equal(own.origins[..., 1:], places) and (own.origins[..., 0] == 5).all()
    assert own.origin_cell == own.cell and own.origin_window == own.window
    assert plots.trace(own, gear.train)._repr_png_()  # a score of 0 can be drawn


def test_an_image_is_traced_through_several_networks(write_tiny, tiny, gear, part, tmp_path):
    networks = [tiny, write_tiny(tmp_path / "other.onnx", seed=1)]
    model = PatchCore(networks, false_positive_rate=None).fit(gear.train)
    found, together = trace(model, part), model.detect(part)
    assert list(found.feature_maps) == ["0.layer2", "0.layer3", "1.layer2", "1.layer3"]
    assert found.s == together.scores[0] and np.array_equal(found.map, together.maps[0])
    assert found.patches.shape == (8, 8, 40)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_deciding_patch_depends_on_the_pixels_of_its_cell(tiny, gear, part, stride):
    """The layer's convolutions are centred: its strongest reaction is to the cell itself."""
    model = PatchCore(tiny, stride=stride, patchsize=1, coreset_ratio=1.0).fit(gear.train)
    found = trace(model, part)
    step = 8 * stride
    row, column = found.position
    assert found.cell == (row * step, column * step, row * step + 8, column * step + 8)
    assert found.window == found.cell  # p = 1
    changed = found.prepared.copy()
    y, x = found.cell.top, found.cell.left
    changed[:, y : y + 8, x : x + 8] += 5
    before, after = (model.backbone_(p[None])["layer2"][0] for p in (found.prepared, changed))
    moved = np.linalg.norm(after - before, axis=0)[::stride, ::stride]
    assert moved[found.position] > 0.5 * moved.max()


def test_window_holds_p_by_p_cells_and_may_leave_the_image(tiny, gear):
    model = PatchCore(tiny, patchsize=5, coreset_ratio=1.0, false_positive_rate=None)
    model.fit(gear.train)
    for image in gear.test:
        found = trace(model, image)
        top, left, bottom, right = found.window
        assert bottom - top == right - left == 5 * 8
        assert (top + 16, left + 16, bottom - 16, right - 16) == found.cell
        inside = found.window.cut(found.image)
        assert inside.shape[0] == min(bottom, 64) - max(top, 0)
        assert inside.shape[1] == min(right, 64) - max(left, 0)


def test_rectangle_cuts_what_is_inside():
    image = np.arange(12).reshape(3, 4)
    assert Rectangle(-2, 1, 2, 9).cut(image).tolist() == [[1, 2, 3], [5, 6, 7]]


def test_shapes_and_types_are_those_documented(found):
    assert found.image.shape == (64, 64, 3) and found.image.dtype == np.uint8
    assert found.prepared.shape == (3, 64, 64) and found.prepared.dtype == np.float32
    shapes = {layer: phi.shape for layer, phi in found.feature_maps.items()}
    assert shapes == {"layer2": (8, 8, 8), "layer3": (12, 4, 4)}
    assert found.patches.shape == (8, 8, 20) and found.map.shape == (64, 64)
    assert found.patch_scores.shape == found.nearest.shape == (8, 8)
    assert found.origins.shape == (8, 8, 3) and found.neighbour_origins.shape == (9, 3)
    assert type(found.s) is type(found.s_star) is type(found.weight) is float
    assert type(found.m_star) is type(found.origin.image) is int
    assert found.nearest.dtype == found.origins.dtype == found.neighbours.dtype == np.int64


def test_a_trace_cannot_be_changed(found, model):
    with pytest.raises(FrozenInstanceError):
        found.s = 0.0
    for array in (found.map, found.memory_bank, found.feature_maps["layer2"]):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    assert model.memory_bank_.flags.writeable  # the model's own is as it was


def test_its_repr_names_every_array_and_its_shape(found):
    text = repr(found)
    assert "feature_maps['layer3']" in text and "float32 (12, 4, 4)" in text
    assert "origin" in text and len(text.splitlines()) < 40


def test_a_loaded_model_can_be_traced(model, part, found, tmp_path):
    copy = PatchCore.load(model.save(tmp_path / "gear.minicore"), model.backbone_)
    assert np.array_equal(trace(copy, part).map, found.map)
    assert trace(copy, part).origin == found.origin


def test_files_and_grey_arrays_are_one_image_too(model, mvtec_root, found):
    file = sorted((mvtec_root / "gear" / "test").rglob("*.png"))[0]
    assert trace(model, file).map.shape == found.map.shape
    grey = np.full((100, 100), 128, np.uint8)
    assert trace(model, grey).image.shape == (64, 64, 3)


@pytest.mark.parametrize("how_many", [0, 2])
def test_more_or_less_than_one_image_is_refused(model, gear, how_many):
    with pytest.raises(ValueError, match=f"one image, got {how_many}"):
        trace(model, gear.test[:how_many])


def test_what_is_no_patchcore_is_refused(part):
    with pytest.raises(TypeError, match="must be a PatchCore, got str"):
        trace("gear.minicore", part)


def test_a_model_without_memory_is_refused(tiny, part):
    with pytest.raises(NotFittedError):
        trace(PatchCore(Backbone(tiny)), part)


@pytest.mark.slow
def test_trace_is_a_function_whatever_was_imported_before():
    code = (
        "import sys, minicore, minicore.patchcore.trace, minicore.plots\n"
        "assert callable(minicore.trace) and callable(minicore.plots.trace)\n"
        "from minicore import trace\n"
        "assert trace is minicore.patchcore.trace.trace"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "trace" in dir(minicore)


# The picture


@pytest.fixture(scope="module")
def drawn(found, gear):
    return plots.trace(found, gear.train, np.eye(64, dtype=bool))


def words(figure):
    return [text.get_text() for text in figure.texts]


def pictures(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


@pytest.mark.slow
def test_the_picture_numbers_its_panels_and_says_the_score(found, drawn):
    said = words(drawn)
    assert [word for word in said if word.isdigit()] == [str(i + 1) for i in range(10)]
    for expected in ("eq 1–3: 8 × 8 × 20", "φ: 4 × 4 × 12 channels", "weight and score"):
        assert expected in said
    assert any(word.endswith(f"= {found.s:#.3g}") for word in said)
    assert any(word.startswith("eq 4–6: each patch above the nearest of 230") for word in said)
    (verdict,) = (word for word in said if word.endswith(("anomalous", ": good")))
    assert verdict.startswith(">" if found.s > found.threshold else "≤")


def test_the_picture_shows_the_image_its_distances_and_the_patch_it_is_like(found, drawn, gear):
    shown = [picture.get_array() for picture in pictures(drawn)]
    assert np.array_equal(shown[0], found.image) and np.array_equal(shown[4], found.patch_scores)
    remembered = images.view(gear.train[found.origin.image], found.preprocessing)
    assert np.array_equal(shown[6], found.image) and np.array_equal(shown[7], remembered)
    thumbnails = [
        images.view(gear.train[i], found.preprocessing) for i in found.neighbour_origins[:, 0]
    ]
    assert np.array_equal(shown[8:], thumbnails)
    for axes, place in zip(drawn.axes[-9:], found.neighbour_origins[:, 1:].tolist(), strict=True):
        top, left, bottom, right = found.window_at(*place)
        assert axes.get_xlim() == (left - 0.5, right - 0.5)
        assert axes.get_ylim() == (bottom - 0.5, top - 0.5)


def test_the_deciding_patch_is_framed_wherever_it_is_shown(found, drawn):
    top, left, bottom, right = found.window
    for k in (0, 6):
        frame = pictures(drawn)[k].axes.patches[0]
        assert frame.get_xy() == (left - 0.5, top - 0.5)
        assert (frame.get_width(), frame.get_height()) == (right - left, bottom - top)
    row, column = found.position
    assert pictures(drawn)[4].axes.patches[0].get_xy() == (column - 0.5, row - 0.5)


def test_each_patch_hovers_over_its_nearest_as_high_as_it_is_far(found, drawn):
    axes = next(a for a in drawn.axes if a.collections and not a.images)
    stems = np.array(axes.collections[1].get_segments())
    reach = max(found.s_star, 1.5 * found.threshold)
    heights = (stems[:, 1] - stems[:, 0])[:, 1] * reach
    assert np.allclose(heights, np.sort(found.patch_scores.ravel()), atol=1e-5)
    floor = np.asarray(axes.collections[0].get_offsets())
    order = np.argsort(found.patch_scores.ravel(), kind="stable")
    assert np.allclose(stems[:, 0], floor[found.nearest.ravel()[order]])


@pytest.mark.slow
def test_a_good_image_keeps_to_the_dark_part_of_the_scales(model, gear):
    calm = trace(model, gear.test[int(model.anomaly_score(gear.test[:4]).argmin())])
    assert calm.s < calm.threshold
    distances = pictures(plots.trace(calm))[4]
    assert distances.get_clim() == (0, max(calm.s_star, 1.5 * calm.threshold))


@pytest.mark.slow
def test_the_true_defect_is_outlined_where_it_is_known(found, drawn):
    assert len(pictures(drawn)[5].axes.collections) == 1
    assert not pictures(plots.trace(found))[5].axes.collections
    assert not pictures(plots.trace(found, mask=np.zeros((64, 64))))[5].axes.collections


def test_without_training_images_the_origin_is_said_in_words(found):
    figure = plots.trace(found)
    assert len(pictures(figure)) == 8
    image, row, column = found.origin
    assert f"good image {image}, ({row}, {column})" in words(figure)


@pytest.mark.slow
def test_the_picture_is_the_same_each_time_and_as_wide_as_a_readme(found, drawn, gear, tmp_path):
    again = plots.trace(found, gear.train, np.eye(64, dtype=bool))
    first, second = (plots.save(f, tmp_path / f"{i}.png") for i, f in enumerate((drawn, again)))
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert 1000 <= picture.width <= 1081


def test_no_words_leave_the_page_or_run_into_each_other(drawn):
    boxes = [text.get_window_extent() for text in drawn.texts]
    page = drawn.bbox
    for box in boxes:
        assert box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 and box.y1 <= page.y1
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"b": None},
        {"b": 20},
        {"layers": ("layer2",)},
        {"patchsize": 1, "false_positive_rate": None},
    ],
    ids=str,
)
def test_other_models_can_be_drawn(tiny, gear, part, options):
    model = PatchCore(tiny, coreset_ratio=0.3, **options).fit(gear.train)
    assert plots.trace(trace(model, part), gear.train)._repr_png_()


def test_a_mask_of_another_size_and_other_training_images_are_refused(found, gear):
    with pytest.raises(ValueError, match=r"mask must have the shape of the map, \(64, 64\)"):
        plots.trace(found, mask=np.zeros((65, 64)))
    with pytest.raises(ValueError, match=r"train_images must be those .* these are 2"):
        plots.trace(found, gear.train[:2])
