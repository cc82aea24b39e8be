"""The lesson material of `distill.py`: random, distorted crops of photographs held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageOps

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MEAN, _STD = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
_GREY = torch.tensor([0.299, 0.587, 0.114])


def normalise(x: torch.Tensor) -> torch.Tensor:
    """0..1 -> ImageNet's mean and standard deviation."""
    return ((x - _MEAN) / _STD).contiguous(memory_format=torch.channels_last)


def load_photos(folder: Path, held_out: int, smallest: int):
    """Decode a folder once; every k-th file by name is held out.

    Returns the training photographs as uint8 tensors (3, h, w) and the held-out ones as they will
    be used, shorter side 256 and the centre 224, normalised (n, 3, 224, 224).
    """
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in kinds)
    if len(files) <= held_out:
        raise ValueError(f"{folder}: {len(files)} photographs, {held_out} of them to hold out")
    apart = set(files[:: len(files) // held_out][:held_out]) if held_out else set()
    train, test = [], []
    for path in files:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image).convert("RGB")
        side = 256 if path in apart else max(min(image.size), smallest)
        if min(image.size) != side:
            scale = side / min(image.size)
            image = image.resize([max(round(v * scale), side) for v in image.size], Image.BILINEAR)
        if path in apart:
            left, top = ((v - 224) // 2 for v in image.size)
            image = image.crop((left, top, left + 224, top + 224))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        (test if path in apart else train).append(pixels)
    held = torch.stack(test) if test else torch.empty(0, 3, 224, 224)
    return train, normalise(held.float() / 255)


class Crops:
    """Random crops; every choice is drawn from one NumPy generator, so a seed repeats them all."""

    def __init__(self, photos: list[torch.Tensor], seed: int):
        self.photos, self.rng = photos, np.random.default_rng(seed)

    def window(self, size: int) -> torch.Tensor:
        """Cut one crop (3, size, size), uint8: scaled, or native detail; turned, flipped."""
        rng = self.rng
        photo = self.photos[rng.integers(len(self.photos))]
        h, w = photo.shape[1:]
        # Photographs that are larger than the crop are mostly shrunk, as test images are.
        side = size if rng.random() < 0.3 else round(size * 2 ** rng.uniform(-0.6, 1.2))
        side = min(side, h, w)
        top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
        x = photo[:, top : top + side, left : left + side]
        if side != size:
            x = F.interpolate(x[None], (size, size), mode="bilinear", antialias=True)[0]
        if rng.random() < 0.5:
            x = x.flip(2)
        return torch.rot90(x, int(rng.integers(4)), (1, 2)) if rng.random() < 0.5 else x

    def silhouette(self, size: int) -> torch.Tensor:
        """Draw a mask (1, size, size), a polygon or stripes: sharp as parts on a plain ground."""
        rng = self.rng
        if rng.random() < 0.3:
            angle, period = rng.uniform(0, np.pi), rng.uniform(4, size / 2)
            y, x = np.mgrid[:size, :size]
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
            return torch.from_numpy(np.clip(wave * period / 3 + 0.5, 0, 1).astype(np.float32))[None]
        mask = Image.new("L", (2 * size, 2 * size))  # twice the size, then halved: soft edges
        corners = int(rng.integers(3, 10))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(0.15, 1.1, corners) * size
        centre = rng.uniform(0.6, 1.4, 2) * size
        points = centre[:, None] + radii * np.stack([np.cos(angles), np.sin(angles)])
        ImageDraw.Draw(mask).polygon([tuple(p) for p in points.T], fill=255)
        return torch.from_numpy(np.array(mask.reduce(2), np.float32) / 255)[None]

    def uniform(self, low: float, high: float, n: int, channels: int = 1) -> torch.Tensor:
        """(n, channels, 1, 1) of random factors."""
        return torch.from_numpy(self.rng.uniform(low, high, (n, channels, 1, 1)).astype(np.float32))

    def batch(self, n: int, size: int) -> torch.Tensor:
        """(n, 3, size, size), distorted in colour and sharpness, normalised."""
        rng = self.rng
        x = torch.stack([self.window(size) for _ in range(n)]).float().div_(255)
        for i in np.flatnonzero(rng.random(n) < 0.15):
            ground = torch.from_numpy(rng.uniform(0, 1, (3, 1, 1)).astype(np.float32))
            ground = ground.lerp(ground.mean().expand_as(ground), float(rng.random()))
            x[i] = ground + self.silhouette(size) * (x[i] - ground)
        grey = torch.einsum("nchw,c->nhw", x, _GREY)[:, None]
        saturation = self.uniform(0.4, 1.4, n) * (self.uniform(0, 1, n) > 0.2)  # a fifth is grey
        x = grey + saturation * (x - grey)
        level = x.mean(dim=(1, 2, 3), keepdim=True)
        x = level + self.uniform(0.5, 1.4, n) * (x - level) + self.uniform(-0.2, 0.2, n)
        x *= self.uniform(0.9, 1.1, n, channels=3)  # the colour of the light
        for i in np.flatnonzero(rng.random(n) < 0.2):
            k = torch.exp(-0.5 * (torch.arange(-3.0, 4) / rng.uniform(0.4, 1.2)) ** 2)
            k /= k.sum()
            blurred = F.conv2d(x[i, :, None], k.view(1, 1, 7, 1), padding=(3, 0))
            x[i] = F.conv2d(blurred, k.view(1, 1, 1, 7), padding=(0, 3))[:, 0]
        for i in np.flatnonzero(rng.random(n) < 0.1):
            noise = rng.standard_normal((3, size, size), np.float32) * rng.uniform(0.0, 0.04)
            x[i] += torch.from_numpy(noise)
        return normalise(x.clamp_(0, 1))
