"""Wrong answers on equations 1 and 2."""

import numpy as np

from wrong_answers.collection import wrong

# ------------------------------------------------------------------------- eq1


@wrong("eq1", "off-by-one")
def _(h, w, p):
    return [(a, b) for a in range(h - p // 2, h + p // 2) for b in range(w - p // 2, w + p // 2)]


@wrong("eq1", "clipped")
def _(h, w, p):
    found = []
    for a in range(h - p // 2, h + p // 2 + 1):
        for b in range(w - p // 2, w + p // 2 + 1):
            if a >= 0 and b >= 0:
                found.append((a, b))
    return np.array(found)


@wrong("eq1", "even-p")
def _(h, w, p):
    top, left = h - p // 2, w - p // 2
    return np.array([(top + i, left + j) for i in range(p) for j in range(p)])


@wrong("eq1", "radius")
def _(h, w, p):
    return np.array([(a, b) for a in range(h - p, h + p + 1) for b in range(w - p, w + p + 1)])


@wrong("eq1", "order")
def _(h, w, p):
    r = p // 2
    return [(a, b) for b in range(w - r, w + r + 1) for a in range(h - r, h + r + 1)]


@wrong("eq1", "axes")
def _(h, w, p):
    r = p // 2
    return [(b, a) for a in range(h - r, h + r + 1) for b in range(w - r, w + r + 1)]


@wrong("eq1", "relative")
def _(h, w, p):
    r = np.arange(-(p // 2), p // 2 + 1)
    return np.stack(np.meshgrid(r, r, indexing="ij"), axis=-1).reshape(-1, 2)


@wrong("eq1", "dtype")
def _(h, w, p):
    r = np.floor(p / 2)
    rows, columns = np.arange(h - r, h + r + 1), np.arange(w - r, w + r + 1)
    return np.array([(a, b) for a in rows for b in columns])


@wrong("eq1", "flattened")
def _(h, w, p):
    r = np.arange(-(p // 2), p // 2 + 1)
    return np.stack(np.meshgrid(h + r, w + r, indexing="ij"), axis=-1)


@wrong("eq1", "type")
def _(h, w, p):
    r = p // 2
    return {(a, b) for a in range(h - r, h + r + 1) for b in range(w - r, w + r + 1)}


# ------------------------------------------------------------------------- eq2


@wrong("eq2", "zeros-not-counted")
def _(phi, h, w, p):
    r, total, count = p // 2, np.zeros(len(phi)), 0
    for a in range(h - r, h + r + 1):
        for b in range(w - r, w + r + 1):
            if 0 <= a < phi.shape[1] and 0 <= b < phi.shape[2]:
                total += phi[:, a, b]
                count += 1
    return total / count


@wrong("eq2", "negative-slice")
def _(phi, h, w, p):
    r = p // 2
    return phi[:, h - r : h + r + 1, w - r : w + r + 1].mean(axis=(1, 2))


@wrong("eq2", "raises")
def _(phi, h, w, p):
    r = p // 2
    return np.mean(
        [phi[:, a, b] for a in range(h - r, h + r + 1) for b in range(w - r, w + r + 1)], axis=0
    )


@wrong("eq2", "wrapped")
def _(phi, h, w, p):
    r, total = p // 2, np.zeros(len(phi))
    for a in range(h - r, h + r + 1):
        for b in range(w - r, w + r + 1):
            total += phi[:, a % phi.shape[1], b % phi.shape[2]]
    return total / p**2


@wrong("eq2", "wrapped")
def _(phi, h, w, p):
    r, total = p // 2, np.zeros(len(phi))
    for a in range(h - r, h + r + 1):
        for b in range(w - r, w + r + 1):
            if a < phi.shape[1] and b < phi.shape[2]:
                total += phi[:, a, b]
    return total / p**2


@wrong("eq2", "border-repeated")
def _(phi, h, w, p):
    r, total = p // 2, np.zeros(len(phi))
    for a in range(h - r, h + r + 1):
        for b in range(w - r, w + r + 1):
            total += phi[:, min(max(a, 0), phi.shape[1] - 1), min(max(b, 0), phi.shape[2] - 1)]
    return total / p**2


@wrong("eq2", "sum")
def _(phi, h, w, p):
    r = p // 2
    return np.pad(phi, ((0, 0), (r, r), (r, r)))[:, h : h + p, w : w + p].sum(axis=(1, 2))


@wrong("eq2", "divisor")
def _(phi, h, w, p):
    r = p // 2
    return np.pad(phi, ((0, 0), (r, r), (r, r)))[:, h : h + p, w : w + p].sum(axis=(1, 2)) / p


@wrong("eq2", "max")
def _(phi, h, w, p):
    r = p // 2
    return np.pad(phi, ((0, 0), (r, r), (r, r)))[:, h : h + p, w : w + p].max(axis=(1, 2))


@wrong("eq2", "channels-mixed")
def _(phi, h, w, p):
    r = p // 2
    return np.pad(phi, ((0, 0), (r, r), (r, r)))[:, h : h + p, w : w + p].mean(axis=0)


@wrong("eq2", "modifies-input")
def _(phi, h, w, p):
    r = p // 2
    phi /= p * p
    return np.pad(phi, ((0, 0), (r, r), (r, r)))[:, h : h + p, w : w + p].sum(axis=(1, 2))


# ------------------------------------------------------------------------ pool


@wrong("pool", "floored-end")
def _(v, d):
    return [v[i * len(v) // d : (i + 1) * len(v) // d].mean() for i in range(d)]


@wrong("pool", "remainder-dropped")
def _(v, d):
    n = len(v) // d
    return [np.mean(v[i * n : (i + 1) * n]) for i in range(d)]


@wrong("pool", "raises")
def _(v, d):
    return v.reshape(d, -1).mean(axis=1)


@wrong("pool", "split")
def _(v, d):
    return np.array([np.mean(part) for part in np.array_split(v, d)])


@wrong("pool", "sum")
def _(v, d):
    L = len(v)
    return np.array([sum(v[i * L // d : int(np.ceil((i + 1) * L / d))]) for i in range(d)])


@wrong("pool", "max")
def _(v, d):
    L = len(v)
    return np.array([max(v[i * L // d : int(np.ceil((i + 1) * L / d))]) for i in range(d)])


@wrong("pool", "divisor")
def _(v, d):
    L = len(v)
    return np.array([sum(v[i * L // d : int(np.ceil((i + 1) * L / d))]) * d / L for i in range(d)])


@wrong("pool", "picked")
def _(v, d):
    return np.array([v[i * len(v) // d] for i in range(d)])


@wrong("pool", "off-by-one")
def _(v, d):
    L = len(v)
    return [v[i * L // d : int(np.ceil((i + 1) * L / d)) + 1].mean() for i in range(d)]
