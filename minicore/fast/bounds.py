"""The rows that lower bounds leave: found among many bounds, most of which are too large."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicore.fast.arithmetic import inner

BLOCK = 16  # products whose maximum is computed together


class Bounds(NamedTuple):
    """Lower bounds of squared distances between c of the m queries of a tile and n rows.

    The bound of the query `queries[i]` and row `rows[r]` of the bank is
    ``of_query[queries[i]] - products[i, r]``.
    """

    queries: npt.NDArray[np.int64]  # (c,)
    rows: npt.NDArray[np.int32]  # (n,)
    of_query: npt.NDArray[np.float64]  # (m,)
    products: npt.NDArray[np.float32]  # (c, n)


# The products are finite, and the sign of a zero does not matter: with these two promises the
# compiler uses vector instructions.
@inner(cache=True, fastmath={"nnan", "nsz"})
def find_peaks(products, peaks):
    """Fill `peaks` with the maximum of every `BLOCK` products."""
    m, n = products.shape
    whole = n // BLOCK
    for q in range(m):
        for b in range(whole):
            peak = np.float32(-np.inf)
            for i in range(BLOCK):
                peak = max(peak, products[q, np.uint64(b * BLOCK) + np.uint64(i)])
            peaks[q, b] = peak
        if n % BLOCK:
            peak = np.float32(-np.inf)
            for i in range(whole * BLOCK, n):
                peak = max(peak, products[q, i])
            peaks[q, whole] = peak


@inner(cache=True)
def subtract_norms(products, bank_norms, error):
    """Convert inner products of whole vectors to bounds, without the part `of_query`."""
    error = np.float32(error)
    for q in range(products.shape[0]):
        for r in range(products.shape[1]):
            products[q, r] = 2 * products[q, r] - (bank_norms[r] - error * bank_norms[r])


@inner(cache=True)
def find_hits(products, peaks, least, hits):
    """Fill `hits` with the rows of one query whose product is at least `least`, the largest first.

    Return the number of these rows.
    """
    n = 0
    for b in range(peaks.shape[0]):
        if peaks[b] >= least:
            for r in range(b * BLOCK, min((b + 1) * BLOCK, products.shape[0])):
                hits[n] = r  # overwritten by the next one if it is not a hit
                n += products[r] >= least
    likeliest = 0
    for i in range(1, n):
        if products[hits[i]] > products[hits[likeliest]]:
            likeliest = i
    if n > 0:
        hits[0], hits[likeliest] = hits[likeliest], hits[0]
    return n
