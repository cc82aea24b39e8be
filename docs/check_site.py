"""Check the built pages: ``python docs/check_site.py docs/_build/html``.

Sphinx checks the links between pages. This script checks the rest: every notebook has its number,
copy buttons and a download, the landing page has its pictures, every part of the reference has a
page, the slides have notes, no page loads anything from another server, and no solutions are
published. With the environment variable MINICORE_NODE_MODULES, the site must contain the
playground (docs/playground.py).
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Addresses that a browser loads without a click. Other links may point to other servers.
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=\"([^\"]+)\"", re.IGNORECASE)
LINKED = re.compile(
    r"<link\b(?=[^>]*\brel=\"(?:stylesheet|preload|icon)\")[^>]*?\bhref=\"([^\"]+)\""
)

LARGEST_PLAYGROUND = 12e6  # bytes


def faults(site: Path) -> list[str]:
    """List the faults of the site, one line each."""
    found = []
    pages = {page.relative_to(site).as_posix(): page.read_text("utf-8") for page in _pages(site)}
    for name, html in pages.items():
        for address in LOADED.findall(html) + LINKED.findall(html):
            if re.match(r"(?:https?:)?//", address):
                found.append(f"{name}: loads {address}")
            elif not address.startswith("data:"):
                target = (site / name).parent / address.split("?")[0].split("#")[0]
                if not target.exists():
                    found.append(f"{name}: {address} is missing")
        if "copybutton.js" not in html and not name.startswith("teaching/slides/"):
            found.append(f"{name}: has no copy buttons")
    index = pages.get("index.html", "")
    found += [
        f"index.html: the picture {picture} is missing"
        for picture in ("playground.webp", "demo.png", "trace.png")
        if not re.search(rf"<img\b[^>]*_images/{picture}", index)
    ]
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        name, number = f"notebooks/{notebook.stem}.html", notebook.name[:2]
        html = pages.get(name, "")
        if not re.search(rf"<h1>{number} · ", html):
            found.append(f"{name}: the title does not begin with {number}")
        if not re.search(rf">{number} · [^<]+</a>", index):
            found.append(f"index.html: the sidebar does not number {notebook.stem}")
        link = re.search(rf"href=\"((?!https:)[^\"]+/{notebook.name})\"", html)
        copy = link and (site / name).parent / link.group(1)
        if not copy or not copy.is_file() or copy.read_bytes() != notebook.read_bytes():
            found.append(f"{name}: offers no download of the notebook as it is")
    for deck in sorted((ROOT / "docs" / "teaching" / "slides").glob("*.md")):
        html = pages.get(f"teaching/slides/{deck.stem}.html", "")
        if "reveal.js" not in html or 'class="notes"' not in html:
            found.append(f"teaching/slides/{deck.stem}.html: is missing, or has no notes")
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        if f"reference/{page.stem}.html" not in pages:
            found.append(f"reference/{page.stem}.html: is missing")
    solutions = {path.name for path in (ROOT / "notebooks" / "solutions").glob("*.*")}
    published = sorted(path for path in site.rglob("*") if path.name in solutions)
    found += [
        f"{path.relative_to(site).as_posix()}: solutions are not published" for path in published
    ]
    if os.environ.get("MINICORE_NODE_MODULES"):
        playground = site / "playground"
        size = sum(path.stat().st_size for path in playground.glob("*"))
        if not (playground / "index.html").is_file() or size > LARGEST_PLAYGROUND:
            found.append(f"playground: is missing, or has more than 12 MB: {size / 1e6:.1f}")
    return found


def _pages(site: Path) -> list[Path]:
    """Return the pages that Sphinx wrote. Downloads are not pages of the site."""
    others = {"_static", "_downloads", "playground"}
    return sorted(page for page in site.rglob("*.html") if not others & set(page.parts))


if __name__ == "__main__":
    lines = faults(Path(sys.argv[1]))
    print("\n".join(lines) or "no faults")
    sys.exit(1 if lines else 0)
