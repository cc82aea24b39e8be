"""The rows of a table. A row is a method with its parameters.

Rows have the names of the paper. ``PatchCore-10`` keeps 10 % of the memory bank; any percentage is
possible. A study of one parameter consists of rows that differ in this parameter (`sweeps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minicore.backbones import Backbone
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore

PATCHCORE = "PatchCore-"
BASELINES = {  # name in the paper, and in `minicore.evaluation.baselines`
    "SPADE": "SPADE",
    "PaDiM": "PaDiM",
    "MahalanobisAD": "MahalanobisAD",
    "OCSVM": "OneClassSVM",
}
SEEDLESS = {"SPADE", "MahalanobisAD"}  # without random choices: one seed is enough


@dataclass(frozen=True)
class Row:
    """One method with its parameters.

    Attributes
    ----------
    name : str
        Name in the table. It is also the name of a folder.
    parameters : dict
        Parameters of the method, in addition to those that all rows of a run share.
    n_train : int or None
        Number of good images to learn from, drawn at random with the seed. None means all.
    """

    name: str
    parameters: dict[str, Any]
    n_train: int | None = None

    @property
    def method(self) -> str:
        """The name of the method, without its parameters."""
        return self.name.split("-")[0].split(" ")[0]

    @property
    def decisive(self) -> dict[str, Any]:
        """Settings that determine the numbers of the row, besides the settings of the run."""
        return {"row_parameters": self.parameters, "n_train": self.n_train}

    @property
    def seeded(self) -> bool:
        """Whether the result depends on the seed."""
        return self.method not in SEEDLESS or self.n_train is not None

    def detector(self, backbone: Backbone, seed: int, shared: dict[str, Any]) -> Detector:
        """Return the unfitted detector.

        Parameters
        ----------
        backbone : Backbone
        seed : int
        shared : dict
            Parameters that all rows of a run share. A method ignores those that it does not have.

        Returns
        -------
        Detector
        """
        cls: Any = PatchCore
        if self.method in BASELINES:
            from minicore.evaluation import baselines

            cls = getattr(baselines, BASELINES[self.method])
        names = cls._get_param_names()
        parameters = {k: v for k, v in shared.items() if k in names} | self.parameters
        if cls is PatchCore:  # a threshold would need a second coreset
            parameters.setdefault("false_positive_rate", None)
        detector: Detector = cls(backbone, seed=seed, **parameters)
        return detector


def row(name: str) -> Row:
    """Return the row with a given name.

    Parameters
    ----------
    name : str
        ``PatchCore-P`` for P per cent of the memory bank, or the name of a baseline.

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        If there is no such row.
    """
    if name in BASELINES:
        return Row(name, {})
    percent = name.removeprefix(PATCHCORE)
    try:
        share = float(percent) / 100 if name.startswith(PATCHCORE) else 0.0
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(
            f"rows: expected PatchCore-P with P per cent of the memory bank (PatchCore-10), "
            f"{', '.join(BASELINES)}; got {name!r}"
        )
    return Row(f"{PATCHCORE}{float(percent):g}", {"coreset_ratio": share})


def order(name: str) -> tuple[bool, float, str]:
    """Return a key to sort rows: PatchCore first, larger coresets first, then by name."""
    percent = name.removeprefix(PATCHCORE).split(" ")[0]
    try:
        share = float(percent) if name.startswith(PATCHCORE) else 0.0
    except ValueError:
        share = 0.0
    return not name.startswith("PatchCore"), -share, name
