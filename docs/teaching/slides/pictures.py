"""Find the pictures of the slides: figures of the documentation, and figures of the notebooks.

A slide names a picture as ``pictures/NAME.png``. NAME is one of

- ``demo``: the file ``docs/images/demo.png``;
- ``05_algorithm-1_1``: the first figure of this kind below "Algorithm 1" in notebook 05;
- ``demo--0-0-100-25``: a part of it. The numbers are left, top, right and bottom, in per cent.

Animations have the suffix ``.gif`` or ``.webp`` and are not cut.
"""

import base64
import functools
import io
import json
import re
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parents[2]
NOTEBOOKS = DOCS.parent / "notebooks"
NAMED = re.compile(r"\(pictures/([^)\s]+)\)")


def slug(title: str) -> str:
    """Return a heading as part of a file name: "Algorithm 1" -> "algorithm-1"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@functools.cache
def sections(notebook: Path) -> list[tuple[str, list[dict]]]:
    """Return the headings of a notebook, each with the cells below it. The first is the title."""
    found: list[tuple[str, list[dict]]] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            found[-1][1].append(cell)
            continue
        for part in re.split(r"^(?=#{1,3} )", text, flags=re.MULTILINE):
            if heading := re.match(r"#+ (.*)", part):
                found.append((heading[1].strip(), []))
                part = part[heading.end() :]
            if part.strip():
                found[-1][1].append({"cell_type": "markdown", "source": part})
    return found


def source(name: str) -> bytes:
    """Return the content of a picture, before it is cut.

    Raises
    ------
    FileNotFoundError
        If no file and no figure has this name.
    """
    stem, suffix = name.rsplit(".", 1)
    stem = stem.partition("--")[0]
    if (file := DOCS / "images" / f"{stem}.{suffix}").is_file():
        return file.read_bytes()
    if parts := re.fullmatch(r"(\d\d)_(.+)_(\d+)", stem):
        number, heading, count = parts.groups()
        for notebook in NOTEBOOKS.glob(f"{number}_*.ipynb"):
            figures = [
                output["data"][f"image/{suffix}"]
                for title, cells in sections(notebook)
                if slug(title) == heading
                for cell in cells
                for output in cell.get("outputs", ())
                if f"image/{suffix}" in output.get("data", {})
            ]
            if int(count) <= len(figures):
                return base64.b64decode("".join(figures[int(count) - 1]))
    raise FileNotFoundError(f"pictures/{name}: no such figure; see slides/pictures.py")


def content(name: str) -> bytes:
    """Return the content of a picture, cut as its name says."""
    whole = source(name)
    if "--" not in name:
        return whole
    left, top, right, bottom = (int(number) / 100 for number in re.findall(r"\d+", name)[-4:])
    picture = Image.open(io.BytesIO(whole)).convert("RGB")
    w, h = picture.size
    buffer = io.BytesIO()
    area = round(left * w), round(top * h), round(right * w), round(bottom * h)
    picture.crop(area).save(buffer, "png")
    return buffer.getvalue()


def write(folder: Path, decks: list[Path]) -> None:
    """Write the pictures of all decks into a folder."""
    folder.mkdir(exist_ok=True)
    for deck in decks:
        for name in NAMED.findall(deck.read_text(encoding="utf-8")):
            (folder / name).write_bytes(content(name))
