"""All that the page shows of one image: the result of each equation, and its time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import softmax

from minicore.equations import distance
from minicore.patchcore.config import Config, Engine
from minicore.patchcore.features import check_smoothing, engine_functions
from minicore.patchcore.search import mean_of_top
from minicore.play.message import Message
from minicore.play.plane import Colours
from minicore.play.scene import Scene, for_prepared_pixels
from minicore.runtime import threads
from minicore.runtime.clock import Seconds

FEW = 1000  # rows of a coreset that one thread searches as fast as several


def frame(
    scene: Scene,
    pixels: np.ndarray,
    *,
    share: float | None = None,
    b: int | None = None,
    sigma: float | None = None,
    engine: Engine = "fast",
) -> Message:
    r"""Compute every equation for one image.

    Parameters
    ----------
    scene : Scene
    pixels : (h, w, 3) uint8
        The image, already resized and cropped to `PatchCore.input_size_`.
    share : float, optional
        Share of all patches in the coreset; by default `Scene.first_share`, at most that of the
        model.
    b : int, optional
        Number of neighbours in equation 7; by default that of the model.
    sigma : float, optional
        Smoothing of the map in pixels; by default that of the model.
    engine : {"fast", "equations"}

    Returns
    -------
    Message
        With the model's own `share`, `b` and `sigma` its score and map are those of
        `PatchCore.detect`.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the pixels have another shape or dtype.

    Notes
    -----
    Equations 1 to 3, 6 and 7 of Roth et al., CVPR 2022.
    """
    model, seconds = scene.model, Seconds()
    expected = (*model.input_size_, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 pixels {expected}, got {pixels.dtype} {pixels.shape}")
    share = scene.first_share if share is None else share
    config = _configure(model.config_, share, b, sigma)
    check_smoothing(config.sigma, model.input_size_)
    search = scene.search(config.coreset_ratio)
    if config.b is not None and config.b > len(search.bank):
        raise ValueError(f"b must be at most the {len(search.bank)} rows of the coreset")
    functions = engine_functions(engine)
    with threads.limit(model.n_threads):
        search.prepare(engine)

        # Equations 1 to 3
        with seconds.of("network"):
            (maps,) = model.backbone_.feature_maps([pixels], for_prepared_pixels(model), 1)
        with seconds.of("eq123"), threads.limit(1):  # milliseconds: threads would only wait
            patches, size, cell = model._embed(maps, engine)
        P = patches.reshape(-1, patches.shape[-1])

        # Equation 6
        with seconds.of("eq6"), threads.limit(1 if len(search.bank) < FEW else None):
            found, rows = search.nearest(P, 1, engine)
            distances, nearest = found[:, 0].astype(np.float32), rows[:, 0]
            star = int(distances.argmax())
            s_star, m_star = float(distances[star]), int(nearest[star])

        # Equation 7
        with seconds.of("eq7"), threads.limit(1):
            around = search.nearest(search.bank[[m_star]], config.b or 1, engine)[1][0]
            to_neighbours = np.array([distance(P[star], search.bank[m]) for m in around])
            shares = softmax(to_neighbours)
            weight = 1.0 if config.b is None else float(1 - softmax_of_nearest(to_neighbours))
            s = s_star if config.b is None else weight * float(to_neighbours.min())
            s = float(mean_of_top(distances[None])[0]) if config.score == "top" else s
        with seconds.of("map"):
            grid = distances.reshape(1, *patches.shape[1:3])
            (heat,) = functions.anomaly_map(grid, *size, config.sigma, config.stride, cell)

        phi = [level[0] for network in maps.networks for level in network]
        thresholds = scene.thresholds(config)
        if not scene.colours:
            scene.colours = [Colours.of(level[None]) for level in phi]
    values = {
        "score": s,
        "s_star": s_star,
        "weight": weight,
        "star": star,
        "threshold": thresholds.score,
        "map_threshold": thresholds.map,
        "p_value": thresholds.p_value(s),
        "anomalous": None if thresholds.score is None else s > thresholds.score,
        "milliseconds": {stage: round(1000 * spent, 3) for stage, spent in seconds.items()},
    }
    arrays = {
        "distances": distances,
        "nearest": nearest.astype(np.int32),
        "xy": scene.plane.coordinates(P),
        "neighbours": around.astype(np.int32),
        "neighbour_distances": to_neighbours.astype(np.float32),
        "softmax": shares.astype(np.float32),
        "map": heat,
        "good_scores": thresholds.good_scores.astype(np.float32),
    }
    for j, (colours, level) in enumerate(zip(scene.colours, phi, strict=True)):
        arrays[f"level_{j}"] = colours.paint(level)
    return Message(values, arrays)


def softmax_of_nearest(distances: np.ndarray) -> float:
    r"""Return the quotient of equation 7: the share of the smallest of b distances."""
    return float(softmax(distances)[distances.argmin()])


def features(scene: Scene, pixels: np.ndarray, position: int) -> np.ndarray:
    """Return the feature vector of one patch, (D,) float32.

    Parameters
    ----------
    scene : Scene
    pixels : (h, w, 3) uint8
        As for `frame`.
    position : int
        Number of the patch, row by row.

    Raises
    ------
    ValueError
        If there is no patch of this number.
    """
    model = scene.model
    height, width = model.grid_
    if not 0 <= position < height * width:
        raise ValueError(f"position must be from 0 to {height * width - 1}, got {position}")
    with threads.limit(model.n_threads):
        (maps,) = model.backbone_.feature_maps([pixels], for_prepared_pixels(model), 1)
        patches = model._embed(maps, "fast").features
    return np.asarray(patches.reshape(-1, patches.shape[-1])[position])


def _configure(config: Config, share: float | None, b: int | None, sigma: float | None) -> Config:
    """Return the parameters with some of them replaced. `Config` validates them."""
    asked: dict[str, Any] = {"coreset_ratio": share, "b": b, "sigma": sigma}
    for name, value in asked.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value}")
    return replace(config, **{name: value for name, value in asked.items() if value is not None})
