"""Models and exported files for the tests of the export."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx to write graphs")

from minicore import PatchCore
from minicore.export import to_onnx
from minicore.export.proof import open_runtime


@pytest.fixture(scope="module")
def model(tiny, gear):
    """A fitted model: 77 rows, 8 × 8 patches, images of 128 × 128 pixels."""
    return PatchCore(tiny, progress=False).fit(gear.train)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The exported file of this model."""
    path = tmp_path_factory.mktemp("export") / "gear.onnx"
    to_onnx(model, path, progress=False)
    return path


@pytest.fixture
def fit(tiny, gear):
    """Fit a model to the drawn parts."""

    def fit(backbone=tiny, images=gear.train, **options):
        return PatchCore(backbone, progress=False, **options).fit(images)

    return fit


@pytest.fixture
def outputs_of(tmp_path):
    """Export a model, and compute the outputs of the file for some images, by name."""

    def outputs_of(model, images, **options):
        path = tmp_path / "exported.onnx"
        to_onnx(model, path, progress=False, **options)
        return open_runtime(path)(np.stack(images))

    return outputs_of
