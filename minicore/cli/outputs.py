"""Write the files of the command line: scores, heat maps, pictures of an evaluation."""

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
from minicore.cli.messages import count
from minicore.datasets import Dataset
from minicore.errors import one_line
from minicore.evaluation.metrics import f1_threshold
from minicore.images import ImageLike, view
from minicore.patchcore.detector import Detector
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.search import Detection
from minicore.patchcore.update import Growth
from minicore.plots.style import Figure
from minicore.runtime.files import NO_INPUTS, Inputs, atomic_write, folded
from minicore.runtime.kinds import FIELDS

FORMULA = "=+-@\t\r\n"  # a spreadsheet runs a cell that begins with one of these as a formula
SCALE = (0.5, 1.25)  # ends of a heat map's colour scale, as multiples of the map's threshold
PICTURES = ("panels.png", "histogram.png", "roc.png")  # the pictures of an evaluation
HEAT = ".heat.png"
LONGEST = 255  # bytes in the name of a file, the limit of most file systems
ADDITIONS = 18  # number of images in the picture of an update
DRAWN = 5  # number of defective images in the picture of an evaluation


class ScoreWriter:
    """Write one line per image. The file appears only when all lines are written.

    Parameters
    ----------
    path : Path or None
        None writes to standard output.
    format : {"csv", "jsonl"}
    inputs, overwrite
        See `files.atomic_write`.

    Notes
    -----
    A spreadsheet runs a cell that begins with ``=``, ``+``, ``-``, ``@`` or a tab as a formula.
    In CSV, ``./`` is put before such a relative path; it is still the path of the same file. On a
    terminal, control characters in CSV are escaped.
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
        self._terminal = self.path is None and sys.stdout.isatty()
        if self.path is not None:
            self._file = self._close.enter_context(
                atomic_write(self.path, "w", inputs=self.inputs, overwrite=self.overwrite)
            )
        if self.format == "csv":
            self._csv = csv.writer(self._file, lineterminator="\n")
            self._csv.writerow(FIELDS)
        return self

    def write(
        self,
        image: ImageLike,
        score: float,
        distance: float,
        p_value: float | None,
        anomalous: bool | None,
    ) -> None:
        """Write the line of one image. The last two are None if the model has no threshold."""
        if self.format == "csv":
            label = "" if anomalous is None else int(anomalous)
            name = str(image)
            if name[0] in FORMULA:
                name = os.path.join(os.curdir, name)  # noqa: PTH118, a Path drops the "./"
            name = one_line(name) if self._terminal else name
            self._csv.writerow((name, score, distance, "" if p_value is None else p_value, label))
        else:
            values = (str(image), score, distance, p_value, anomalous)
            self._file.write(json.dumps(dict(zip(FIELDS, values, strict=True))) + "\n")

    def __exit__(self, *error: Any) -> None:
        if self.path is None:
            self._file.flush()
        self._close.__exit__(*error)


def heat_map_names(images: Sequence[ImageLike], folder: Path) -> list[Path]:
    """Return a name for the heat map of each image.

    Parameters
    ----------
    images : sequence of Path
    folder : Path

    Returns
    -------
    list of Path
        ``folder/NAME.heat.png``, where NAME is the name of the image. If two images have the same
        name, NAME also contains the names of their folders. All names are different, also on a
        disk that ignores case. A name that is too long is shortened in the middle. If two names
        are still equal, the number of the image is added to every name.
    """
    paths = [Path(str(image)).absolute().with_suffix("") for image in images]
    parts = [path.relative_to(path.anchor).parts for path in paths]
    depth, n_different = 1, _count_different(parts)
    while _count_different(p[-depth:] for p in parts) < n_different:
        depth += 1
    joined = ["_".join(p[-depth:]) for p in parts]
    names = [_shortened(name, HEAT) for name in joined]
    if _count_different((name,) for name in names) < len(names):
        names = [_shortened(name, f"_{i}{HEAT}") for i, name in enumerate(joined)]
    return [folder / name for name in names]


def _count_different(names: Iterable[Sequence[str]]) -> int:
    """Return the number of different names on a disk that ignores case."""
    return len({folded("/".join(name)) for name in names})


def _shortened(name: str, end: str) -> str:
    """Return `name + end`. If that is too long for a file, the middle of the name is left out."""
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
    """Draw one image beside its anomaly map, with name, score, threshold and verdict.

    All images of a model have the same colour scale. It goes from 0.5 to 1.25 times the threshold
    of the map, so that defects just below the threshold are visible too.
    """
    map_threshold, threshold = model.map_threshold_, model.threshold_
    low, high = (end * map_threshold for end in SCALE) if map_threshold else (None, None)
    name = one_line(Path(str(image)).name)
    figure = plots.panels(
        view(image, model.preprocessing_)[None],
        anomaly_map[None],
        threshold=map_threshold,
        vmin=low,
        vmax=high,
        titles=[name],
        labels=None if threshold is None else [score > threshold],
        scores=[score],
        limit=threshold,
    )
    plots.save(figure, path, overwrite=overwrite)


def save_additions(
    path: Path, model: PatchCore, growth: Growth, *, overwrite: bool = False
) -> None:
    """Draw the patches that an update adds, image by image; the farthest patches come first.

    Parameters
    ----------
    path : Path
    model : PatchCore
        Before the update.
    growth : Growth
        With at least one new row.
    overwrite : bool, default False
        Whether to replace a file that minicore did not make.
    """
    image_of, distances = growth.origins[:, 0], growth.distances
    largest = np.full(len(growth.new_images), -np.inf)
    np.maximum.at(largest, image_of, distances)
    order = [i for i in np.argsort(-largest, kind="stable") if growth.rows[i]]
    drawn = order[:ADDITIONS]
    rows = [image_of == i for i in drawn]
    heading = f"{_patches(len(distances))} of {count(len(order), 'image')} would be added"
    if len(drawn) < len(order):
        heading += f"; here the {len(drawn)} images with the farthest patches"
    figure = plots.additions(
        [view(growth.new_images[i], model.preprocessing_) for i in drawn],
        [growth.squares[own] for own in rows],
        [distances[own] for own in rows],
        float(model.coreset_radii_[-1]),
        titles=[
            f"{one_line(Path(str(growth.new_images[i])).name)}\n{_patches(int(growth.rows[i]))}"
            for i in drawn
        ],
        heading=heading,
    )
    plots.save(figure, path, overwrite=overwrite)


def _patches(n: int) -> str:
    return f"{n:,} patch{'es' * (n != 1)}"


def save_pictures(
    folder: Path,
    model: Detector,
    dataset: Dataset,
    detection: Detection,
    *,
    overwrite: bool = False,
) -> None:
    """Draw an evaluation: some images with their maps, the histogram and the ROC.

    Parameters
    ----------
    folder : Path
        ``panels.png`` is written here if there are anomaly maps; ``histogram.png`` and ``roc.png``
        if the test images contain both classes.
    model : Detector
    dataset : Dataset
    detection : Detection
        Result for the test images.
    overwrite : bool, default False
        Whether to replace pictures that minicore did not make.
    """
    panels, histogram, roc = (folder / name for name in PICTURES)
    labels, scores = dataset.labels, detection.scores
    if detection.maps is not None:
        figure = _panels(model, dataset, scores, detection.maps)
        plots.save(figure, panels, overwrite=overwrite)
    if 0 < labels.sum() < len(labels):
        figure = plots.histogram(labels, scores, model.threshold_)
        plots.save(figure, histogram, overwrite=overwrite)
        plots.save(plots.roc(labels, scores), roc, overwrite=overwrite)


def _panels(model: Detector, dataset: Dataset, scores: np.ndarray, maps: np.ndarray) -> Figure:
    """Draw defective images from the highest score to the lowest, and one good image.

    The good image is the one with the highest score: the most likely false alarm.
    """
    labels = dataset.labels
    order = np.argsort(-scores, kind="stable")
    worst_good = order[labels[order] == 0][:1]
    bad = order[labels[order] == 1]
    spread = bad[np.linspace(0, len(bad) - 1, min(len(bad), DRAWN)).astype(int)]
    chosen = np.concatenate([spread, worst_good])
    masks = dataset.read_masks(model.preprocessing_) if dataset.masks is not None else None
    threshold = model.map_threshold_
    if masks is not None and masks.any():
        threshold = f1_threshold(masks, maps)[0]
    return plots.panels(
        np.stack([view(dataset.test[i], model.preprocessing_) for i in chosen]),
        maps[chosen],
        None if masks is None else masks[chosen],
        threshold=threshold,
        scores=scores[chosen],
        titles=[dataset.defects[i] for i in chosen],
    )
