"""Fit a model on a data set and measure it: one row of a table."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicore.datasets import Dataset
from minicore.evaluation import metrics
from minicore.patchcore.detector import Detector
from minicore.patchcore.search import Detection
from minicore.runtime import markdown


@dataclass(frozen=True)
class Evaluation:
    """The results of one model on one data set. Rates are between 0 and 1.

    Attributes
    ----------
    category : str
        Name of the data set.
    n_train, n_test : int
        Number of training and test images.
    image_auroc, image_auroc_distance : float or None
        Image AUROC of the score (by default equation 7) and of the distance (equation 6). None if
        all test images have one class.
    average_precision, f1 : float or None
        Of the score; F1 at its best threshold. None if all test images have one class.
    pixel_auroc, pixel_average_precision, pro : float or None
        Of the anomaly maps. None without masks or maps, or if all pixels have one class.
    false_positives, false_negatives : int or None
        Number of test images for which `predict` is wrong. None if the model has no threshold.
    bank_rows : int or None
        Number of patch features in the coreset; in an ensemble, in all coresets. None if the model
        has no memory bank.
    fit_seconds : float
        Time of the fit.
    milliseconds : float
        Time to score one image.
    """

    category: str
    n_train: int
    n_test: int
    image_auroc: float | None
    image_auroc_distance: float | None
    average_precision: float | None
    f1: float | None
    pixel_auroc: float | None
    pixel_average_precision: float | None
    pro: float | None
    false_positives: int | None
    false_negatives: int | None
    bank_rows: int | None
    fit_seconds: float
    milliseconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the attributes in a dictionary, ready for JSON."""
        return asdict(self)


def evaluate(model: Detector, dataset: Dataset) -> tuple[Evaluation, Detection]:
    """Fit a model on the good images, score the test images, and measure the scores.

    Parameters
    ----------
    model : Detector
        A PatchCore, an Ensemble, or one of `minicore.evaluation.baselines`. The call fits it.
    dataset : Dataset

    Returns
    -------
    evaluation : Evaluation
    detection : Detection
        Scores, distances and maps of the test images.

    Raises
    ------
    MinicoreError
        If images or masks cannot be used.
    """
    before = time.perf_counter()
    model.fit(dataset.train)
    fitted = time.perf_counter()
    detection = model.detect(dataset.test)
    scored = time.perf_counter()

    labels, scores = dataset.labels, detection.scores
    both = 0 < labels.sum() < len(labels)  # the image metrics need both classes
    pixel_auroc, pixel_average_precision, pro = _pixel_metrics(model, dataset, detection)
    wrong: tuple[int | None, int | None] = (None, None)
    if model.threshold_ is not None:
        above = scores > model.threshold_
        wrong = int((above & (labels == 0)).sum()), int((~above & (labels == 1)).sum())

    evaluation = Evaluation(
        category=dataset.name,
        n_train=len(dataset.train),
        n_test=len(dataset.test),
        image_auroc=metrics.image_auroc(labels, scores) if both else None,
        image_auroc_distance=metrics.image_auroc(labels, detection.distances) if both else None,
        average_precision=metrics.average_precision(labels, scores) if both else None,
        f1=metrics.f1_threshold(labels, scores)[1] if both else None,
        pixel_auroc=pixel_auroc,
        pixel_average_precision=pixel_average_precision,
        pro=pro,
        false_positives=wrong[0],
        false_negatives=wrong[1],
        bank_rows=model.bank_rows_,
        fit_seconds=fitted - before,
        milliseconds=1e3 * (scored - fitted) / len(dataset.test),
    )
    return evaluation, detection


def _pixel_metrics(
    model: Detector, dataset: Dataset, detection: Detection
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return pixel AUROC, average precision and PRO, or None for all if they are not defined."""
    maps = detection.maps
    if maps is None or dataset.masks is None:
        return None, None, None
    masks = dataset.read_masks(model.preprocessing_)
    if not 0 < np.count_nonzero(masks) < masks.size:
        return None, None, None
    return (
        metrics.pixel_auroc(masks, maps),
        metrics.average_precision(masks, maps),
        metrics.pro(masks, maps),
    )


COLUMNS = (
    ("category", "category", "{}"),
    ("image AUROC", "image_auroc", "{:.2%}"),
    ("(eq 6 only)", "image_auroc_distance", "{:.2%}"),
    ("pixel AUROC", "pixel_auroc", "{:.2%}"),
    ("PRO", "pro", "{:.2%}"),
    ("AP", "average_precision", "{:.2%}"),
    ("best F1", "f1", "{:.2%}"),
    ("false alarms", "false_positives", "{}"),
    ("missed", "false_negatives", "{}"),
    ("bank rows", "bank_rows", "{:,}"),
    ("fit s", "fit_seconds", "{:.1f}"),
    ("ms/image", "milliseconds", "{:.1f}"),
)
AVERAGED = {"image_auroc", "image_auroc_distance", "pixel_auroc", "pro", "average_precision", "f1"}


def table(evaluations: list[Evaluation]) -> str:
    """Format evaluations as a Markdown table, with a row for the mean if there are several.

    Parameters
    ----------
    evaluations : list of Evaluation

    Returns
    -------
    str
        Rates in per cent.
    """

    def text(value: Any, form: str) -> str:
        return "–" if value is None else form.format(value).removesuffix("%")

    rows = [[head for head, _, _ in COLUMNS]]
    rows += [[text(getattr(e, name), form) for _, name, form in COLUMNS] for e in evaluations]
    if len(evaluations) > 1:
        mean = ["mean"]
        for _, name, form in COLUMNS[1:]:
            values = [v for e in evaluations if (v := getattr(e, name)) is not None]
            mean.append(text(np.mean(values), form) if name in AVERAGED and values else "")
        rows.append(mean)
    return markdown.table(rows)
