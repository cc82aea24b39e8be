"""Exercise on the score "top": the mean of the largest patch distances of one image."""

from collections.abc import Callable

import numpy as np

from minicore.course.exercise import Array, Case, Draw, Exercise, Hint, mistake


def mean_of_top(distances: Array, share: float) -> float:
    """Return the mean of the largest distances: this share of them, at least one."""
    return _mean_of_largest(distances, max(1, round(share * len(distances))))


def _mean_of_largest(distances: Array, k: int) -> float:
    """Return the mean of the `k` largest distances; like a slice, k = 0 takes all of them."""
    return float(np.sort(distances)[-k:].mean(dtype=np.float64))


def _above(distances: Array, share: float, keep: Callable[[Array, float], Array]) -> float:
    """Return the mean of the distances that `keep` compares with a quantile."""
    values = distances.astype(np.float64)
    chosen = values[keep(values, np.quantile(values, 1 - share))]
    return float(chosen.mean()) if len(chosen) else float("nan")


def _distances(draw: Draw, key: int, P: int) -> Array:
    """Return random distances, (P,) float32."""
    return draw.generator(key).gamma(4.0, 0.5, P).astype(np.float32)


def _with_equal(draw: Draw, key: int, P: int, k: int) -> Array:
    """Return random distances, many of them equal, also the k-th largest and the next one."""
    found = np.ceil(2 * _distances(draw, key, P)) / 2
    order = np.argsort(found)
    found[order[-k - 1]] = found[order[-k]]
    return found


_NO_PATCH = Hint(
    "no-patch",
    "Your result is right if the share is at least one patch. How many patches are 1 % of twenty? "
    "The score of an image needs at least one.",
)
_EQUAL_DISTANCES = Hint(
    "quantile",
    "You compare the distances with a quantile. Then the number of patches depends on equal "
    "distances and on how the quantile is computed. Choose the number of patches first.",
)

TOP = Exercise(
    name="top",
    title="Mean of the largest distances",
    question="Return the mean of the largest patch distances of one image. Use this share of the "
    "patches: round their number to the nearest whole number. Use at least one patch.",
    goal="compute the mean of the right number of distances",
    minutes=10,
    returns="float",
    reference=mean_of_top,
    make=lambda draw: (
        Case("a whole number of patches", (_distances(draw, 1, 100), 0.05)),
        Case("784 patches", (_distances(draw, 2, 784), 0.01)),
        Case("a number to round down", (_distances(draw, 3, 60), 0.04)),
        Case("half of the patches", (_distances(draw, 4, 36), 0.5)),
        Case("less than one patch", (_distances(draw, 5, 20), 0.01), _NO_PATCH),
        Case("some equal distances", (_with_equal(draw, 6, 90, 9), 0.1), _EQUAL_DISTANCES),
    ),
    mistakes=(
        mistake(
            "no-patch",
            _NO_PATCH.words,
            lambda distances, share: _mean_of_largest(distances, round(share * len(distances))),
            lambda distances, share: _mean_or(np.nan, distances, round(share * len(distances))),
            lambda distances, share: _mean_or(0.0, distances, round(share * len(distances))),
        ),
        mistake(
            "truncated",
            "The number of patches is cut off. 1 % of 784 patches is 7.84: which whole number is "
            "nearest?",
            lambda distances, share: _mean_of_largest(distances, int(share * len(distances))),
            lambda distances, share: _mean_of_largest(
                distances, max(1, int(share * len(distances)))
            ),
            lambda distances, share: _mean_or(np.nan, distances, int(share * len(distances))),
            lambda distances, share: _mean_or(0.0, distances, int(share * len(distances))),
        ),
        mistake(
            "rounded-up",
            "The number of patches is always rounded up. 4 % of 60 patches is 2.4: which whole "
            "number is nearest?",
            lambda distances, share: _mean_of_largest(
                distances, int(np.ceil(share * len(distances)))
            ),
        ),
        mistake(
            "quantile",
            _EQUAL_DISTANCES.words,
            lambda distances, share: _above(distances, share, np.greater_equal),
            lambda distances, share: _above(distances, share, np.greater),
        ),
        mistake(
            "maximum",
            "This is the maximum, which is equation 6. One patch decides it. Here several patches "
            "decide.",
            lambda distances, share: float(distances.max()),
        ),
        mistake(
            "mean-of-all",
            "This is the mean of all patches. Most patches of a defective image are good, and they "
            "hide the defect.",
            lambda distances, share: float(distances.mean(dtype=np.float64)),
        ),
        mistake(
            "smallest",
            "You use the smallest distances. They belong to the patches that look most like good "
            "ones.",
            lambda distances, share: -mean_of_top(-distances, share),
        ),
        mistake(
            "not-a-mean",
            "You return the smallest or the middle one of the largest distances. Use all of them.",
            lambda distances, share: _of_largest(distances, share, np.min),
            lambda distances, share: _of_largest(distances, share, np.median),
        ),
        mistake(
            "sum",
            "This is the sum of the largest distances. Then images with more patches have higher "
            "scores.",
            lambda distances, share: _of_largest(distances, share, np.sum),
        ),
        mistake(
            "unsorted",
            "You take patches by their place in the array. Take those with the largest distances.",
            lambda distances, share: float(
                distances[-max(1, round(share * len(distances))) :].mean(dtype=np.float64)
            ),
            lambda distances, share: float(
                distances[: max(1, round(share * len(distances)))].mean(dtype=np.float64)
            ),
        ),
    ),
)


def _mean_or(otherwise: float, distances: Array, k: int) -> float:
    """Return the mean of the k largest distances, or another value if k is 0."""
    return _mean_of_largest(distances, k) if k else otherwise


def _of_largest(distances: Array, share: float, summary: Callable[[Array], float]) -> float:
    """Return a summary of the largest distances that is not their mean."""
    k = max(1, round(share * len(distances)))
    return float(summary(np.sort(distances.astype(np.float64))[-k:]))


ALL = (TOP,)
