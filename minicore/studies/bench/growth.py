"""Measure the same stages at several sizes, to see how their times grow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicore import fast
from minicore.runtime.progress import bar as progress_bar
from minicore.studies.bench.material import Material, RandomMaterial
from minicore.studies.bench.stages import Stage, coreset_of, nearest_in, whole
from minicore.studies.bench.stopwatch import measure

MEASURED = {  # sides of each stage: the fast engine, simple ways, the limit
    "coreset": ("fast", "parallel loop", "matrix product"),
    "nearest": ("fast", "scikit-learn", "faiss", "matrix product"),
    "fit and score": ("fast, 10 %", "network alone"),
}


@dataclass(frozen=True)
class Curve:
    """Times of one side of a stage for several values of one size.

    Attributes
    ----------
    stage : str
    axis : str
        The size that varies.
    fixed : str
        The sizes that do not vary.
    side : str
    sizes : tuple of int
    seconds : tuple of tuple of float
        The samples at each size.
    limit, extrapolated : bool
        See `stopwatch.Side`. `extrapolated` is True if `part` is not empty.
    """

    stage: str
    axis: str
    fixed: str
    side: str
    sizes: tuple[int, ...]
    seconds: tuple[tuple[float, ...], ...]
    limit: bool = False
    extrapolated: bool = False

    @property
    def medians(self) -> np.ndarray:
        """Median seconds at each size, (len(sizes),) float64."""
        return np.median(self.seconds, axis=1)

    @property
    def slope(self) -> float:
        """Exponent of the power of the size that fits the medians best."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.medians), 1)[0])

    def to_json(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Curve:
        """Return the curve that `to_json` stored."""
        seconds = tuple(map(tuple, stored["seconds"]))
        return cls(**{**stored, "sizes": tuple(stored["sizes"]), "seconds": seconds})


Sweep = tuple[str, str, str, list[int], Callable[[int], Stage]]


def sweeps(m: Material) -> Iterator[Sweep]:
    """Yield each sweep: stage, axis, fixed sizes, values of the axis, function for a stage."""
    psi_M = m.psi_M
    N, d = psi_M.shape
    l = max(2, N // 100)

    def spread(rows: np.ndarray, n: int) -> np.ndarray:
        """Return `n` rows, evenly spaced over all images."""
        return np.ascontiguousarray(rows[np.linspace(0, len(rows) - 1, n).astype(int)])

    yield (
        "coreset", "rows N", f"l = {l:,}, d = {d}", _sizes(N, 2, 4),
        lambda n: coreset_of(spread(psi_M, n), min(l, n)),
    )  # fmt: skip
    yield (
        "coreset", "picks l", f"N = {N:,}, d = {d}", _sizes(N // 5, 3, 4),
        lambda n: coreset_of(psi_M, n),
    )  # fmt: skip
    yield (
        "coreset", "dimensions d", f"N = {N:,}, l = {l:,}", _sizes(min(256, m.M.shape[1]), 2, 5),
        lambda n: coreset_of(fast.project(m.M, m.psi(n)), l),
    )  # fmt: skip
    largest = min(N, 20_000)
    order = fast.greedy_coreset(psi_M, largest)
    yield (
        "nearest", "rows of the bank", f"one image, d = {m.M.shape[1]}", _sizes(largest, 3, 4),
        lambda n: nearest_in(m.M[order[:n]], m.queries),
    )  # fmt: skip
    if not isinstance(m, RandomMaterial):
        yield (
            "fit and score", "images to learn", f"{len(m.test)} scored",
            _sizes(len(m.train), 2, 4), lambda n: whole(_fewer(m, n)),
        )  # fmt: skip


def grow(m: Material, repeats: int = 3, progress: bool = False) -> list[Curve]:
    """Measure every sweep.

    Parameters
    ----------
    m : Material
    repeats : int, default 3
        Number of rounds at each size.
    progress : bool, default False
        Whether to show a progress bar per sweep.

    Returns
    -------
    list of Curve
    """
    curves = []
    for stage, axis, fixed, sizes, make in sweeps(m):
        samples: dict[str, list[tuple[float, ...]]] = {}
        flags: dict[str, tuple[bool, bool]] = {}  # limit, extrapolated
        with progress_bar(len(sizes), f"{stage}, {axis}", "size", show=progress) as bar:
            for size in sizes:
                sides = [side for side in make(size).sides if side.name in MEASURED[stage]]
                for side, seconds in zip(sides, measure(sides, repeats)[0], strict=True):
                    samples.setdefault(side.name, []).append(seconds)
                    extrapolated = flags.get(side.name, (False, False))[1] or bool(side.part)
                    flags[side.name] = (side.limit, extrapolated)
                bar.update()
        curves += [
            Curve(stage, axis, fixed, name, tuple(sizes), tuple(seconds), *flags[name])
            for name, seconds in samples.items()
        ]
    return curves


def _sizes(largest: int, factor: int, n: int) -> list[int]:
    """Return up to `n` sizes, each `factor` times the size before. The last is `largest`."""
    sizes = {largest // factor**i for i in range(n)}
    return sorted(size for size in sizes if size >= 2)


def _fewer(m: Material, n: int) -> Material:
    """Return the same material with only `n` training images."""
    fewer = copy.copy(m)
    for name in ("prepared", "levels", "M", "psi_M", "queries", "bank"):
        fewer.__dict__.pop(name, None)
    fewer.train = m.train[:n]
    return fewer
