r"""What is timed: one function a stage. It prepares the input, then lists the sides.

Only what stands inside a `Side` is timed. Where the literal loops would take minutes, they run on a
part of the work, and the time is scaled: their cost is proportional to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicore import equations, fast
from minicore.patchcore.estimator import PatchCore
from minicore.studies.bench import peers
from minicore.studies.bench.material import Material, RandomMaterial
from minicore.studies.bench.stopwatch import Side

STEPS = 2e8  # multiplications that a literal loop may take, about a third of a second
ROWS = 4096  # of the bank, in the matrix product that stands for all its rows


@dataclass(frozen=True)
class Stage:
    """Work that several sides can do.

    Attributes
    ----------
    name, equation : str
    size : str
        How much work, in words.
    sides : list of Side
    same : callable or None
        Takes the sides' results, by name; whether the fast engine's are the literal ones.
    """

    name: str
    equation: str
    size: str
    sides: list[Side]
    same: Callable[[dict[str, Any]], bool] | None = None


def patches(m: Material) -> Stage:
    """Equations 1 to 3: feature maps to patch features, an image."""
    levels, dimensions = m.levels, m.dimensions
    n = len(levels[0])
    one = tuple(np.ascontiguousarray(maps[:1]) for maps in levels)
    out = fast.patch_features(levels, 3, 1, *dimensions)
    moved = sum(maps.nbytes for maps in levels), out.nbytes
    return Stage(
        "patches", "eq 1–3", f"one image, {out.shape[1] * out.shape[2]} patches, {out.shape[3]}-d",
        [
            Side("equations", lambda: equations.patch_features(one, 3, 1, *dimensions)),
            Side("fast", lambda: fast.patch_features(levels, 3, 1, *dimensions), 1 / n),
            Side("memory copy", peers.memory_copy(*moved), 1 / n, limit=True),
        ],
        lambda found: np.allclose(found["equations"], found["fast"][:1], rtol=1e-5, atol=1e-6),
    )  # fmt: skip


def project(m: Material) -> Stage:
    r"""Equation 5's projection $\psi$ of the whole bank."""
    M, psi = m.M, m.psi(128)
    columns = np.ascontiguousarray(psi.T)
    return Stage(
        "projection", "eq 5, ψ", f"{len(M):,} rows, {M.shape[1]}-d to 128-d",
        [
            Side("fast", lambda: fast.project(M, psi)),
            Side("matrix product", peers.matrix_product(M, columns), limit=True),
        ],
    )  # fmt: skip


def coreset(m: Material) -> Stage:
    """Equation 5, Algorithm 1: the picks."""
    return coreset_of(m.psi_M, m.l)


def coreset_of(M: np.ndarray, l: int) -> Stage:
    """Pick `l` rows of a projected bank."""
    N, d = M.shape

    def part(steps: float) -> dict[str, Any]:
        """As many picks as fit, and what they stand for; the first costs nothing."""
        picks = int(np.clip(steps / (N * d), 2, l)) if l > 1 else 1
        return _part(picks, l, "picks", free=1 if l > 1 else 0)

    literal, plain = part(STEPS), part(2 * STEPS)
    rows = min(ROWS, N)
    picked = np.ascontiguousarray(M[np.linspace(0, N - 1, l).astype(int)])
    return Stage(
        "coreset", "eq 5", f"{l:,} of {N:,} rows, {d}-d",
        [
            _side("equations", lambda n: equations.greedy_coreset(M, n), literal),
            _side("parallel loop", lambda n: peers.plain_coreset(M, n, 0), plain),
            _side("parallel loop, float32", lambda n: peers.plain_coreset_float32(M, n, 0), plain),
            Side("fast", lambda: fast.greedy_coreset(M, l)),
            Side(
                "matrix product", peers.matrix_product(M[:rows], picked), N / rows,
                f"{rows:,} of {N:,} rows" if rows < N else "", limit=True,
            ),
        ],
        lambda found: all(
            np.array_equal(found[side], found["fast"][: len(found[side])])
            for side in ("equations", "parallel loop")
        ),
    )  # fmt: skip


def nearest(m: Material) -> Stage:
    """Equation 6: the nearest row of the coreset for every patch of an image."""
    return nearest_in(m.bank, m.queries)


def nearest_in(bank: np.ndarray, images: np.ndarray) -> Stage:
    """Search a bank for the patches of each of a few images, (n, patches, D)."""
    n, patches, D = images.shape
    literal = _part(int(np.clip(STEPS / bank.size, 1, patches)), patches, "queries")
    index = fast.Nearest(bank)
    sklearn, faiss = peers.sklearn_search(bank), peers.faiss_search(bank)
    one = images[0]
    sides = [
        _side("equations", lambda q: equations.nearest(one[:q], bank), literal),
        Side("scikit-learn", lambda: [sklearn(image) for image in images], 1 / n),
        Side("fast", lambda: [index.query(image) for image in images], 1 / n),
        Side("matrix product", peers.matrix_product(one, bank), limit=True),
    ]
    if faiss is not None:
        sides.insert(2, Side("faiss", lambda: [faiss(image) for image in images], 1 / n))
    return Stage(
        "nearest", "eq 6", f"one image, {patches} patches in {len(bank):,} rows, {D}-d", sides,
        lambda found: np.array_equal(
            found["equations"][1], found["fast"][0][1][: len(found["equations"][1])]
        ),
    )  # fmt: skip


def build(m: Material) -> Stage:
    """Prepare the bank for equation 6, once a model."""
    bank = m.bank
    return Stage(
        "bank", "prepared for eq 6", f"once, {len(bank):,} rows, {bank.shape[1]}-d",
        [Side("fast", lambda: fast.Nearest(bank))],
    )  # fmt: skip


def score(m: Material) -> Stage:
    """Equation 7: the weight of an image's score, b = 9."""
    bank, images = m.bank, m.queries
    b = min(9, len(bank))
    index = fast.Nearest(bank)
    found = [index.query(image) for image in images]

    def weigh(nearest: Callable[..., Any]) -> np.ndarray:
        scores = []
        for image, (distances, rows) in zip(images, found, strict=True):
            test_star = distances[:, 0].argmax()
            _, around = nearest(bank[rows[test_star]], b)
            to_around = [equations.distance(image[test_star], bank[row]) for row in around[0]]
            scores.append(equations.reweight(distances[test_star, 0], np.array(to_around)))
        return np.array(scores)

    return Stage(
        "score", "eq 7", f"one image, b = {b}, {len(bank):,} rows, {bank.shape[1]}-d",
        [
            Side(
                "equations", lambda: weigh(lambda rows, k: equations.nearest(rows, bank, k)),
                1 / len(images),
            ),
            Side("fast", lambda: weigh(index.query), 1 / len(images)),
        ],
        lambda results: np.allclose(results["equations"], results["fast"], rtol=1e-5),
    )  # fmt: skip


def maps(m: Material) -> Stage:
    """Section 3.3: patch scores to an anomaly map, upsampled and smoothed."""
    (height, width), grid = m.image_size, m.grid
    index = fast.Nearest(m.bank)
    scores = np.stack([index.query(image)[0].reshape(grid) for image in m.queries])
    n = len(scores)
    return Stage(
        "map", "section 3.3", f"one image, {grid[0]}×{grid[1]} to {height}×{width}, σ = 4",
        [
            Side("equations", lambda: equations.anomaly_map(scores, height, width), 1 / n),
            Side("fast", lambda: fast.anomaly_map(scores, height, width), 1 / n),
        ],
        lambda found: np.allclose(found["equations"], found["fast"], rtol=1e-5),
    )  # fmt: skip


def whole(m: Material) -> Stage:
    """Fit and score, images to scores and maps, against the network alone.

    A coreset of 1 or 10 per cent; the last also places the threshold, as `PatchCore` does unless
    told otherwise, with a second coreset. The network alone is run as they run it, and as
    onnxruntime does by itself.
    """
    prepared, network = m.prepared, m.backbone
    train, test = m.train, m.test
    least = 12 / (len(train) * m.grid[0] * m.grid[1])  # of few patches: enough for equation 7

    def model(ratio: float, fpr: float | None) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            fitted = PatchCore(
                network, m.embedding, max(ratio, least), m.seed,  # type: ignore[arg-type]
                false_positive_rate=fpr, n_threads=network.threads, progress=False,
            ).fit(train)  # fmt: skip
            return fitted.anomaly_score(test)

        return run

    def alone() -> None:
        for batch in prepared:
            network(batch)

    return Stage(
        "end to end", "eq 1–7", f"fit {len(train)} images, score {len(test)}",
        [
            Side("fast, 1 %", model(0.01, None)),
            Side("fast, 10 %", model(0.1, None)),
            Side("fast, 10 %, threshold", model(0.1, 0.05)),
            Side("onnxruntime alone", peers.onnxruntime_alone(network, prepared)),
            Side("network alone", alone, limit=True),
        ],
    )  # fmt: skip


STAGES: dict[str, Callable[[Material], Stage]] = {
    "patches": patches,
    "projection": project,
    "coreset": coreset,
    "build": build,
    "nearest": nearest,
    "score": score,
    "map": maps,
    "whole": whole,
}


def possible(name: str, m: Material) -> bool:
    """Whether a stage makes sense: random vectors have no images to begin with."""
    return not (name == "whole" and isinstance(m, RandomMaterial))


def _part(done: int, of: int, what: str, free: int = 0) -> dict[str, Any]:
    """Say what `done` of `of` units of work stand for; `free` of them cost nothing."""
    part = f"{done:,} of {of:,} {what}" if done < of else ""
    return {"done": done, "scale": (of - free) / (done - free), "part": part}


def _side(name: str, run: Callable[[int], Any], part: dict[str, Any]) -> Side:
    return Side(name, lambda: run(part["done"]), part["scale"], part["part"])
