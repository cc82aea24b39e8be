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

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Holes(NamedTuple):
    """Patches that have no row within the covering radius if one image is left out.

    Attributes
    ----------
    owner : (k,) int64
        The image that is left out, with which a patch loses its nearest row.
    rows : (k,) int64
        The patches: rows of the whole memory bank, increasing for each owner.
    distances : (k,) float64
        From each to the nearest row of another image, in the projection.
    vectors : (k, d) float32
        The patches, in the projection.
    """

    owner: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    vectors: np.ndarray


@dataclass(frozen=True, eq=False)
class Others:
    """The coreset, to search the rows of other images.

    Attributes
    ----------
    in_psi : Search
        In the coreset, in the projection.
    search : Search
        In the coreset.
    first : (n,) int64
        The result of `training.first_copies`, with at least two different images.
    image_of_pick : (l,) int64
        The image of each row of the coreset; of copies the first.
    engine : {"fast", "equations"}
    picks : bytes
        A hash of the rows of the coreset.
    """

    in_psi: Search
    search: Search
    first: np.ndarray
    image_of_pick: np.ndarray
    engine: Engine
    picks: bytes

    @classmethod
    def of(
        cls,
        psi_M_C: np.ndarray,
        picks: np.ndarray,
        search: Search,
        first: np.ndarray,
        patches: int,
        engine: Engine,
    ) -> Others:
        """Prepare the searches.

        Parameters
        ----------
        psi_M_C : (l, d) float32
            The coreset in the projection.
        picks : (l,) int64
            Its rows in the whole memory bank.
        search : Search
            In the coreset.
        first : (n,) int64
            As above.
        patches : int
            Number of rows of each image in the whole memory bank, with its turned copies.
        engine : {"fast", "equations"}
        """
        in_psi = Search(psi_M_C, None)
        in_psi.prepare(engine)
        named = hashlib.blake2b(picks.tobytes()).digest()
        return cls(in_psi, search, first, first[picks // patches], engine, named)

    @property
    def nbytes(self) -> int:
        """Bytes of the coreset."""
        return self.in_psi.bank.nbytes + self.search.bank.nbytes


class LeaveOneOut:
    r"""Some training images, each different one searched in the coreset without its own rows.

    The steps are `radius`, `holes` and `fill`; then there are scores and peaks. `leave_one_out`
    takes all of them on one machine.

    Parameters
    ----------
    M : MemoryBank
        The patch features of the images.
    psi_M : (N, d) float32
        Their projection (`selection.project`).
    others : Others
        The coreset.
    at : int, default 0
        Number of the first of these images among all training images.
    searched : callable, optional
        Called with the number of images that have been searched, twice for each image.

    Attributes
    ----------
    radius : float
        Largest distance of a patch to its nearest row of the coreset, in the projection.
    distances : (m, P) float32
        For each patch of the m different images, the distance to the nearest row of another image.
        After `fill`.
    """

    def __init__(
        self,
        M: MemoryBank,
        psi_M: np.ndarray,
        others: Others,
        at: int = 0,
        searched: Callable[[int], object] | None = None,
    ) -> None:
        self._M, self._psi_M, self._others, self._at = M, psi_M, others, at
        own = others.first[at : at + M.n]
        self._images = np.flatnonzero(own == np.arange(at, at + M.n))  # the different ones
        self._image_of_patch = np.repeat(own, M.rows[0].size)  # with its turned copies
        self._in_psi = _search(psi_M, others, others.in_psi, M.n, searched)
        self._nearest = _search(M, others, others.search, M.n, searched)
        self.radius = float(self._in_psi.distances[:, 0].max())

    def holes(self, radius: float) -> Holes:
        """Find the holes of the coreset among the patches of these images.

        Parameters
        ----------
        radius : float
            The covering radius: the largest `radius` of all images.
        """
        found = self._in_psi
        owner = self._others.image_of_pick[found.rows[:, 0]]
        alone = (owner != self._image_of_patch) & (found.distances[:, 1] > radius)
        rows = np.flatnonzero(alone)
        return Holes(
            owner[rows], rows + self._at * self._M.rows[0].size, found.distances[rows, 1],
            self._psi_M[rows],
        )  # fmt: skip

    def fill(
        self,
        filled: Mapping[int, np.ndarray],
        done: Callable[[int], object] | None = None,
    ) -> None:
        """Leave out each image.

        Parameters
        ----------
        filled : dict of int to (f, D) float32
            For an image, the rows that fill its holes, if it leaves any.
        done : callable, optional
            Called with the number of images that were left out.
        """
        rows, D = self._M.rows, self._M.shape[1]
        self.distances = np.empty((len(self._images), rows.shape[2]), np.float32)
        self._left_out: list[_LeftOut] = []
        for i, image in enumerate(self._images):
            own = rows[image, 0]  # not turned
            found = _Nearest(self._nearest.distances[own], self._nearest.rows[own])
            more = filled.get(int(image) + self._at, np.empty((0, D), np.float32))
            kept = self._others.image_of_pick != image + self._at
            self._leave_out(i, self._M[own], found, kept, more)
            if done is not None:
                done(1)

    def _leave_out(
        self, i: int, P: np.ndarray, nearest: _Nearest, kept: np.ndarray, filled: np.ndarray
    ) -> None:
        """Find the distances and the deciding patch of image i, which has the patches P."""
        column = (~kept[nearest.rows[:, :1]]).astype(np.int64)  # 1 if the nearest row is its own
        d, rows = (np.take_along_axis(each, column, axis=1)[:, 0] for each in nearest)
        if len(filled):
            nearer, who = Search(filled, None).nearest(P, 1, self._others.engine)
            closer = nearer[:, 0] < d
            d[closer], rows[closer] = nearer[closer, 0], len(kept) + who[closer, 0]
        self.distances[i] = d
        test_star = int(self.distances[i].argmax())
        at = int(rows[test_star])
        m_star = self._others.search.bank[at] if at < len(kept) else filled[at - len(kept)]
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
        search, engine = self._others.search, self._others.engine
        around, who = (each[0] for each in search.nearest(m_star, k, engine))
        around, who = around[kept[who]], who[kept[who]]
        near = np.concatenate([search.bank[who], filled])
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
        anomaly_map = engine_functions(self._others.engine).anomaly_map
        grids = self.distances.reshape(-1, *self._M.grid)
        peaks = np.empty(len(grids))
        for i in range(0, len(grids), BATCH):
            maps = anomaly_map(grids[i : i + BATCH], *size, config.sigma, config.stride, cell)
            peaks[i : i + BATCH] = maps.max(axis=(1, 2))
        return peaks


def filling(holes: Sequence[Holes], radius: float) -> dict[int, np.ndarray]:
    """Select the rows that fill the holes of each image: Algorithm 1 continues.

    Parameters
    ----------
    holes : sequence of Holes
        Of all training images, in their order.
    radius : float
        The covering radius.

    Returns
    -------
    dict of int to (f,) int64
        For each image that leaves holes, rows of the whole memory bank in the order picked.
    """
    every = Holes(*map(np.concatenate, zip(*holes, strict=True)))
    order = np.argsort(every.owner, kind="stable")
    images, starts = np.unique(every.owner[order], return_index=True)
    found = {}
    for image, own in zip(images, np.split(order, starts[1:]), strict=False):
        more, _ = continue_coreset(every.vectors[own], every.distances[own], radius)
        found[int(image)] = every.rows[own[more]]
    return found


def leave_one_out(
    M: MemoryBank,
    psi_M: np.ndarray,
    picks: np.ndarray,
    first: np.ndarray,
    search: Search,
    engine: Engine,
    progress: bool = False,
) -> LeaveOneOut:
    r"""Search all training images, each different one in the coreset without its own rows.

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
    """
    others = Others.of(psi_M[picks], picks, search, first, M.rows[0].size, engine)
    total = 2 * M.n + len(np.unique(first))
    with progress_bar(total, "threshold", "image", show=progress) as bar:
        found = LeaveOneOut(M, psi_M, others, searched=bar.update)
        rows = filling([found.holes(found.radius)], found.radius)
        found.fill({image: M[own] for image, own in rows.items()}, bar.update)
    return found


def _search(
    rows: MemoryBank | np.ndarray,
    others: Others,
    search: Search,
    n: int,
    searched: Callable[[int], object] | None,
) -> _Nearest:
    """Search all patches of n images, some images at a time."""
    found = _Nearest(np.full((len(rows), 2), np.inf), np.zeros((len(rows), 2), np.int64))
    image_of_pick = others.image_of_pick
    P, most = len(rows) // n, len(image_of_pick)
    for start in range(0, len(rows), BATCH * P):
        todo = np.arange(start, min(start + BATCH * P, len(rows)))
        if searched is not None:
            searched(len(todo) // P)
        k = min(NEIGHBOURS, most)
        while len(todo):
            d, who = search.nearest(rows[todo], k, others.engine)
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
