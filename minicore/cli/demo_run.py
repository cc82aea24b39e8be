"""The work of ``minicore demo``: fit a model on each synthetic part, test it, draw the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minicore import datasets, plots
from minicore.evaluation.evaluate import Evaluation, evaluate, table
from minicore.images import view
from minicore.patchcore.detector import Detector
from minicore.runtime.clock import Seconds

PICTURES = ("demo.png", "seconds.png")


def run_demo(
    categories: Sequence[str],
    model: Detector,
    folder: Path,
    *,
    seed: int,
    overwrite: bool = False,
) -> list[Evaluation]:
    """Fit and evaluate synthetic parts, print the results, and write two pictures.

    Parameters
    ----------
    categories : sequence of str
        Names from `datasets.SYNTHETIC`.
    model : PatchCore
        It is fitted again for each part.
    folder : Path
        Folder for the pictures. It is created if it does not exist.
    seed : int
        Seed of the drawn images.
    overwrite : bool, default False
        Whether to replace pictures that minicore did not make.

    Returns
    -------
    list of Evaluation
        One per part.

    Raises
    ------
    DatasetError
        If no synthetic part has this name.
    OutputError
        If a picture cannot be written.
    """
    seconds = Seconds()
    evaluations: list[Evaluation] = []
    images, maps, truths, titles = [], [], [], []
    for category in categories:
        with seconds.of("drawing the parts"):
            parts = datasets.synthetic(category, seed=seed)
        evaluation, detection = evaluate(model, parts)
        for stage, spent in getattr(model, "seconds_", {}).items():
            seconds.add(stage, spent)
        evaluations.append(evaluation)
        print(
            f"  {category:8s} {evaluation.n_train} good images -> {evaluation.bank_rows:,} patches "
            f"kept; {evaluation.n_test} images scored, {evaluation.milliseconds:.0f} ms per image"
        )

        assert detection.maps is not None  # PatchCore always computes maps
        masks = parts.read_masks(model.preprocessing_)
        i = _middle_defect(detection.scores, parts.labels)
        # Divided by the map's threshold, so that the five models share one colour scale.
        images.append(view(parts.test[i], model.preprocessing_))
        maps.append(detection.maps[i] / (model.map_threshold_ or 1.0))
        truths.append(masks[i])
        titles.append(f"{category}: {parts.defects[i]}")

    print("\n" + table(evaluations) + "\n")
    print("seconds per stage, sum of all parts")
    for stage, spent in seconds.items():
        print(f"  {spent:7.2f}  {stage}")

    figure = plots.panels(
        np.stack(images), np.stack(maps), np.stack(truths), threshold=1.0, titles=titles, vmin=0
    )
    picture = plots.save(figure, folder / PICTURES[0], overwrite=overwrite)
    chart = plots.save(plots.timings(seconds), folder / PICTURES[1], overwrite=overwrite)
    print(f"\npicture: {picture.resolve()}\n         {chart.resolve()}")
    return evaluations


def _middle_defect(scores: np.ndarray, labels: np.ndarray) -> int:
    """Return the index of the defective image with the median score, a typical example."""
    bad = np.flatnonzero(labels)
    return int(bad[np.argsort(scores[bad], kind="stable")[len(bad) // 2]])
