"""Each link in the README, in similar pages and in the notebooks leads to an existing file.

Sphinx checks the links in the pages of the site.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in (
        "*.md",
        ".github/*.md",
        "docs/*.md",
        "docs/reference/*.md",
        "docs/teaching/*.md",
        "weights/*.md",
        "notebooks/*.ipynb",
    )
    for page in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|<(?:a|img)\b[^>]*?(?:href|src)=[\"']([^\"']+)")
# https:, mailto:, and the folders that docs/playground.py and the slides add to the built site
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|playground/|slides/)")


def prose(page: Path) -> str:
    """The page's Markdown without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return BLOCK.sub("", text)


def anchors(page: Path) -> set[str]:
    """The names of the page's headings, as GitHub and Sphinx make them."""
    titles = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """What the page points to and is not there."""
    dead = []
    for markdown, html in LINK.findall(CODE.sub("", prose(page))):
        target = markdown or html
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_within_the_repository_is_dead(page):
    assert dead_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_of_tests_that_a_page_names_is_there(page):
    named = re.findall(r"\b((?:\w+/)*test_\w+\.py)\b", page.read_text(encoding="utf-8"))
    paths = {Path(name.removeprefix("tests/")) for name in named}
    assert {str(path) for path in paths if not (ROOT / "tests" / path).is_file()} == set()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.name
)
def test_everything_that_a_page_imports_from_minicore_is_there(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for line in "".join(blocks).splitlines():
        if re.match(r"(from|import) minicore\b", line):
            exec(line)


def test_a_dead_link_of_every_kind_is_seen(tmp_path):
    (tmp_path / "there.md").write_text(
        "# A `title`, with marks\n\n```\n# no title\n[x](code.md)\n```\n"
    )
    page = tmp_path / "page.ipynb"
    text = (
        "## Here\n[1](there.md) [2](gone.md) [3](there.md#a-title-with-marks)\n"
        "[4](there.md#no-title) [5](#here) [6](#gone) ![7](gone.png)\n"
        "[8](https://gone.example/x) `[9](gone.txt)`\n"
        '<a href="gone.html">10</a> <img width="9" src="there.md">'
    )
    cells = [("markdown", text), ("code", "# [11](gone.py)")]
    cells = [{"cell_type": kind, "source": source.splitlines(True)} for kind, source in cells]
    page.write_text(json.dumps({"cells": cells}))
    expected = ["gone.md", "there.md#no-title", "#gone", "gone.png", "gone.html"]
    assert dead_links(page) == expected
