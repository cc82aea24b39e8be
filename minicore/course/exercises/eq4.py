"""Exercise on equation 4: the memory bank."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Case, Exercise, mistake, random


def memory_bank(patches):
    """Equation 4."""
    return equations.memory_bank(patches)


_TWICE = random(42, 2, 2, 3, 4)
_TWICE[1] = _TWICE[0]

EQ4 = Exercise(
    name="eq4",
    title="Memory bank",
    question="Unite the patch features of n images, (n, h', w', D), in one array with a patch "
    "feature a row: image by image, in each row by row of its grid.",
    returns="(n h' w', D) array of float",
    reference=memory_bank,
    cases=(
        Case("three images", (random(41, 3, 2, 4, 5),)),
        Case("one image", (random(43, 1, 3, 2, 4),)),
        Case("two images that are the same", (_TWICE,)),
        Case("one value a patch", (random(44, 2, 3, 2, 1),)),
    ),
    mistakes=(
        mistake(
            "positions-first",
            "The rows go from position to position, with all images at each. They should go image "
            "by image: all rows of the first image, then all rows of the second.",
            lambda patches: patches.transpose(1, 2, 0, 3).reshape(-1, patches.shape[3]),
            lambda patches: patches.transpose(2, 1, 0, 3).reshape(-1, patches.shape[3]),
        ),
        mistake(
            "columns-first",
            "Within an image the rows go down the columns of the grid. Row by row is asked for.",
            lambda patches: patches.transpose(0, 2, 1, 3).reshape(-1, patches.shape[3]),
        ),
        mistake(
            "transposed",
            "One patch feature a *column*: rows and columns of the bank are exchanged.",
            lambda patches: patches.reshape(-1, patches.shape[3]).T,
        ),
        mistake(
            "scrambled",
            "The shape is right, but a row mixes numbers of several patches: reshape keeps the "
            "order of the memory, so the channels must be the last axis before it.",
            lambda patches: patches.transpose(0, 3, 1, 2).reshape(-1, patches.shape[3]),
            lambda patches: patches.transpose(3, 0, 1, 2).reshape(-1, patches.shape[3]),
        ),
        mistake(
            "not-flattened",
            "The grid is still there. Where a patch lay does not matter to the memory: one row "
            "for each, whatever its image and position.",
            lambda patches: patches,
            lambda patches: patches.reshape(patches.shape[0], -1, patches.shape[3]),
            lambda patches: patches.reshape(patches.shape[0], -1),
        ),
        mistake(
            "averaged",
            "The images are averaged. The memory keeps every patch of every image: that is what "
            "makes rare good patches known.",
            lambda patches: patches.mean(axis=0).reshape(-1, patches.shape[3]),
            lambda patches: patches.mean(axis=(1, 2)),
        ),
        mistake(
            "one-image",
            "Only one image is remembered. Is something overwritten in the loop?",
            lambda patches: patches[-1].reshape(-1, patches.shape[3]),
            lambda patches: patches[0].reshape(-1, patches.shape[3]),
        ),
        mistake(
            "deduplicated",
            "Equal patch features were merged, or the rows sorted. A union of sets would merge "
            "them, but here a row must keep telling where it came from.",
            lambda patches: np.unique(patches.reshape(-1, patches.shape[3]), axis=0),
            lambda patches: np.array(
                list(dict.fromkeys(map(tuple, patches.reshape(-1, patches.shape[3]).tolist())))
            ),
        ),
    ),
)


ALL = (EQ4,)
