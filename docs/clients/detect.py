"""Find defects with a model that ``minicore export`` wrote. This program does not need minicore.

In a terminal:

    pip install numpy onnxruntime pillow
    python detect.py part.onnx image.png ...    one line for each image
    python detect.py part.onnx --check          check the results of onnxruntime on this computer
"""

import base64
import json
import sys
import zlib

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def read_image(path, height, width):
    """Return the pixels of an image file: (height, width, 3) uint8, upright, RGB."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode[0] in "IF":  # Pillow would convert almost all pixels to white
        sys.exit(f"{path}: has more than 8 bits per pixel and colour; save it with 8 bits")
    if image.size != (width, height):
        found = f"{image.height} x {image.width}"
        sys.exit(f"{path}: has {found} pixels; the model needs {height} x {width} (height x width)")
    return np.asarray(image.convert("RGB"))


def detect(session, image):
    """Return score, map, p_value and anomalous. Without a threshold, the last two are missing."""
    names = [output.name for output in session.get_outputs()]
    results = session.run(names, {"image": image[np.newaxis]})  # a batch of one image
    return {name: result[0] for name, result in zip(names, results, strict=True)}


def check(session, height, width):
    """Run the check images of the file; exit with code 1 if a result differs from minicore's."""
    metadata = session.get_modelmeta().custom_metadata_map
    expected = json.loads(metadata.get("minicore", "{}")).get("check")
    if not expected:
        sys.exit("check failed: the file has no check images")
    for i, entry in enumerate(expected, 1):
        pixels = zlib.decompress(base64.b64decode(entry["pixels"]))
        found = detect(session, np.frombuffer(pixels, np.uint8).reshape(height, width, 3))
        compare(f"image {i}, score", entry["score"], found["score"], entry["score_within"])
        at_largest = found["map"][entry["map_row"], entry["map_column"]]
        for value in (found["map"].max(), at_largest):
            compare(f"image {i}, map", entry["map_largest"], value, entry["map_within"])
        if "anomalous" in entry:
            within = entry["p_value_within"]
            compare(f"image {i}, p_value", entry["p_value"], found["p_value"], within)
            compare(f"image {i}, anomalous", entry["anomalous"], found["anomalous"], 0)
    print("check passed")


def compare(what, expected, found, within):
    """Exit with code 1 if two numbers differ too much, or if one of them is NaN."""
    expected, found = float(expected), float(found)
    if not abs(expected - found) <= within:
        sys.exit(f"check failed: {what}: {expected:.6g} expected, {found:.6g} found")


if len(sys.argv) < 3:
    sys.exit(__doc__)
sys.stdout.reconfigure(errors="backslashreplace")  # for names that the console cannot print
model, *arguments = sys.argv[1:]
try:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    _, height, width, _ = session.get_inputs()[0].shape
except Exception as error:
    sys.exit(f"{model}: not a file that minicore export wrote ({error})")
if arguments == ["--check"]:
    check(session, height, width)
    sys.exit()
for path in arguments:
    found = detect(session, read_image(path, height, width))
    verdict = "no threshold"
    if "anomalous" in found:
        # p is the share of good images that score higher
        verdict = f"p {found['p_value']:.3g}, " + ("anomalous" if found["anomalous"] else "good")
    # In pixels of the map. If the model resizes or crops, the map is smaller than the image.
    row, column = np.unravel_index(found["map"].argmax(), found["map"].shape)
    print(f"{path}: score {found['score']:.7g}, {verdict}, largest at row {row}, column {column}")
