"""Wrong answers on equations 6 and 7, the AUROC, and the mean of the largest distances."""

import numpy as np

from wrong_answers.collection import distance, wrong

# --------------------------------------------------------------------- nearest


@wrong("nearest", "squared")
def _(queries, bank, k):
    table = ((queries[:, None].astype(float) - bank[None]) ** 2).sum(axis=2)
    found = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, found, 1), found


@wrong("nearest", "cancellation")
def _(queries, bank, k):
    squared = (queries**2).sum(1)[:, None] - 2 * queries @ bank.T + (bank**2).sum(1)[None]
    table = np.sqrt(np.maximum(squared, 0))
    found = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, found, 1), found


@wrong("nearest", "farthest")
def _(queries, bank, k):
    table = np.linalg.norm(queries[:, None].astype(float) - bank[None], axis=2)
    found = np.argsort(-table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, found, 1), found


@wrong("nearest", "order")
def _(queries, bank, k):
    table = np.linalg.norm(queries[:, None].astype(float) - bank[None], axis=2)
    found = np.argsort(table, axis=1, kind="stable")[:, :k][:, ::-1]
    return np.take_along_axis(table, found, 1), found


@wrong("nearest", "k-ignored")
def _(queries, bank, k):
    table = np.linalg.norm(queries[:, None].astype(float) - bank[None], axis=2)
    return table.min(axis=1), table.argmin(axis=1)


@wrong("nearest", "exchanged")
def _(queries, bank, k):
    table = np.linalg.norm(queries[:, None].astype(float) - bank[None], axis=2)
    found = np.argsort(table, axis=1, kind="stable")[:, :k]
    return found, np.take_along_axis(table, found, 1)


@wrong("nearest", "ties")
def _(queries, bank, k):
    table = np.linalg.norm(queries[:, None].astype(float) - bank[None], axis=2)[:, ::-1]
    found = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, found, 1), len(bank) - 1 - found


@wrong("nearest", "count")
def _(queries, bank, k):
    table = np.linalg.norm(queries[:, None].astype(float) - bank[None], axis=2)
    return np.sort(table, axis=1)[:, :k]


# ------------------------------------------------------------------------- eq6


def nearest_of(patch, bank):
    away = [distance(patch, m) for m in bank]
    return away.index(min(away)), min(away)


@wrong("eq6", "squared")
def _(patches, bank):
    table = ((patches[:, None].astype(float) - bank[None]) ** 2).sum(axis=2)
    patch = table.min(axis=1).argmax()
    return patch, table[patch].argmin(), table[patch].min()


@wrong("eq6", "max-for-min")
def _(patches, bank):
    table = np.linalg.norm(patches[:, None].astype(float) - bank[None], axis=2)
    patch, row = np.unravel_index(table.argmax(), table.shape)
    return patch, row, table.max()


@wrong("eq6", "min-for-max")
def _(patches, bank):
    table = np.linalg.norm(patches[:, None].astype(float) - bank[None], axis=2)
    patch, row = np.unravel_index(table.argmin(), table.shape)
    return int(patch), int(row), table.min()


@wrong("eq6", "ties")
def _(patches, bank):
    best = (0, 0, -1.0)
    for i, patch in enumerate(patches):
        row, away = nearest_of(patch, bank)
        if away >= best[2]:
            best = (i, row, away)
    return best


@wrong("eq6", "exchanged")
def _(patches, bank):
    found = [nearest_of(patch, bank) for patch in patches]
    patch = int(np.argmax([away for _, away in found]))
    return found[patch][0], patch, found[patch][1]


@wrong("eq6", "averaged")
def _(patches, bank):
    found = [nearest_of(patch, bank) for patch in patches]
    patch = int(np.argmax([away for _, away in found]))
    return patch, found[patch][0], np.mean([away for _, away in found])


@wrong("eq6", "roles")
def _(patches, bank):
    found = [nearest_of(m, patches) for m in bank]
    row = int(np.argmax([away for _, away in found]))
    return found[row][0], row, found[row][1]


@wrong("eq6", "count")
def _(patches, bank):
    return max(nearest_of(patch, bank)[1] for patch in patches)


# ------------------------------------------------------------------------- eq7


def around(x, bank, b):
    return np.argsort([distance(x, m) for m in bank], kind="stable")[:b]


def to_bank(m_test, bank):
    return np.array([distance(m_test, m) for m in bank])


@wrong("eq7", "overflow")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    s = d.min()
    return (1 - np.exp(s) / np.exp(d[around(bank[d.argmin()], bank, b)]).sum()) * s


@wrong("eq7", "overflow")
def _(m_test, bank, b):
    d = to_bank(m_test, bank).astype(np.float32)
    s = d.min()
    return (1 - np.exp(s) / np.exp(d[around(bank[d.argmin()], bank, b)]).sum()) * s


def softmax_score(d, s, chosen):
    top = max(d[chosen].max(), s)
    return (1 - np.exp(s - top) / np.exp(d[chosen] - top).sum()) * s


@wrong("eq7", "neighbours-of-test")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), around(m_test, bank, b))


@wrong("eq7", "m-star-excluded")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    others = around(bank[d.argmin()], bank, b + 1)[1:]
    return softmax_score(d, d.min(), others)


@wrong("eq7", "b-plus-one")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), around(bank[d.argmin()], bank, b + 1))


@wrong("eq7", "whole-bank")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), np.arange(len(bank)))


@wrong("eq7", "squared")
def _(m_test, bank, b):
    d = to_bank(m_test, bank) ** 2
    return softmax_score(d, d.min(), around(bank[d.argmin()], bank, b))


@wrong("eq7", "sign")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    chosen = around(bank[d.argmin()], bank, b)
    return (1 - 1 / np.exp(d.min() - d[chosen]).sum()) * d.min()


@wrong("eq7", "weight-only")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), around(bank[d.argmin()], bank, b)) / d.min()


@wrong("eq7", "not-weighted")
def _(m_test, bank, b):
    return min(to_bank(m_test, bank))


@wrong("eq7", "max-for-min")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.max(), around(bank[d.argmax()], bank, b))


@wrong("eq7", "max-for-min")
def _(m_test, bank, b):
    """Uses the neighbourhood of the nearest row and the distance of the farthest row."""
    d = to_bank(m_test, bank)
    return softmax_score(d, d.max(), around(bank[d.argmin()], bank, b))


@wrong("eq7", "max-for-min")
def _(m_test, bank, b):
    """Uses the neighbourhood of the farthest row and the distance of the nearest row."""
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), around(bank[d.argmax()], bank, b))


@wrong("eq7", "max-for-min")
def _(m_test, bank, b):
    """Uses the farthest row for both, and exponentials that overflow (listed in notebook 09)."""
    d = to_bank(m_test, bank)
    m_star = np.argmax(d)
    exponentials = np.exp(d[around(bank[m_star], bank, b)])
    return (1 - np.exp(d[m_star]) / exponentials.sum()) * d[m_star]


@wrong("eq7", "farthest-neighbours")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), around(bank[d.argmin()], bank, len(bank))[-b:])


def softmax(d, s, chosen):
    top = max(d[chosen].max(), s)
    return np.exp(s - top) / np.exp(d[chosen] - top).sum()


@wrong("eq7", "one-minus-missing")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax(d, d.min(), around(bank[d.argmin()], bank, b)) * d.min()


@wrong("eq7", "one-minus-missing")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    s = d.min()
    return np.exp(s) / np.exp(d[around(bank[d.argmin()], bank, b)]).sum() * s


@wrong("eq7", "one-minus-missing")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax(d, d.min(), around(bank[d.argmin()], bank, b))


@wrong("eq7", "exp-missing")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return (1 - d.min() / d[around(bank[d.argmin()], bank, b)].sum()) * d.min()


@wrong("eq7", "exp-missing")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return 1 - d.min() / sum(d[i] for i in around(bank[d.argmin()], bank, b))


@wrong("eq7", "sign")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return -softmax_score(d, d.min(), around(bank[d.argmin()], bank, b))


@wrong("eq7", "unbalanced")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    chosen = d[around(bank[d.argmin()], bank, b)]
    return (1 - np.exp(d.min()) / np.exp(chosen - chosen.max()).sum()) * d.min()


@wrong("eq7", "one-number")
def _(m_test, bank, b):
    d = to_bank(m_test, bank)
    return softmax_score(d, d.min(), around(bank[d.argmin()], bank, b)) * np.ones(1)


# ----------------------------------------------------------------------- auroc


@wrong("auroc", "ties")
def _(labels, scores):
    pairs = [a > g for a in scores[labels == 1] for g in scores[labels == 0]]
    return np.mean(pairs)


@wrong("auroc", "ties")
def _(labels, scores):
    pairs = [a >= g for a in scores[labels == 1] for g in scores[labels == 0]]
    return np.mean(pairs)


@wrong("auroc", "reversed")
def _(labels, scores):
    pairs = [(a < g) + 0.5 * (a == g) for a in scores[labels == 1] for g in scores[labels == 0]]
    return np.mean(pairs)


@wrong("auroc", "divisor")
def _(labels, scores):
    pairs = [(a > g) + 0.5 * (a == g) for a in scores[labels == 1] for g in scores[labels == 0]]
    return sum(pairs) / len(labels) ** 2


@wrong("auroc", "percent")
def _(labels, scores):
    pairs = [(a > g) + 0.5 * (a == g) for a in scores[labels == 1] for g in scores[labels == 0]]
    return 100 * np.mean(pairs)


@wrong("auroc", "accuracy")
def _(labels, scores):
    return np.mean((scores > 0.5) == labels)


@wrong("auroc", "ties")
def _(labels, scores):
    hit = labels[np.argsort(-scores, kind="stable")]
    true = np.concatenate([[0], np.cumsum(hit) / hit.sum()])
    false = np.concatenate([[0], np.cumsum(1 - hit) / (1 - hit).sum()])
    return ((true[1:] + true[:-1]) / 2 * np.diff(false)).sum()


# ------------------------------------------------------------------------- top


@wrong("top", "maximum")
def _(distances, share):
    return max(distances)


@wrong("top", "mean-of-all")
def _(distances, share):
    return sum(map(float, distances)) / len(distances)


@wrong("top", "smallest")
def _(distances, share):
    return np.mean(np.sort(distances)[: max(1, round(share * len(distances)))])


@wrong("top", "truncated")
def _(distances, share):
    """Truncates to 0 patches in one case; then the slice takes all of them."""
    return np.sort(distances)[-int(len(distances) * share) :].mean()


@wrong("top", "truncated")
def _(distances, share):
    """Truncates to 0 patches in one case; then the mean is NaN."""
    return np.sort(distances)[::-1][: int(len(distances) * share)].mean()


@wrong("top", "no-patch")
def _(distances, share):
    return np.sort(distances)[::-1][: round(len(distances) * share)].mean()


@wrong("top", "rounded-up")
def _(distances, share):
    count = -int(-len(distances) * share // 1)
    return np.partition(distances, -count)[-count:].mean()


@wrong("top", "quantile")
def _(distances, share):
    return distances[distances >= np.quantile(distances, 1 - share)].mean()


@wrong("top", "quantile")
def _(distances, share):
    """Right without equal distances and with whole numbers of patches."""
    least = np.sort(distances)[-max(1, round(share * len(distances)))]
    return distances[distances >= least].mean()


@wrong("top", "sum")
def _(distances, share):
    return np.sort(distances)[-max(1, round(share * len(distances))) :].sum()


@wrong("top", "not-a-mean")
def _(distances, share):
    return np.sort(distances)[-max(1, round(share * len(distances)))]


@wrong("top", "unsorted")
def _(distances, share):
    return distances[-max(1, round(share * len(distances))) :].mean()
