"""What ``minicore demo`` does: learn five synthetic parts, find their defects, draw the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from minicore import datasets, plots
from minicore.evaluation.evaluate import Evaluation, evaluate, table
from minicore.images import view
from minicore.patchcore.estimator import PatchCore
from minicore.runtime.clock import Seconds

PICTURES = ("demo.png", "seconds.png")


def demo(
    categories: Sequence[str],
    model: PatchCore,
    folder: Path,
    *,
    seed: int,
    say: Callable[[str], None],
    overwrite: bool = False,
) -> list[Evaluation]:
    """Fit and score synthetic parts, say how it went, and leave a picture.

    Parameters
    ----------
    categories : sequence of str
        Of `datasets.SYNTHETIC`.
    model : PatchCore
        Fitted anew for each.
    folder : Path
        Where the pictures go; made if missing.
    seed : int
        Of the images.
    say : callable
        Takes a line of text.
    overwrite : bool, default False
        Whether to replace pictures that minicore did not make.

    Returns
    -------
    list of Evaluation
    """
    seconds = Seconds()
    evaluations: list[Evaluation] = []
    images, maps, truths, titles = [], [], [], []
    for category in categories:
        with seconds.of("drawing the parts"):
            parts = datasets.synthetic(category, seed=seed)
        evaluation, found = evaluate(model, parts)
        for stage, spent in model.seconds_.items():
            seconds.add(stage, spent)
        evaluations.append(evaluation)
        say(
            f"  {category:8s} {evaluation.n_train} good images -> {evaluation.bank_rows:,} patches "
            f"kept; {evaluation.n_test} scored at {evaluation.milliseconds:.0f} ms each"
        )

        assert found.maps is not None  # of a PatchCore
        masks = parts.read_masks(model.preprocessing_)
        i = _typical(found.scores, parts.labels)
        # In units of the map's threshold, so that five models share one scale of colours.
        images.append(view(parts.test[i], model.preprocessing_))
        maps.append(found.maps[i] / (model.map_threshold_ or 1.0))
        truths.append(masks[i])
        titles.append(f"{category}: {parts.defects[i]}")

    say("\n" + table(evaluations) + "\n")
    say("seconds spent, all parts together")
    for stage, spent in seconds.items():
        say(f"  {spent:7.2f}  {stage}")

    figure = plots.panels(
        np.stack(images), np.stack(maps), np.stack(truths), threshold=1.0, titles=titles, vmin=0
    )
    picture = plots.save(figure, folder / PICTURES[0], overwrite=overwrite)
    chart = plots.save(plots.timings(seconds), folder / PICTURES[1], overwrite=overwrite)
    say(f"\npicture: {picture.resolve()}\n         {chart.resolve()}")
    return evaluations


def _typical(scores: np.ndarray, labels: np.ndarray) -> int:
    """Index of the defective image with the middle score: neither the best case nor the worst."""
    bad = np.flatnonzero(labels)
    return int(bad[np.argsort(scores[bad], kind="stable")[len(bad) // 2]])
