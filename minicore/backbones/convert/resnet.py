"""Convert the arrays of a residual network to an ONNX graph.

A checkpoint contains only named arrays, such as `layer2.0.conv1.weight`, and no program. But a
ResNet is so regular that the names and shapes of the arrays determine the blocks, their number,
their width and their groups. Therefore this module converts a network of any width in this family,
even if it is not in the catalogue. It needs no PyTorch. The forward pass is that of He et al.
(https://arxiv.org/abs/1512.03385) with the widths of Zagoruyko and Komodakis (1605.07146) and the
groups of Xie et al. (1611.05431). As in torchvision, the 3 × 3 convolution of a bottleneck has the
stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicore.backbones.convert.graph import Arrays, Graph, Storage, run_once, weight_shape
from minicore.errors import BackboneError
from minicore.runtime.files import atomic_write

STAGES = ("layer1", "layer2", "layer3", "layer4")
IMAGENET = {
    "resize": 256,  # the paper's protocol (section 4.1), also if the training used other sizes
    "crop": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


@dataclass(frozen=True)
class Architecture:
    """The shape of a residual network, with one entry per stage.

    Parameters
    ----------
    block : {"basic", "bottleneck"}
        Two 3 × 3 convolutions, or 1 × 1, 3 × 3, 1 × 1.
    depths : tuple of int
        Blocks in each stage.
    inner : tuple of int
        Channels inside a block (of its 3 × 3 convolution).
    widths : tuple of int
        Output channels of each stage.
    groups : int
        Groups of the 3 × 3 convolution; more than 1 only in ResNeXt.
    """

    block: str
    depths: tuple[int, ...]
    inner: tuple[int, ...]
    widths: tuple[int, ...]
    groups: int = 1

    def upto(self, stages: int) -> "Architecture":
        """Return the architecture of the first stages only."""
        return Architecture(
            self.block,
            self.depths[:stages],
            self.inner[:stages],
            self.widths[:stages],
            self.groups,
        )


def _family(block: str, *depths: int, groups: int = 1, base: int = 64) -> Architecture:
    inner = tuple(base * groups * 2**stage for stage in range(4))
    widths = tuple((64 if block == "basic" else 256) * 2**stage for stage in range(4))
    return Architecture(block, depths, inner, widths, groups)


ARCHITECTURES = {
    "resnet18": _family("basic", 2, 2, 2, 2),
    "resnet34": _family("basic", 3, 4, 6, 3),
    "resnet50": _family("bottleneck", 3, 4, 6, 3),
    "resnet101": _family("bottleneck", 3, 4, 23, 3),
    "resnet152": _family("bottleneck", 3, 8, 36, 3),
    "wide_resnet50_2": _family("bottleneck", 3, 4, 6, 3, base=128),
    "wide_resnet101_2": _family("bottleneck", 3, 4, 23, 3, base=128),
    "resnext50_32x4d": _family("bottleneck", 3, 4, 6, 3, groups=32, base=4),
    "resnext101_32x8d": _family("bottleneck", 3, 4, 23, 3, groups=32, base=8),
    "resnext101_64x4d": _family("bottleneck", 3, 4, 23, 3, groups=64, base=4),
}


def deduce(arrays: Arrays, stages: int = 4) -> Architecture:
    """Return the architecture that the names and shapes of the weights imply.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        A checkpoint with the names of torchvision. Weights of later stages may be missing.
    stages : int
        Number of residual stages, from the first.

    Returns
    -------
    Architecture

    Raises
    ------
    BackboneError
        If a weight is missing, or the stages do not belong to one residual network.
    """
    block = "bottleneck" if "layer1.0.conv3.weight" in arrays else "basic"
    last = "conv3" if block == "bottleneck" else "conv2"
    depths, inner, widths, groups = [], [], [], set()
    for stage in STAGES[:stages]:
        squeezed = weight_shape(arrays, f"{stage}.0.conv1.weight")[0]
        width, in_group = weight_shape(arrays, f"{stage}.0.conv2.weight")[:2]
        if not in_group or squeezed % in_group:
            raise BackboneError(f"{stage}.0.conv2.weight: its groups do not divide {squeezed}")
        depth = 1
        while f"{stage}.{depth}.conv1.weight" in arrays:
            depth += 1
        depths.append(depth)
        inner.append(width)
        widths.append(weight_shape(arrays, f"{stage}.0.{last}.weight")[0])
        groups.add(squeezed // in_group)
    if len(groups) != 1:
        raise BackboneError(
            f"stages with different groups {sorted(groups)}: not a ResNet or ResNeXt"
        )
    return Architecture(block, tuple(depths), tuple(inner), tuple(widths), groups.pop())


def resnet_to_onnx(
    arrays: Arrays,
    path: str | Path,
    *,
    name: str | None = None,
    layers: Sequence[str] = ("layer1", "layer2", "layer3"),
    preprocessing: Mapping[str, Any] | None = None,
    source: str = "",
    source_sha256: str = "",
    licence: str = "",
    storage: Storage = "float32",
    overwrite: bool = False,
) -> Path:
    """Write a residual network as an ONNX file whose outputs are its feature maps.

    The input is `image`, float32 (n, 3, h, w), RGB and normalised; n, h and w are variable. The
    outputs are `layers`, float32 (n, c, h / 2^(j+1), w / 2^(j+1)) for layer j, rounded up. Later
    layers are left out. Batch norms are folded into the convolutions in float64. The same arrays
    produce the same bytes. The network has run once before the file is written.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Weights with the names of torchvision, of any float dtype. `layer4` and `fc` may be missing.
    path : str or Path
        The file to write. It appears complete or not at all.
    name : str, optional
        Name of the network. If it is in `ARCHITECTURES`, with or without the suffix `_v2`, the
        arrays must have this architecture. By default the name of the architecture that the arrays
        have, or "resnet" if several have this shape.
    layers : sequence of str
        Some of layer1, layer2, layer3, layer4.
    preprocessing : mapping, optional
        `resize` and `crop` in pixels, `mean` and `std` of RGB values in [0, 1]. By default those of
        ImageNet.
    source, source_sha256, licence : str
        The origin of the weights, which is written into the file's metadata.
    storage : {"float32", "float16", "int8"}
        Format of the weights in the file; int8 has one scale per output channel. The arithmetic is
        always float32, because onnxruntime converts the weights once when it opens the file.
    overwrite : bool, default False
        Replace the file even if minicore did not make it.

    Returns
    -------
    Path
        The ONNX file.

    Raises
    ------
    BackboneError
        If the arrays are not a residual network or not the one called `name`, or if the package
        `onnx` is not installed.
    OutputError
        If the file cannot be written or must not be replaced.
    ValueError
        If a layer or the storage is unknown.
    """
    path, layers = Path(path), tuple(dict.fromkeys(layers))
    if not layers or not set(layers) <= set(STAGES):
        raise ValueError(f"layers must be some of {', '.join(STAGES)}, not {layers!r}")
    if storage not in ("float32", "float16", "int8"):
        raise ValueError(f"storage must be float32, float16 or int8, not {storage!r}")
    stages = 1 + max(map(STAGES.index, layers))
    about = {
        "preprocessing": dict(preprocessing or IMAGENET),
        "source": source,
        "source_sha256": source_sha256,
        "licence": licence,
    }
    try:
        shape = deduce(arrays, stages)
        name = _checked_name(name, shape)
        channels = {layer: shape.widths[STAGES.index(layer)] for layer in layers}
        graph = Graph(arrays, storage)
        _forward(graph, shape)
        graph.refuse_leftovers(STAGES[:stages])
        model = graph.serialised(channels, {"name": name, "layers": channels, **about})
        run_once(model)
    except BackboneError as error:
        raise BackboneError(f"{source or name or path.name}: {error}") from error
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(model)
    return path


def _forward(graph: Graph, shape: Architecture) -> None:
    """Add the forward pass of the network, from the image to the last stage."""
    x = graph.convolve("image", "conv1", "bn1", kernel=7, stride=2, output="stem")
    x = graph.node(
        "MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    for j, (stage, depth) in enumerate(zip(STAGES, shape.depths, strict=False)):
        for i in range(depth):
            block = f"{stage}.{i}"
            output = stage if i == depth - 1 else block
            stride = 2 if i == 0 and j > 0 else 1
            x = _residual_block(graph, x, block, output, shape, stride)


def _residual_block(
    graph: Graph, x: str, block: str, output: str, shape: Architecture, stride: int
) -> str:
    """Add relu(F(x) + x). The shortcut is projected if the shape changes."""
    shortcut = x
    if graph.has(f"{block}.downsample.0.weight"):
        names = f"{block}.downsample.0", f"{block}.downsample.1"
        shortcut = graph.convolve(x, *names, kernel=1, stride=stride, relu=False)
    elif stride != 1:
        raise BackboneError(f"no weight {block}.downsample.0.weight")

    if shape.block == "basic":
        plan = [(3, stride, shape.groups), (3, 1, shape.groups)]
    else:
        plan = [(1, 1, 1), (3, stride, shape.groups), (1, 1, 1)]
    for k, (kernel, step, groups) in enumerate(plan, start=1):
        names = f"{block}.conv{k}", f"{block}.bn{k}"
        last = k == len(plan)
        x = graph.convolve(x, *names, kernel=kernel, stride=step, groups=groups, relu=not last)
    if graph.channels[x] != graph.channels[shortcut]:
        raise BackboneError(
            f"{block}: {graph.channels[x]} channels added to a shortcut of "
            f"{graph.channels[shortcut]}"
        )
    total = graph.node("Add", [x, shortcut], f"{block}.sum")
    return graph.node("Relu", [total], output)


def _checked_name(name: str | None, shape: Architecture) -> str:
    stages = len(shape.depths)
    if name is None:
        known = [k for k, v in ARCHITECTURES.items() if v.upto(stages) == shape]
        return known[0] if len(known) == 1 else "resnet"  # up to layer2, some have equal shapes
    expected = ARCHITECTURES.get(name.removesuffix("_v2"))
    if expected is not None and expected.upto(stages) != shape:
        raise BackboneError(f"the weights are {shape}, not {expected.upto(stages)}")
    return name
