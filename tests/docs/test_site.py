"""All pages number the notebooks in the same way, and the check of built pages finds faults.

``sphinx-build`` builds the site itself.
"""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
INDEX = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check_site", ROOT / "docs" / "check_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebooks_title_begins_with_its_number(notebook):
    title = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"][0]
    number = notebook.name[:2]
    equation = rf"Equation {int(number)}: " if 1 <= int(number) <= 7 else "(?!Equation)"
    assert re.match(rf"# {number} · {equation}\S", title), title


def test_every_notebook_is_in_the_sidebar_in_order():
    assert re.findall(r"^notebooks/(\w+)$", INDEX, re.MULTILINE) == [n.stem for n in NOTEBOOKS]


def test_the_landing_page_shows_its_pictures():
    for picture in ("images/playground.webp", "images/demo.png", "images/trace.png"):
        assert picture in INDEX and (ROOT / "docs" / picture).is_file()


def test_every_page_of_the_reference_is_in_its_contents():
    folder = ROOT / "docs" / "reference"
    text = (folder / "index.md").read_text(encoding="utf-8")
    listed = re.search(r"^```\{toctree\}\n:hidden:\n\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    names = listed.group(1).split()
    assert sorted([*names, "index"]) == sorted(page.stem for page in folder.glob("*.md"))
    assert re.findall(r"^\| \[.*\]\((\w+)\.md\)", text, re.MULTILINE) == names


def test_every_room_of_the_package_has_a_page_in_the_reference():
    import minicore

    pages = {page.stem for page in (ROOT / "docs" / "reference").glob("*.md")}
    assert pages >= minicore._ROOMS


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site in small: what the check looks at, and nothing else."""
    monkeypatch.delenv("MINICORE_NODE_MODULES", raising=False)
    for folder in ("notebooks", "reference", "_images", "_downloads", "_static"):
        (tmp_path / folder).mkdir()
    script = '<script src="{}_static/copybutton.js?v=1"></script>'
    (tmp_path / "_static" / "copybutton.js").touch()
    links, pictures = [], []
    for notebook in NOTEBOOKS:
        shutil.copy(notebook, tmp_path / "_downloads" / notebook.name)
        title = f"{notebook.name[:2]} · Title"
        links.append(f'<a href="notebooks/{notebook.stem}.html">{title}</a>')
        (tmp_path / "notebooks" / f"{notebook.stem}.html").write_text(
            f"{script.format('../')}<h1>{title}<a></a></h1>"
            f'<a href="../_downloads/{notebook.name}">Download</a>',
            encoding="utf-8",
        )
    for name in ("playground.webp", "demo.png", "trace.png"):
        (tmp_path / "_images" / name).touch()
        pictures.append(f'<img alt="x" src="_images/{name}" />')
    (tmp_path / "index.html").write_text(
        script.format("") + "".join(links + pictures), encoding="utf-8"
    )
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        (tmp_path / "reference" / f"{page.stem}.html").write_text(script.format("../"))
    (tmp_path / "teaching" / "slides").mkdir(parents=True)
    for deck in (ROOT / "docs" / "teaching" / "slides").glob("*.md"):
        text = '<aside class="notes"></aside><script src="../../_static/copybutton.js">reveal.js'
        (tmp_path / "teaching" / "slides" / f"{deck.stem}.html").write_text(text)
    return tmp_path


def test_the_check_of_the_pages_finds_nothing_in_a_good_site(check, site):
    assert check.faults(site) == []


def test_a_site_without_the_playground_is_a_fault_if_it_can_be_built(check, site, monkeypatch):
    monkeypatch.setenv("MINICORE_NODE_MODULES", "node_modules")
    assert check.faults(site) == ["playground: is missing, or has more than 12 MB: 0.0"]
    (site / "playground").mkdir()
    (site / "playground" / "index.html").touch()
    assert check.faults(site) == []
    monkeypatch.setattr(check, "LARGEST_PLAYGROUND", -1)
    assert len(check.faults(site)) == 1


def test_published_solutions_are_a_fault(check, site):
    (site / "_downloads" / "solutions.py").touch()
    assert check.faults(site) == ["_downloads/solutions.py: solutions are not published"]


SABOTAGE = {
    "loads https://cdn.example/x.js": (
        "index.html",
        lambda html: html + '<script async src="https://cdn.example/x.js"></script>',
    ),
    "loads //fonts.example/f.css": (
        "reference/fast.html",
        lambda html: html + '<link rel="stylesheet" href="//fonts.example/f.css">',
    ),
    "_images/gone.png is missing": (
        "index.html",
        lambda html: html + '<img src="_images/gone.png">',
    ),
    "the picture trace.png is missing": ("index.html", lambda html: html.replace("trace", "flow")),
    "the sidebar does not number 10_make_it_fast": (
        "index.html",
        lambda html: html.replace("10 · ", ""),
    ),
    "the title does not begin with 10": (
        "notebooks/10_make_it_fast.html",
        lambda html: html.replace("<h1>10 · ", "<h1>"),
    ),
    "offers no download": (
        "notebooks/10_make_it_fast.html",
        lambda html: html.replace("_downloads", "_sources"),
    ),
    "is missing, or has no notes": (
        "teaching/slides/lecture_2.html",
        lambda html: html.replace('class="notes"', ""),
    ),
    "has no copy buttons": ("reference/fast.html", lambda html: ""),
}


@pytest.mark.parametrize("fault", SABOTAGE)
def test_the_check_of_the_pages_names_each_fault(check, site, fault):
    name, change = SABOTAGE[fault]
    page = site / name
    page.write_text(change(page.read_text(encoding="utf-8")), encoding="utf-8")
    assert any(name in line and fault in line for line in check.faults(site))


def test_a_download_that_is_not_the_notebook_itself_is_a_fault(check, site):
    (site / "_downloads" / NOTEBOOKS[0].name).write_text("{}")
    assert check.faults(site) == [
        f"notebooks/{NOTEBOOKS[0].stem}.html: offers no download of the notebook as it is"
    ]
