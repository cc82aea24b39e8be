"""Build one ONNX graph from a fitted PatchCore: the nodes of `minicore.equations.section3`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicore import __version__
from minicore.export import equation_nodes as eq
from minicore.export.image_nodes import ImageSize, normalised, pixels
from minicore.export.network_nodes import NEEDED, add_network, opset_of
from minicore.images import Preprocessing
from minicore.patchcore.estimator import PatchCore
from minicore.patchcore.features import cell
from minicore.patchcore.search import top_patches
from minicore.patchcore.threshold import gumbel
from minicore.runtime.onnx_graph import IR_VERSION, OnnxGraph, import_onnx

# Input and outputs
IMAGE, SCORE, MAP, P_VALUE, ANOMALOUS = "image", "score", "map", "p_value", "anomalous"
THRESHOLD = "verdict/threshold"  # a constant
PRODUCER = "minicore-detector"  # `runtime.kinds` recognises the file by this name
FLOAT, UINT8, INT32, INT64, BOOL = 1, 2, 6, 7, 9  # `onnx.TensorProto`
Values = Mapping[str, tuple[int, Sequence[Any]]]  # type and shape of each input or output


class Bank(NamedTuple):
    r"""The memory bank of an export.

    Attributes
    ----------
    rows : (l, D) float32
        $\mathcal{M}_C$; if `half`, already rounded to float16.
    around : (l, b) int64 or None
        $\mathcal{N}_b$ of every row; None if the model does not use equation 7.
    half : bool
        Whether the file stores float16.
    """

    rows: np.ndarray
    around: np.ndarray | None
    half: bool


class Level(NamedTuple):
    """One level of one network.

    Attributes
    ----------
    name : str
        The layer; ``0.layer2`` if there are several networks.
    value : str
        Its name in the graph.
    channels : int
    size : (int, int)
        (h*, w*) of the feature map.
    cell : (float, float)
        Rows and columns of pixels that one position covers.
    """

    name: str
    value: str
    channels: int
    size: tuple[int, int]
    cell: tuple[float, float]


def detector_graph(
    model: PatchCore,
    networks: Sequence[Any],
    bank: Bank,
    image_size: ImageSize,
    preprocessing: Preprocessing,
    *,
    explain: bool,
) -> Any:
    """Build the graph of a fitted model.

    Parameters
    ----------
    model : PatchCore
    networks : sequence of onnx.ModelProto
        From `network_models`, one for each network of the model.
    bank : Bank
    image_size : (int, int)
        (H, W) of the input in pixels.
    preprocessing : Preprocessing
        Without resizing and cropping if the input is already prepared.
    explain : bool
        Whether the intermediate results are outputs too.

    Returns
    -------
    onnx.ModelProto
        Without metadata.

    Raises
    ------
    ImageError, ParameterError
        If images of this size cannot be prepared.
    """
    g = OnnxGraph(import_onnx(*NEEDED))
    config, (h, w) = model.config_, model.grid_
    x = pixels(g, IMAGE, image_size, preprocessing)
    phi = add_levels(g, x, model, networks)

    # P(x_test), equations 1 to 3: one row for each patch m_test of the images
    patches = add_patch_features(g, phi, model)
    P = eq.reshape(g, patches, "eq6/patches", -1, bank.rows.shape[1])

    # M_C of equations 4 and 5. Equation 6: m* of each m_test (arg min), and its distance
    M = eq.memory_bank(g, bank.rows, bank.half)
    nearest = eq.nearest(g, P, M, bank.rows, h * w)
    d, nearest = (
        eq.reshape(g, value, f"{value}_of_image", -1, h * w)
        for value in (eq.distances(g, P, M, nearest), nearest)
    )

    # m_test*, m* and s* of the image (arg max); equation 7: the weight, and the score s
    test_star, m_star, s_star = eq.deciding_patch(g, d, nearest)
    intermediate = {
        **{
            f"level_{level.name}": (level.value, FLOAT, (level.channels, *level.size))
            for levels in phi
            for level in levels
        },
        "patch_features": (patches, FLOAT, (h, w, bank.rows.shape[1])),
        "patch_distances": (d, FLOAT, (h, w)),
        "nearest_rows": (nearest, INT64, (h, w)),
        "deciding_patch": (test_star, INT64, ()),
        "s_star": (s_star, FLOAT, ()),
    }
    s = s_star if config.score == "max" else eq.mean_of_top(g, d, top_patches(h * w))
    if bank.around is not None:
        m_test_star = eq.patch_of_image(g, P, test_star, h * w, bank.rows.shape[1])
        N_b = eq.neighbours(g, m_star, bank.around)
        weight, s = eq.reweight(g, m_test_star, s_star, M, N_b)
        intermediate["neighbours"] = (N_b, INT32, bank.around.shape[1:])
        intermediate["weight"] = (weight, FLOAT, ())

    # the anomaly map, and the verdict
    size, finest = model.input_size_, phi[0][0]
    S = eq.anomaly_map(g, d, (h, w), size, config.sigma, config.stride, finest.cell)
    outputs = {SCORE: (s, FLOAT, ()), MAP: (S, FLOAT, size)}
    if model.threshold_ is not None:
        threshold = g.constant(THRESHOLD, np.float32(model.threshold_))
        verdict = g.node("Greater", [s, threshold], "verdict/above_threshold")
        outputs[P_VALUE] = (_p_value(g, s, model.calibration_scores_), FLOAT, ())
        outputs[ANOMALOUS] = (verdict, BOOL, ())
    if explain:
        outputs |= intermediate
    return _model(g, outputs, image_size, networks)


def _p_value(g: OnnxGraph, s: str, calibration: np.ndarray) -> str:
    """Add `minicore.patchcore.threshold.p_values` of the scores, (n, 1) → (n, 1)."""
    mu, beta = gumbel(calibration)
    below = g.node("Sub", [g.constant("verdict/mu", np.float32(mu)), s], "verdict/below_mu")
    scale = g.constant("verdict/beta", np.float32(max(beta, float(np.finfo(np.float32).tiny))))
    # 1 − exp(−exp(−(s − μ) / β))
    inner = g.node("Exp", [g.node("Div", [below, scale], "verdict/z")], "verdict/inner_exp")
    share_below = g.node("Exp", [g.node("Neg", [inner], "verdict/exponent")], "verdict/share_below")
    one = g.constant("verdict/one", np.float32(1))
    return g.node("Sub", [one, share_below], "verdict/p_value")


def add_levels(
    g: OnnxGraph, x: str, model: PatchCore, networks: Sequence[Any]
) -> list[list[Level]]:
    """Add the networks, and return their levels φ_j."""
    blank = np.zeros((1, 3, *model.input_size_), np.float32)
    found = []
    for k, (network, nodes) in enumerate(zip(model.backbone_.networks, networks, strict=True)):
        prefix, number = (f"network{k}/", f"{k}.") if len(networks) > 1 else ("network/", "")
        normalised(g, x, network.preprocessing, prefix + network.input_name)
        add_network(g, nodes, prefix)
        levels = []
        for layer, phi in network(blank).items():
            size = phi.shape[2:]
            t = cell(model.input_size_, size)
            levels.append(Level(number + layer, prefix + layer, phi.shape[1], size, t))
        found.append(levels)
    return found


def add_patch_features(g: OnnxGraph, phi: list[list[Level]], model: PatchCore) -> str:
    """Add equations 1 to 3, as in `minicore.equations.patch_features`, and whitening, if any.

    The result is (n, h', w', D).
    """
    config = model.config_
    p, s = config.patchsize, config.stride
    d, d_target = config.pooling
    of_networks = []
    for k, (levels, scale) in enumerate(zip(phi, model.scales_, strict=True)):
        collections, width = [], 0
        for level in levels:
            if d is None:
                v, d_j = eq.aggregate_mean(g, level.value, level.name, p, s), level.channels
            else:
                v = eq.neighbourhoods(g, level.value, level.name, level.channels, p, s)
                length = level.channels * (2 * (p // 2) + 1) ** 2
                v, d_j = eq.aggregate(g, v, f"eq2/{level.name}", length, d), d
            grid = -(-level.size[0] // s), -(-level.size[1] // s)
            step = level.cell[0] / levels[0].cell[0], level.cell[1] / levels[0].cell[1]
            collections.append(eq.upsample(g, v, level.name, grid, model.grid_, step))
            width += d_j
        joined = eq.concatenate(g, collections, f"eq3/{k}.levels" if len(phi) > 1 else "eq3/levels")
        if d_target is not None:
            joined = eq.aggregate(g, joined, f"eq3/{k}.joined", width, d_target)
        if scale != 1:
            factor = g.constant(f"eq3/{k}.scale", np.float32(scale))
            joined = g.node("Mul", [joined, factor], f"eq3/{k}.scaled")
        of_networks.append(joined)
    joined = eq.concatenate(g, of_networks, "eq3/networks")
    patches = g.node("Transpose", [joined], "eq3/patch_features", perm=[0, 2, 3, 1])
    return patches if model.whitening_ is None else eq.whiten(g, patches, model.whitening_)


def _model(
    g: OnnxGraph,
    outputs: Mapping[str, tuple[str, int, tuple[int, ...]]],
    image_size: ImageSize,
    networks: Sequence[Any],
) -> Any:
    """Return the ONNX model. `outputs` are value, type, and shape for one image, by name."""
    for name, (value, _, shape) in outputs.items():
        eq.reshape(g, value, name, -1, *shape)
    return onnx_model(
        g,
        {IMAGE: (UINT8, ("n", *image_size, 3))},
        {name: (kind, ("n", *shape)) for name, (_, kind, shape) in outputs.items()},
        networks,
        producer_name=PRODUCER,
        producer_version=__version__,
    )


def onnx_model(
    g: OnnxGraph, inputs: Values, outputs: Values, networks: Sequence[Any], **about: str
) -> Any:
    """Return the ONNX model of a graph.

    Parameters
    ----------
    g : OnnxGraph
    inputs, outputs : dict of str to (int, sequence)
        Type and shape of each. A size that is a text may be any number.
    networks : sequence of onnx.ModelProto
        From `network_models`: the model has their versions of ONNX.
    **about : str
        Other fields of the model.

    Returns
    -------
    onnx.ModelProto
    """
    helper = g.onnx.helper
    infos = [
        [helper.make_tensor_value_info(name, *info) for name, info in values.items()]
        for values in (inputs, outputs)
    ]
    return helper.make_model(
        helper.make_graph(g.nodes, "PatchCore", *infos, g.constants),
        ir_version=max(IR_VERSION, *(network.ir_version for network in networks)),
        opset_imports=[helper.make_opsetid("", opset_of(networks[0]))],
        **about,
    )
