"""Segmentation: images, maps, predictions and ground truth in rows."""

import numpy as np
import pytest

from minicore import plots
from minicore.plots import style

PICTURE, MAP, PREDICTED, TRUTH, SCALE = range(5)


def test_panels_show_image_map_prediction_and_truth(scenes):
    images, maps, masks = scenes
    figure = plots.panels(images, maps, masks, threshold=1.5)
    assert len(figure.axes) == 2 * 4 + 1
    heads = [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert heads == ["image", "anomaly map", "map ≥ 1.5", "ground truth"]
    for i in range(2):
        row = [axes.images[0].get_array() for axes in figure.axes[4 * i : 4 * i + 4]]
        assert np.allclose(row[PICTURE], images[i] / 255)
        for column, mask in ((PREDICTED, maps[i] >= 1.5), (TRUTH, masks[i])):
            coloured = np.ptp(row[column], axis=-1) > 1e-6  # the other pixels are grey
            assert np.array_equal(coloured, mask)
    outlined = [len(axes.collections) for axes in figure.axes[:8]]
    assert outlined == [0, 0, 0, 0, 0, 1, 0, 1]


@pytest.mark.slow
def test_panels_have_no_columns_for_missing_arguments(scenes):
    images, maps, masks = scenes
    assert len(plots.panels(images, maps).axes) == 2 * 2 + 1
    assert len(plots.panels(images, maps, masks).axes) == 2 * 3 + 1
    assert len(plots.panels(images[..., 0], maps, threshold=1).axes) == 2 * 3 + 1
    assert not plots.panels(images, maps).texts


def test_panels_have_one_colour_scale(scenes):
    images, maps, _ = scenes
    assert plots.panels(images, maps).axes[-1].get_ylim() == (maps.min(), maps.max())
    figure = plots.panels(images, maps, threshold=9, vmin=0, vmax=5)
    assert figure.axes[-1].get_ylim() == (0, 5)
    assert not figure.axes[-1].lines  # no mark for a threshold outside the scale
    same = np.stack([maps[0], maps[0]])
    drawn = [a.images[0].get_array() for a in plots.panels(images[[0, 0]], same).axes[1:4:2]]
    assert np.array_equal(*drawn)


def test_equal_maps_can_be_drawn(scenes):
    images, maps, _ = scenes
    plots.panels(images, np.ones_like(maps))._repr_png_()


def test_panels_write_titles_labels_and_scores(scenes):
    images, maps, _ = scenes
    figure = plots.panels(
        images,
        maps,
        titles=["cut", "a very long name of a defect"],
        labels=[0, 1],
        scores=[2.6, 260],
    )
    words = [text.get_text() for text in figure.texts]
    expected = ["cut", "good", "score 2.60", "a very long", "name of a", "defect", "anomalous"]
    assert words == [*expected, "score 260"]
    long = plots.panels(images, maps, titles=["scratch_neck_0000001.png", "b"], limit=2)
    assert [t.get_text() for t in long.texts] == [
        "scratch_…00001.png", "threshold 2.00", "b", "threshold 2.00"
    ]  # fmt: skip
    colours = {text.get_text(): text.get_color() for text in figure.texts}
    assert (colours["good"], colours["anomalous"]) == (style.GOOD, style.ANOMALOUS)


def test_float_and_uint8_images_look_the_same(scenes):
    images, maps, _ = scenes
    floats = plots.panels(images.astype(np.float32) / 255, maps)
    assert floats._repr_png_() == plots.panels(images, maps)._repr_png_()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.zeros((2, 32, 47))}, r"images .* maps .* got \(2, 32, 48, 3\)"),
        ({"maps": np.zeros((0, 32, 48)), "images": np.zeros((0, 32, 48))}, "n ≥ 1"),
        ({"maps": np.full((2, 32, 48), np.nan)}, "maps must be finite"),
        ({"images": np.zeros((2, 32, 48), np.uint16)}, "images must be uint8.* uint16"),
        ({"masks": np.zeros((32, 48))}, r"masks must have the shape of maps, \(2, 32, 48\)"),
        ({"scores": [1.0]}, r"scores must be one per image, \(2,\), got \(1,\)"),
        ({"titles": "ab"}, "titles must be one per image"),
        ({"vmin": 2, "vmax": 2}, "vmin below vmax, got 2 and 2"),
    ],
)
def test_panels_raise_errors_that_name_the_wrong_argument(scenes, change, message):
    given = dict(zip(("images", "maps", "masks"), scenes, strict=True)) | change
    with pytest.raises(ValueError, match=message):
        plots.panels(**given)
