"""Run the notebooks and store their outputs with small pictures: ``python notebooks/run.py``."""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, ExecutePreprocessor
from PIL import Image

HERE = Path(__file__).parent


def smaller(png: str) -> str:
    """Scale a picture to 80 % and reduce it to 256 colours: a quarter of the bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.LANCZOS)
    palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    buffer = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def run(path: Path) -> None:
    """Execute a notebook and overwrite it. If a cell raises an exception, keep the old file."""
    notebook = nbformat.read(path, as_version=4)
    ExecutePreprocessor(timeout=600).preprocess(notebook, {"metadata": {"path": str(HERE)}})
    # Several prints of a cell become one output.
    CoalesceStreamsPreprocessor().preprocess(notebook, {})
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # execution times would change every diff
        for output in cell.get("outputs", []):
            # Sliders need a kernel, so only their picture is stored.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


for path in map(Path, sys.argv[1:] or sorted(HERE.glob("*.ipynb"))):
    run(path)
