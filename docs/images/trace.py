"""Draw trace.png, one image through PatchCore: ``python docs/images/trace.py``."""

from pathlib import Path

import numpy as np
from PIL import Image

from minicore import PatchCore, datasets, plots, trace

parts = datasets.synthetic("circuit", seed=0)
model = PatchCore(seed=0).fit(parts.train)
test = 16  # a component is missing
mask = parts.read_masks(model.preprocessing_)[test]
figure = plots.trace(trace(model, parts.test[test]), parts.train, mask)
target = plots.save(figure, Path(__file__).with_suffix(".png"), overwrite=True)

# Six bits for red and green, five for blue: no visible difference, and a smaller file.
with Image.open(target) as opened:
    pixels = np.asarray(opened.convert("RGB"))
levels = np.array([63, 63, 31])
coarse = np.round(pixels / 255 * levels) / levels * 255
Image.fromarray(np.round(coarse).astype(np.uint8)).save(target, optimize=True)
