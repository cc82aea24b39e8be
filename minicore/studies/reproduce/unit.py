r"""A unit of a reproduction (one category, one row, one seed), and the file of a finished unit.

A file appears in the folder of the run only when its unit is finished, so a stopped run continues
with the other units. The file contains the numbers of the table and the evidence for them: the
scores of all images, and for some images the anomaly map, the deciding patch and the nearest
training patch. Reports need only these files, not the data set or the network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from minicore.errors import ModelError
from minicore.evaluation.evaluate import Evaluation
from minicore.runtime import container

SUFFIX = ".safetensors"


@dataclass(frozen=True, order=True)
class Unit:
    """Category, row and seed of a unit.

    Attributes
    ----------
    category : str
    row : str
        Name of a row of the table: ``PatchCore-10``, ``PaDiM``, …
    seed : int
    """

    category: str
    row: str
    seed: int

    def path(self, folder: Path) -> Path:
        """Return the path of the unit's file in the folder of a run."""
        return folder / "units" / self.category / self.row / f"seed{self.seed}{SUFFIX}"

    @classmethod
    def of(cls, path: Path) -> Unit:
        """Return the unit of a file, from the path of the file."""
        return cls(path.parts[-3], path.parts[-2], int(path.stem.removeprefix("seed")))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Scores of the n test images of a unit, and pictures of k of these images.

    Attributes
    ----------
    names, defects : tuple of str
        Names of the n test images, and of their defects ("good" without a defect).
    labels : (n,) int64
        0 good, 1 anomalous.
    scores, distances : (n,) float64
        Results of equations 7 and 6.
    shown : (k,) int64
        Indices of the images below, the largest error first (`evidence.worst`).
    images : (k, h, w, 3) uint8
        The images, resized and cropped like the input of the network.
    maps : (k, h, w) float32
        Their anomaly maps; (k, 0, 0) if the method has none.
    masks : (k, h, w) bool
        Their ground truth; (k, 0, 0) if the data set has none.
    map_limits : (2,) float64
        The smallest value of all maps, and the pixel threshold with the best F1 (NaN without
        masks). They define one colour scale for all images of a unit.
    windows : (k, 4) int64
        Neighbourhood of the deciding patch in pixels, clipped to the image: top, left, bottom,
        right; bottom and right are exclusive. (0, 4) if the method has no deciding patch.
    nearest : tuple of str
        Names of the training images that contain the nearest training patch.
    nearest_images : (k, h, w, 3) uint8
        These training images, resized and cropped; (0, 0, 0, 3) if the method has none.
    nearest_windows : (k, 4) int64
        Neighbourhoods of the nearest training patches, as `windows`.
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
    """The results of a unit.

    Attributes
    ----------
    unit : Unit
    evaluation : Evaluation
        The numbers of the table. `fit_seconds` and `milliseconds` include the network.
    seconds : dict of str to float
        Seconds of each stage, for fitting and scoring together.
    peak_memory : int or None
        Peak memory of the process in bytes. None on other systems than Linux.
    config : dict
        Everything on which the results depend, including the checksum of the network.
    settings : dict
        The decisive settings of the run with ``data_sha256`` (the fingerprint of the category), and
        ``row_parameters`` and ``n_train`` of the row. A unit belongs to a run only if they are
        equal to those of the run.
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
        """Write the file of the unit into the folder of a run, and return its path.

        The file appears only when it is complete.

        Raises
        ------
        OutputError
            If the file cannot be written.
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
        # Only a unit has this name, so a damaged file is replaced too.
        return container.write(self.unit.path(folder), arrays, header, overwrite=True)

    @classmethod
    def load(cls, path: Path) -> Finished:
        """Return the unit that `save` wrote.

        Raises
        ------
        ModelError
            If the file is missing or damaged, or is not a unit.
        """
        arrays, header = container.read(path)
        try:
            words = {k: tuple(map(str, v)) for k, v in header["words"].items()}
            names = {f.name for f in fields(Evidence)}
            evidence: dict[str, Any] = {k: v for k, v in {**arrays, **words}.items() if k in names}
            return cls(
                unit=Unit(**header["unit"]),
                evaluation=Evaluation(**header["evaluation"]),
                seconds=header["seconds"],
                peak_memory=header["peak_memory"],
                config=header["config"],
                settings=dict(header["settings"]),
                evidence=Evidence(**evidence),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path}: not a unit of a reproduction: {error}") from error
