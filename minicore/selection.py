r"""Equation 5 on a memory bank: project it, piece by piece, and pick from the projection.

Projected, a bank of 1,024-d float32 features is an eighth of its size. Only one projection exists
at a time: this one room bounds what a fit needs beside the bank.
"""

from __future__ import annotations

import numpy as np

from minicore import equations, fast
from minicore.bank import BLOCK, MemoryBank
from minicore.config import Config


def project(M: MemoryBank, config: Config, rows: np.ndarray | None = None) -> np.ndarray:
    r"""Give $\psi(\mathcal{M})$; $\mathcal{M}$ itself if it is no wider than the projection.

    Parameters
    ----------
    M : MemoryBank
    config : Config
    rows : (n,) int64, optional
        Of these rows only.

    Returns
    -------
    (n, min(D, d*)) float32
    """
    D, d_star = M.shape[1], config.projection_dim
    if d_star >= D:
        return M[:] if rows is None else M[rows]
    psi = equations.projection(D, d_star, config.seed)
    n = len(M) if rows is None else len(rows)
    psi_M = np.empty((n, d_star), np.float32)
    for first in range(0, n, BLOCK):  # a whole number of the tiles whose rounding is fixed
        part = slice(first, min(first + BLOCK, n))
        psi_M[part] = fast.project(M[part] if rows is None else M[rows[part]], psi)
    return psi_M


def pick(
    psi_M: np.ndarray, config: Config, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Algorithm 1 with the size, the radius and the first pick that `config` asks for.

    Parameters
    ----------
    psi_M : (N, d) float32
    config : Config
    progress : bool
        Show a bar.

    Returns
    -------
    picks : (l,) int64
        Row numbers in the order picked.
    radii : (l,) float64
        Largest distance of any row of $\psi(\mathcal{M})$ to its nearest pick, after each pick.
    """
    N = len(psi_M)
    l = max(1, round(config.coreset_ratio * N))
    start = int(np.random.default_rng([config.seed, N]).integers(N))
    if config.engine == "fast":
        return fast.greedy_coreset(psi_M, l, start, config.coreset_radius, True, progress)
    return equations.greedy_coreset(psi_M, l, start, config.coreset_radius, True)
