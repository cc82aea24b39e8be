"""The rows of the table: what each method is called, and how it is made.

Rows have the paper's names. ``PatchCore-10`` keeps 10 % of the memory bank; any percentage will do.
A study of one parameter is a few rows that differ in it (`minicore.studies.reproduce.sweeps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minicore.backbones import Backbone
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore

PATCHCORE = "PatchCore-"
BASELINES = {  # the paper's name, and that in `minicore.evaluation.baselines`
    "SPADE": "SPADE",
    "PaDiM": "PaDiM",
    "MahalanobisAD": "MahalanobisAD",
    "OCSVM": "OneClassSVM",
}
SEEDLESS = {"SPADE", "MahalanobisAD"}  # nothing in them is drawn: one seed says all


@dataclass(frozen=True)
class Row:
    """One method with its parameters.

    Attributes
    ----------
    name : str
        As in the table; also a folder's name.
    parameters : dict
        What it is made with, beside what all rows of a run share.
    n_train : int or None
        Learn from so many of the good images only, drawn by the seed; None: from all.
    """

    name: str
    parameters: dict[str, Any]
    n_train: int | None = None

    @property
    def method(self) -> str:
        """Name of the method without its parameters."""
        return self.name.split("-")[0].split(" ")[0]

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the row's numbers, beside the settings of the run."""
        return {"row_parameters": self.parameters, "n_train": self.n_train}

    @property
    def seeded(self) -> bool:
        """Whether the seed can change anything."""
        return self.method not in SEEDLESS or self.n_train is not None

    def detector(self, backbone: Backbone, seed: int, shared: dict[str, Any]) -> Detector:
        """Make the detector, not fitted yet.

        Parameters
        ----------
        backbone : Backbone
        seed : int
        shared : dict
            Parameters that all rows of a run share; those that a method does not have are left out.
        """
        cls: Any = PatchCore
        if self.method in BASELINES:
            from minicore.evaluation import baselines

            cls = getattr(baselines, BASELINES[self.method])
        own = cls._get_param_names()
        parameters = {k: v for k, v in shared.items() if k in own} | self.parameters
        if cls is PatchCore:  # the table needs no threshold; placing one takes a second coreset
            parameters.setdefault("false_positive_rate", None)
        return cls(backbone, seed=seed, **parameters)


def row(name: str) -> Row:
    """Find a row by its name.

    Parameters
    ----------
    name : str
        ``PatchCore-P`` with P per cent, or a baseline.

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
    """Sort rows by this: PatchCore first, the larger coreset before the smaller; then by name."""
    percent = name.removeprefix(PATCHCORE).split(" ")[0]
    try:
        share = float(percent) if name.startswith(PATCHCORE) else 0.0
    except ValueError:
        share = 0.0
    return not name.startswith("PatchCore"), -share, name
