"""Exercise on equation 4: the memory bank."""

import numpy as np

from minicore import equations
from minicore.course.exercise import Array, Case, Exercise, mistake


def memory_bank(patches: Array) -> Array:
    """Return the memory bank of equation 4."""
    return np.asarray(equations.memory_bank(patches))


EQ4 = Exercise(
    name="eq4",
    title="Memory bank",
    question="Put the patch features of n images, (n, h', w', D), into one array with one patch "
    "feature per row. Go image by image, and within each image row by row of its grid.",
    goal="store all patches in an order from which image and position follow",
    minutes=5,
    returns="(n h' w', D) array of float",
    reference=memory_bank,
    make=lambda draw: (
        Case("three images", (draw.random(41, 3, 2, 4, 5),)),
        Case("one image", (draw.random(43, 1, 3, 2, 4),)),
        Case("two equal images", (draw.random(42, 1, 2, 3, 4).repeat(2, axis=0),)),
        Case("one value per patch", (draw.random(44, 2, 3, 2, 1),)),
    ),
    mistakes=(
        mistake(
            "positions-first",
            "The order of the rows is wrong: you go position by position. Go image by image: all "
            "rows of the first image, then all rows of the second image.",
            lambda patches: patches.transpose(1, 2, 0, 3).reshape(-1, patches.shape[3]),
            lambda patches: patches.transpose(2, 1, 0, 3).reshape(-1, patches.shape[3]),
        ),
        mistake(
            "columns-first",
            "Within an image, you go column by column of the grid. Go row by row.",
            lambda patches: patches.transpose(0, 2, 1, 3).reshape(-1, patches.shape[3]),
        ),
        mistake(
            "transposed",
            "Rows and columns of the bank are exchanged: you have one patch feature per *column*.",
            lambda patches: patches.reshape(-1, patches.shape[3]).T,
        ),
        mistake(
            "scrambled",
            "Each row mixes numbers of several patches. A reshape does not change the order of the "
            "numbers, so the channels must be the last axis before it.",
            lambda patches: patches.transpose(0, 3, 1, 2).reshape(-1, patches.shape[3]),
            lambda patches: patches.transpose(3, 0, 1, 2).reshape(-1, patches.shape[3]),
        ),
        mistake(
            "not-flattened",
            "The result still has the axes of the images or of the grid. Use one row for each "
            "patch of each image.",
            lambda patches: patches,
            lambda patches: patches.reshape(patches.shape[0], -1, patches.shape[3]),
            lambda patches: patches.reshape(patches.shape[0], -1),
        ),
        mistake(
            "averaged",
            "You take the mean over images or positions. The memory bank keeps every patch of "
            "every image, so that it also contains rare good patches.",
            lambda patches: patches.mean(axis=0).reshape(-1, patches.shape[3]),
            lambda patches: patches.mean(axis=(1, 2)),
        ),
        mistake(
            "one-image",
            "The bank contains only one image. Does your loop overwrite earlier images?",
            lambda patches: patches[-1].reshape(-1, patches.shape[3]),
            lambda patches: patches[0].reshape(-1, patches.shape[3]),
        ),
        mistake(
            "deduplicated",
            "You removed equal patch features or sorted the rows. A union of sets removes equal "
            "elements, but here each row must belong to one image and one position.",
            lambda patches: np.unique(patches.reshape(-1, patches.shape[3]), axis=0),
            lambda patches: np.array(
                list(dict.fromkeys(map(tuple, patches.reshape(-1, patches.shape[3]).tolist())))
            ),
        ),
    ),
)


ALL = (EQ4,)
