r"""Equation 5 on a memory bank: project it in pieces, and select the coreset in the projection.

The projection of a bank with 1,024 float32 values per row has an eighth of its size. `fit` keeps
one projection at a time: this bounds its memory beside the bank.
"""

from __future__ import annotations

import numpy as np

from minicore import equations, fast
from minicore.errors import ParameterError
from minicore.patchcore.bank import BLOCK, MemoryBank
from minicore.patchcore.config import Config
from minicore.patchcore.features import engine_functions
from minicore.runtime import threads
from minicore.runtime.progress import bar as progress_bar


def project(
    M: MemoryBank | np.ndarray, config: Config, rows: np.ndarray | None = None
) -> np.ndarray:
    r"""Return $\psi(\mathcal{M})$, or $\mathcal{M}$ itself if it is no wider than the projection.

    Parameters
    ----------
    M : MemoryBank, or (N, D) float32
    config : Config
    rows : (n,) int64, optional
        Only these rows; by default all.

    Returns
    -------
    (n, min(D, d*)) float32
    """
    D, d_star = M.shape[1], config.projection_dim
    if d_star >= D:
        return M[:] if rows is None else M[rows]
    engine = engine_functions(config.engine)
    psi = equations.projection(D, d_star, config.seed)
    n = len(M) if rows is None else len(rows)
    psi_M = np.empty((n, d_star), np.float32)
    for first in range(0, n, BLOCK):
        part = slice(first, min(first + BLOCK, n))
        psi_M[part] = engine.project(M[part] if rows is None else M[rows[part]], psi)
    return psi_M


def pick(
    psi_M: np.ndarray, config: Config, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Select the rows to keep: `config.coreset_ratio` of them, by `config.selection`.

    ``"greedy"`` is Algorithm 1. The other two methods are for comparison (section 4.4.2):

    - ``"random"``: rows drawn without replacement. With the same seed, a smaller coreset is
      the beginning of a larger one.
    - ``"kmeans"``: the rows nearest to the centres of k-means, in place of the paper's learned
      proxies. Rows are kept, not centres, so that every row of the coreset is a patch of a training
      image. A row that is nearest to several centres is kept once, so there may be fewer rows. The
      time grows with the square of the share; a few per cent take minutes.

    Parameters
    ----------
    psi_M : (N, d) float32
    config : Config
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    picks : (l,) int64
        Row numbers, in the order of selection.
    radii : (l,) float64
        Largest distance of any row of $\psi(\mathcal{M})$ to its nearest pick, after each pick.
        Empty unless the method is ``"greedy"``.
    """
    if config.selection == "two-round":
        expected = "'greedy', 'random' or 'kmeans' without a cluster"
        raise ParameterError("selection", expected, config.selection)
    N = len(psi_M)
    l, rng = size_and_generator(N, config)
    if config.selection == "random":
        return rng.permutation(N)[:l].astype(np.int64), np.empty(0)  # Windows: NumPy 1 has int32
    if config.selection == "kmeans":
        return _nearest_centres(psi_M, l, rng, config), np.empty(0)
    start = int(rng.integers(N))
    if config.engine == "fast":
        with progress_bar(l, "coreset", "row", show=progress, initial=1) as bar:
            return fast.greedy_coreset(
                psi_M, l, start, radius=config.coreset_radius, return_radii=True,
                progress=bar.update,
            )  # fmt: skip
    return literal_coreset(psi_M, l, start, config.coreset_radius)


def size_and_generator(N: int, config: Config) -> tuple[int, np.random.Generator]:
    """Return the number of rows to keep of N rows, and the generator of all random choices."""
    return max(1, round(config.coreset_ratio * N)), np.random.default_rng([config.seed, N])


def covering_radius(
    psi_M: np.ndarray, picks: np.ndarray, radii: np.ndarray, config: Config
) -> float:
    """Return the largest distance of any row to its nearest pick.

    Parameters
    ----------
    psi_M : (N, d) float32
    picks, radii
        From `pick`.
    config : Config
    """
    if len(radii):
        return float(radii[-1])
    nearest = engine_functions(config.engine).nearest
    return float(nearest(psi_M, psi_M[picks])[0].max())


def continue_coreset(
    psi_P: np.ndarray, to_nearest: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Continue Algorithm 1 among more rows, until all of them are within the radius.

    Parameters
    ----------
    psi_P : (P, d) float32
        More rows, in the projection $\psi$.
    to_nearest : (P,) float64
        Distance of each to its nearest pick so far.
    radius : float

    Returns
    -------
    picks : (k,) int64
        Rows of `psi_P` in the order picked; of equally far rows the lowest first.
    distances : (k,) float64
        Distance of each to all picks before it.
    """
    far = np.flatnonzero(to_nearest > radius)
    rows, to_nearest = psi_P[far], to_nearest[far]
    picks, distances = [], []
    while (to_nearest > radius).any():
        # m_i ← arg max_{m ∈ P} min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂
        m = int(to_nearest.argmax())
        picks.append(far[m])
        distances.append(to_nearest[m])
        # M_C ← M_C ∪ {m_i}. The rows are few: the fast engine would not be faster.
        to_nearest = np.minimum(to_nearest, equations.nearest(rows, rows[[m]])[0][:, 0])
    return np.array(picks, np.int64), np.array(distances, float)


def literal_coreset(
    psi_M: np.ndarray, l: int, start: int, radius: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Run Algorithm 1 of `minicore.equations`, and leave out the picks after `radius` is reached.

    Parameters, results and rounding are those of `fast.greedy_coreset`.
    """
    picks = equations.greedy_coreset(psi_M, l, start)
    radii = equations.covering_radii(psi_M, picks)
    if radius is not None:
        near_enough = radii <= radius
        l = int(near_enough.argmax()) + 1 if near_enough.any() else l
    return picks[:l], radii[:l]


def _nearest_centres(
    psi_M: np.ndarray, l: int, rng: np.random.Generator, config: Config
) -> np.ndarray:
    """Return the rows nearest to l centres of k-means, each once, in increasing order."""
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(
        l,
        max_iter=10,  # epochs; mostly it stops in the second, when the centres no longer improve
        batch_size=max(1024, 2 * l),  # two rows for each centre at a time
        n_init=1,
        random_state=int(rng.integers(2**31)),
    )
    with threads.single_threaded():
        centres = kmeans.fit(psi_M).cluster_centers_
    return np.unique(engine_functions(config.engine).nearest(centres, psi_M)[1])
