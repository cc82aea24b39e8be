"""Two runs: the images on which they disagree most, measured by the rank among the test images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from minicore.studies.report.mistakes import Card, Picture, Ranked, Scale, card, heat
from minicore.studies.report.reading import Key, Reading
from minicore.studies.reproduce import Evidence

SHOWN = 4  # images of a category and row


@dataclass(frozen=True)
class Disagreement:
    """What is shown of a category and row that both runs have.

    Attributes
    ----------
    row : str
    summary : str
    largest : str
        The image with the largest difference of all, whether there is a picture of it or not.
    cards : list of Card
        Of the images that a run has pictures of, the largest difference first.
    """

    row: str
    summary: str
    largest: str
    cards: list[Card]


def disagree(a: Reading, b: Reading, key: Key) -> Disagreement:
    """Compare two runs' ranks of the test images that both have, by name.

    Parameters
    ----------
    a, b : Reading
    key : (str, str)
        Category and row. The first seed that both have is compared, or else each one's first.

    Returns
    -------
    Disagreement
    """
    same = sorted(set(a.units[key]) & set(b.units[key]))
    seed = same[0] if same else None
    first, second = a.load(key, seed).evidence, b.load(key, seed).evidence
    names = [name for name in first.names if name in set(second.names)]
    if not names:
        return Disagreement(key[1], "no test image in common", "", [])
    at = [{name: i for i, name in enumerate(e.names)} for e in (first, second)]
    ranks = [
        rankdata([-e.scores[where[name]] for name in names], method="min").astype(int)
        for e, where in zip((first, second), at, strict=True)
    ]
    apart = ranks[1] - ranks[0]
    order = np.argsort(-abs(apart), kind="stable")
    pictured = [{e.names[i]: k for k, i in enumerate(e.shown)} for e in (first, second)]
    chosen = [j for j in order if apart[j] and any(names[j] in shown for shown in pictured)]
    top = int(order[0])
    return Disagreement(
        key[1],
        f"{int((apart != 0).sum())} of {len(names)} images have another rank, on average by "
        f"{abs(apart).mean():.1f}",
        f"{names[top]}: rank {ranks[0][top]} in A, {ranks[1][top]} in B" if apart[top] else "",
        [
            _beside((first, second), pictured, names[j], [int(r[j]) for r in ranks], len(names))
            for j in chosen[:SHOWN]
        ],
    )


def _beside(
    evidence: tuple[Evidence, Evidence],
    pictured: list[dict[str, int]],
    name: str,
    ranks: list[int],
    n: int,
) -> Card:
    """Put the pictures that the runs have of an image side by side."""
    facts = [(f"rank in {run}", f"{rank} of {n}") for run, rank in zip("AB", ranks, strict=True)]
    found: list[Picture] = []
    defect = ""
    for run, e, shown in zip("AB", evidence, pictured, strict=True):
        if name not in shown:
            facts.append((f"picture in {run}", "none was kept"))
            continue
        k = shown[name]
        its = card(e, Ranked.of(e), None, k)
        defect = defect or its.defect
        # Each run has its own deciding patch: framed on its map.
        found += [] if found else [replace(its.pictures[0], frame=None)]
        if e.maps.size:
            found.append(heat(e, Scale.of(e), k, f"map in {run}", found[0].truth))
    return Card(name, defect, facts, "", found)
