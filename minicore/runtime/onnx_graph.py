"""Collect the nodes and constants of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicore.runtime import distribution

OPSET, IR_VERSION = 17, 8  # onnxruntime 1.17, the oldest supported version, runs both


def import_onnx(purpose: str, extra: str) -> Any:
    """Return the package onnx.

    Parameters
    ----------
    purpose : str
        What it is needed for: the start of the error message.
    extra : str
        The extra of minicore that installs it.

    Raises
    ------
    MinicoreError
        If it is not installed.
    """
    distribution.require(purpose, extra, "onnx")
    import onnx

    return onnx


class OnnxGraph:
    """The nodes and constants of a graph, in the order in which they were added.

    Parameters
    ----------
    onnx : module
        The result of `import_onnx`.
    """

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name that both have."""
        self.nodes.append(
            self.onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)
        )
        return output

    def constant(self, name: str, values: Any) -> str:
        """Add an array, and return its name."""
        array = np.ascontiguousarray(values).reshape(np.shape(values))  # keeps a scalar a scalar
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def float16(self, name: str, values: np.ndarray) -> str:
        """Add an array stored as float16, and a node that converts it to float32.

        onnxruntime runs this node once, when it opens the file.
        """
        half = self.constant(f"{name}.float16", values.astype(np.float16))
        return self.node("Cast", [half], name, to=self.onnx.TensorProto.FLOAT)
