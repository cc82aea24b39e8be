"""How well a model does on a data set: one row of a table."""

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
    """One data set, one model. Rates are between 0 and 1; None where the data do not define one.

    Attributes
    ----------
    category : str
    image_auroc, image_auroc_distance : float
        Of the score of equation 7, and of the plain distance of equation 6.
    average_precision, f1 : float
        Of the score of equation 7; F1 at its best threshold.
    pixel_auroc, pixel_average_precision, pro : float or None
        Of the maps.
    false_positives, false_negatives : int or None
        Test images that `predict` gets wrong.
    bank_rows : int or None
        Patch features remembered: size of the coreset; of an ensemble, of all coresets.
    fit_seconds : float
    milliseconds : float
        To score one image.
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
        """Return it as JSON's types."""
        return asdict(self)


def evaluate(model: Detector, dataset: Dataset) -> tuple[Evaluation, Detection]:
    """Fit on the good images, score the test images, measure.

    Parameters
    ----------
    model : Detector
        A PatchCore, an Ensemble, one of `minicore.evaluation.baselines`. Fitted here.
    dataset : Dataset

    Returns
    -------
    evaluation : Evaluation
    detection : Detection
        Of the test images.

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
    both = 0 < labels.sum() < len(labels)  # else nothing to tell apart
    pixel_auroc, pixel_average_precision, pro = _of_pixels(model, dataset, detection)
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


def _of_pixels(
    model: Detector, dataset: Dataset, detection: Detection
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Pixel AUROC, average precision, PRO; None without masks or maps, or without both classes."""
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
    """Lay evaluations out as a Markdown table, with their mean if there are several.

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
