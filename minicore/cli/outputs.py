"""Files that the command line writes: scores, heat maps, pictures of an evaluation."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicore import plots
from minicore.datasets import Dataset
from minicore.errors import one_line
from minicore.evaluation.metrics import f1_threshold
from minicore.images import ImageLike, view
from minicore.patchcore.detector import Detector
from minicore.patchcore.search import Detection
from minicore.plots.style import Figure
from minicore.runtime.files import NO_INPUTS, Inputs, atomic_write, folded
from minicore.runtime.kinds import FIELDS

FORMULA = "=+-@\t\r\n"  # a spreadsheet runs a cell that begins with one of these as a formula
SCALE = (0.5, 1.25)  # ends of a heat map's colours, in units of the map's threshold
PICTURES = ("panels.png", "histogram.png", "roc.png")  # of an evaluation
HEAT = ".heat.png"
LONGEST = 255  # bytes of a file's name, on nearly every disk
DRAWN = 5  # defective images of an evaluation: from the highest score to the lowest


class ScoreWriter:
    """One line an image, as they come; a file appears only when it is whole.

    Parameters
    ----------
    path : Path or None
        None writes to standard output.
    format : {"csv", "jsonl"}
    inputs, overwrite
        As for `files.atomic_write`.

    Notes
    -----
    A spreadsheet runs a cell that begins with ``=``, ``+``, ``-``, ``@`` or a tab as a formula.
    In CSV such a relative path begins with ``./``: it is the same file. On a terminal control
    characters in CSV are escaped.
    """

    def __init__(
        self,
        path: Path | None,
        format: str,
        *,
        inputs: Inputs = NO_INPUTS,
        overwrite: bool = False,
    ) -> None:
        self.path, self.format = path, format
        self.inputs, self.overwrite = inputs, overwrite

    def __enter__(self) -> ScoreWriter:
        self._close = contextlib.ExitStack()
        self._file: Any = sys.stdout
        self._shown = self.path is None and sys.stdout.isatty()  # read by a person
        if self.path is not None:
            self._file = self._close.enter_context(
                atomic_write(self.path, "w", inputs=self.inputs, overwrite=self.overwrite)
            )
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
    """Name a picture for each image after it; images of one name get their folders' names too.

    Parameters
    ----------
    images : sequence of Path
    folder : Path

    Returns
    -------
    list of Path
        ``folder/NAME.heat.png``, all different, also where upper and lower case are the same. A
        name that is too long for a file is shortened in the middle. Where that, or an image given
        twice, makes two names equal, every name gets the number of its image.
    """
    paths = [Path(str(image)).absolute().with_suffix("") for image in images]
    parts = [path.relative_to(path.anchor).parts for path in paths]
    depth, most = 1, _different(parts)
    while _different(p[-depth:] for p in parts) < most:
        depth += 1
    joined = ["_".join(p[-depth:]) for p in parts]
    names = [_shortened(name, HEAT) for name in joined]
    if _different((name,) for name in names) < len(names):
        names = [_shortened(name, f"_{i}{HEAT}") for i, name in enumerate(joined)]
    return [folder / name for name in names]


def _different(names: Iterable[Sequence[str]]) -> int:
    """Count different names, as a disk counts that ignores case."""
    return len({folded("/".join(name)) for name in names})


def _shortened(name: str, end: str) -> str:
    """Join a name and its end, without the middle of the name if a disk would refuse it."""
    room = LONGEST - len(end)
    if len(os.fsencode(name)) <= room:
        return name + end
    kept = room // 2
    while len(os.fsencode(short := f"{name[:kept]}...{name[-kept:]}")) > room:
        kept -= 1
    return short + end


def save_heat_map(
    path: Path,
    image: ImageLike,
    anomaly_map: np.ndarray,
    model: Detector,
    score: float,
    *,
    overwrite: bool = False,
) -> None:
    """Draw one image beside its map, with its name, score, threshold and verdict.

    The scale of colours is the same for every image of a model. It shows what is near the
    threshold of the map, from half of it to 1.25 times it: defects that are just missed stand out.
    """
    limit, least = model.map_threshold_, model.threshold_
    low, high = (end * limit for end in SCALE) if limit else (None, None)
    name = one_line(Path(str(image)).name)
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
    plots.save(figure, path, overwrite=overwrite)


def save_pictures(
    folder: Path, model: Detector, dataset: Dataset, found: Detection, *, overwrite: bool = False
) -> None:
    """Draw an evaluation: the highest scores of each class, the histogram and the ROC.

    Parameters
    ----------
    folder : Path
        Gets ``panels.png`` if there are maps, and where both classes are there ``histogram.png``
        and ``roc.png`` (`PICTURES`).
    model : Detector
    dataset : Dataset
    found : Detection
        Of the test images.
    overwrite : bool, default False
        Whether to replace pictures that minicore did not make.
    """
    panels, histogram, roc = (folder / name for name in PICTURES)
    labels, scores = dataset.labels, found.scores
    if found.maps is not None:
        figure = _panels(model, dataset, scores, found.maps)
        plots.save(figure, panels, overwrite=overwrite)
    if 0 < labels.sum() < len(labels):
        figure = plots.histogram(labels, scores, model.threshold_)
        plots.save(figure, histogram, overwrite=overwrite)
        plots.save(plots.roc(labels, scores), roc, overwrite=overwrite)


def _panels(model: Detector, dataset: Dataset, scores: np.ndarray, maps: np.ndarray) -> Figure:
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
    return plots.panels(
        np.stack([view(dataset.test[i], model.preprocessing_) for i in shown]),
        maps[shown],
        None if masks is None else masks[shown],
        threshold=limit,
        scores=scores[shown],
        titles=[dataset.defects[i] for i in shown],
    )
