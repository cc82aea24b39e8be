"""Results are the same for every processor and any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

CODE = """
import sys
import numpy as np
from minicore import fast
from minicore.runtime import threads

out, *counts = sys.argv[1:]
rng = np.random.default_rng(0)
# Near few axes, as features are, and with ties: a fifth of the rows twice.
rows = rng.standard_normal((3000, 6)) @ rng.standard_normal((6, 260))
rows = (rows + 0.05 * rng.standard_normal(rows.shape)).astype(np.float32)
rows[-600:] = rows[:600]
levels = [rng.random(s, dtype=np.float32) for s in ((2, 6, 9, 8), (2, 10, 5, 4))]
found = {}
for count in map(int, counts):
    with threads.limit(count):
        picks, radii = fast.greedy_coreset(rows[:, :40], 700, 5, return_radii=True)
        distances, indices = fast.nearest(rows[::7] + 0.01, rows[:1500], 3)
        found |= {f"picks{count}": picks, f"radii{count}": radii, f"indices{count}": indices}
        found |= {f"distances{count}": distances}
        found[f"patches{count}"] = fast.patch_features(levels, 3, 1, 12, 9)
np.savez(out, **found)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What two builds of the kernels give, each on 1, 2 and 4 threads."""
    folder = tmp_path_factory.mktemp("machines")
    builds = {}
    for name, target in (("own", {}), ("generic", {"NUMBA_CPU_NAME": "generic"})):
        if target:  # kernels of another machine must not be found in the cache
            target["NUMBA_CACHE_DIR"] = str(folder / "kernels")
        out = folder / f"{name}.npz"
        subprocess.run(
            [sys.executable, "-c", CODE, out, "1", "2", "4"],
            env={**os.environ, "NUMBA_NUM_THREADS": "4", **target},
            check=True,
            timeout=300,
        )
        builds[name] = dict(np.load(out))
    return builds


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("build", ["own", "generic"])
def test_picks_and_neighbours_are_the_same_on_every_machine_and_thread_count(results, build, count):
    reference, found = results["own"], results[build]
    for exact in ("picks", "indices", "radii", "distances"):
        assert np.array_equal(found[f"{exact}{count}"], reference[f"{exact}1"]), exact
    np.testing.assert_allclose(found[f"patches{count}"], reference["patches1"], rtol=1e-6)
