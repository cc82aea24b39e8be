"""The equations as small ONNX graphs, one for each stage that the page shows and times.

The bank, b and the matrices of the map are inputs, so that the page can change coreset, b and σ
without a new graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicore.export import equation_nodes as eq
from minicore.export.detector_graph import (
    FLOAT,
    INT64,
    UINT8,
    Level,
    Values,
    add_levels,
    add_patch_features,
    onnx_model,
)
from minicore.export.image_nodes import pixels
from minicore.export.network_nodes import NEEDED
from minicore.play.plane import Colours
from minicore.play.scene import Scene, for_prepared_pixels
from minicore.plots.principal import CONES_TO_RGB, OKLAB_TO_CONES
from minicore.runtime.onnx_graph import OnnxGraph, import_onnx


def graphs(scene: Scene, networks: Sequence[Any]) -> dict[str, bytes]:
    """Return the ONNX files of all stages.

    Parameters
    ----------
    scene : Scene
    networks : sequence of onnx.ModelProto
        From `minicore.export.network_nodes.network_models`.

    Returns
    -------
    dict of str to bytes
        "network": image → feature maps. "eq123": feature maps → patches. "picture": patches and
        feature maps → their places and colours in the page. "eq6", "eq7" and "map".
    """
    model = scene.model
    (h, w), (rows, columns) = model.input_size_, model.grid_
    D = model.memory_bank_.shape[1]

    g = _graph()
    image = pixels(g, "image", model.input_size_, for_prepared_pixels(model))
    phi = add_levels(g, image, model, networks)
    levels: dict[str, tuple[int, Sequence[Any]]] = {}
    inputs: list[list[Level]] = []  # the same levels, as inputs of the next graphs
    for of_network in phi:
        inputs.append([])
        for level in of_network:
            name = g.node("Identity", [level.value], f"level_{len(levels)}")
            levels[name] = FLOAT, (1, level.channels, *level.size)
            inputs[-1].append(level._replace(value=name))
    found = {"network": _file(g, {"image": (UINT8, (1, h, w, 3))}, levels, networks)}

    g = _graph()
    eq.reshape(g, add_patch_features(g, inputs, model), "patches", -1, D)
    patches: Values = {"patches": (FLOAT, (rows * columns, D))}
    found["eq123"] = _file(g, levels, patches, networks)

    g = _graph()
    _coordinates(g, "patches", "xy", *scene.plane)
    places: dict[str, tuple[int, Sequence[Any]]] = {"xy": (FLOAT, (rows * columns, 2))}
    for j, (name, (_, (_, _, *size))) in enumerate(levels.items()):
        _paint(g, name, f"colours_{j}", scene.colours[j])
        places[f"colours_{j}"] = UINT8, (1, *size, 3)
    found["picture"] = _file(g, {**patches, **levels}, places, networks)

    bank: Values = {"bank": (FLOAT, ("l", D))}
    star: Values = {
        "star": (INT64, (1, 1)),
        "m_star": (INT64, (1, 1)),
        "s_star": (FLOAT, (1, 1)),
    }
    found["eq6"] = _equation_6({**patches, **bank}, star, networks, model.memory_bank_)
    found["eq7"] = _equation_7({**patches, **bank, **star}, rows * columns, D, networks)

    g = _graph()
    x = eq.reshape(g, "distances", "map/patch_distances", 1, rows, columns)
    eq.both_sides(g, "rows", x, "columns", "map")
    smoothing: Values = {
        "distances": (FLOAT, (rows * columns,)),
        "rows": (FLOAT, (h, rows)),
        "columns": (FLOAT, (columns, w)),
    }
    found["map"] = _file(g, smoothing, {"map": (FLOAT, (1, h, w))}, networks)
    return found


def _equation_6(inputs: Values, star: Values, networks: Sequence[Any], rows: np.ndarray) -> bytes:
    """Equation 6: patches, bank and its squared norms → distances, and m_test*, m*, s*."""
    g = _graph()
    mean, _ = eq.centred_norms(rows)
    nearest = eq.nearest_row(g, "patches", "bank", g.constant("eq6/mean", mean), "squared_norms")
    d = eq.distances(g, "patches", "bank", nearest)
    eq.reshape(g, nearest, "nearest", -1)
    eq.reshape(g, d, "distances", -1)
    of_image = [eq.reshape(g, v, f"{v}.of_image", 1, -1) for v in (d, nearest)]
    for name, value in zip(star, eq.deciding_patch(g, *of_image), strict=True):
        g.node("Identity", [value], name)
    P = inputs["patches"][1][0]
    outputs: Values = {"distances": (FLOAT, (P,)), "nearest": (INT64, (P,)), **star}
    return _file(g, {**inputs, "squared_norms": (FLOAT, (1, "l"))}, outputs, networks)


def _equation_7(inputs: Values, P: int, D: int, networks: Sequence[Any]) -> bytes:
    """Equation 7: the deciding patch, m*, the bank and b → N_b(m*), weight and score."""
    g = _graph()
    m_test_star = eq.patch_of_image(g, "patches", "star", P, D)
    # N_b(m*): the b rows with the smallest distances to m*, by differences to all rows
    m_star = eq.reshape(g, "m_star", "eq7/m_star_row", 1)
    to_rows = g.node("Expand", [m_star, g.node("Shape", ["bank"], "eq7/l", end=1)], "eq7/m_stars")
    d = eq.distances(g, "bank", "bank", to_rows)
    g.nodes.append(
        g.onnx.helper.make_node(
            "TopK", [d, "b"], ["eq7/smallest", "neighbours"], "eq7/top", largest=0, axis=0
        )
    )
    N_b = eq.reshape(g, "neighbours", "eq7/N_b", 1, 1, -1)
    weight, score = eq.reweight(g, m_test_star, "s_star", "bank", N_b)
    for name, value in (
        ("neighbour_distances", "eq7/distances"),
        ("softmax", "eq7/softmax"),
        ("weight", weight),
        ("score", score),
    ):
        eq.reshape(g, value, name, -1)
    outputs: Values = {
        "neighbours": (INT64, ("b",)),
        "neighbour_distances": (FLOAT, ("b",)),
        "softmax": (FLOAT, ("b",)),
        "weight": (FLOAT, (1,)),
        "score": (FLOAT, (1,)),
    }
    return _file(g, {**inputs, "b": (INT64, (1,))}, outputs, networks)


def _coordinates(
    g: OnnxGraph, x: str, output: str, centre: np.ndarray, directions: np.ndarray
) -> str:
    """Add `Plane.coordinates`; the last axis of x is that of the vectors."""
    start, axes = (
        g.constant(f"{output}.{name}", values.astype(np.float32))
        for name, values in (("centre", centre), ("directions", directions))
    )
    return g.node("MatMul", [g.node("Sub", [x, start], f"{output}.centred"), axes], output)


def _paint(g: OnnxGraph, level: str, output: str, colours: Colours) -> str:
    """Add `Colours.paint`: the level (1, c, h, w) → (1, h, w, 3) uint8."""

    def constant(name: str, values: Any) -> str:
        return g.constant(f"{output}.{name}", np.asarray(values, np.float32))

    def node(kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        return g.node(kind, list(inputs), f"{output}.{name}", **attributes)

    x = node("Transpose", "vectors", level, perm=[0, 2, 3, 1])
    x = _coordinates(g, x, f"{output}.coordinates", *colours.plane)
    x = node("Sub", "from_low", x, constant("low", colours.low))
    x = node("Div", "shares", x, constant("width", colours.high - colours.low))
    zero, one = constant("zero", 0), constant("one", 1)
    x = node("Clip", "levels", x, zero, one)
    # `minicore.plots.principal.oklab_colours`: lightness and hue → cones of the eye → RGB
    x = node("Mul", "scaled", x, constant("scales", [0.58, 0.25, 0.25]))
    x = node("Add", "oklab", x, constant("shifts", [0.36, -0.125, -0.125]))
    x = node("MatMul", "roots", x, constant("to_cones", OKLAB_TO_CONES.T))
    x = node("Pow", "cones", x, constant("three", 3))
    x = node("MatMul", "linear", x, constant("to_rgb", CONES_TO_RGB.T))
    x = node("Clip", "light", x, zero, one)
    small = node("LessOrEqual", "is_small", x, constant("small", 0.0031308))
    low = node("Mul", "if_small", x, constant("12.92", 12.92))
    power = node("Pow", "power", x, constant("1/2.4", 1 / 2.4))
    high = node("Mul", "if_large.scaled", power, constant("1.055", 1.055))
    high = node("Sub", "if_large", high, constant("0.055", 0.055))
    x = node("Mul", "bytes", node("Where", "rgb", small, low, high), constant("255", 255))
    return g.node("Cast", [node("Round", "rounded", x)], output, to=UINT8)


def _graph() -> OnnxGraph:
    return OnnxGraph(import_onnx(*NEEDED))


def _file(g: OnnxGraph, inputs: Values, outputs: Values, networks: Sequence[Any]) -> bytes:
    model = onnx_model(g, inputs, outputs, networks)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
