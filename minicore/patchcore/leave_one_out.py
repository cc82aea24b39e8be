r"""Scores of good images by a model that has not learned them: leave out one image at a time.

The coreset without the rows of an image stands for a model that was fitted without this image. A
removed row leaves a hole: without the image, Algorithm 1 would have picked another row there. So
the hole is filled. Algorithm 1 continues among the patches of the other images, until each of them
is within the covering radius again:

    r = max_{m ∈ M} min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂
    for each image x:
        M_x = M_C without the rows of x
        while a patch of another image is farther than r from M_x, in ψ:
            M_x ← M_x ∪ {the patch that is farthest from M_x}
        the score of x is computed with M_x (equations 6 and 7)

Two searches of all patches are enough for all images: one in the projection ψ for the holes, one of
the patch features for the scores. For each patch they find the nearest row of the coreset, and the
nearest row of another image than that one. Which of the two counts depends on the image that is
left out.

Copies of an image are left out together and count as one image: an image whose copy is in the
memory bank has a score of about 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicore import equations
from minicore.patchcore.bank import MemoryBank
from minicore.patchcore.config import Config, Engine
from minicore.patchcore.features import engine_functions
from minicore.patchcore.search import Search, mean_of_top
from minicore.patchcore.selection import continue_coreset
from minicore.runtime.progress import bar as progress_bar

BATCH = 8  # images that are searched together
NEIGHBOURS = 2  # rows found at first: mostly they come from different images


class _Nearest(NamedTuple):
    """The nearest row of the coreset, and the nearest row of another image, for each patch.

    Attributes
    ----------
    distances : (N, 2) float64
        The second is infinite if there is no such row.
    rows : (N, 2) int64
        Numbers in the coreset.
    """

    distances: np.ndarray
    rows: np.ndarray


class _LeftOut(NamedTuple):
    """One image and the coreset without it.

    Attributes
    ----------
    m_test_star : (D,) float32
        Its patch that is farthest from the rows of the other images.
    m_star : (1, D) float32
        The nearest of these rows.
    kept : (l,) bool
        The rows of the coreset that are not from this image.
    filled : (f, D) float32
        The rows that fill the holes.
    """

    m_test_star: np.ndarray
    m_star: np.ndarray
    kept: np.ndarray
    filled: np.ndarray


class LeaveOneOut:
    r"""Each different image, searched in the coreset without its own rows.

    Parameters
    ----------
    M : MemoryBank
        The patch features of all good images.
    psi_M : (N, d) float32
        Their projection (`selection.project`).
    picks : (l,) int64
        The rows of the coreset.
    first : (n,) int64
        The result of `training.first_copies`, with at least two different images.
    search : Search
        In the coreset.
    engine : {"fast", "equations"}
    progress : bool
        Whether to show a progress bar.

    Attributes
    ----------
    distances : (m, P) float32
        For each patch of the m different images, the distance to the nearest row of another image.
    """

    def __init__(
        self,
        M: MemoryBank,
        psi_M: np.ndarray,
        picks: np.ndarray,
        first: np.ndarray,
        search: Search,
        engine: Engine,
        progress: bool = False,
    ) -> None:
        self._search, self._engine, self._grid = search, engine, M.grid
        images, of_image = np.unique(first), M.rows
        image_of_patch = np.repeat(first, of_image[0].size)  # with its turned copies
        image_of_pick = image_of_patch[picks]
        self.distances = np.empty((len(images), of_image.shape[2]), np.float32)
        self._left_out: list[_LeftOut] = []
        with progress_bar(2 * M.n + len(images), "threshold", "image", show=progress) as bar:
            in_psi = _search(psi_M, image_of_pick, Search(psi_M[picks], None), M.n, engine, bar)
            nearest = _search(M, image_of_pick, search, M.n, engine, bar)
            # The patches that have no row within r if the image of their nearest row is left out.
            radius = in_psi.distances[:, 0].max()
            owner = image_of_pick[in_psi.rows[:, 0]]
            alone = np.flatnonzero((owner != image_of_patch) & (in_psi.distances[:, 1] > radius))
            alone = alone[np.argsort(owner[alone], kind="stable")]
            ends = np.searchsorted(owner[alone], images, side="right")
            starts = np.searchsorted(owner[alone], images, side="left")
            for i, image in enumerate(images):
                rows = alone[starts[i] : ends[i]]
                more, _ = continue_coreset(psi_M[rows], in_psi.distances[rows, 1], radius)
                filled = M[rows[more]]
                own = of_image[image, 0]  # not turned
                found = _Nearest(nearest.distances[own], nearest.rows[own])
                self._leave_out(i, M[own], found, image_of_pick != image, filled)
                bar.update(1)

    def _leave_out(
        self, i: int, P: np.ndarray, nearest: _Nearest, kept: np.ndarray, filled: np.ndarray
    ) -> None:
        """Find the distances and the deciding patch of image i, which has the patches P."""
        column = (~kept[nearest.rows[:, :1]]).astype(np.int64)  # 1 if the nearest row is its own
        d, rows = (np.take_along_axis(each, column, axis=1)[:, 0] for each in nearest)
        if len(filled):
            nearer, who = Search(filled, None).nearest(P, 1, self._engine)
            closer = nearer[:, 0] < d
            d[closer], rows[closer] = nearer[closer, 0], len(kept) + who[closer, 0]
        self.distances[i] = d
        test_star = int(self.distances[i].argmax())
        at = int(rows[test_star])
        m_star = self._search.bank[at] if at < len(kept) else filled[at - len(kept)]
        self._left_out.append(_LeftOut(P[test_star].copy(), m_star[None], kept, filled))

    def scores(self, config: Config) -> np.ndarray:
        """Return the score of each image, (m,) float64, with `config.b` and `config.score`.

        Raises
        ------
        ValueError
            If a coreset without one image has fewer than `config.b` rows.
        """
        if config.score == "top":
            return mean_of_top(self.distances)
        if config.b is None:
            return self.distances.max(axis=1).astype(float)
        return np.array([self._reweighted(each, config.b) for each in self._left_out])

    def _reweighted(self, image: _LeftOut, b: int) -> float:
        """Return equation 7, with N_b(m*) among the rows of the other images."""
        m_star, kept, filled = image.m_star, image.kept, image.filled
        k = min(b + int(np.count_nonzero(~kept)), len(kept))
        around, who = (each[0] for each in self._search.nearest(m_star, k, self._engine))
        around, who = around[kept[who]], who[kept[who]]
        near = np.concatenate([self._search.bank[who], filled])
        around = np.concatenate([around, equations.nearest(filled, m_star)[0][:, 0]])
        order = np.argsort(around, kind="stable")[:b]
        if len(order) < b:
            raise ValueError(
                f"b must be at most the {len(order)} rows of the memory bank without one image, "
                f"got {b}; lower b or raise coreset_ratio"
            )
        return float(equations.reweighted_distance(image.m_test_star, near[order]))

    def peaks(self, size: tuple[int, int], cell: tuple[float, float], config: Config) -> np.ndarray:
        """Return the largest value of the map of each image, (m,) float64.

        Parameters
        ----------
        size : (int, int)
            (h, w) of the prepared images in pixels.
        cell : (float, float)
            Rows and columns of pixels that a cell of the finest feature map covers.
        config : Config
        """
        anomaly_map = engine_functions(self._engine).anomaly_map
        grids = self.distances.reshape(-1, *self._grid)
        maps = (
            anomaly_map(grids[i : i + BATCH], *size, config.sigma, config.stride, cell)
            for i in range(0, len(grids), BATCH)
        )
        return np.concatenate([batch.max(axis=(1, 2)) for batch in maps]).astype(float)


def _search(
    rows: MemoryBank | np.ndarray,
    image_of_pick: np.ndarray,
    search: Search,
    n: int,
    engine: Engine,
    bar: Any,
) -> _Nearest:
    """Search all patches of n images, some images at a time."""
    found = _Nearest(np.full((len(rows), 2), np.inf), np.zeros((len(rows), 2), np.int64))
    P, most = len(rows) // n, len(image_of_pick)
    for start in range(0, len(rows), BATCH * P):
        todo = np.arange(start, min(start + BATCH * P, len(rows)))
        bar.update(len(todo) // P)
        k = min(NEIGHBOURS, most)
        while len(todo):
            d, who = search.nearest(rows[todo], k, engine)
            other = image_of_pick[who] != image_of_pick[who[:, :1]]
            column = np.stack([np.zeros(len(todo), np.int64), other.argmax(axis=1)], axis=1)
            found.rows[todo] = np.take_along_axis(who, column, axis=1)
            found.distances[todo] = np.take_along_axis(d, column, axis=1)
            todo = todo[~other.any(axis=1)]
            found.distances[todo, 1] = np.inf
            if k == most:
                break
            k = min(4 * k, most)
    return found
