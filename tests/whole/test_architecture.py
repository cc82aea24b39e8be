"""The folders of the package are those of docs/architecture.md, and import only what it allows."""

import ast
import re
from collections import Counter
from graphlib import TopologicalSorter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import resolve_name

import pytest

import minicore

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "minicore"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w./]+)` \|[^|]+\|(?:([^|]*)\|)?$", re.MULTILINE)
PARTS = (part.split("\n", 1) for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:])
SECTIONS = {title.strip("`/"): ROW.findall(text) for title, text in PARTS}
BASE = "`errors` `checks` `runtime`"
ROWS = dict(SECTIONS["The folders"])
ALLOWED = {  # room: the rooms that it may import
    name.removesuffix("/").removesuffix(".py"): set(
        re.findall(r"`(\w+)`", imports.replace("*base*", BASE))
    )
    for name, imports in ROWS.items()
    if "/" not in name.removesuffix("/")
}
MODULES = [path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts]


def room(path):
    """The folder of `minicore/` that holds a module, or the module itself if it is in none."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The rooms that a module imports anywhere, also inside functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in (name.split(".") for name in names if name.split(".")[0] == "minicore"):
            if len(name) == 1:
                yield "minicore"  # the whole package: never allowed
            elif name[1] != "__version__":
                yield minicore._LAZY.get(name[1], f"minicore.{name[1]}").split(".")[1]


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_that_the_page_allows(name):
    found = {(path.name, to) for path in MODULES if room(path) == name for to in imported(path)}
    assert {(file, to) for file, to in found if to not in ALLOWED[name] | {name}} == set()


def test_the_allowed_imports_have_no_circle_and_name_rooms_only():
    assert set(TopologicalSorter(ALLOWED).static_order()) == set(ALLOWED)


def test_imports_of_every_kind_are_seen(tmp_path):
    text = (
        "import numpy, minicore.fast.sieve as s\nfrom minicore import PatchCore, plots\n"
        "from minicore import __version__\n"
        "from minicore.images.decode import read_image\n"
        "if TYPE_CHECKING:\n    from minicore.cli import app\n"
        "def f():\n    import minicore.course\nimport minicore\n"
    )
    (tmp_path / "module.py").write_text(text)
    expected = ["fast", "patchcore", "plots", "images", "cli", "course", "minicore"]
    assert sorted(imported(tmp_path / "module.py")) == sorted(expected)


def test_the_page_has_a_row_for_every_folder_and_loose_module():
    folders = {f"{path.parent.relative_to(PACKAGE).as_posix()}/" for path in MODULES} - {"./"}
    assert set(ROWS) == folders | {path.name for path in PACKAGE.glob("*.py")}


@pytest.mark.parametrize("name", ["equations", "fast", "patchcore"])
def test_the_page_has_a_row_for_every_file_of_the_method(name):
    files = {path.name for path in (PACKAGE / name).glob("*.py")} - {"__init__.py"}
    assert {file for file, _ in SECTIONS[name]} == files


def test_the_package_has_at_most_sixteen_folders_and_no_other_loose_module():
    assert len({path.parent for path in MODULES if path.parent.parent == PACKAGE}) <= 16
    loose = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert loose == {"__init__.py", "__main__.py", "checks.py", "errors.py", "py.typed"}


def test_no_two_files_have_one_name_unless_they_are_one_idea_in_both_engines():
    names = Counter(path.name for path in MODULES if room(path) != "fast")
    names += Counter(
        path.name
        for path in (PACKAGE / "fast").glob("*.py")
        if not (PACKAGE / "equations" / path.name).exists()
    )
    assert {name for name, n in names.items() if n > 1} == {"__init__.py"}


def test_the_picture_of_the_flow_names_functions_that_exist():
    spec = spec_from_file_location("architecture", ROOT / "docs" / "images" / "architecture.py")
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    functions = [resolve_name(f"minicore.{step.function}") for step in script.STEPS]
    assert len(functions) >= 8 and all(map(callable, functions))
