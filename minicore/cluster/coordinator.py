r"""Algorithm 1 over the parts of a memory bank, in a few rounds: the picks of one machine.

In each round every part learns the new picks. It returns its farthest rows, the *candidates*, and a
bound of the distances of its other rows. Then Algorithm 1 runs among the candidates of all parts,
while the farthest candidate is ahead of all bounds. It finds many picks in one round.

Why the picks are the same
--------------------------
Let $v(m)$ be the squared distance of row m to its nearest pick, computed as
`equations.greedy_coreset` does. It is the minimum of the values of the single picks, so it does not
depend on their order, nor on the machine. Algorithm 1 picks the row with the largest $v$, and of
several the lowest row.

- A candidate has exactly $v$: its part compares it with all picks, and each comparison that is
  skipped is one whose bound, rounding included, shows that the minimum would not change
  (`minicore.fast.sieve`). The same holds after each pick among the candidates.
- The bound $u$ of any other row is its value after fewer picks. A minimum over more picks is not
  larger, without any rounding: $v \le u$.
- Each part returns the largest $u$ of its other rows, and the lowest row that has it. Let $(b, r)$
  be the largest of these, and of equal ones the one with the lowest row. If $v(c) > b$, candidate c
  is farther than every other row. If $v(c) = b$ and $c < r$, every other row that is as far has
  $u = b$, so its number is at least $r$, above c. In all other cases the round ends.
- A round always picks a row. A part returns the rows that come first if rows are ordered by $u$,
  then by row number. So its first candidate is ahead of its other rows. The first of all candidates
  is ahead of the first candidate of every part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicore.cluster.part import Reply
from minicore.cluster.workers import Counted, Workers
from minicore.fast.coreset import Picks, check_picks, pick_farthest
from minicore.fast.farthest import NOTHING, Farthest, Outside
from minicore.runtime.progress import bar as progress_bar

# A round costs a fixed time, and a time for each candidate. More candidates need fewer rounds. See
# docs/scale.md for what they cost.
FEWEST = 16384  # candidates of a round, in all: 9 MB
MOST = 131072  # 69 MB; the coordinator picks among them alone, and more take longer for each pick
FEWEST_OF_PART = 64
PER_PICK = 8  # candidates for each pick of the round before
GROWTH = 4  # largest change of the number of candidates from one round to the next


@dataclass(frozen=True)
class Coreset:
    r"""The picks so far, and what they cost.

    Attributes
    ----------
    rows : (l,) int64
        Rows of the whole memory bank, in the order picked.
    vectors : (l, d) float32
        Their vectors in $\psi(\mathcal{M})$.
    radii : (l,) float64
        Largest distance of any row to its nearest pick, after each pick. Between two rounds the
        last one is unknown, so there are l - 1.
    rounds : int
        Number of rounds.
    candidates : int
        Number of candidates that the parts have returned.
    sent, received : int
        Bytes of arrays and numbers sent to the parts, and received from them.
    """

    rows: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    radii: npt.NDArray[np.float64]
    rounds: int = 0
    candidates: int = 0
    sent: int = 0
    received: int = 0


def greedy_coreset(
    workers: Workers,
    l: int | None,
    start: int = 0,
    *,
    radius: float | None = None,
    progress: bool = False,
) -> Coreset:
    r"""Choose `l` rows by Algorithm 1: each is the farthest from the rows before it.

    Parameters
    ----------
    workers : Workers
        They hold the parts of $\psi(\mathcal{M})$: together the rows 0 to N - 1, each once.
    l, start, radius
        As for `fast.greedy_coreset`.
    progress : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    Coreset
        Rows and radii are those of `fast.greedy_coreset` for the whole bank, for any parts.

    Raises
    ------
    ValueError
        If `l`, `start` or `radius` is out of range, or the parts do not form one bank.
    """
    for coreset in rounds(workers, l, start, radius=radius, progress=progress):  # noqa: B007
        pass
    return coreset


def rounds(
    workers: Workers,
    l: int | None,
    start: int = 0,
    *,
    radius: float | None = None,
    so_far: Coreset | None = None,
    progress: bool = False,
) -> Iterator[Coreset]:
    """Yield the picks of `greedy_coreset` after each round.

    Parameters
    ----------
    workers, l, start, radius, progress
        As for `greedy_coreset`.
    so_far : Coreset, optional
        Continue from these picks of the same bank, with parts that may be new.

    Yields
    ------
    Coreset
        The last one is complete.

    Raises
    ------
    ValueError
        As for `greedy_coreset`, or if `so_far` has another first pick, or more than `l`.
    """
    counted = Counted(workers)
    most = check_picks(counted.N, l, start, radius)
    if so_far is None:
        row = np.array([start])
        so_far = Coreset(row, counted.take("vectors", row), np.empty(0))
    elif so_far.rows[0] != start or len(so_far.rows) > most:
        raise ValueError(
            f"so_far must begin with row {start} and have at most {most} picks, got "
            f"{len(so_far.rows)} that begin with row {so_far.rows[0]}"
        )
    coordinator = _Coordinator(counted, so_far, most, -1.0 if radius is None else float(radius))
    with progress_bar(most, "coreset", "row", show=progress, initial=len(so_far.rows)) as bar:
        while not coordinator.finished:
            picks = coordinator.round()
            coreset = coordinator.coreset()
            bar.set_postfix_str(
                f"round {coreset.rounds}, {(coreset.sent + coreset.received) / 1e6:.0f} MB"
            )
            bar.update(picks)
            yield coreset


class _Coordinator:
    """Run rounds until there are `l` picks, or the radius is reached."""

    def __init__(self, workers: Counted, so_far: Coreset, l: int, radius: float) -> None:
        self._workers, self._before, self._l, self._radius = workers, so_far, l, radius
        self._rows, self._vectors = so_far.rows, so_far.vectors
        self._radii = so_far.radii[: len(so_far.rows) - 1]
        self._known = 0  # number of picks that every part has learned
        self._wanted = FEWEST
        self._rounds = self._candidates = 0
        self.finished = False

    def coreset(self) -> Coreset:
        before = self._before
        return Coreset(
            self._rows, self._vectors, self._radii,
            before.rounds + self._rounds, before.candidates + self._candidates,
            before.sent + self._workers.sent, before.received + self._workers.received,
        )  # fmt: skip

    def round(self) -> int:
        """Find more picks, or the last radius. Return the number of new picks."""
        i = len(self._rows)
        if i == self._workers.N:
            return self._finish(0.0)
        replies = self._farthest(most=None if i < self._l else 1)
        self._rounds += 1
        rows, vectors, to_nearest = (
            np.concatenate([reply[column] for reply in replies]) for column in range(3)
        )
        if i == self._l:
            return self._finish(float(np.sqrt(to_nearest.max())))
        self._candidates += len(rows)
        found = Picks(*_room(min(self._l - i, len(rows)) + 1), self._radius)
        # The first entry stands for the pick before, so that radii come after their picks.
        end = pick_farthest(Farthest(vectors, to_nearest), found, 1, _beyond(replies, rows))
        new = found.rows[1:end]
        self._rows = np.concatenate([self._rows, rows[new]])
        self._vectors = np.concatenate([self._vectors, vectors[new]])
        self._radii = np.concatenate([self._radii, found.radii[: end - 1]])
        if found.radii[end - 1] <= self._radius:
            self._finish(float(found.radii[end - 1]))
        limits = self._wanted // GROWTH, self._wanted * GROWTH
        self._wanted = max(FEWEST, min(int(np.clip(PER_PICK * len(new), *limits)), MOST))
        return len(new)

    def _finish(self, radius: float) -> int:
        self._radii = np.append(self._radii, radius)
        self.finished = True
        return 0

    def _farthest(self, most: int | None) -> list[Reply]:
        """Send the new picks to all parts, and return their farthest rows in the order of rows."""
        known, self._known = self._known, len(self._rows)
        N, rows = self._workers.N, self._workers.rows
        shares = {
            part: most or max(FEWEST_OF_PART, -(-self._wanted * n // N)) for part, n in rows.items()
        }

        def ask(parts: Iterable[int], known: int) -> dict[int, Reply]:
            picks = known, self._rows[known:], self._vectors[known:]
            replies = self._workers.call("farthest", {p: (*picks, shares[p]) for p in parts})
            return {part: reply for part, reply in replies.items() if reply is not None}

        replies = ask(rows, known)
        again = rows.keys() - replies.keys()  # parts that were made again
        if again:
            replies |= ask(again, 0)
        return [replies[part] for part in rows]


def _room(n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return room for `n` picks, and radii that are above every radius."""
    return np.empty(n, np.int64), np.full(n, np.inf)


def _beyond(replies: list[Reply], rows: npt.NDArray[np.int64]) -> Outside:
    """Return the bound of all rows that are not candidates, with a row number among `rows`.

    A candidate comes before the row of the bound if and only if its position in `rows` is not above
    this number.
    """
    squared, row = max((reply.outside, -reply.outside_row) for reply in replies)
    return Outside(squared, int(np.searchsorted(rows, -row)) - 1) if squared >= 0 else NOTHING
