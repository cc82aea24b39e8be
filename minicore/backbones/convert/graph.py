"""Write an ONNX graph: convolutions with their batch norms folded in.

A graph has only the operations that the forward pass of a backbone needs. Each weight must have the
expected shape; otherwise the error names the weight. The graph records which weights it has used,
so that a checkpoint with other weights, of another network, raises an error too.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from minicore.errors import BackboneError
from minicore.runtime.onnx_graph import IR_VERSION, OPSET, OnnxGraph, import_onnx

Arrays = Mapping[str, np.ndarray]
Storage = Literal["float32", "float16", "int8"]

BATCH_NORM_EPS = 1e-5  # torch's default, which all ResNets of torchvision use


class Graph(OnnxGraph):
    """The nodes and weights of an ONNX graph, with the number of channels of each output."""

    def __init__(self, arrays: Arrays, storage: Storage):
        super().__init__(import_onnx("writing a network", "convert"))
        self.arrays = arrays
        self.storage = storage
        self.used: set[str] = set()
        self.channels = {"image": 3}

    def has(self, name: str) -> bool:
        """Return whether the checkpoint contains a weight."""
        return name in self.arrays

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a weight as float64, if it is finite and has the expected shape."""
        if weight_shape(self.arrays, name) != shape:
            raise BackboneError(f"{name} is {weight_shape(self.arrays, name)}, not {shape}")
        self.used.add(name)
        array = np.asarray(self.arrays[name], dtype=np.float64)
        if not np.isfinite(array).all():
            raise BackboneError(f"{name} contains values that are not finite")
        return array

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, with the channels of its first input."""
        self.channels[output] = self.channels.get(inputs[0], 0)
        return super().node(kind, inputs, output, **attributes)

    def convolve(
        self,
        x: str,
        conv: str,
        norm: str,
        *,
        kernel: int,
        stride: int,
        groups: int = 1,
        relu: bool = True,
        output: str | None = None,
    ) -> str:
        """Add a convolution with its batch norm folded in: γ (Wx − μ) / √(σ² + ε) + β."""
        out, into = weight_shape(self.arrays, f"{conv}.weight")[0], self.channels[x] // groups
        if out % groups or self.channels[x] % groups:
            raise BackboneError(f"{conv}: {self.channels[x]} to {out} channels in {groups} groups")
        weight = self.take(f"{conv}.weight", (out, into, kernel, kernel))
        gamma, beta, mean, variance = (
            self.take(f"{norm}.{part}", (out,))
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if (variance < 0).any():
            raise BackboneError(f"{norm}.running_var contains a negative variance")
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPS)
        folded = self.stored(f"{conv}.weight", weight * scale[:, None, None, None])
        bias = self.constant(f"{conv}.bias", _narrowed(beta - mean * scale, np.float32, norm))
        y = self.node(
            "Conv",
            [x, folded, bias],
            output or f"{conv}.out" if not relu else f"{conv}.sum",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=groups,
        )
        self.channels[y] = out
        return self.node("Relu", [y], output or f"{conv}.out") if relu else y

    def stored(self, name: str, weight: np.ndarray) -> str:
        """Add a weight in the format `storage`, with nodes that convert it to float32.

        onnxruntime runs these nodes once, when it opens the file. Int8 is converted by Cast and
        Mul. DequantizeLinear would be one node for both, but onnxruntime keeps it in the graph for
        quantised kernels and runs it for each batch.
        """
        float32 = self.onnx.TensorProto.FLOAT
        if self.storage == "float32":
            return self.constant(name, _narrowed(weight, np.float32, name))
        if self.storage == "float16":
            return self.float16(name, _narrowed(weight, np.float16, name))
        largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
        scale = np.where(largest > 0, largest / 127, 1.0)
        code = self.constant(f"{name}.int8", np.rint(weight / scale).astype(np.int8))
        steps = self.node("Cast", [code], f"{name}.steps", to=float32)
        step = self.constant(f"{name}.scale", _narrowed(scale, np.float32, name))
        return self.node("Mul", [steps, step], name)

    def refuse_leftovers(self, stages: Sequence[str]) -> None:
        """Raise an error if the checkpoint has weights that the forward pass has not used.

        Such weights belong to a similar network, for example with squeeze-and-excitation. Without
        them the feature maps would be wrong.
        """
        inside = tuple(f"{part}." for part in ("conv1", "bn1", *stages))
        for key in self.arrays:
            unknown = key not in self.used and not key.endswith(".num_batches_tracked")
            if unknown and key.startswith(inside):
                raise BackboneError(f"{key} has no place in a ResNet, WideResNet or ResNeXt")

    def serialised(self, outputs: Mapping[str, int], about: Mapping[str, Any]) -> bytes:
        """Return the bytes of the ONNX file: the graph, its output layers and the metadata."""
        helper, float32 = self.onnx.helper, self.onnx.TensorProto.FLOAT
        image = helper.make_tensor_value_info("image", float32, ["n", 3, "h", "w"])
        maps = [
            helper.make_tensor_value_info(layer, float32, ["n", c, f"h_{layer}", f"w_{layer}"])
            for layer, c in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, about["name"], [image], maps, self.constants)
        model = helper.make_model(
            graph,
            producer_name="minicore",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, {"minicore": json.dumps(about)})
        self.onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def weight_shape(arrays: Arrays, name: str) -> tuple[int, ...]:
    """Return the shape of a weight. That of a convolution is (out, in per group, h, w)."""
    if name not in arrays:
        some = ", ".join(list(arrays)[:3])
        raise BackboneError(f"no weight {name} among its {len(arrays)} arrays ({some}, …)")
    shape = tuple(arrays[name].shape)
    convolution = "conv" in name or name.endswith("downsample.0.weight")
    if 0 in shape or (convolution and len(shape) != 4):
        raise BackboneError(f"{name} is {shape}, which a weight of a ResNet cannot be")
    return shape


def _narrowed(array: np.ndarray, dtype: type[np.floating], name: str) -> np.ndarray:
    if np.abs(array).max() > np.finfo(dtype).max:
        kind = np.dtype(dtype).name
        raise BackboneError(f"{name} overflows {kind} after its batch norm is folded in")
    return array.astype(dtype)


def run_once(model: bytes) -> None:
    """Run a network on an image of noise, and check that its maps are finite and have channels."""
    from minicore.backbones.telemetry import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        maps = session.run(None, {"image": image})
    except Exception as error:  # onnxruntime's errors have no narrower base class
        raise BackboneError(f"the written network does not run ({error})") from error
    for output, layer in zip(session.get_outputs(), maps, strict=True):
        if layer.shape[1] != output.shape[1] or not np.isfinite(layer).all():
            raise BackboneError(f"{output.name} of the written network is not finite")
