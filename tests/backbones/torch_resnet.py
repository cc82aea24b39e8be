"""Residual networks in torch, with the names of torchvision: the reference of the tests."""

import torch
from torch import nn
from torch.nn import functional

# block, depths, groups, width per group, and the parameters torchvision publishes for it
TORCHVISION = {
    "resnet18": ("basic", (2, 2, 2, 2), 1, 64, 11_689_512),
    "resnet34": ("basic", (3, 4, 6, 3), 1, 64, 21_797_672),
    "resnet50": ("bottleneck", (3, 4, 6, 3), 1, 64, 25_557_032),
    "resnet101": ("bottleneck", (3, 4, 23, 3), 1, 64, 44_549_160),
    "resnet152": ("bottleneck", (3, 8, 36, 3), 1, 64, 60_192_808),
    "wide_resnet50_2": ("bottleneck", (3, 4, 6, 3), 1, 128, 68_883_240),
    "wide_resnet101_2": ("bottleneck", (3, 4, 23, 3), 1, 128, 126_886_696),
    "resnext50_32x4d": ("bottleneck", (3, 4, 6, 3), 32, 4, 25_028_904),
    "resnext101_32x8d": ("bottleneck", (3, 4, 23, 3), 32, 8, 88_791_336),
    "resnext101_64x4d": ("bottleneck", (3, 4, 23, 3), 64, 4, 83_455_272),
}


class Block(nn.Module):
    def __init__(self, kind, into, planes, out, stride, groups, width_per_group):
        super().__init__()
        width = planes * width_per_group // 64 * groups
        if kind == "basic":
            convolutions = [(into, planes, 3, stride, 1), (planes, out, 3, 1, 1)]
        else:
            middle = (width, width, 3, stride, groups)
            convolutions = [(into, width, 1, 1, 1), middle, (width, out, 1, 1, 1)]
        self.last = len(convolutions)
        for k, (a, b, kernel, step, group) in enumerate(convolutions, 1):
            conv = nn.Conv2d(a, b, kernel, step, kernel // 2, groups=group, bias=False)
            self.add_module(f"conv{k}", conv)
            self.add_module(f"bn{k}", nn.BatchNorm2d(b))
        self.downsample = nn.Identity()
        if stride != 1 or into != out:
            conv = nn.Conv2d(into, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for k in range(1, self.last + 1):
            y = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(y))
            y = y.relu() if k < self.last else y
        return (y + self.downsample(x)).relu()


class ResNet(nn.Module):
    """A ResNet with one stage per entry of `depths`; only four stages have `fc` after them."""

    def __init__(self, kind, depths, groups=1, width_per_group=64, stem=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        into = stem
        for j, depth in enumerate(depths):
            planes = stem * 2**j
            out = planes if kind == "basic" else 4 * planes
            blocks = []
            for i in range(depth):
                stride = 2 if i == 0 and j > 0 else 1
                blocks.append(Block(kind, into, planes, out, stride, groups, width_per_group))
                into = out
            self.add_module(f"layer{j + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)
        if self.stages == 4:
            self.fc = nn.Linear(into, 1000)

    def forward(self, x):
        """Return the map of each stage: batches (n, 3, h, w) -> {layer: (n, c, h', w')}."""
        x = functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        maps = {}
        for j in range(1, self.stages + 1):
            x = maps[f"layer{j}"] = self.get_submodule(f"layer{j}")(x)
        return maps


def seeded(net, seed):
    """Set random weights that keep the scale of the maps, and random batch norms."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.3, 1.2)
            module.bias.data.normal_(0, 0.2)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.num_batches_tracked.fill_(seed)
    return net.eval()
