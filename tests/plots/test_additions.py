"""The patches that an update adds, as squares in their images."""

import numpy as np
import pytest

from minicore import plots


@pytest.mark.slow
def test_each_image_has_its_squares_and_its_farthest_patch_enlarged(scenes):
    images, *_ = scenes
    squares = [np.array([[0, 8, 8, 8], [16, 40, 8, 8], [8, 8, 8, 8]]), np.array([[24, 0, 8, 8.0]])]
    figure = plots.additions(
        images, squares, [[1.2, 2.0, 1.5], [1.1]], 1.0, titles=["a", "b\n1 patch"], heading="new"
    )
    whole, part, other, *_ = figure.axes
    assert len(figure.axes) == 5 and whole.get_title("left") == "a"
    assert other.get_title("left") == "b\n1 patch"
    drawn = whole.collections[0].get_paths()
    assert [path.vertices[0].tolist() for path in drawn] == [[7.5, -0.5], [7.5, 7.5], [39.5, 15.5]]
    left, right = part.get_xlim()
    bottom, top = part.get_ylim()
    assert left < 39.5 and right == 47.5  # the right end of the image
    assert top < 15.5 < 23.5 < bottom
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_a_figure_without_squares_is_refused(scenes):
    images, *_ = scenes
    square = np.array([[0, 0, 8, 8]])
    for wrong in ((images[:0], [], [], []), (images, [square] * 2, [[1]], ["a", "b"]),
                  (images, [square, square[:0]], [[1], []], ["a", "b"])):  # fmt: skip
        *arrays, titles = wrong
        with pytest.raises(ValueError, match="each with squares, distances and a title"):
            plots.additions(*arrays, 1.0, titles=titles, heading="")
