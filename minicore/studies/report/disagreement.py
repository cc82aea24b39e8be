"""Find the images whose rank differs most between two runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from minicore.studies.report.mistakes import Card, Picture, Ranked, Scale, card, heat
from minicore.studies.report.reading import Key, Reading
from minicore.studies.reproduce import Evidence

SHOWN = 4  # images per category and row


@dataclass(frozen=True)
class Disagreement:
    """Differences between two runs for one category and row.

    Attributes
    ----------
    row : str
    summary : str
        How many ranks differ, and by how much.
    largest : str
        Name and ranks of the image with the largest difference, which may have no picture. Empty if
        no rank differs.
    cards : list of Card
        The images with a picture, the largest difference first.
    """

    row: str
    summary: str
    largest: str
    cards: list[Card]


def disagree(a: Reading, b: Reading, key: Key) -> Disagreement:
    """Compare the ranks of the test images in two runs. Images are matched by name.

    Parameters
    ----------
    a, b : Reading
    key : (str, str)
        Category and row. The first common seed is compared. Without a common seed, the first seed
        of each run is used.

    Returns
    -------
    Disagreement
    """
    common = sorted(set(a.units[key]) & set(b.units[key]))
    seed = common[0] if common else None
    first, second = a.load(key, seed).evidence, b.load(key, seed).evidence
    names = [name for name in first.names if name in set(second.names)]
    if not names:
        return Disagreement(key[1], "no test image in common", "", [])
    indices = [{name: i for i, name in enumerate(e.names)} for e in (first, second)]
    ranks = [
        rankdata([-e.scores[index[name]] for name in names], method="min").astype(int)
        for e, index in zip((first, second), indices, strict=True)
    ]
    difference = ranks[1] - ranks[0]
    order = np.argsort(-abs(difference), kind="stable")
    pictured = [{e.names[i]: k for k, i in enumerate(e.shown)} for e in (first, second)]
    chosen = [j for j in order if difference[j] and any(names[j] in p for p in pictured)]
    top = int(order[0])
    return Disagreement(
        key[1],
        f"{int((difference != 0).sum())} of {len(names)} images have different ranks; the mean "
        f"difference is {abs(difference).mean():.1f}",
        f"{names[top]}: rank {ranks[0][top]} in A, {ranks[1][top]} in B" if difference[top] else "",
        [
            _card_of_both(
                (first, second), pictured, names[j], [int(r[j]) for r in ranks], len(names)
            )
            for j in chosen[:SHOWN]
        ],
    )


def _card_of_both(
    evidence: tuple[Evidence, Evidence],
    pictured: list[dict[str, int]],
    name: str,
    ranks: list[int],
    n: int,
) -> Card:
    """Return a card with the pictures of an image from both runs."""
    facts = [(f"rank in {run}", f"{rank} of {n}") for run, rank in zip("AB", ranks, strict=True)]
    pictures: list[Picture] = []
    defect = ""
    for run, e, shown in zip("AB", evidence, pictured, strict=True):
        if name not in shown:
            facts.append((f"picture in {run}", "not stored"))
            continue
        k = shown[name]
        one_run = card(e, Ranked.of(e), None, k)
        defect = defect or one_run.defect
        if not pictures:  # without a frame: each run has its own deciding patch
            pictures.append(replace(one_run.pictures[0], frame=None))
        if e.maps.size:
            pictures.append(heat(e, Scale.of(e), k, f"map in {run}", pictures[0].truth))
    return Card(name, defect, facts, "", pictures)
