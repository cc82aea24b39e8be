"""The numbers of the page are those of `PatchCore.detect` and `minicore.trace`."""

import numpy as np
import pytest

from minicore import load, trace
from minicore.play import frame, prepare


@pytest.fixture(scope="module")
def model(saved):
    return load(saved)


@pytest.fixture(scope="module")
def scene(model, gear):
    return prepare(model, list(gear.train))


@pytest.fixture(scope="module")
def twin(saved, model):
    """The same model for prepared pixels: without resizing and cropping."""
    from dataclasses import replace

    found = load(saved)
    found.config_ = replace(model.config_, resize=None, crop=None)
    return found


@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_a_frame_is_the_trace_of_the_same_pixels(scene, twin, pixels, engine):
    found, expected = frame(scene, pixels, engine=engine), trace(twin, pixels)
    values, arrays = found.values, found.arrays
    assert values["score"] == pytest.approx(expected.s, rel=1e-6)
    assert values["s_star"] == pytest.approx(expected.s_star, rel=1e-6)
    assert values["weight"] == pytest.approx(expected.weight, rel=1e-6)
    assert divmod(values["star"], 8) == expected.position
    assert values["anomalous"] == (expected.s > expected.threshold)
    np.testing.assert_allclose(arrays["distances"], expected.patch_scores.ravel(), rtol=1e-5)
    np.testing.assert_array_equal(arrays["nearest"], expected.nearest.ravel())
    np.testing.assert_array_equal(arrays["neighbours"], expected.neighbours)
    np.testing.assert_allclose(
        arrays["neighbour_distances"], expected.neighbour_distances, rtol=1e-6
    )
    np.testing.assert_allclose(arrays["softmax"], expected.softmax, rtol=1e-5)
    np.testing.assert_allclose(arrays["map"], expected.map, rtol=1e-5)
