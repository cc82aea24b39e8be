"""The receptive field of a patch is that of the network, enlarged by the neighbourhood."""

import pytest

from minicore import PatchCore, datasets
from minicore.play.receptive import receptive_fields

LAYER2 = 91  # pixels, from the sizes and strides of the default network's convolutions


@pytest.mark.parametrize("patchsize", [1, 3])
def test_the_measured_side_is_that_of_the_convolutions(patchsize):
    images = datasets.synthetic("gear", n_train=3, n_good=0, n_defective=0).train
    model = PatchCore(coreset_ratio=0.01, patchsize=patchsize, progress=False).fit(images)
    fine, coarse = receptive_fields(model)
    assert fine is not None
    assert 0 <= fine - (LAYER2 + 8 * (patchsize - 1)) <= 1  # the square has an even side
    assert coarse is None  # larger than the image of 224 pixels
