r"""The unit of work of a reproduction: one category, one row of the table, one seed.

A finished unit is one file of a run's folder, written whole or not at all: what is there is done,
and a run that was stopped goes on with the rest. It holds the numbers of the table, and the
evidence for them: every image's score, and for the images worth looking at their maps, the patch
that decided and the training patch that came closest to it. Reports are made from these files
alone; neither the data set nor the network has to be at hand any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from minicore.errors import ModelError
from minicore.evaluation.evaluate import Evaluation
from minicore.runtime import tensors

SUFFIX = ".safetensors"


@dataclass(frozen=True, order=True)
class Unit:
    """What one finished unit is about.

    Attributes
    ----------
    category : str
        Of the data set.
    row : str
        Of the table: ``PatchCore-10``, ``PaDiM`` …
    seed : int
    """

    category: str
    row: str
    seed: int

    def path(self, folder: Path) -> Path:
        """Find its file in a run's folder."""
        return folder / "units" / self.category / self.row / f"seed{self.seed}{SUFFIX}"

    @classmethod
    def of(cls, path: Path) -> Unit:
        """Read what a file is about off its path, the other way round."""
        return cls(path.parts[-3], path.parts[-2], int(path.stem.removeprefix("seed")))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the numbers of a unit came from: n test images, of which k are shown.

    Attributes
    ----------
    names, defects : tuple of str
        Of the n test images: file below the category's folder, and what is wrong with it ("good").
    labels : (n,) int64
        0 good, 1 anomalous.
    scores, distances : (n,) float64
        Equations 7 and 6.
    shown : (k,) int64
        Which test images are shown, the worst mistakes first (`evidence`).
    images : (k, h, w, 3) uint8
        As the network saw them: resized and cropped.
    maps : (k, h, w) float32
        Their anomaly maps; without any, (k, 0, 0).
    masks : (k, h, w) bool
        Ground truth; without any, (k, 0, 0).
    map_limits : (2,) float64
        Smallest value of all maps, and the threshold on pixels with the best F1 (NaN without
        masks): one scale of colours for all images of a unit.
    windows : (k, 4) int64
        Pixels of the deciding patch's neighbourhood: top, left, bottom, right, the latter two
        exclusive; clipped to the image. (0, 4) where a method has no such patch.
    nearest : tuple of str
        The training image that each deciding patch's nearest row of the memory bank came from.
    nearest_images : (k, h, w, 3) uint8
        That image, as the network saw it. (0, 0, 0, 3) where a method has none.
    nearest_windows : (k, 4) int64
        Where on it.
    """

    names: tuple[str, ...]
    defects: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    distances: np.ndarray
    shown: np.ndarray
    images: np.ndarray
    maps: np.ndarray
    masks: np.ndarray
    map_limits: np.ndarray
    windows: np.ndarray = field(default_factory=lambda: np.empty((0, 4), np.int64))
    nearest: tuple[str, ...] = ()
    nearest_images: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))
    nearest_windows: np.ndarray = field(default_factory=lambda: np.empty((0, 4), np.int64))


@dataclass(frozen=True, eq=False)
class Finished:
    """A unit that was measured.

    Attributes
    ----------
    unit : Unit
    evaluation : Evaluation
        The numbers of the table. `fit_seconds` and `milliseconds` count the network too.
    seconds : dict of str to float
        Of each stage, fitting and scoring together.
    peak_memory : int or None
        Most bytes of memory that the process held while it was measured; None where the system
        does not tell.
    config : dict
        Everything that decided the outcome, checksum of the network included.
    settings : dict
        What was asked for: the decisive settings of the run, ``data_sha256`` (the fingerprint of
        the category) among them, and of the row ``row_parameters`` and ``n_train``. A unit belongs
        to a run only if they are the run's.
    evidence : Evidence
    """

    unit: Unit
    evaluation: Evaluation
    seconds: dict[str, float]
    peak_memory: int | None
    config: dict[str, Any]
    settings: dict[str, Any]
    evidence: Evidence

    def save(self, folder: Path) -> Path:
        """Write it into a run's folder, whole or not at all.

        Raises
        ------
        OutputError
            If that fails.
        """
        evidence = vars(self.evidence)
        header = {
            "unit": vars(self.unit),
            "evaluation": self.evaluation.to_json(),
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "config": self.config,
            "settings": self.settings,
            "words": {k: v for k, v in evidence.items() if isinstance(v, tuple)},
        }
        arrays = {k: v for k, v in evidence.items() if isinstance(v, np.ndarray)}
        # A unit's name in a run's folder is its own, also if a failing disk has spoiled the file.
        return tensors.write(self.unit.path(folder), arrays, header, overwrite=True)

    @classmethod
    def load(cls, path: Path) -> Finished:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            If the file is missing, damaged, or something else.
        """
        arrays, header = tensors.read(path)
        try:
            words = {k: tuple(map(str, v)) for k, v in header["words"].items()}
            known = {f.name for f in fields(Evidence)}
            kept: dict[str, Any] = {k: v for k, v in {**arrays, **words}.items() if k in known}
            return cls(
                unit=Unit(**header["unit"]),
                evaluation=Evaluation(**header["evaluation"]),
                seconds=header["seconds"],
                peak_memory=header["peak_memory"],
                config=header["config"],
                settings=dict(header["settings"]),
                evidence=Evidence(**kept),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path}: not a unit of a reproduction: {error}") from error
