"""Make the tiny checkpoints and what torch computes with them (needs torch).

A grouped bottleneck network with seeded random weights, saved by torch in the zip format as float32
and in the older one as float16 (the same numbers), and its maps of a seeded image. The tests hold
the reader and the writer to them where torch is absent.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "backbones"))

from torch_resnet import ResNet, seeded  # noqa: E402

net = seeded(ResNet("bottleneck", (1, 2, 1), groups=2, width_per_group=32, stem=4), seed=5)
net.half()
torch.save(net.state_dict(), HERE / "tiny_resnet_legacy.pth", _use_new_zipfile_serialization=False)
net.float()
torch.save(net.state_dict(), HERE / "tiny_resnet.pth")
image = torch.randn(1, 3, 37, 50)
with torch.no_grad():
    maps = {layer: m.numpy() for layer, m in net(image).items()}
np.savez_compressed(HERE / "tiny_resnet.npz", image=image.numpy(), **maps)
