"""Files that the command line writes: scores, heat maps, pictures of an evaluation."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicore import plots
from minicore.datasets import Dataset
from minicore.detector import Detector
from minicore.errors import one_line
from minicore.files import whole
from minicore.images import ImageLike, view
from minicore.metrics import f1_threshold
from minicore.search import Detection

FORMULA = "=+-@\t\r\n"  # a spreadsheet takes a cell that begins so for a formula
FIELDS = ("image", "score", "distance", "anomalous")
SCALE = (0.5, 1.25)  # ends of a heat map's colours, in units of the map's threshold
DRAWN = 5  # defective images of an evaluation: from the highest score to the lowest


class ScoreWriter:
    """One line an image, as they come; a file appears only when it is whole.

    Parameters
    ----------
    path : Path or None
        None writes to standard output.
    format : {"csv", "jsonl"}

    Notes
    -----
    A spreadsheet runs a cell that begins with ``=``, ``+``, ``-``, ``@`` or a tab as a formula.
    In CSV such a relative path begins with ``./``: it is the same file. On a terminal control
    characters in CSV are escaped.
    """

    def __init__(self, path: Path | None, format: str) -> None:
        self.path, self.format = path, format

    def __enter__(self) -> ScoreWriter:
        self._close = contextlib.ExitStack()
        self._file: Any = sys.stdout
        self._shown = self.path is None and sys.stdout.isatty()  # read by a person
        if self.path is not None:
            self._file = self._close.enter_context(whole(self.path, "w"))
        if self.format == "csv":
            self._csv = csv.writer(self._file, lineterminator="\n")
            self._csv.writerow(FIELDS)
        return self

    def write(
        self, image: ImageLike, score: float, distance: float, anomalous: bool | None
    ) -> None:
        """Write one image's line; `anomalous` is None where the model has no threshold."""
        if self.format == "csv":
            verdict = "" if anomalous is None else int(anomalous)
            name = str(image)
            if name[0] in FORMULA:
                name = os.path.join(os.curdir, name)  # noqa: PTH118, a Path drops the "./"
            self._csv.writerow((one_line(name) if self._shown else name, score, distance, verdict))
        else:
            values = (str(image), score, distance, anomalous)
            self._file.write(json.dumps(dict(zip(FIELDS, values, strict=True))) + "\n")

    def __exit__(self, *error: Any) -> None:
        if self.path is None:
            self._file.flush()
        self._close.__exit__(*error)


def heat_map_names(images: Sequence[ImageLike], folder: Path) -> list[Path]:
    """Name a PNG for each image after it; images of one name get their folders' names too.

    Parameters
    ----------
    images : sequence of Path
    folder : Path

    Returns
    -------
    list of Path
        All different.
    """
    paths = [Path(str(image)).absolute() for image in images]
    depth = 1
    while True:
        names = ["_".join(p.with_suffix("").parts[-depth:]).replace("/", "") for p in paths]
        if len(set(names)) == len(names) or depth > max(len(p.parts) for p in paths):
            break
        depth += 1
    if len(set(names)) < len(names):  # one image given twice, or a.png beside a.jpg
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    return [folder / f"{name}.png" for name in names]


def save_heat_map(
    path: Path, image: ImageLike, anomaly_map: np.ndarray, model: Detector, score: float
) -> None:
    """Draw one image beside its map, with its name, score, threshold and verdict.

    The scale of colours is the same for every image of a model. It shows what is near the
    threshold of the map, from half of it to 1.25 times it: defects that are just missed stand out.
    """
    limit, least = model.map_threshold_, model.threshold_
    low, high = (end * limit for end in SCALE) if limit else (None, None)
    name = Path(str(image)).name.encode(errors="replace").decode()  # it need not be UTF-8
    figure = plots.panels(
        view(image, model.preprocessing_)[None],
        anomaly_map[None],
        threshold=limit,
        vmin=low,
        vmax=high,
        titles=[name],
        labels=None if least is None else [score > least],
        scores=[score],
        limit=least,
    )
    plots.save(figure, path)


def save_pictures(folder: Path, model: Detector, dataset: Dataset, found: Detection) -> None:
    """Draw an evaluation: the highest scores of each class, the histogram and the ROC.

    Parameters
    ----------
    folder : Path
        Gets ``panels.png`` if there are maps, and where both classes are there ``histogram.png``
        and ``roc.png``.
    model : Detector
    dataset : Dataset
    found : Detection
        Of the test images.
    """
    labels, scores = dataset.labels, found.scores
    if found.maps is not None:
        _save_panels(folder / "panels.png", model, dataset, scores, found.maps)
    if 0 < labels.sum() < len(labels):
        plots.save(plots.histogram(labels, scores, model.threshold_), folder / "histogram.png")
        plots.save(plots.roc(labels, scores), folder / "roc.png")


def _save_panels(
    path: Path, model: Detector, dataset: Dataset, scores: np.ndarray, maps: np.ndarray
) -> None:
    """Draw some defective images, from the highest score to the lowest, and the worst good one."""
    labels = dataset.labels
    order = np.argsort(-scores, kind="stable")
    worst_good = order[labels[order] == 0][:1]  # the likeliest false alarm beside the hits
    bad = order[labels[order] == 1]
    spread = bad[np.linspace(0, len(bad) - 1, min(len(bad), DRAWN)).astype(int)]
    shown = np.concatenate([spread, worst_good])
    masks = dataset.read_masks(model.preprocessing_) if dataset.masks is not None else None
    limit = model.map_threshold_
    if masks is not None and masks.any():
        limit = f1_threshold(masks, maps)[0]
    figure = plots.panels(
        np.stack([view(dataset.test[i], model.preprocessing_) for i in shown]),
        maps[shown],
        None if masks is None else masks[shown],
        threshold=limit,
        scores=scores[shown],
        titles=[dataset.defects[i] for i in shown],
    )
    plots.save(figure, path)
