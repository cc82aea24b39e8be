"""Wrong answers on equation 3."""

import numpy as np

from wrong_answers.collection import wrong

# ------------------------------------------------------------------------- eq3


def mean_around(phi, h, w, p):
    r = p // 2
    return np.pad(phi, ((0, 0), (r, r), (r, r)))[:, h : h + p, w : w + p].mean(axis=(1, 2))


@wrong("eq3", "stride-ignored")
def _(phi, p, s):
    _, H, W = phi.shape
    return np.array([[mean_around(phi, h, w, p) for w in range(W)] for h in range(H)])


@wrong("eq3", "off-by-one")
def _(phi, p, s):
    c, H, W = phi.shape
    patches = np.zeros((H // s, W // s, c))
    for i in range(H // s):
        for j in range(W // s):
            patches[i, j] = mean_around(phi, i * s, j * s, p)
    return patches


@wrong("eq3", "channels-first")
def _(phi, p, s):
    c, H, W = phi.shape
    patches = np.zeros((c, -(-H // s), -(-W // s)))
    for h in range(0, H, s):
        for w in range(0, W, s):
            patches[:, h // s, w // s] = mean_around(phi, h, w, p)
    return patches


@wrong("eq3", "no-border")
def _(phi, p, s):
    _, H, W = phi.shape
    r = p // 2
    return np.array(
        [[mean_around(phi, h, w, p) for w in range(r, W - r, s)] for h in range(r, H - r, s)]
    )


@wrong("eq3", "zeros-not-counted")
def _(phi, p, s):
    _, H, W = phi.shape
    r = p // 2
    rows = []
    for h in range(0, H, s):
        row = []
        for w in range(0, W, s):
            inside = phi[:, max(0, h - r) : h + r + 1, max(0, w - r) : w + r + 1]
            row.append(inside.mean(axis=(1, 2)))
        rows.append(row)
    return np.array(rows)


@wrong("eq3", "subsampled-first")
def _(phi, p, s):
    phi = phi[:, ::s, ::s]
    _, H, W = phi.shape
    return np.array([[mean_around(phi, h, w, p) for w in range(W)] for h in range(H)])


@wrong("eq3", "not-aggregated")
def _(phi, p, s):
    return np.moveaxis(phi, 0, -1)[::s, ::s]


@wrong("eq3", "flattened")
def _(phi, p, s):
    _, H, W = phi.shape
    return np.array([mean_around(phi, h, w, p) for h in range(0, H, s) for w in range(0, W, s)])


# -------------------------------------------------------------------- upsample


def bilinear(grid, ys, xs):
    H, W, d = grid.shape
    out = np.zeros((len(ys), len(xs), d))
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            for a, wa in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
                for b, wb in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                    out[i, j] += wa * wb * grid[min(max(a, 0), H - 1), min(max(b, 0), W - 1)]
    return out


@wrong("upsample", "nearest")
def _(grid, height, width):
    H, W, _d = grid.shape
    out = np.zeros((height, width, _d))
    for i in range(height):
        for j in range(width):
            out[i, j] = grid[i * H // height, j * W // width]
    return out


@wrong("upsample", "corners-aligned")
def _(grid, height, width):
    H, W, _d = grid.shape
    ys = [i * (H - 1) / max(height - 1, 1) for i in range(height)]
    return bilinear(grid, ys, [j * (W - 1) / max(width - 1, 1) for j in range(width)])


@wrong("upsample", "half-pixel")
def _(grid, height, width):
    H, W, _d = grid.shape
    return bilinear(grid, np.arange(height) * H / height, np.arange(width) * W / width)


@wrong("upsample", "axes")
def _(grid, height, width):
    H, W, _d = grid.shape
    ys, xs = (np.arange(width) + 0.5) * H / width - 0.5, (np.arange(height) + 0.5) * W / height
    return bilinear(grid, ys, xs - 0.5)


@wrong("upsample", "border")
def _(grid, height, width):
    H, W, d = grid.shape
    ys = (np.arange(height) + 0.5) * H / height - 0.5
    xs = (np.arange(width) + 0.5) * W / width - 0.5
    out = np.zeros((height, width, d))
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            for a, wa in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
                for b, wb in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                    if 0 <= a < H and 0 <= b < W:
                        out[i, j] += wa * wb * grid[a, b]
    return out


@wrong("upsample", "shares-exchanged")
def _(grid, height, width):
    H, W, d = grid.shape
    out = np.zeros((height, width, d))
    for i in range(height):
        for j in range(width):
            y, x = max((i + 0.5) * H / height - 0.5, 0), max((j + 0.5) * W / width - 0.5, 0)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, H - 1), min(x0 + 1, W - 1)
            dy, dx = y - y0, x - x0
            out[i, j] = dy * (dx * grid[y0, x0] + (1 - dx) * grid[y0, x1]) + (1 - dy) * (
                dx * grid[y1, x0] + (1 - dx) * grid[y1, x1]
            )
    return out
