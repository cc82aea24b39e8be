"""The teacher of `distill.py`: an ONNX file whose feature maps are to be learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F

from minicore.backbones.telemetry import onnxruntime

OUTPUTS = ("layer1", "layer2", "layer3")


class Teacher:
    """Images (n, 3, h, w) -> maps of layer1..layer3.

    A ResNet with folded batch norms is Conv, Relu, MaxPool and Add; such a graph is replayed in
    torch in bfloat16, twice as fast as onnxruntime in float32 where the CPU has the instructions
    (relative squared error 1e-4, far below the student's). Any other graph runs in onnxruntime.
    """

    def __init__(self, path: Path, threads: int, dtype: torch.dtype = torch.bfloat16):
        graph = onnx.load(path).graph
        self.nodes, self.dtype, self.session = list(graph.node), dtype, None
        self.input, self.has_stem = graph.input[0].name, False
        missing = set(OUTPUTS) - {o.name for o in graph.output}
        if missing:
            raise ValueError(f"{path}: no output named {', '.join(sorted(missing))}")
        if not self._replayable():
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            # Workers that spin between runs would fight torch's for the cores.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.session = onnxruntime.InferenceSession(str(path), options)
            return
        arrays = {i.name: torch.tensor(onnx.numpy_helper.to_array(i)) for i in graph.initializer}
        first, kernel = [n.op_type for n in self.nodes[:3]], arrays[self.nodes[0].input[1]]
        self.has_stem = first == ["Conv", "Relu", "MaxPool"] and kernel.shape == (64, 3, 7, 7)
        self.arrays = {
            k: v.to(dtype, memory_format=torch.channels_last) if v.ndim == 4 else v.to(dtype)
            for k, v in arrays.items()
        }

    def _replayable(self) -> bool:
        def plain(node):
            a = {t.name: onnx.helper.get_attribute_value(t) for t in node.attribute}
            pads = a.get("pads", [0] * 4)
            # Asymmetric padding, ceil mode and auto padding have no short torch spelling.
            return pads[:2] == pads[2:] and not a.get("ceil_mode") and "auto_pad" not in a

        known = {n.op_type for n in self.nodes} <= {"Conv", "Relu", "MaxPool", "Add"}
        return known and all(plain(n) for n in self.nodes)

    def __call__(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Run one batch, already normalised."""
        if self.session is not None:
            maps = self.session.run(list(OUTPUTS), {self.input: np.ascontiguousarray(x.numpy())})
            return [torch.from_numpy(m) for m in maps]
        values = self._replay(x, self.nodes)
        return [values[name] for name in OUTPUTS]

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """Give the first convolution's output, rectified, where `has_stem`."""
        return self._replay(x, self.nodes[:2])[self.nodes[1].output[0]]

    @torch.no_grad()
    def _replay(self, x: torch.Tensor, nodes) -> dict[str, torch.Tensor]:
        values = {self.input: x.to(self.dtype, memory_format=torch.channels_last)}
        for node in nodes:
            a = {t.name: onnx.helper.get_attribute_value(t) for t in node.attribute}
            args = [values[k] if k in values else self.arrays[k] for k in node.input]
            stride, pads = a.get("strides", [1, 1]), a.get("pads", [0] * 4)[:2]
            if node.op_type == "Conv":
                bias = args[2] if len(args) > 2 else None
                dilation, groups = a.get("dilations", [1, 1]), a.get("group", 1)
                y = F.conv2d(args[0], args[1], bias, stride, pads, dilation, groups)
            elif node.op_type == "MaxPool":
                y = F.max_pool2d(args[0], a["kernel_shape"], stride, pads)
            else:
                y = F.relu(args[0]) if node.op_type == "Relu" else args[0] + args[1]
            values[node.output[0]] = y
        return values
