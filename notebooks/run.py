"""Run the notebooks and keep their outputs, pictures made small: ``python notebooks/run.py``."""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, ExecutePreprocessor
from PIL import Image

HERE = Path(__file__).parent


def smaller(png: str) -> str:
    """Reduce a picture to a palette and four fifths of its side: a quarter of the bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.LANCZOS)
    palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    buffer = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def run(path: Path) -> None:
    """Execute a notebook in place; an exception in a cell leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)
    ExecutePreprocessor(timeout=600).preprocess(notebook, {"metadata": {"path": str(HERE)}})
    # What a cell prints in several strokes is one output on the page.
    CoalesceStreamsPreprocessor().preprocess(notebook, {})
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the hour it ran: noise in every diff
        for output in cell.get("outputs", []):
            # Sliders are nothing without their kernel: of these the picture is kept.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


for path in map(Path, sys.argv[1:] or sorted(HERE.glob("*.ipynb"))):
    run(path)
