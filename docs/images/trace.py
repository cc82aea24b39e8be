"""Draw trace.png, one image through PatchCore: ``python docs/images/trace.py``."""

from pathlib import Path

from PIL import Image

from minicore import PatchCore, datasets, plots, trace

parts = datasets.synthetic("circuit", seed=0)
model = PatchCore(seed=0).fit(parts.train)
test = 16  # a component is missing
mask = parts.read_masks(model.preprocessing_)[test]
figure = plots.trace(trace(model, parts.test[test]), parts.train, mask)
target = plots.save(figure, Path(__file__).with_suffix(".png"))

# A palette of 256 colours: under half of the bytes.
with Image.open(target) as opened:
    picture = opened.convert("RGB")
palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE)
small = picture.quantize(palette=palette, dither=Image.Dither.NONE)
small.save(target, optimize=True)
