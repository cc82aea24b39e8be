"""The distribution: its name, the packages of its extras, and another project with our name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project_file import EXTRAS, PROJECT, ROOT, read_toml

import minicore
from minicore.errors import MinicoreError
from minicore.runtime import distribution

PACKAGE = Path(minicore.__file__).parent
TEXTS = sorted(
    path
    for folder in (
        ".ci",
        ".github",
        ".devcontainer",
        ".binder",
        "docs",
        "minicore",
        "notebooks",
        "weights",
        "",
    )
    for path in ((ROOT / folder).rglob("*") if folder else ROOT.glob("*.md"))
    if path.suffix in {"", ".md", ".py", ".ipynb", ".yml", ".yaml", ".json", ".cff"}
    and path.is_file()
    and not {"_build", "__pycache__", "bench"} & set(path.parts)
)


def test_the_name_is_that_of_the_project_file():
    assert PROJECT["name"] == distribution.NAME


def test_the_lock_file_is_that_of_the_project_file():
    packages = read_toml("uv.lock")["package"]
    (ours,) = (package for package in packages if package["name"] == distribution.NAME)
    locked = {
        (entry["name"], entry.get("marker", ""), entry["specifier"])
        for entry in ours["metadata"]["requires-dist"]
    }
    lists = {"": PROJECT["dependencies"]}
    lists |= {f"extra == '{e}'": names for e, names in EXTRAS.items()}
    needed = re.compile(r"([\w-]+)(.+)")
    declared = {
        (*needed.fullmatch(text).groups(), marker)
        for marker, texts in lists.items()
        for text in texts
    }
    assert {(name, specifier, marker) for name, marker, specifier in locked} == declared


def test_no_text_tells_anyone_to_install_the_other_project():
    other = r"minicore(?![-\w]| minicore-patchcore)"  # the remedy uninstalls both
    wrong = re.compile(rf"pip3? (un)?install[^\n`]* {other}|minicore\[\w")
    assert len(TEXTS) > 200
    found = {
        (path.relative_to(ROOT).as_posix(), match[0])
        for path in TEXTS
        for match in wrong.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_a_missing_package_is_named_with_its_extra(extra):
    with pytest.raises(MinicoreError) as error:
        distribution.require("a test", extra, "numpy", "no_such_package", "neither_this_one")
    command = f'pip install "minicore-patchcore[{extra}]"'
    assert str(error.value) == f"a test needs the package no_such_package: {command}"


def test_the_extras_that_messages_name_exist():
    named = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'(?:require|import_onnx)\(\s*"[^"]+", "(\w+)"', text))
        named |= set(re.findall(r'NEEDED = \("[^"]+", "(\w+)"\)', text))
    assert named == {"cluster", "convert", "export", "play"}
    assert named <= EXTRAS.keys()


@pytest.fixture
def mixed(tmp_path):
    """A folder of packages into which both projects were installed."""
    ignored = shutil.ignore_patterns("__pycache__", "weights", "page")
    shutil.copytree(PACKAGE, tmp_path / "minicore", ignore=ignored)
    (tmp_path / "minicore" / "sources.py").write_text("")
    information = tmp_path / "minicore-0.1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: minicore\nVersion: 0.1.2\n")
    return tmp_path


def python(folder, *arguments, path=""):
    """Run Python in a folder, from which it imports first."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{path}"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


REMEDY = "pip uninstall minicore minicore-patchcore, then pip install minicore-patchcore"


def test_files_of_the_other_project_in_the_package_are_one_error(mixed):
    done = python(mixed, "-c", "import minicore")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ") and last.endswith(REMEDY)
    assert str(mixed / "minicore") in last and "another project, minicore 0.1.2" in last


def test_the_command_says_so_if_the_other_project_was_installed_last(mixed):
    (mixed / "minicore" / "__init__.py").write_text("")
    done = python(mixed, "-m", "minicore", "--version")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("minicore: ") and done.stderr.endswith(REMEDY + "\n")
    assert len(done.stderr.splitlines()) == 1


def test_another_file_in_the_package_alone_is_no_error(mixed):
    shutil.rmtree(mixed / "minicore-0.1.2.dist-info")
    done = python(mixed, "-c", "import minicore; print(minicore.__version__)")
    assert (done.stdout, done.stderr) == (f"{minicore.__version__}\n", "")


def test_the_other_project_in_another_folder_is_no_error(mixed, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (mixed / "minicore-0.1.2.dist-info").rename(elsewhere / "minicore-0.1.2.dist-info")
    (elsewhere / "minicore").mkdir()
    done = python(mixed, "-c", "import minicore", path=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
