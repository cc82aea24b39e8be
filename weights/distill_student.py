"""The student of `distill.py`, and what it is punished for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

NAME = "wide_resnet50_2_quarter"
LAYERS = {  # width in, width inside a block, width out, blocks, stride
    "layer1": (64, 32, 64, 3, 1),
    "layer2": (64, 64, 128, 4, 2),
    "layer3": (128, 128, 256, 6, 2),
}


class Bottleneck(nn.Module):
    """1x1, 3x3 (carrying the stride), 1x1; names as in torchvision's state dict."""

    def __init__(self, width_in: int, inner: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width_in, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)
        self.downsample = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width_in, h, w) -> (n, width, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def stage(width_in: int, inner: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """One residual stage; only its first block changes the shape."""
    first = Bottleneck(width_in, inner, width, stride)
    shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False)
    first.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))
    return nn.Sequential(first, *(Bottleneck(width, inner, width, 1) for _ in range(blocks - 1)))


class Student(nn.Module):
    """Quarter-width WideResNet50-2 up to layer3."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3 = (stage(*shape) for shape in LAYERS.values())
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(m, Bottleneck):
                # A block starts as nearly its shortcut: eighteen layers deep, all learn at once.
                nn.init.constant_(m.bn3.weight, 0.2)

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) -> (n, 64, h / 4, w / 4)."""
        return F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)

    def forward(self, x, teacher_maps=None, forced: int = 0) -> list[torch.Tensor]:
        """Give the maps of layer1..layer3 for the stem's output.

        The last `forced` images of the batch enter layer2 and layer3 as the teacher's previous
        map, so that every stage learns from the first step instead of waiting for the one below.
        """
        maps = []
        for j, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            if j and forced:
                x = torch.cat([x[:-forced], teacher_maps[j - 1][-forced:].to(x.dtype)])
            x = layer(x)
            maps.append(x)
        return maps


def learn_stem(student: Student, teacher, crops, steps: int) -> float:
    """Teach the first convolution by itself, from random weights, and freeze it.

    It is one linear map: small crops and a few thousand steps suffice, and every later stage then
    trains on inputs that no longer move. Returns the last error, in units of each channel's
    variance at the teacher.
    """
    stem = [student.conv1, student.bn1.eval()]  # batch statistics would only add noise here
    learned = [p for m in stem for p in m.parameters()]
    optimiser = torch.optim.AdamW(learned, weight_decay=0)
    error = torch.zeros(())
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * min((step + 1) / 50, 1 - step / steps)
        x = crops.batch(16, 64)
        target = teacher.stem(x).float()
        ours = F.relu(student.bn1(student.conv1(x.to(memory_format=torch.channels_last))))
        variance = target.var(dim=(0, 2, 3), keepdim=True)
        error = ((ours - target).square() / variance.clamp_min(0.05 * variance.mean())).mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    for p in learned:
        p.requires_grad_(False)
    return float(error.detach())


class Loss(nn.Module):
    """Squared error of each channel in units of its variance at the teacher, layer by layer.

    Where the teacher is wider or narrower a 1x1 adapter maps the student onto it; it is dropped
    from the exported network.
    """

    def __init__(self, teacher_maps: list[torch.Tensor], weights: list[float]):
        super().__init__()
        self.weights = weights
        self.adapters = nn.ModuleList()
        for j, (t, shape) in enumerate(zip(teacher_maps, LAYERS.values(), strict=True)):
            width = shape[2]
            var = t.float().var(dim=(0, 2, 3), keepdim=True)
            # A nearly dead channel would otherwise weigh a hundred times a living one.
            self.register_buffer(f"scale{j}", 1 / var.clamp_min(0.05 * float(var.mean())))
            same = t.shape[1] == width
            self.adapters.append(nn.Identity() if same else nn.Conv2d(width, t.shape[1], 1))
        self.can_force = all(isinstance(a, nn.Identity) for a in self.adapters)

    def forward(self, maps, teacher_maps) -> list[torch.Tensor]:
        """One error a layer: 0 is the teacher, 1 is its constant mean."""
        return [
            ((adapter(s.float()) - t.float()).square() * getattr(self, f"scale{j}")).mean()
            for j, (s, t, adapter) in enumerate(zip(maps, teacher_maps, self.adapters, strict=True))
        ]

    def total(self, errors) -> torch.Tensor:
        """Weighted sum, what is minimised."""
        return sum(w * e for w, e in zip(self.weights, errors, strict=True))
