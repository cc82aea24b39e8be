"""Wrong answers on equations 4 and 5."""

import numpy as np

from wrong_answers.collection import distance, wrong

# ------------------------------------------------------------------------- eq4


@wrong("eq4", "positions-first")
def _(patches):
    n, h, w, _d = patches.shape
    return np.array([patches[i, a, b] for a in range(h) for b in range(w) for i in range(n)])


@wrong("eq4", "columns-first")
def _(patches):
    n, h, w, _d = patches.shape
    return np.array([patches[i, a, b] for i in range(n) for b in range(w) for a in range(h)])


@wrong("eq4", "scrambled")
def _(patches):
    return np.moveaxis(patches, -1, 1).reshape(-1, patches.shape[-1])


@wrong("eq4", "not-flattened")
def _(patches):
    return np.concatenate([patches[i : i + 1] for i in range(len(patches))])


@wrong("eq4", "averaged")
def _(patches):
    return np.mean(patches, axis=0).reshape(-1, patches.shape[-1])


@wrong("eq4", "one-image")
def _(patches):
    for image in patches:
        M = image.reshape(-1, image.shape[-1])
    return M


@wrong("eq4", "deduplicated")
def _(patches):
    return np.unique(patches.reshape(-1, patches.shape[-1]), axis=0)


@wrong("eq4", "transposed")
def _(patches):
    return patches.reshape(-1, patches.shape[-1]).T


@wrong("eq4", "flattened")
def _(patches):
    return patches.ravel()


# ------------------------------------------------------------------------- eq5


@wrong("eq5", "squared")
def _(M, indices):
    return max(min(((m - M[i]) ** 2).sum() for i in indices) for m in M)


@wrong("eq5", "mean")
def _(M, indices):
    return np.mean([min(distance(m, M[i]) for i in indices) for m in M])


@wrong("eq5", "max-for-min")
def _(M, indices):
    return max(max(distance(m, M[i]) for i in indices) for m in M)


@wrong("eq5", "order-exchanged")
def _(M, indices):
    return min(max(distance(m, M[i]) for m in M) for i in indices)


@wrong("eq5", "min-for-max")
def _(M, indices):
    return min(min(distance(m, M[i]) for i in indices) for m in M)


@wrong("eq5", "min-for-max")
def _(M, indices):
    return max(min(distance(m, M[i]) for m in M) for i in indices)


@wrong("eq5", "not-euclidean")
def _(M, indices):
    return max(min(np.abs(m - M[i]).sum() for i in indices) for m in M)


@wrong("eq5", "not-reduced")
def _(M, indices):
    return np.array([min(distance(m, M[i]) for i in indices) for m in M])


@wrong("eq5", "index")
def _(M, indices):
    return np.argmax([min(distance(m, M[i]) for i in indices) for m in M])


@wrong("eq5", "index")
def _(M, indices):
    return int(np.argmin([max(distance(m, M[i]) for i in indices) for m in M]))


@wrong("eq5", "dtype")
def _(M, indices):
    return int(max(min(distance(m, M[i]) for i in indices) for m in M))


@wrong("eq5", "one-number")
def _(M, indices):
    return [max(min(distance(m, M[i]) for i in indices) for m in M)]


@wrong("eq5", "arguments")
def _(M):
    return 0.0


@wrong("eq5", "none")
def _(M, indices):
    max(min(distance(m, M[i]) for i in indices) for m in M)


# ------------------------------------------------------------------ algorithm1


def farthest_first(M, l, picked, taken=True, reduce=min, last=None):
    while len(picked) < l:
        best, who = -1.0, 0
        for m in range(len(M)):
            if taken and m in picked:
                continue
            away = reduce(distance(M[m], M[n]) for n in (picked if last is None else picked[last:]))
            if away > best:
                best, who = away, m
        picked.append(who)
    return np.array(picked)


@wrong("algorithm1", "start-ignored")
def _(M, l, start):
    return farthest_first(M, l, [0])


@wrong("algorithm1", "repeats")
def _(M, l, start):
    return farthest_first(M, l, [start], taken=False)


@wrong("algorithm1", "ties")
def _(M, l, start):
    picked = [start]
    while len(picked) < l:
        best, who = -1.0, 0
        for m in range(len(M)):
            away = min(distance(M[m], M[n]) for n in picked)
            if m not in picked and away >= best:
                best, who = away, m
        picked.append(who)
    return picked


@wrong("algorithm1", "max-for-min")
def _(M, l, start):
    return farthest_first(M, l, [start], reduce=max)


@wrong("algorithm1", "sum-for-min")
def _(M, l, start):
    return farthest_first(M, l, [start], reduce=sum)


@wrong("algorithm1", "last-only")
def _(M, l, start):
    return farthest_first(M, l, [start], last=-1)


@wrong("algorithm1", "count")
def _(M, l, start):
    return farthest_first(M, min(l + 1, len(M)), [start])


@wrong("algorithm1", "sorted")
def _(M, l, start):
    return sorted(farthest_first(M, l, [start]).tolist())


@wrong("algorithm1", "rows")
def _(M, l, start):
    return M[farthest_first(M, l, [start])]


@wrong("algorithm1", "modifies-input")
def _(M, l, start):
    picked = farthest_first(M, l, [start])
    M[picked] = np.inf
    return picked


@wrong("algorithm1", "too-slow")
def _(M, l, start):
    picked = {start}
    while len(picked) < l:
        picked.add(start)
    return np.array(list(picked))
