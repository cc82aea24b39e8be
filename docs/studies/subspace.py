"""Measure what notebook 12 compares on drawn parts, on photographs.

    python docs/studies/subspace.py DATA

DATA is the folder of MVTec AD. The script prints the image AUROC, without equation 7, of patch
features as they are, of patch features divided by their length, and of the distance to the subspace
of the first k principal axes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from material import Material, material

from minicore import fast
from minicore.equations import projection
from minicore.evaluation.metrics import image_auroc
from minicore.patchcore.whitening import covariance

SHARE, SEEDS, AXES = 0.01, range(3), (16, 32, 64, 128)


def auroc(distances: np.ndarray, data: Material) -> float:
    """Return the image AUROC in per cent, from the patch distances of all test images."""
    labels = np.repeat([0, 1], [len(data.good), len(data.bad)])
    return 100 * image_auroc(labels, distances.reshape(len(labels), -1).max(axis=1))


def nearest(data: Material, change: Callable[[np.ndarray], np.ndarray], seed: int) -> float:
    """Return the AUROC of equations 5 and 6 with changed patch features."""
    D = data.train.shape[2]
    M = change(data.train.reshape(-1, D))
    psi_M = fast.project(M, projection(D, 128, seed))
    start = int(np.random.default_rng([seed, len(M)]).integers(len(M)))
    bank = M[fast.greedy_coreset(psi_M, round(SHARE * len(M)), start)]
    tested = change(np.concatenate([data.good, data.bad]).reshape(-1, D))
    return auroc(fast.Nearest(bank).query(tested)[0], data)


def residual(data: Material, k: int) -> float:
    """Return the AUROC of the distance to the subspace of k principal axes."""
    D = data.train.shape[2]
    M = data.train.reshape(-1, D)
    V = np.linalg.eigh(covariance(M))[1][:, ::-1][:, :k].astype(np.float32)
    centred = np.concatenate([data.good, data.bad]).reshape(-1, D) - M.mean(axis=0)
    return auroc(np.linalg.norm(centred - centred @ V @ V.T, axis=1), data)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("categories", nargs="*", default=["pill", "screw"])
    options = parser.parse_args()
    print("| | as they are | length 1 |", *(f"k = {k} |" for k in AXES))
    print("|---" * (3 + len(AXES)) + "|")
    for name in options.categories:
        data = material(name, options.data)
        means = [
            np.mean([nearest(data, change, seed) for seed in SEEDS])
            for change in (lambda x: x, lambda x: x / np.linalg.norm(x, axis=1, keepdims=True))
        ]
        row = [*means, *(residual(data, k) for k in AXES)]
        print(f"| {name} |", *(f"{value:.1f} |" for value in row))


if __name__ == "__main__":
    main()
