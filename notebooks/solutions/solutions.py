"""Solutions of the exercises in plain NumPy. Read them after you have written your own.

The functions have the names in the list of `minicore.course.exercises()`. `SOLUTIONS` maps each
exercise to its function. Other solutions can be correct too.
"""

import numpy as np


def neighbourhood(h, w, p):
    """Equation 1: the positions around (h, w)."""
    r = p // 2
    return np.array([(a, b) for a in range(h - r, h + r + 1) for b in range(w - r, w + r + 1)])


def aggregate(phi, h, w, p):
    """Equation 2. With zeros around the map, the border needs no special case."""
    r = p // 2
    padded = np.pad(phi, ((0, 0), (r, r), (r, r)))
    return padded[:, h : h + p, w : w + p].mean(axis=(1, 2))


def adaptive_average_pool(v, d):
    """Adaptive average pooling. With integers, -(-a // d) rounds a / d up."""
    L = len(v)
    return np.array([v[i * L // d : -(-(i + 1) * L // d)].mean() for i in range(d)])


def patch_collection(phi, p, s):
    """Equation 3: one patch for every s-th position."""
    _, rows, columns = phi.shape
    return np.array(
        [[aggregate(phi, h, w, p) for w in range(0, columns, s)] for h in range(0, rows, s)]
    )


def upsample(grid, height, width):
    """Bilinear interpolation is linear interpolation along one axis, then the other."""

    def along_rows(grid, fine):
        coarse = len(grid)
        y = (np.arange(fine) + 0.5) * coarse / fine - 0.5
        y = np.clip(y, 0, coarse - 1)  # beyond the first and last centre, repeat the value
        low = y.astype(int)
        high = np.minimum(low + 1, coarse - 1)
        share = (y - low)[:, None, None]
        return (1 - share) * grid[low] + share * grid[high]

    return along_rows(along_rows(grid, height).swapaxes(0, 1), width).swapaxes(0, 1)


def memory_bank(patches):
    """Equation 4. The channels are the last axis, so `reshape` keeps the order of the rows."""
    return patches.reshape(-1, patches.shape[-1])


def distances(a, b):
    """Euclidean distances from every row of a to every row of b, (len(a), len(b))."""
    difference = a[:, None].astype(np.float64) - b[None]
    return np.sqrt((difference**2).sum(axis=2))


def covering_radius(M, indices):
    """Equation 5: the largest distance of a row to its nearest pick."""
    return distances(M, M[indices]).min(axis=1).max()


def greedy_coreset(M, l, start):
    """Algorithm 1. Update the distance of each row to its nearest pick; exclude the picks."""
    picked = [start]
    to_nearest = distances(M, M[[start]])[:, 0]
    while len(picked) < l:
        candidates = to_nearest.copy()
        candidates[picked] = -1
        picked.append(int(candidates.argmax()))  # argmax returns the first of equal values
        to_nearest = np.minimum(to_nearest, distances(M, M[picked[-1:]])[:, 0])
    return np.array(picked)


def nearest(queries, bank, k):
    """The k nearest rows. A stable sort keeps equal distances in the order of their rows."""
    table = distances(queries, bank)
    indices = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, indices, axis=1), indices


def deciding_patch(patches, bank):
    """Equation 6: the deciding patch, its nearest row, and their distance s*."""
    table = distances(patches, bank)
    patch = table.min(axis=1).argmax()
    row = table[patch].argmin()
    return patch, row, table[patch, row]


def anomaly_score(m_test, bank, b):
    """Equation 7. Subtract the largest exponent: the same quotient without overflow."""
    to_test = distances(m_test[None], bank)[0]
    m_star = to_test.argmin()
    neighbours = np.argsort(distances(bank[[m_star]], bank)[0], kind="stable")[:b]
    exponents = np.exp(to_test[neighbours] - to_test[neighbours].max())
    own = np.exp(to_test[m_star] - to_test[neighbours].max())
    return (1 - own / exponents.sum()) * to_test[m_star]


def auroc(labels, scores):
    """The share of pairs in which the defective image has the higher score; ties count half."""
    bad, good = scores[labels == 1][:, None], scores[labels == 0][None]
    return (bad > good).mean() + 0.5 * (bad == good).mean()


def lower_bounds(x, y, k):
    """Equation 10.2 for all pairs: k coordinates, and the length of the others."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    along = ((x[:, None, :k] - y[None, :, :k]) ** 2).sum(axis=2)
    x_r, y_r = np.linalg.norm(x[:, k:], axis=1), np.linalg.norm(y[:, k:], axis=1)
    return along + (x_r[:, None] - y_r[None]) ** 2


def mean_of_top(distances, share):
    """The mean of the largest distances. Choose their number first, at least one."""
    k = max(1, round(share * len(distances)))
    return np.sort(distances)[-k:].mean()


SOLUTIONS = {
    "eq1": neighbourhood,
    "eq2": aggregate,
    "pool": adaptive_average_pool,
    "eq3": patch_collection,
    "upsample": upsample,
    "eq4": memory_bank,
    "eq5": covering_radius,
    "algorithm1": greedy_coreset,
    "nearest": nearest,
    "eq6": deciding_patch,
    "eq7": anomaly_score,
    "auroc": auroc,
    "bound": lower_bounds,
    "top": mean_of_top,
}
