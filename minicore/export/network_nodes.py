"""The nodes of a network's own ONNX file, ready to be part of a larger graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from minicore.backbones import Backbone
from minicore.errors import BackboneError, cut
from minicore.runtime.onnx_graph import OPSET, OnnxGraph, import_onnx

Storage = Literal["float32", "float16"]
NEEDED = ("exporting a model", "export")  # arguments of `import_onnx`
SMALL = 1024  # arrays with fewer values stay float32: they add nothing to the size of the file


def network_models(networks: Sequence[Backbone], storage: Storage) -> list[Any]:
    """Return the part of each network that its layers need, as ONNX models of one opset.

    Parameters
    ----------
    networks : sequence of Backbone
    storage : {"float32", "float16"}
        "float16" rounds the float32 weights to 11 bits. Weights that the file stores in fewer bits
        stay as they are.

    Returns
    -------
    list of onnx.ModelProto
        The outputs of each are the layers of the network. The opset is 17, or the latest one of a
        network if that is later.

    Raises
    ------
    BackboneError
        If a network has a fixed batch size, uses operators that are not standard ONNX, or cannot
        be converted to the opset; or if a weight is too large for float16.
    """
    from onnx import version_converter

    models = [_part(network) for network in networks]
    opset = max(OPSET, *map(opset_of, models))
    for i, network in enumerate(networks):
        if opset_of(models[i]) < opset:
            try:
                models[i] = version_converter.convert_version(models[i], opset)
            except Exception as error:
                raise _cannot(network, error) from error
        del models[i].graph.value_info[:]  # shapes for other images
        if storage == "float16":
            _round_weights(models[i], network.path)
    return models


def _part(network: Backbone) -> Any:
    """Return the nodes that the layers of one network need."""
    onnx = import_onnx(*NEEDED)
    from onnx import inliner, utils

    path = network.path
    if network.fixed_batch:
        raise BackboneError(
            f"{path}: made for batches of {network.fixed_batch}; to export a model, write the "
            f"network with a variable batch size"
        )
    try:
        model = onnx.load(path)
        if model.functions:
            model = inliner.inline_local_functions(model)
        _leave_weights_out_of_inputs(model)
        part = utils.Extractor(model).extract_model([network.input_name], list(network.layers))
    except Exception as error:  # the package onnx has no base class for its errors
        raise _cannot(network, error) from error
    for node in part.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise BackboneError(
                f"{path}: uses the operator {node.op_type}, which contains a graph; write the "
                f"network without conditions and loops"
            )
    foreign = {node.domain for node in part.graph.node} - {"", "ai.onnx"}
    if foreign:
        raise BackboneError(
            f"{path}: uses operators of {', '.join(sorted(foreign))}, which not every runtime of "
            f"ONNX has; write the network with standard operators"
        )
    return part


def _cannot(network: Backbone, error: Exception) -> BackboneError:
    reason = cut(" ".join(str(error).split()), 200)
    return BackboneError(f"{network.path}: cannot be part of an export: {reason}")


def opset_of(model: Any) -> int:
    """Return the version of the standard operators that a model uses."""
    return max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))


def _leave_weights_out_of_inputs(model: Any) -> None:
    """Remove weights from the inputs of a graph, where old files list them too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # the first version that allows it


def _round_weights(model: Any, path: Any) -> None:
    """Store large float32 weights as float16, each with a node that converts it."""
    g = OnnxGraph(import_onnx(*NEEDED))
    kept = []
    for tensor in model.graph.initializer:
        values = g.onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            kept.append(tensor)
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise BackboneError(f"{path}: a weight of {tensor.name} is too large for float16")
        g.float16(tensor.name, values)
    nodes = [*g.nodes, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend([*kept, *g.constants])
    model.graph.node.extend(nodes)


def add_network(g: OnnxGraph, model: Any, prefix: str) -> None:
    """Add the nodes of a model to a graph, with a prefix before every name.

    Parameters
    ----------
    g : OnnxGraph
    model : onnx.ModelProto
        From `network_models`.
    prefix : str
    """
    from onnx import compose

    graph = compose.add_prefix(model, prefix).graph
    for node in graph.node:
        node.name = node.name or node.output[0]
    g.nodes += graph.node
    g.constants += graph.initializer
