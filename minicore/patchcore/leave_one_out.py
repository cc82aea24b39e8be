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

Two searches are enough for all images: one of the patch features for the scores, and one in the
projection ψ for the holes. Each finds the nearest row of the coreset, and if necessary the nearest
row of another image. Most patches are not searched in ψ: `minicore.fast.covered` shows that they
are in no hole, with rows that the first search has found.

Copies of an image are left out together and count as one image: an image whose copy is in the
memory bank has a score of about 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minicore import equations, fast
from minicore.fast.covered import covered
from minicore.patchcore.bank import BLOCK, MemoryBank
from minicore.patchcore.config import Config, Engine
from minicore.patchcore.features import engine_functions
from minicore.patchcore.search import Search, mean_of_top
from minicore.patchcore.selection import continue_coreset
from minicore.runtime.progress import bar as progress_bar

BATCH = 8  # images that are searched together


class _Nearest(NamedTuple):
    """The nearest row of the coreset, and the nearest row of another image, for each query.

    Attributes
    ----------
    distances : (n, 2) float64
        The second is infinite if there is no such row.
    rows : (n, 2) int64
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

    def score(self, around: np.ndarray, near: np.ndarray, b: int) -> float:
        """Return equation 7.

        Parameters
        ----------
        around : (k,) float64
            Distances of m* to the nearest rows of other images.
        near : (k, D) float32
            These rows; at least b, or all.
        b : int
        """
        around = np.concatenate([around, equations.nearest(self.filled, self.m_star)[0][:, 0]])
        near = np.concatenate([near, self.filled])
        order = np.argsort(around, kind="stable")[:b]
        if len(order) < b:
            raise ValueError(
                f"b must be at most the {len(order)} rows of the memory bank without one image, "
                f"got {b}; lower b or raise coreset_ratio"
            )
        return float(equations.reweighted_distance(self.m_test_star, near[order]))


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
    radius : float
        Largest distance of a patch to its nearest row of the coreset, in the projection.
    engine : {"fast", "equations"}
    picks : bytes
        A hash of the rows of the coreset.
    """

    in_psi: Search
    search: Search
    first: np.ndarray
    image_of_pick: np.ndarray
    radius: float
    engine: Engine
    picks: bytes

    @classmethod
    def of(
        cls,
        psi_M_C: np.ndarray,
        picks: np.ndarray,
        radius: float,
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
        radius, search, first
            As above.
        patches : int
            Number of rows of each image in the whole memory bank, with its turned copies.
        engine : {"fast", "equations"}
        """
        in_psi = Search(psi_M_C, None)
        in_psi.prepare(engine)
        named = hashlib.blake2b(picks.tobytes()).digest()
        return cls(in_psi, search, first, first[picks // patches], radius, engine, named)

    @property
    def nbytes(self) -> int:
        """Bytes of the coreset."""
        return self.in_psi.bank.nbytes + self.search.bank.nbytes


class LeaveOneOut:
    r"""Some training images, each different one searched in the coreset without its own rows.

    The steps are `holes` and `fill`; then there are scores and peaks. `leave_one_out` takes all of
    them on one machine.

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
        Called with the number of images that have been searched, once for each different image.

    Attributes
    ----------
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
        self._own = others.first[at : at + M.n]
        self._images = np.flatnonzero(self._own == np.arange(at, at + M.n))  # the different ones
        found = [_Nearest(np.empty((0, 2)), np.empty((0, 2), np.int64))]
        for first in range(0, len(self._images), BATCH):
            images = self._images[first : first + BATCH]
            P = _read(M, M.rows[images, 0].ravel())  # not turned
            without = np.repeat(self._own[images], len(P) // len(images))
            found.append(_search(P, 1, others.search, others, without))
            if searched is not None:
                searched(len(images))
        # of the different images, one after the other
        self._nearest = _Nearest(*map(np.concatenate, zip(*found, strict=True)))

    def holes(self) -> Holes:
        """Find the holes of the coreset among the patches of these images."""
        others, psi_M = self._others, self._psi_M
        image_of_patch = np.repeat(self._own, self._M.rows[0].size)  # with its turned copies
        rows = np.flatnonzero(~self._covered())
        owner, distances = np.empty(len(rows), np.int64), np.empty(len(rows))
        for first in range(0, len(rows), BLOCK):
            part = slice(first, first + BLOCK)
            found = _search(psi_M[rows[part]], 2, others.in_psi, others)
            owner[part] = others.image_of_pick[found.rows[:, 0]]
            distances[part] = found.distances[:, 1]
        alone = (owner != image_of_patch[rows]) & (distances > others.radius)
        rows = rows[alone]
        return Holes(
            owner[alone], rows + self._at * self._M.rows[0].size, distances[alone], psi_M[rows]
        )

    def _covered(self) -> np.ndarray:
        """Return which patches are certainly in no hole, (N,) bool."""
        M, others = self._M, self._others
        if others.engine != "fast":
            return np.zeros(len(M), np.bool_)
        nearest = np.full((M.n, M.turns, M.rows.shape[2]), -1)
        nearest[self._images, 0] = self._nearest.rows[:, 0].reshape(-1, M.rows.shape[2])
        return covered(
            self._psi_M, np.repeat(self._own, M.turns), nearest.reshape(-1, *M.grid),
            others.in_psi.bank, others.image_of_pick, others.radius,
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
        d, nearest = (each[:, 1].reshape(self.distances.shape) for each in self._nearest)
        for i, image in enumerate(self._images):
            more = filled.get(int(image) + self._at, np.empty((0, D), np.float32))
            kept = self._others.image_of_pick != image + self._at
            self._leave_out(i, _read(self._M, rows[image, 0]), d[i], nearest[i], kept, more)
            if done is not None:
                done(1)

    def _leave_out(
        self,
        i: int,
        P: np.ndarray,
        d: np.ndarray,
        rows: np.ndarray,
        kept: np.ndarray,
        filled: np.ndarray,
    ) -> None:
        """Find the distances and the deciding patch of image i, which has the patches P."""
        d, rows = d.copy(), rows.copy()  # they change if a filled row is nearer
        if len(filled):
            if self._others.engine == "fast":
                nearer, who = fast.Nearest(filled).query(P, 1, within=d)
            else:
                nearer, who = equations.nearest(P, filled)
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
        return self._reweighted(config.b)

    def _reweighted(self, b: int) -> np.ndarray:
        """Return equation 7 of each image, with N_b(m*) among the rows of the other images."""
        search, engine = self._others.search, self._others.engine
        s, todo = np.empty(len(self._left_out)), np.arange(len(self._left_out))
        l = len(search.bank)
        k = min(2 * b, l)
        while len(todo):
            m_star = np.concatenate([self._left_out[i].m_star for i in todo])
            more = []
            for i, d, who in zip(todo, *search.nearest(m_star, k, engine), strict=True):
                kept = self._left_out[i].kept[who]
                if kept.sum() < b and k < l:
                    more.append(i)
                else:
                    s[i] = self._left_out[i].score(d[kept], search.bank[who[kept]], b)
            todo, k = np.array(more, np.int64), min(4 * k, l)
        return s

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
    radius: float,
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
    radius : float
        Its covering radius (`selection.covering_radius`).
    first : (n,) int64
        The result of `training.first_copies`, with at least two different images.
    search : Search
        In the coreset.
    engine : {"fast", "equations"}
    progress : bool
        Whether to show a progress bar.
    """
    others = Others.of(psi_M[picks], picks, radius, search, first, M.rows[0].size, engine)
    with progress_bar(2 * len(np.unique(first)), "threshold", "image", show=progress) as bar:
        found = LeaveOneOut(M, psi_M, others, searched=bar.update)
        rows = filling([found.holes()], radius)
        found.fill({image: M[own] for image, own in rows.items()}, bar.update)
    return found


def _search(
    X: np.ndarray, k: int, search: Search, others: Others, without: np.ndarray | None = None
) -> _Nearest:
    """Find the nearest row, and the nearest row of another image than one.

    Parameters
    ----------
    X : (n, D) float32
    k : int
        Number of rows that are found at first; more if they are all of one image.
    search : Search
    others : Others
    without : (n,) int64, optional
        The image of which the second row must not be; by default the image of the nearest row.
    """
    most = len(others.image_of_pick)
    found = _Nearest(np.full((len(X), 2), np.inf), np.zeros((len(X), 2), np.int64))
    todo, k = np.arange(len(X)), min(k, most)
    while len(todo):
        d, who = search.nearest(X if len(todo) == len(X) else X[todo], k, others.engine)
        image = others.image_of_pick[who]
        other = image != (image[:, :1] if without is None else without[todo, None])
        column = np.stack([np.zeros(len(todo), np.int64), other.argmax(axis=1)], axis=1)
        found.rows[todo] = np.take_along_axis(who, column, axis=1)
        found.distances[todo] = np.take_along_axis(d, column, axis=1)
        todo = todo[~other.any(axis=1)]
        found.distances[todo, 1] = np.inf
        if k == most:
            break
        k = min(4 * k, most)
    return found


def _read(M: MemoryBank, rows: np.ndarray) -> np.ndarray:
    """Read rows of a bank in increasing order. Consecutive rows are not copied."""
    consecutive = rows[-1] - rows[0] == len(rows) - 1
    return M[int(rows[0]) : int(rows[-1]) + 1] if consecutive else M[rows]
