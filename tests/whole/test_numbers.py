"""Results have the same bits on any number of threads, and are close to float64."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from minicore import PatchCore
from minicore.images import batches

pytestmark = pytest.mark.slow

DEFAULT = Path(__file__).parents[2] / "weights" / "default.onnx"

# ------------------------------------------------------------------------- the same bits

# Every way to a number: one and two networks, projected and not, with principal axes and without,
# both embeddings, the network that ships.
FIT = """
import hashlib, json, sys
from minicore import Ensemble, PatchCore, datasets

tiny, wide, default, folder = sys.argv[1:]
parts = datasets.synthetic("gear", n_train=20, n_good=3, n_defective=3, size=128)
small = dict(resize=96, crop=96, progress=False)
models = {
    "tiny": lambda n: PatchCore(tiny, projection_dim=8, n_threads=n, progress=False),
    "wide": lambda n: PatchCore(wide, coreset_ratio=0.5, n_threads=n, **small),
    "paper": lambda n: PatchCore(wide, "paper", dimension=300, stride=2, n_threads=n, **small),
    "joined": lambda n: PatchCore([tiny, tiny], n_threads=n, progress=False),
    "mean": lambda n: Ensemble([PatchCore(tiny, b=b, n_threads=n, progress=False) for b in (2, 5)]),
}
if default:
    models["default"] = lambda n: PatchCore(default, n_threads=n, **small)
found = {}
for name, make in models.items():
    for n in (1, 2, 4):
        model = make(n).fit(parts.train)
        content = model.save(f"{folder}/model").read_bytes()
        answers = model.detect(parts.test)
        for array in vars(answers).values():
            content += array.tobytes()
        found[f"{name} {n}"] = hashlib.sha256(content).hexdigest()
print(json.dumps(found))
"""


def test_same_seed_same_bytes_on_any_number_of_threads(tiny, wide, tmp_path):
    """Also if BLAS starts another number of threads than minicore."""
    default = str(DEFAULT) if DEFAULT.is_file() else ""
    command = [sys.executable, "-c", FIT, str(tiny), str(wide), default, str(tmp_path)]
    results = []
    for blas in ("1", "4"):
        settings = {"NUMBA_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": blas}
        done = subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    found, again = results
    assert found == again and len(found) >= 15
    for name in {key.split()[0] for key in found}:
        assert len({found[f"{name} {n}"] for n in (1, 2, 4)}) == 1, name


# ------------------------------------------------------------- float32 against float64


def reference(model, images):
    """Patch features, distances, scores and maps in float64 from the network's maps on.

    Written with NumPy and SciPy alone; the coreset is the rows that the model has picked.
    """

    def patches(some):
        found = []
        for batch in batches(list(some), model.preprocessing_, 8):
            levels = [phi.astype(np.float64) for phi in model.backbone_.levels(batch)[0]]
            height, width = levels[0].shape[2:]
            means = [uniform_filter(phi, (0, 0, 3, 3), mode="constant") for phi in levels]
            means = [upsampled(upsampled(phi, height, 2), width, 3) for phi in means]
            found.append(np.moveaxis(np.concatenate(means, axis=1), 1, 3))
        return np.concatenate(found)

    train, test = patches(images[0]), patches(images[1])
    bank = train.reshape(-1, train.shape[-1])[model.coreset_indices_]
    n, height, width, D = test.shape
    rows = test.reshape(n, -1, D)
    distances = np.array([[np.linalg.norm(bank - row, axis=1) for row in image] for image in rows])
    nearest = distances.min(axis=2)
    scores = []
    for i, image in enumerate(distances):
        to_bank = image[nearest[i].argmax()]
        m_star = to_bank.argmin()
        neighbours = np.argsort(np.linalg.norm(bank - bank[m_star], axis=1), kind="stable")[
            : model.b
        ]
        weights = np.exp(to_bank[neighbours] - to_bank[neighbours].max())
        share = np.exp(to_bank[m_star] - to_bank[neighbours].max()) / weights.sum()
        scores.append((1 - share) * to_bank[m_star])
    grid = nearest.reshape(n, height, width)
    h, w = model.input_size_
    smooth = (0, model.sigma, model.sigma)
    maps = gaussian_filter(upsampled(upsampled(grid, h, 1), w, 2), smooth, mode="reflect")
    largest = max(np.linalg.norm(bank, axis=1).max(), np.linalg.norm(rows, axis=2).max())
    return bank, grid, np.array(scores), maps, largest


def upsampled(array, size, axis):
    """Bilinear, half-pixel centres, border repeated, along one axis."""
    array = np.moveaxis(array, axis, -1)
    at = np.maximum((np.arange(size) + 0.5) * array.shape[-1] / size - 0.5, 0)
    low = np.minimum(at.astype(int), array.shape[-1] - 1)
    high = np.minimum(low + 1, array.shape[-1] - 1)
    share = at - low
    return np.moveaxis((1 - share) * array[..., low] + share * array[..., high], -1, axis)


# A patch feature is a mean of values rounded to 24 bits, some of them three times: 1e-6 of their
# size covers it. A distance is then off by that much of the two vectors' lengths at most, a map
# by as much as its distances; the nearest neighbour may be another, but not a nearer one.
FEATURES, DISTANCES, SCORES = 1e-6, 1e-6, 1e-5


@pytest.mark.parametrize("network", ["tiny", "default"])
def test_float32_is_as_near_to_float64_as_promised(network, tiny, gear):
    if network == "default" and not DEFAULT.is_file():
        pytest.skip("needs weights/default.onnx")
    path = tiny if network == "tiny" else DEFAULT
    model = PatchCore(path, resize=96, crop=96, progress=False).fit(gear.train)
    found = model.detect(gear.test)
    bank, grid, scores, maps, largest = reference(model, (gear.train, gear.test))
    errors = {
        "features": np.abs(model.memory_bank_ - bank).max() / np.abs(bank).max(),
        "distances": np.abs(found.patch_scores - grid).max() / (2 * largest),
        "scores": np.abs(found.scores / scores - 1).max(),
        "maps": np.abs(found.maps - maps).max() / (2 * largest),
    }
    print(network, {name: f"{error:.1e}" for name, error in errors.items()})
    assert errors["features"] <= FEATURES
    assert errors["distances"] <= DISTANCES and errors["maps"] <= DISTANCES
    assert errors["scores"] <= SCORES


# -------------------------------------------------------------------- strange input


COPIES = pytest.mark.filterwarnings("ignore:.*training images are copies")


@COPIES
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_constant_images_score_0_with_a_model_of_them_and_others_do_not(tiny, gear, colour):
    flat = np.full((10, 128, 128, 3), colour, np.uint8)
    model = PatchCore(tiny, progress=False)
    found = model.fit(flat).detect(flat[:2])
    assert (found.scores == 0).all() and (found.maps == 0).all()
    others = model.detect(gear.test)
    assert (others.scores > 0).all() and np.isfinite(others.maps).all()


@COPIES
@pytest.mark.parametrize("engine", ["fast", "equations"])
def test_identical_images_give_each_patch_once_before_any_twice(tiny, gear, engine):
    same = np.repeat(gear.train[:1], 6, axis=0)
    model = PatchCore(tiny, coreset_ratio=0.5, engine=engine, progress=False).fit(same)
    assert len(set(model.coreset_indices_)) == 3 * 64
    assert len({row.tobytes() for row in model.memory_bank_[:64]}) == 64
    assert model.coreset_radii_[63] == 0
    assert (model.anomaly_score(same) == 0).all() and (model.anomaly_score(gear.test) > 0).all()
    once = PatchCore(tiny, coreset_ratio=1.0, engine=engine, progress=False).fit(same[:1])
    distances = model.detect(gear.test).distances, once.detect(gear.test).distances
    assert np.array_equal(*distances)  # the scores see how many neighbours are alike


@pytest.mark.parametrize("scale", [1e-40, 1e-38, 1e-25, 1e15, 1e25])
def test_features_of_any_size_give_the_same_decisions(write_tiny, tiny, gear, tmp_path, scale):
    """Denormal numbers, squares that underflow, squares that overflow in float32."""
    network = write_tiny(tmp_path / "scaled.onnx", scale=scale)
    ratio = 1.0 if scale == 1e-40 else 0.5  # with 17 bits, near ties select another coreset
    options = {"b": None, "coreset_ratio": ratio, "progress": False}  # equation 7 has a scale
    model, plain = (PatchCore(n, **options).fit(gear.train) for n in (network, tiny))
    found, expected = model.detect(gear.test), plain.detect(gear.test)
    assert all(np.isfinite(array).all() for array in vars(found).values())
    bits = {1e-40: 2e-2, 1e-38: 1e-3}.get(scale, 1e-5)  # denormal numbers have fewer
    np.testing.assert_allclose(found.scores / scale, expected.scores, rtol=bits)
    sizes = found.maps / np.float64(scale), expected.maps
    np.testing.assert_allclose(*sizes, atol=bits * expected.maps.max())
    clear = np.abs(plain.decision_function(gear.test)) > bits * plain.threshold_
    assert np.array_equal(model.predict(gear.test)[clear], plain.predict(gear.test)[clear])
