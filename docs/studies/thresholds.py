"""Compare ways to find a threshold from good images: ``python docs/studies/thresholds.py DATA``.

DATA is the folder of MVTec AD; it must contain bottle, screw and pill. The five drawn parts need no
data. Results are written to ``thresholds.jsonl`` beside this file, a line per setting, so that an
interrupted run continues. At the end the tables are printed; ``--tables`` only prints them.

For each data set, 20, 50, 100 and all good images, coresets of 1 % and 10 % and five seeds, each
method computes a threshold for false-alarm rates of 1, 5 and 10 %. Then new images are scored.

The rule for the default was written down before pill was looked at:

1. *Valid first.* Pool the false alarms of all data sets, numbers of images and seeds. The pooled
   rate must not be above the nominal rate by more than chance explains (one-sided 95 %), for any of
   the three rates, at 1 % and at 10 %, and neither for few images (20, 50) nor for many (100, all).
   Chance is the standard error of the pooled rate: test images and calibration images are random.
2. *Then the most defects.* The share of defects found, pooled in the same way, at a nominal 5 %.
   Methods within one percentage point of the best are equal.
3. *Then time.* Of equal methods, the fastest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from material import DRAWN, Material, material
from scipy import stats

from minicore import fast
from minicore.equations import projection, reweighted_distance

HERE = Path(__file__).parent
RATES = 0.01, 0.05, 0.1
RATIOS = 0.01, 0.1
SIZES = 20, 50, 100, None
SEEDS = range(5)
SETS = "fabric", "wood", "bottle", "screw", "pill", "circuit", "blister", "gear"
QUICK = SETS[5:]  # here ten folds and the jackknife are left out, to save time
B = 9
JACKKNIFE = 20  # images up to which one coreset per image is made
TEN_FOLDS = 50  # images up to which ten folds are made at a coreset of 10 %


def coreset(psi: np.ndarray, ratio: float, seed: int) -> tuple[np.ndarray, float]:
    """Return the rows that Algorithm 1 picks, and the covering radius."""
    N = len(psi)
    start = int(np.random.default_rng([seed, N]).integers(N))
    rows, radii = fast.greedy_coreset(psi, max(1, round(ratio * N)), start, return_radii=True)
    return rows, float(radii[-1])


def score(patches: np.ndarray, bank: np.ndarray, index: fast.Nearest) -> np.ndarray:
    """Return equation 7 for each of some images (n, P, D)."""
    n, P, D = patches.shape
    d, who = (x.reshape(n, P) for x in index.query(patches.reshape(-1, D)))
    images, star = np.arange(n), d.astype(np.float32).argmax(axis=1)
    _, around = index.query(bank[who[images, star]], B)
    return np.array([reweighted_distance(patches[i, star[i]], bank[around[i]]) for i in images])


def folds(n: int, k: int, seed: int) -> list[np.ndarray]:
    """Return k parts of n images, at random."""
    return np.array_split(np.random.default_rng([seed, n, k]).permutation(n), k)


class Fit:
    """The patch features of n good images, and coresets of some of the images."""

    def __init__(self, patches: np.ndarray, psi: np.ndarray, ratio: float, seed: int) -> None:
        self.patches, self.psi, self.ratio, self.seed = patches, psi, ratio, seed
        self.n, self.P, self.D = patches.shape

    def model(self, images: np.ndarray) -> tuple[np.ndarray, fast.Nearest]:
        """Return the coreset of some images, prepared for searches."""
        psi = self.psi[images].reshape(-1, self.psi.shape[2])
        rows, _ = coreset(psi, self.ratio, self.seed)
        bank = self.patches[images].reshape(-1, self.D)[rows]
        return bank, fast.Nearest(bank)

    def out_of_fold(
        self, parts: list[np.ndarray], new: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Score each image with a model of the other parts, and new images with every model.

        Returns
        -------
        own : (n,)
        ranks : (m,)
            For each new image, the number of images with a score of at least that of the new image,
            both scored by the model without this image: CV+ and, with one image per part, the
            jackknife+.
        seconds : float
            Without the new images.
        """
        seconds = 0.0
        own, ranks = np.empty(self.n), np.zeros(len(new), int)
        for part in parts:
            started = time.perf_counter()
            bank, index = self.model(np.setdiff1d(np.arange(self.n), part))
            own[part] = score(self.patches[part], bank, index)
            seconds += time.perf_counter() - started
            s = score(new, bank, index)
            ranks += (own[part][None] >= s[:, None]).sum(axis=1)
        return own, ranks, seconds


def leave_one_out(fit: Fit, rows: np.ndarray, radius: float, filled: bool) -> np.ndarray:
    """Score each image against the coreset without its own rows.

    With `filled`, rows of other images that were covered only by rows of this image are added, by
    Algorithm 1, until every patch of the other images lies within the radius again.
    """
    n, P, D = fit.patches.shape
    M, psi = fit.patches.reshape(-1, D), fit.psi.reshape(n * P, -1)
    image = rows // P
    extra: list[np.ndarray] = [np.empty(0, np.int64)] * n
    if filled:
        extra = [
            fill(psi, P, *uncovered, radius)
            for uncovered in left_uncovered(psi, rows, P, n, radius)
        ]
    bank = M[rows]
    norms = (bank * bank).sum(axis=1)
    scores = np.empty(n)
    for i in range(n):
        others = image != i
        Q = fit.patches[i]
        squared = norms - 2 * (Q @ bank.T)
        squared[:, ~others] = np.inf
        nearest = squared.argmin(axis=1)
        own_bank = bank[others]
        d = np.sqrt(((Q - bank[nearest]) ** 2).sum(axis=1))
        m_star = bank[nearest]
        if len(extra[i]):
            more = M[extra[i]]
            d_more, who = fast.nearest(Q, more)
            better = d_more[:, 0] < d
            d[better] = d_more[better, 0]
            m_star[better] = more[who[better, 0]]
            own_bank = np.concatenate([own_bank, more])
        star = d.astype(np.float32).argmax()
        m = m_star[star]
        around = np.argpartition(((own_bank - m) ** 2).sum(axis=1), B)[:B]
        ordered = around[np.argsort(((own_bank[around] - m) ** 2).sum(axis=1))]
        scores[i] = reweighted_distance(Q[star], own_bank[ordered])
    return scores


def left_uncovered(
    psi: np.ndarray, rows: np.ndarray, P: int, n: int, radius: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each image, the rows of other images that no other image's pick covers.

    Also yield their distances to the nearest of these picks.
    """
    index, image = fast.Nearest(psi[rows]), rows // P
    open_rows = np.arange(len(psi))
    owner = np.empty(len(psi), np.int64)
    second = np.full(len(psi), np.inf)
    k = 2
    while len(open_rows):
        k = min(k, len(rows))
        d, who = index.query(psi[open_rows], k)
        owner[open_rows] = image[who[:, 0]]
        other = image[who] != image[who[:, :1]]
        found = other.any(axis=1)
        first = other.argmax(axis=1)
        second[open_rows[found]] = d[np.flatnonzero(found), first[found]]
        second[open_rows[~found]] = d[~found, -1]
        open_rows = open_rows[~found] if k < len(rows) else open_rows[:0]
        k *= 4
    for i in range(n):
        mine = np.flatnonzero((owner == i) & (np.arange(len(psi)) // P != i) & (second > radius))
        yield mine, second[mine]


def fill(psi: np.ndarray, P: int, mine: np.ndarray, d: np.ndarray, radius: float) -> np.ndarray:
    """Continue Algorithm 1 on some rows until all are within the radius."""
    d, picks = d.copy(), []
    while len(d) and d.max() > radius:
        m = int(d.argmax())
        picks.append(mine[m])
        d = np.minimum(d, np.sqrt(((psi[mine] - psi[mine[m]]) ** 2).sum(axis=1)))
    return np.array(picks, np.int64)


# ------------------------------------------------------- thresholds from scores


def by_rank(scores: np.ndarray, alpha: float) -> float:
    """Return the threshold of (split) conformal prediction; the largest score if n is too small."""
    n = len(scores)
    k = min(int(np.ceil(round((1 - alpha) * (n + 1), 9))), n)
    return float(np.sort(scores)[k - 1])


def by_normal(scores: np.ndarray, alpha: float) -> float:
    """Return the upper limit of the prediction interval of a normal distribution."""
    n = len(scores)
    if n < 2:
        return float(scores.max())
    t = stats.t.ppf(1 - alpha, n - 1)
    return float(scores.mean() + t * scores.std(ddof=1) * np.sqrt(1 + 1 / n))


def by_gumbel(scores: np.ndarray, alpha: float) -> float:
    """Return the quantile of the Gumbel distribution with the same mean and deviation."""
    if len(scores) < 2:
        return float(scores.max())
    beta = scores.std(ddof=1) * np.sqrt(6) / np.pi
    mu = scores.mean() - np.euler_gamma * beta
    return float(mu - beta * np.log(-np.log(1 - alpha)))


def by_pareto(scores: np.ndarray, alpha: float) -> float:
    """Return the quantile of a generalised Pareto distribution, fitted to the upper quarter."""
    n, tail = len(scores), 0.25
    ordered = np.sort(scores)
    m = round(tail * n)
    if m < 5 or alpha >= tail:
        return by_rank(scores, alpha)
    u = ordered[-m - 1]
    shape, _, scale = stats.genpareto.fit(ordered[-m:] - u, floc=0)
    return float(u + stats.genpareto.ppf(1 - alpha / (m / n), shape, loc=0, scale=scale))


SHAPES = {"": by_rank, " normal": by_normal, " Gumbel": by_gumbel, " Pareto": by_pareto}


# ------------------------------------------------------- one setting


def measure(
    data: Material, n: int | None, ratio: float, seed: int, psi: list[np.ndarray], quick: bool
) -> dict[str, Any]:
    """Run every method on one setting; with `quick`, all but ten folds and the jackknife."""
    rng = np.random.default_rng([seed, 7])
    every = len(data.train)
    chosen = np.sort(rng.permutation(every)[:n]) if n else np.arange(every)
    fit = Fit(data.train[chosen], psi[0][chosen], ratio, seed)
    n = fit.n
    new = np.concatenate([data.good, data.bad])
    seconds, own, ranks = {}, {}, {}

    started = time.perf_counter()
    rows, radius = coreset(fit.psi.reshape(n * fit.P, -1), ratio, seed)
    bank = fit.patches.reshape(-1, fit.D)[rows]
    index = fast.Nearest(bank)
    seconds["final model"] = time.perf_counter() - started
    s = score(new, bank, index)

    started = time.perf_counter()
    held_out = folds(n, 5, seed)[0]
    own["split"] = score(fit.patches[held_out], *fit.model(np.setdiff1d(np.arange(n), held_out)))
    seconds["split"] = time.perf_counter() - started
    for k in (5, 10):
        if k == 10 and (quick or (ratio > 0.01 and n > TEN_FOLDS)):
            continue
        name = f"cross {k}"
        # CV+ with ten folds would score every new image ten times; five folds show it as well.
        own[name], rank, seconds[name] = fit.out_of_fold(
            folds(n, k, seed), new if k == 5 else new[:0]
        )
        if k == 5:
            ranks[f"CV+ {k}"] = rank
    if n <= JACKKNIFE and not quick:
        single = [np.array([i]) for i in range(n)]
        half = np.arange(0, len(new), 2)  # every second new image, to save time
        own["jackknife"], rank, seconds["jackknife"] = fit.out_of_fold(single, new[half])
        ranks["jackknife+"] = np.full(len(new), n)
        ranks["jackknife+"][half] = rank
    for filled in (False, True):
        started = time.perf_counter()
        name = "leave-one-out filled" if filled else "leave-one-out"
        own[name] = leave_one_out(fit, rows, radius, filled)
        seconds[name] = time.perf_counter() - started

    g = len(data.good)
    seen = {name: np.ones(len(new), bool) for name in ranks}
    if "jackknife+" in seen:
        seen["jackknife+"] = np.arange(len(new)) % 2 == 0
    found: dict[str, Any] = {}
    for name, scores in own.items():
        for shape, threshold_of in SHAPES.items():
            found[name + shape] = {
                str(alpha): [
                    float((part > threshold_of(scores, alpha)).mean()) for part in (s[:g], s[g:])
                ]
                for alpha in RATES
            }
    for name, rank in ranks.items():
        p, used = (1 + rank) / (n + 1), seen[name]
        found[name] = {
            str(alpha): [
                float((p[part][used[part]] <= alpha + 1e-12).mean())
                for part in (slice(g), slice(g, None))
            ]
            for alpha in RATES
        }
    order = np.sort(s[:g])
    found["best possible"] = {
        str(alpha): [
            float((part > order[min(g - 1, int(np.ceil((1 - alpha) * g)) - 1)]).mean())
            for part in (s[:g], s[g:])
        ]
        for alpha in RATES
    }
    return {
        "n": n, "good": g, "bad": len(data.bad), "radius": radius,
        "seconds": seconds, "found": found,
        "calibration": {name: len(scores) for name, scores in own.items()},
    }  # fmt: skip


def run(folder: Path, out: Path) -> None:
    """Measure every setting that is not in the file yet."""
    lines = out.read_text("utf-8").splitlines() if out.exists() else []
    done = [json.loads(line) for line in lines]
    have = {(r["set"], r["size"], r["ratio"], r["seed"]) for r in done}
    for name in SETS:
        todo = [
            (size, ratio, seed)
            for size in SIZES for ratio in RATIOS for seed in SEEDS
            if (name, size, ratio, seed) not in have and not (name in DRAWN and size is None)
        ]  # fmt: skip
        if not todo:
            continue
        print(name, file=sys.stderr, flush=True)
        data = material(name, folder)
        D = data.train.shape[2]
        for seed in SEEDS:
            mine = [t for t in todo if t[2] == seed]
            if not mine:
                continue
            psi = projection(D, 128, seed)
            projected = [
                fast.project(data.train.reshape(-1, D), psi).reshape(*data.train.shape[:2], -1)
            ]
            for size, ratio, _ in mine:
                started = time.perf_counter()
                result = measure(data, size, ratio, seed, projected, name in QUICK)
                record = {"set": name, "size": size, "ratio": ratio, "seed": seed, **result}
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(
                    name,
                    size,
                    ratio,
                    seed,
                    f"{time.perf_counter() - started:.1f} s",
                    file=sys.stderr,
                    flush=True,
                )


# ------------------------------------------------------- tables


def chance(records: list[dict[str, Any]], method: str, alpha: float) -> tuple[float, float]:
    """Return the pooled rate of false alarms, and the largest rate that chance explains.

    The seeds of a data set share its test images, so they do not make the rate of this data set
    more exact: its variance is that of one draw of the test images, plus that of one draw of the
    calibration images.
    """
    sets = sorted({(r["set"], r["n"]) for r in records})
    rates, variance = [], []
    for key in sets:
        mine = [r for r in records if (r["set"], r["n"]) == key]
        rates.append(np.mean([r["found"][method][str(alpha)][0] for r in mine]))
        calibration = mine[0]["n"] // 5 if method.startswith("split") else mine[0]["n"]
        variance.append(alpha * (1 - alpha) * (1 / mine[0]["good"] + 1 / (calibration + 2)))
    limit = alpha + 1.645 * np.sqrt(np.sum(variance)) / len(sets)
    return float(np.mean(rates)), float(limit)


def tables(path: Path) -> None:
    """Print the pooled table: false alarms at each nominal rate; defects found at 5 %."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    methods = list(dict.fromkeys(m for r in records for m in r["found"]))
    groups = {
        f"{ratio:.0%}, {name}": [r for r in records if r["ratio"] == ratio and r["size"] in sizes]
        for ratio in RATIOS
        for name, sizes in (("20 and 50", (20, 50)), ("100 and all", (100, None)))
    }
    print("| method |" + "".join(f" {name} |" for name in groups) + " valid | found | seconds |")
    print("|---" * (len(groups) + 4) + "|")
    for method in methods:
        cells, valid, found = [], True, []
        for group in groups.values():
            have = [r for r in group if method in r["found"]]
            if not have or len(have) < len(group):
                cells.append("–")
                valid = valid and None
                continue
            parts = []
            for alpha in RATES:
                rate, limit = chance(have, method, alpha)
                bad = rate > limit
                valid = valid and not bad
                parts.append(f"{100 * rate:.1f}" + (" !" if bad else ""))
            share = np.mean([r["found"][method]["0.05"][1] for r in have])
            found.append(share)
            cells.append(" / ".join(parts) + f"; {100 * share:.1f}")
        times = [
            r["seconds"][method] / r["seconds"]["final model"]
            for r in records
            if method in r["seconds"]
        ]
        word = {True: "yes", False: "no", None: "?"}[valid]
        row = [
            method,
            *cells,
            word,
            f"{100 * np.mean(found):.1f}" if found else "",
            f"{np.median(times):.1f}" if times else "",
        ]
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "thresholds.jsonl")
    parser.add_argument("--tables", action="store_true", help="only print the tables")
    arguments = parser.parse_args()
    if not arguments.tables:
        run(arguments.data, arguments.out)
    tables(arguments.out)
