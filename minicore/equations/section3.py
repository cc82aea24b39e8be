r"""Section 3 of the paper: the seven equations, composed.

This is PatchCore from feature maps to scores: `memory_bank` and `coreset` learn from good images,
`score` judges a new image. Run it on a folder of feature maps::

    python -m minicore.equations.section3 maps

``maps/good/*.npz`` holds the maps of the good images, ``maps/test/*.npz`` those of the new ones. A
file has one array (c, h, w) per hierarchy level, finest first, for instance
``np.savez("maps/good/000.npz", layer2=layer2, layer3=layer3)``.
"""

import sys
from pathlib import Path

import numpy as np

from minicore import equations as eq


def memory_bank(
    levels: tuple[np.ndarray, ...], p: int = 3, W: np.ndarray | None = None
) -> np.ndarray:
    """Compute the patch features of good images and store them (equations 1 to 4).

    Parameters
    ----------
    levels : tuple of (n, c_j, h_j, w_j) float32
        The feature maps of n good images, finest level first.
    p : int, default 3
        Patchsize.
    W : (D, k) float32, optional
        A matrix that whitens patch features; `minicore.patchcore.whitening` computes it from the M
        of the same images. The paper has none.

    Returns
    -------
    M : (N, D) float32, or (N, k) with W
    """
    # 1, 2: the mean over the p × p neighbourhood of every position, for each level
    # 3: the levels upsampled to the finest one, and concatenated
    patches = eq.patch_features(levels, p)
    M = eq.memory_bank(patches)  # 4: one row per patch
    if W is not None:
        # m ← m W, for every m ∈ M
        M = eq.project(M, W)
    return M


def coreset(M: np.ndarray, l: int, seed: int = 0) -> np.ndarray:
    """Keep `l` rows of the memory bank (equation 5).

    Parameters
    ----------
    M : (N, D) float32
    l : int
        Number of rows to keep, between 1 and `N`.
    seed : int, default 0
        Seed of the projection and of the first row.

    Returns
    -------
    M_C : (l, D) float32
    """
    projected = eq.project(M, eq.projection(M.shape[1], 128, seed))
    start = int(np.random.default_rng(seed).integers(len(M)))
    return M[eq.greedy_coreset(projected, l, start)]  # 5: always the farthest row


def score(
    levels: tuple[np.ndarray, ...],
    M_C: np.ndarray,
    size: tuple[int, int],
    p: int = 3,
    b: int = 9,
    W: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Score one new image and compute its anomaly map (equations 6 and 7).

    Parameters
    ----------
    levels : tuple of (1, c_j, h_j, w_j) float32
        The feature maps of the image.
    M_C : (l, D) float32
        The memory bank, or its coreset.
    size : (int, int)
        (h, w) of the image in pixels.
    p, b : int, default 3 and 9
        Patchsize, and the size of the neighbourhood in equation 7.
    W : (D, k) float32, optional
        The matrix that whitened the bank, as for `memory_bank`.

    Returns
    -------
    s : float
        The anomaly score; higher is more anomalous.
    anomaly_map : (h, w) float32
    """
    patches = eq.patch_features(levels, p)
    _, height, width, D = patches.shape
    P = patches.reshape(height * width, D)
    if W is not None:
        # m_test ← m_test W, for every m_test ∈ P
        P = eq.project(P, W)

    # Detection. 6: the largest of the patches' distances; 7: multiplied by a weight
    s = eq.anomaly_score(P, M_C, b)

    # Segmentation: the distance of every patch, upsampled to the image and smoothed
    distances, _ = eq.nearest(P, M_C)
    maps = eq.anomaly_map(distances.reshape(1, height, width), *size)
    return s, maps[0]


def read(path: Path) -> tuple[np.ndarray, ...]:
    """Read the feature maps of one image, (1, c_j, h_j, w_j) float32 per level."""
    with np.load(path) as file:
        return tuple(file[name][None].astype(np.float32) for name in file.files)


def main(folder: str) -> None:
    """Learn from the images in ``folder/good``; print the scores of those in ``folder/test``."""
    good = [read(path) for path in sorted(Path(folder).glob("good/*.npz"))]
    levels = tuple(np.concatenate(level) for level in zip(*good, strict=True))
    M = memory_bank(levels)
    M_C = coreset(M, max(9, len(M) // 10))  # a tenth; equation 7 needs b = 9 rows
    for path in sorted(Path(folder).glob("test/*.npz")):
        s, _ = score(read(path), M_C, size=(224, 224))
        print(f"{path.name}: {s:.4f}")


if __name__ == "__main__":
    main(sys.argv[1])
