r"""One memory bank over many machines: the coreset that one machine would select.

Each machine holds a part of the rows $\psi(\mathcal{M})$. `greedy_coreset` selects the rows of
Algorithm 1 in a few rounds, and `two_round_coreset` an approximation in two. Both call the parts
through `Workers`, and send only arrays.
"""

from minicore.cluster.coordinator import Coreset, greedy_coreset, rounds
from minicore.cluster.part import Part, Reply
from minicore.cluster.two_round import Approximation, two_round_coreset
from minicore.cluster.workers import InProcess, Workers

__all__ = [
    "Approximation",
    "Coreset",
    "InProcess",
    "Part",
    "Reply",
    "Workers",
    "greedy_coreset",
    "rounds",
    "two_round_coreset",
]
