r"""Vectors as bytes, with the exact length of what that leaves out.

A row is written as $x = \mu + \Delta c + e_x$ with small integers $c$. By the triangle inequality

$$\lVert x - y \rVert \ge \Delta \lVert c_x - c_y \rVert - \lVert e_x \rVert - \lVert e_y \rVert ,$$

a lower bound that reads a quarter of the memory of a float32 distance. It holds for any $\mu$,
$\Delta$ and $c$; values too large for a byte are cut and make $e_x$ longer.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minicore.fast.arithmetic import inner
from minicore.runtime.kernels import parallel

LARGEST = 127
DEVIATIONS = 12  # of the coordinates: so many fit in a byte
WIDEST = 32768  # columns whose squared differences cannot overflow an int32


def step_of(bank, mean):
    """Choose the step of the codes; 0 where they are of no use."""
    sample = bank[:: -(-len(bank) // 2048)]
    deviation = float(np.sqrt(np.mean((sample - mean) ** 2)))
    step = DEVIATIONS * deviation / LARGEST
    return step if 1e-15 < step < 1e15 and bank.shape[1] <= WIDEST else 0.0


@parallel(cache=True, fastmath={"reassoc", "contract", "nsz"})
def encode(rows, mean, step):
    """Codes of rows, (n, d) int8, and the length of the rest, (n,) float64, rounded up."""
    n, d = rows.shape
    codes = np.empty((n, d), np.int8)
    rest = np.empty(n)
    for i in prange(n):
        square = 0.0
        for c in range(d):
            x = np.float64(rows[i, c]) - mean[c]
            code = min(max(np.rint(x / step), -LARGEST), LARGEST)
            codes[i, c] = np.int8(code)
            square += (x - step * code) ** 2
            # float64 is exact to 1e-16 of x, which can be far larger than what is left
            square += 1e-24 * x * x
        rest[i] = np.sqrt(square) * (1 + 1e-6)
    return codes, rest


@inner(cache=True)
def code_distance(x, i, y, j):
    """Squared distance of row `i` of codes and row `j` of others, exact."""
    total = np.int32(0)
    for c in range(x.shape[1]):
        difference = np.int32(np.int32(x[i, c]) - np.int32(y[j, c]))
        total = np.int32(total + np.int32(difference * difference))
    return total
