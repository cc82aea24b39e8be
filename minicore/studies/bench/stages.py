r"""The stages of the benchmark, one function per stage.

Each function prepares the input, then lists the sides: different ways to do the same work. Only
the function of a `Side` is timed. Where the literal loops would take minutes, they do a part of the
work and the time is scaled. Their time is proportional to the work.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicore import equations, fast
from minicore.export import to_onnx
from minicore.export.proof import open_runtime
from minicore.images import batches, image_size, read_image
from minicore.patchcore.estimator import PatchCore
from minicore.studies.bench import peers
from minicore.studies.bench.material import Material, RandomMaterial
from minicore.studies.bench.stopwatch import Side

STEPS = 2e8  # multiplications of a literal loop, about a third of a second
EXPORTED = 8  # images that are scored one by one
ROWS = 4096  # rows of the bank in a matrix product; its time is scaled to all rows


@dataclass(frozen=True)
class Stage:
    """Work that can be done in several ways.

    Attributes
    ----------
    name, equation : str
    size : str
        The amount of work, in words.
    sides : list of Side
        The ways to do it.
    same : callable or None
        Takes the results of all sides by name. Returns whether the fast engine and the literal
        loops have equal results.
    """

    name: str
    equation: str
    size: str
    sides: list[Side]
    same: Callable[[dict[str, Any]], bool] | None = None


def patches(m: Material) -> Stage:
    """Return the stage of equations 1 to 3: patch features of one image."""
    levels, dimensions = m.levels, m.dimensions
    n = len(levels[0])
    first = tuple(np.ascontiguousarray(maps[:1]) for maps in levels)
    out = fast.patch_features(levels, 3, 1, *dimensions)
    moved = sum(maps.nbytes for maps in levels), out.nbytes
    return Stage(
        "patches", "eq 1–3", f"one image, {out.shape[1] * out.shape[2]} patches, {out.shape[3]}-d",
        [
            Side("equations", lambda: equations.patch_features(first, 3, 1, *dimensions)),
            Side("fast", lambda: fast.patch_features(levels, 3, 1, *dimensions), 1 / n),
            Side("memory copy", peers.memory_copy(*moved), 1 / n, limit=True),
        ],
        lambda results: np.allclose(
            results["equations"], results["fast"][:1], rtol=1e-5, atol=1e-6
        ),
    )  # fmt: skip


def project(m: Material) -> Stage:
    r"""Return the stage of the projection $\psi$ of the whole bank (equation 5)."""
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
    """Return the stage of Algorithm 1 (equation 5)."""
    return coreset_of(m.psi_M, m.l)


def coreset_of(M: np.ndarray, l: int) -> Stage:
    """Return the stage that picks `l` rows of a projected bank, (N, d) float32."""
    N, d = M.shape

    def part(steps: float) -> dict[str, Any]:
        """Describe the picks that fit into `steps`. The first pick takes no time."""
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
        lambda results: all(
            np.array_equal(results[side], results["fast"][: len(results[side])])
            for side in ("equations", "parallel loop")
        ),
    )  # fmt: skip


def nearest(m: Material) -> Stage:
    """Return the stage of equation 6: the nearest row for every patch of one image."""
    return nearest_in(m.bank, m.queries)


def nearest_in(bank: np.ndarray, images: np.ndarray) -> Stage:
    """Return the stage that searches a bank for the patches of some images, (n, patches, D)."""
    n, patches, D = images.shape
    literal = _part(int(np.clip(STEPS / bank.size, 1, patches)), patches, "queries")
    index = fast.Nearest(bank)
    sklearn, faiss = peers.sklearn_search(bank), peers.faiss_search(bank)
    first = images[0]
    sides = [
        _side("equations", lambda q: equations.nearest(first[:q], bank), literal),
        Side("scikit-learn", lambda: [sklearn(image) for image in images], 1 / n),
        Side("fast", lambda: [index.query(image) for image in images], 1 / n),
        Side("matrix product", peers.matrix_product(first, bank), limit=True),
    ]
    if faiss is not None:
        sides.insert(2, Side("faiss", lambda: [faiss(image) for image in images], 1 / n))
    return Stage(
        "nearest", "eq 6", f"one image, {patches} patches in {len(bank):,} rows, {D}-d", sides,
        lambda results: np.array_equal(
            results["equations"][1], results["fast"][0][1][: len(results["equations"][1])]
        ),
    )  # fmt: skip


def build(m: Material) -> Stage:
    """Return the stage that prepares the bank for equation 6, once per model."""
    bank = m.bank
    return Stage(
        "bank", "prepared for eq 6", f"once, {len(bank):,} rows, {bank.shape[1]}-d",
        [Side("fast", lambda: fast.Nearest(bank))],
    )  # fmt: skip


def score(m: Material) -> Stage:
    """Return the stage of equation 7 with b = 9. The time of equation 6 is not included."""
    bank, images = m.bank, m.queries
    b = min(9, len(bank))
    index = fast.Nearest(bank)
    deciding = []  # m_test* and m* of each image
    for image in images:
        distances, rows = index.query(image)
        i = distances[:, 0].argmax()
        deciding.append((image[i], bank[rows[i, 0]]))

    def scores(neighbours: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the score of each image, (n,) float64."""
        return np.array(
            [
                equations.reweighted_distance(m_test_star, bank[neighbours(m_star)])
                for m_test_star, m_star in deciding
            ]
        )

    return Stage(
        "score", "eq 7", f"one image, b = {b}, {len(bank):,} rows, {bank.shape[1]}-d",
        [
            Side(
                "equations", lambda: scores(lambda m_star: equations.neighbours(m_star, bank, b)),
                1 / len(images),
            ),
            Side(
                "fast", lambda: scores(lambda m_star: index.query(m_star[None], b)[1][0]),
                1 / len(images),
            ),
        ],
        lambda results: np.allclose(results["equations"], results["fast"], rtol=1e-5),
    )  # fmt: skip


def maps(m: Material) -> Stage:
    """Return the stage of section 3.3: patch scores to a smooth anomaly map."""
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
        lambda results: np.allclose(results["equations"], results["fast"], rtol=1e-5),
    )  # fmt: skip


def whole(m: Material) -> Stage:
    """Return the stage from images to scores and maps. Its limit is the network alone.

    The coreset has 1 or 10 per cent of the bank. One side also computes the threshold, as
    `PatchCore` does by default, with a second coreset. The network runs as in minicore, and with
    the default settings of onnxruntime.
    """
    prepared, network = m.prepared, m.backbone
    train, test = m.train, m.test
    smallest = 12 / (len(train) * m.grid[0] * m.grid[1])  # enough rows for equation 7

    def model(ratio: float, fpr: float | None) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            fitted = PatchCore(
                network, m.embedding, max(ratio, smallest), m.seed,
                false_positive_rate=fpr, n_threads=network.threads, progress=False,
            ).fit(train)  # fmt: skip
            return fitted.anomaly_score(test)

        return run

    def network_alone() -> None:
        for batch in prepared:
            network(batch)

    return Stage(
        "end to end", "eq 1–7", f"fit {len(train)} images, score {len(test)}",
        [
            Side("fast, 1 %", model(0.01, None)),
            Side("fast, 10 %", model(0.1, None)),
            Side("fast, 10 %, threshold", model(0.1, 0.05)),
            Side("onnxruntime alone", peers.onnxruntime_alone(network, prepared)),
            Side("network alone", network_alone, limit=True),
        ],
    )  # fmt: skip


def export(m: Material) -> Stage:
    """Return the stage of one image at a time: minicore, and the same model as one ONNX file.

    Both resize and crop the image; the time of decoding its file is not included.
    """
    network = m.backbone
    model = PatchCore(
        network, m.embedding, m.ratio, m.seed,
        false_positive_rate=None, n_threads=network.threads, progress=False,
    ).fit(m.train)  # fmt: skip
    n = min(EXPORTED, len(m.test))
    images = [image if isinstance(image, np.ndarray) else read_image(image) for image in m.test[:n]]
    with tempfile.TemporaryDirectory(prefix="minicore-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "model.onnx"
        to_onnx(model, file, check_images="none", progress=False)
        megabytes = file.stat().st_size / 1e6
        run = open_runtime(file.read_bytes(), threads=network.threads or 0)
    rows, width = model.memory_bank_.shape
    one_by_one = list(batches(images, network.preprocessing, 1))
    return Stage(
        "export", "eq 1–7", f"one image, {rows:,} rows, {width}-d, a file of {megabytes:.1f} MB",
        [
            Side("fast", lambda: [next(iter(model.stream([image]))) for image in images], 1 / n),
            Side("ONNX file", lambda: [run(image[None]) for image in images], 1 / n),
            Side(
                "network alone", lambda: [network(batch) for batch in one_by_one], 1 / n,
                limit=True,
            ),
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
    "export": export,
}


def possible(name: str, m: Material) -> bool:
    """Return whether a stage can be measured.

    Random vectors have no images to start from. An export needs the package onnx, and images of one
    size.
    """
    if name not in ("whole", "export"):
        return True
    if isinstance(m, RandomMaterial):
        return False
    if name == "whole":
        return True
    sizes = {image_size(image) for image in [*m.train, *m.test]}
    return len(sizes) == 1 and importlib.util.find_spec("onnx") is not None


def _part(done: int, total: int, unit: str, free: int = 0) -> dict[str, Any]:
    """Describe a part of the work: `done` of `total` units, `free` of them take no time."""
    part = f"{done:,} of {total:,} {unit}" if done < total else ""
    return {"done": done, "scale": (total - free) / (done - free), "part": part}


def _side(name: str, run: Callable[[int], Any], part: dict[str, Any]) -> Side:
    return Side(name, lambda: run(part["done"]), part["scale"], part["part"])
