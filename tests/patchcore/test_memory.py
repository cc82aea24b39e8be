"""The largest memory of a fit, as the docstring of `PatchCore` promises it."""

import subprocess
import sys

import pytest

N, WIDTH = 400, 512  # images of 32 x 32 patches: 839 MB as float32, of which a copy would show
FIXED = 600e6

FIT = """
import resource, sys
from pathlib import Path
import numpy as np
from minicore import PatchCore
noise = np.random.default_rng(0).integers(256, size=(256 + 400, 256, 3), dtype=np.uint8)
images = [noise[i : i + 256] for i in range(400)]  # views: they take no memory of their own
model = PatchCore(sys.argv[1], coreset_ratio=0.002, bank_storage=sys.argv[2])
model.set_params(resize="none", crop="none").fit(images)
assert model.threshold_ is not None and model.memory_bank_.shape == (819, 512)
if sys.platform == "linux":  # ru_maxrss there begins with what the parent process held
    status = Path("/proc/self/status").read_text().splitlines()
    print(1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")))
else:
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize("storage, bank", [("float32", 1.3), ("float16", 0.65), ("disk", 0.3)])
def test_a_fit_stays_within_the_memory_promised(wide, storage, bank):
    command = [sys.executable, "-c", FIT, str(wide), storage]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    promised = bank * N * 32 * 32 * WIDTH * 4 + FIXED
    assert int(done.stdout) <= promised, f"{int(done.stdout) / 1e6:.0f} MB"
